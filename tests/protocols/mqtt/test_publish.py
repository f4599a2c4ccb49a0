"""PUBLISH: runs of them, and topics that are checked once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PeerViolation
from protocols.mqtt import publish
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.encoder import encode_connect, encode_publish
from protocols.mqtt.packets import Connect
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import (
    LONGEST_REMEMBERED_TOPIC,
    REMEMBERED_TOPICS,
    Publish,
    PublishRun,
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


@pytest.mark.parametrize("version", [3, 4, 5])
def test_packets_that_differ_in_the_payload_only_make_one_run(version):
    decoder = Decoder(1 << 20)
    decoder.receive(encode_connect(Connect(version, b"c")))
    run = [encode_publish(version, b"a/b", b"%03d" % number, 0, 0, False, False) for number in range(9)]
    (event,) = decoder.receive(b"".join(run))
    assert isinstance(event, PublishRun)
    assert (event.topic, event.count, event.payload_size) == (b"a/b", 9, 3)
    assert event.packets == b"".join(run)
    assert event.payloads() == [b"%03d" % number for number in range(9)]


@given(
    sizes=st.lists(st.tuples(st.sampled_from([b"a", b"b/c"]), st.integers(0, 2), st.booleans()), max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    version=st.sampled_from([4, 5]),
)
def test_runs_hold_the_same_messages_however_the_stream_is_cut(sizes, cuts, version):
    sent = [(topic, bytes([65 + number]) * size, retain) for number, (topic, size, retain) in enumerate(sizes)]
    stream = b"".join(encode_publish(version, topic, payload, 0, 0, retain, False) for topic, payload, retain in sent)
    decoder = Decoder(1 << 20)
    decoder.receive(encode_connect(Connect(version, b"c")))
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    received: list[tuple[bytes, bytes, bool]] = []
    for start, end in zip([0, *ends], ends, strict=False):
        for event in decoder.receive(stream[start:end]):
            if isinstance(event, PublishRun):
                received += [(event.topic, payload, False) for payload in event.payloads()]
            else:
                assert isinstance(event, Publish)
                received.append((event.topic, event.payload, event.retain))
    assert received == sent


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_packets_with_identifiers_make_one_run_too(version, qos):
    decoder = Decoder(1 << 20)
    decoder.receive(encode_connect(Connect(version, b"c")))
    run = [encode_publish(version, b"a/b", b"%03d" % number, qos, 500 + number, False, False) for number in range(9)]
    (event,) = decoder.receive(b"".join(run))
    assert isinstance(event, PublishRun)
    assert (event.topic, event.count, event.payload_size, event.qos) == (b"a/b", 9, 3, qos)
    assert event.packet_ids == [500 + number for number in range(9)]
    assert event.payloads() == [b"%03d" % number for number in range(9)]
    singles = [decoder.receive(packet) for packet in run]
    assert [event.publishes()[number : number + 1] for number in range(9)] == singles


def test_run_ends_before_a_packet_that_is_not_like_the_others():
    decoder = Decoder(1 << 20)
    decoder.receive(encode_connect(Connect(5, b"c")))
    alike = [encode_publish(5, b"a", b"1", 1, number, False, False) for number in (1, 2)]
    expiring = encode_publish(5, b"a", b"", 1, 3, False, False, Properties(message_expiry_interval=5))
    repeated = encode_publish(5, b"a", b"1", 1, 4, False, True)
    more, sure = encode_publish(5, b"a", b"1", 1, 5, True, False), encode_publish(5, b"a", b"1", 2, 6, False, False)
    events = decoder.receive(b"".join((*alike, expiring, repeated, more, sure)))
    assert isinstance(events[0], PublishRun)
    assert events[0].packet_ids == [1, 2]
    assert [(event.packet_id, event.dup, event.retain, event.qos) for event in events[1:]] == [
        (3, False, False, 1),
        (4, True, False, 1),
        (5, False, True, 1),
        (6, False, False, 2),
    ]
    assert events[1].properties == Properties(message_expiry_interval=5)


def test_packet_identifier_0_within_a_run_is_a_violation():
    decoder = Decoder(1 << 20)
    decoder.receive(encode_connect(Connect(4, b"c")))
    good = b"".join(encode_publish(4, b"a", b"1", 1, number, False, False) for number in (1, 2))
    bad = bytes.fromhex("32 06 0001 61 0000 31")
    run, violation = decoder.receive(good + bad + good)
    assert run.packet_ids == [1, 2]
    assert violation.detail == "PUBLISH: the packet identifier is 0"


def test_equal_topics_are_one_object_from_the_second_on():
    topic = b"sensors/kitchen/one-object"
    decoder = connected()
    first, second = decoder.receive(packet(topic) + packet(topic, b"1"))
    (third,) = connected().receive(packet(topic))
    assert first.topic == second.topic == topic
    assert second.topic is third.topic


@pytest.mark.parametrize("topic", [b"bad/+", b"bad/#", b"bad\0", b"bad\xff"])
def test_bad_topic_is_refused_every_time(topic):
    for _ in range(3):
        (event,) = connected().receive(packet(topic))
        assert isinstance(event, PeerViolation)


def test_remembered_topics_stay_bounded():
    decoder = connected()
    for i in range(3 * REMEMBERED_TOPICS):
        decoder.receive(packet(b"many/%d" % i) * 2 + packet(b"many/%d" % i, b"1"))
    assert REMEMBERED_TOPICS < len(publish._topics) <= 2 * REMEMBERED_TOPICS
    long_topic = b"t" * (LONGEST_REMEMBERED_TOPIC + 1)
    assert len(decoder.receive(packet(long_topic) + packet(long_topic, b"1"))) == 2
    assert long_topic not in publish._topics.keys()


def test_messages_compare_by_what_they_say_not_by_their_bytes():
    decoder = connected()
    one, two, other = (decoder.receive(packet(b"a", payload))[0] for payload in (b"1", b"1", b"2"))
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
