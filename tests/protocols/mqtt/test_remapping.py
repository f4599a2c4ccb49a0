"""What passes a bridge, and what it is called beyond it; filters against topics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.remapping import Remapping, TopicEntry
from protocols.mqtt.topics import filter_matches
from protocols.subjects import matches
from protocols.topic_mapping import filter_to_subjects, topic_to_subject

OUT, IN, BOTH = (True, False), (False, True), (True, True)


def entry(topic_filter: str, ways: tuple[bool, bool], local: str = "", remote: str = "", qos: int = 1) -> TopicEntry:
    return TopicEntry(topic_filter.encode(), *ways, qos, local.encode(), remote.encode())


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matching"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("+", "", True),
        ("+/+", "/", True),
    ],
)
def test_filter_matches_as_the_specification_says(topic_filter: str, topic: str, matching: bool) -> None:
    assert filter_matches(topic_filter.encode(), topic.encode()) is matching


LEVELS = st.sampled_from(["a", "b", "", "$c"])


@given(st.lists(st.sampled_from(["a", "b", "", "$c", "+"]), min_size=1, max_size=4), st.booleans(), st.data())
def test_filter_matches_what_routing_would(levels: list[str], open_end: bool, data: st.DataObject) -> None:
    topic_filter = "/".join([*levels, "#"] if open_end else levels).encode()
    topic = "/".join(data.draw(st.lists(LEVELS, min_size=1, max_size=5))).encode()
    subjects, subject = filter_to_subjects(topic_filter), topic_to_subject(topic)
    if not topic or not topic_filter or subjects is None or subject is None:
        return
    hidden = topic.startswith(b"$") and topic_filter.startswith((b"+", b"#"))
    wanted = not hidden and any(matches(one, subject) for one in subjects)
    assert filter_matches(topic_filter, topic) is wanted


def test_prefixes_are_exchanged() -> None:
    remapping = Remapping((entry("sensors/#", OUT, "", "site-7/"), entry("#", IN, "down/", "orders/")))
    assert remapping.outward(b"sensors/a") == b"site-7/sensors/a"
    assert remapping.outward(b"sensors") == b"site-7/sensors"
    assert remapping.outward(b"other") is None
    assert remapping.inward(b"orders/lamp") == b"down/lamp"
    assert remapping.inward(b"site-7/sensors/a") is None
    assert remapping.local_filters() == {b"sensors/#": 1}
    assert remapping.remote_filters() == {b"orders/#": 1}


def test_the_first_entry_that_takes_a_topic_holds() -> None:
    remapping = Remapping((entry("a/b", BOTH, "", "x/", 2), entry("a/#", BOTH, "", "y/"), entry("a/b", OUT, "", "z/")))
    assert remapping.outward(b"a/b") == b"x/a/b"
    assert remapping.outward(b"a/c") == b"y/a/c"
    assert remapping.inward(b"x/a/b") == b"a/b"
    assert remapping.local_filters() == {b"a/b": 2, b"a/#": 1}


def test_an_empty_filter_renames_one_topic() -> None:
    remapping = Remapping((entry("", BOTH, "here", "there"),))
    assert remapping.outward(b"here") == b"there"
    assert remapping.inward(b"there") == b"here"
    assert remapping.outward(b"here/a") is None


def test_what_makes_no_topic_does_not_pass() -> None:
    remapping = Remapping((entry("#", OUT, "a/", ""), entry("#", OUT, "", "long/")))
    assert remapping.outward(b"a/b") == b"b"
    assert remapping.outward(b"a/") is None
    assert remapping.outward(b"b" * 65_531) is None


def test_answers_stay_the_same_when_they_are_remembered() -> None:
    remapping = Remapping((entry("a/+", OUT, "", "x/"),))
    for _ in range(3):
        assert remapping.outward(b"a/b") == b"x/a/b"
        assert remapping.outward(b"a") is None


def test_topics_that_the_other_side_does_not_take_do_not_pass() -> None:
    asked: list[bytes] = []

    def takes(topic: bytes) -> bool:
        asked.append(topic)
        return topic.count(b"/") < 3

    remapping = Remapping((entry("a/#", BOTH, remote="site/"),), takes)
    assert remapping.outward(b"a/b") == b"site/a/b"
    assert [remapping.outward(b"a/b/c") for _ in range(2)] == [None, None]
    assert remapping.inward(b"site/a/b/c/d") == b"a/b/c/d"
    # Of each it is asked once.
    assert asked == [b"site/a/b", b"site/a/b/c"]
