"""PUBLISH: runs of them, and topics that are checked once."""

import pytest

from protocols.errors import PeerViolation
from protocols.mqtt import publish
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.encoder import encode_connect, encode_publish
from protocols.mqtt.packets import Connect
from protocols.mqtt.publish import (
    LONGEST_REMEMBERED_TOPIC,
    REMEMBERED_TOPICS,
    Publish,
    publish_lead,
    read_publishes,
)


def packet(topic: bytes, payload: bytes = b"") -> bytes:
    return encode_publish(4, topic, payload, 0, 0, False, False)


def connected() -> Decoder:
    decoder = Decoder(1 << 20)
    decoder.receive(encode_connect(Connect(4, b"c")))
    return decoder


def test_run_ends_before_an_incomplete_packet_and_before_another_kind():
    run = packet(b"a", b"1") + packet(b"b", b"2")
    for rest in (b"", b"\xc0", b"\x30", b"\x30\x80", packet(b"c", b"x" * 200)[:-1], b"\xc0\x00" + packet(b"c")):
        events: list[object] = []
        assert read_publishes(b"\xd0\x00" + run + rest, 2, 4, True, 1000, events) == 2 + len(run)
        assert [event.payload for event in events] == [b"1", b"2"]


def test_equal_topics_are_one_object():
    topic = b"sensors/kitchen/one-object"
    first, second = connected().receive(packet(topic) * 2)
    (third,) = connected().receive(packet(topic))
    assert first.topic == topic
    assert first.topic is second.topic is third.topic


@pytest.mark.parametrize("topic", [b"bad/+", b"bad/#", b"bad\0", b"bad\xff"])
def test_bad_topic_is_refused_every_time(topic):
    for _ in range(3):
        (event,) = connected().receive(packet(topic))
        assert isinstance(event, PeerViolation)


def test_remembered_topics_stay_bounded():
    decoder = connected()
    for i in range(3 * REMEMBERED_TOPICS):
        decoder.receive(packet(b"many/%d" % i))
    assert len(publish._topics) <= 2 * REMEMBERED_TOPICS
    long_topic = b"t" * (LONGEST_REMEMBERED_TOPIC + 1)
    assert len(decoder.receive(packet(long_topic))) == 1
    assert long_topic not in publish._topics.keys()


def test_messages_compare_by_what_they_say_not_by_their_bytes():
    one, two, other = connected().receive(packet(b"a", b"1") * 2 + packet(b"a", b"2"))
    two.packet = b""
    assert one == two
    assert one != other
    assert one != "a"
    assert repr(other) == (
        "Publish(dup=False, packet_id=0, payload=b'2', properties=None, qos=0, retain=False, topic=b'a')"
    )
    with pytest.raises(TypeError):
        hash(Publish())


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("size", [0, 1, 121, 122, 123, 124, 125, 16376, 16377, 16378, 16379, 16380, 16381])
def test_lead_and_payload_are_a_whole_packet(version, size):
    whole = encode_publish(version, b"a", bytes(size), 0, 0, False, False)
    assert publish_lead(version, b"a", size) + bytes(size) == whole
