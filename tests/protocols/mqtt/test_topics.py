"""Grammar of topic names and topic filters."""

import pytest

from protocols.mqtt.topics import is_topic_filter, is_topic_name


@pytest.mark.parametrize(
    "topic", [b"a", b"/", b"//", b"a/b", b"/a", b"a/", b"a b", b"$SYS/x", b"*", b">", "é".encode()]
)
def test_name_without_wildcards_is_also_a_filter(topic):
    assert is_topic_name(topic)
    assert is_topic_filter(topic)


@pytest.mark.parametrize(
    "topic_filter", [b"#", b"+", b"+/+", b"/+", b"+/", b"a/#", b"/#", b"+/#", b"a/+/b", b"//#", b"$share/g/+"]
)
def test_wildcard_takes_a_whole_level(topic_filter):
    assert is_topic_filter(topic_filter)
    assert not is_topic_name(topic_filter)


@pytest.mark.parametrize(
    "text", [b"", b"a#", b"#a", b"a+", b"+a", b"##", b"++", b"#/", b"#/a", b"a/#/b", b"a/+b/c", b"+#"]
)
def test_misplaced_wildcard_is_neither_name_nor_filter(text):
    assert not is_topic_filter(text)
    assert not is_topic_name(text)
