"""Grammar of topic names and topic filters."""

import pytest

from protocols.mqtt.topics import SHARE_PREFIX, is_topic_filter, is_topic_name, parse_shared_filter


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


@pytest.mark.parametrize(
    ("topic_filter", "share_name", "rest"),
    [
        (b"$share/g/a", b"g", b"a"),
        (b"$share/g/a/+/#", b"g", b"a/+/#"),
        (b"$share/g/#", b"g", b"#"),
        (b"$share/g//", b"g", b"/"),
        (b"$share/g//a", b"g", b"/a"),
        (b"$share/my group.1/a b", b"my group.1", b"a b"),
        (b"$share/g/$SYS/x", b"g", b"$SYS/x"),
    ],
)
def test_shared_subscription_has_a_share_name_and_a_filter(topic_filter, share_name, rest):
    assert parse_shared_filter(topic_filter) == (share_name, rest)


@pytest.mark.parametrize(
    "topic_filter", [b"a", b"$share", b"$shared/g/a", b"/$share/g/a", b"$SHARE/g/a", b"+/g/a", b"#"]
)
def test_other_filter_is_not_shared(topic_filter):
    assert not topic_filter.startswith(SHARE_PREFIX)
    assert parse_shared_filter(topic_filter) is None


@pytest.mark.parametrize(
    "topic_filter",
    [
        b"$share/",
        b"$share/g",
        b"$share/g/",
        b"$share//a",
        b"$share//",
        b"$share/+/a",
        b"$share/#",
        b"$share/g+/a",
        b"$share/g#/a",
        b"$share/g/a#",
        b"$share/g/#/a",
    ],
)
def test_share_without_name_or_filter_is_malformed(topic_filter):
    assert topic_filter.startswith(SHARE_PREFIX)
    assert parse_shared_filter(topic_filter) is None
