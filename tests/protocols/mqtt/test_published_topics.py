"""Published topics: what becomes of a PUBLISH on each, and how often that is worked out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.errors import PacketError
from protocols.mqtt.published_topics import LONGEST_REMEMBERED_TOPIC, REMEMBERED_TOPICS, PublishedTopics
from protocols.mqtt.reason_codes import ReasonCode
from protocols.topic_mapping import topic_to_subject


@given(st.text("ab/ .*>+#$_é~!\x7f\0", max_size=8).map(str.encode))
def test_verdict_is_that_of_the_closer_look(topic: bytes):
    subject = topic_to_subject(topic)
    if subject is None or b"\0" in topic or b"\x7f" in topic:
        with pytest.raises(PacketError):
            PublishedTopics().judge(topic)
        return
    judged = PublishedTopics().judge(topic)
    assert (judged.topic, judged.subject, judged.levels) == (topic, subject, topic.count(b"/") + 1)


@pytest.mark.parametrize(
    ("topic", "permitted"),
    [(b"$GR/x", False), (b"$NRG/x", False), (b"_GR_/x", False), (b"$GR", True), (b"$G/x", True), (b"_GR/x", True)],
)
def test_reserved_subjects_are_not_permitted(topic: bytes, permitted: bool):
    assert PublishedTopics().judge(topic).permitted is permitted


def test_equal_topics_are_one_object_from_the_second_on():
    topics = PublishedTopics()
    topics.judge(b"sensors/kitchen")
    assert topics.judge(b"sensors/kitchen") is topics.young[b"sensors/kitchen"]


@pytest.mark.parametrize("topic", [b"", b"bad/+", b"bad/#", b"bad\0", b"bad\xff"])
def test_what_is_no_topic_name_is_refused_every_time(topic: bytes):
    topics = PublishedTopics()
    for _ in range(3):
        with pytest.raises(PacketError) as fault:
            topics.judge(topic)
        assert fault.value.code in (ReasonCode.MALFORMED_PACKET, ReasonCode.TOPIC_NAME_INVALID)


def test_remembered_topics_stay_bounded():
    topics = PublishedTopics()
    for i in range(3 * REMEMBERED_TOPICS):
        topics.judge(b"many/%d" % i)
        topics.judge(b"many/%d" % i)
    assert REMEMBERED_TOPICS < len(topics) <= 2 * REMEMBERED_TOPICS
    long_topic = b"t" * (LONGEST_REMEMBERED_TOPIC + 1)
    assert topics.judge(long_topic) is not topics.judge(long_topic)
    assert topics.judge(long_topic).subject == long_topic
