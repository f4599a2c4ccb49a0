"""MQTT framing: every vector decodes, however it is cut, and nothing that a peer sends raises."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.message import Message
from protocols.mqtt.decoder import ClientDecoder, Decoder
from protocols.mqtt.encoder import (
    PINGREQ,
    encode_connect,
    encode_disconnect,
    encode_puback,
    encode_publish,
    encode_subscribe,
)
from protocols.mqtt.packets import Connect, Disconnect, Pingreq, Puback, Subscribe, Subscription
from protocols.mqtt.primitives import encode_varint
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.protocols.mqtt.one_by_one import one_by_one

LIMIT = 1 << 20


def connected(version: int, max_packet_size: int = LIMIT) -> Decoder:
    decoder = Decoder(max_packet_size)
    decoder.receive(encode_connect(Connect(version, b"c")))
    return decoder


def feed(decoder: Decoder, data: bytes, cuts: list[int]) -> list[object]:
    places = [0, *sorted(cuts), len(data)]
    return one_by_one(event for start, end in pairwise(places) for event in decoder.receive(data[start:end]))


def test_packet_decodes(packet_vector):
    assert one_by_one(packet_vector.decoder().receive(packet_vector.data)) == [packet_vector.event]


def test_packet_cut_at_any_offset_decodes_once_it_is_whole(packet_vector):
    data = packet_vector.data
    for offset in range(1, len(data)):
        decoder = packet_vector.decoder()
        assert decoder.receive(data[:offset]) == []
        assert one_by_one(decoder.receive(data[offset:])) == [packet_vector.event]


def test_packet_decodes_byte_by_byte(packet_vector):
    assert feed(packet_vector.decoder(), packet_vector.data, list(range(len(packet_vector.data)))) == [
        packet_vector.event
    ]


def test_packet_that_ends_too_early_never_raises_and_never_decodes_as_the_whole(packet_vector):
    first, body = packet_vector.data[:1], packet_vector.data[2:]
    if packet_vector.data[1] > 0x7F:
        body = packet_vector.data[3:]
    for size in range(len(body)):
        (event,) = one_by_one(packet_vector.decoder().receive(first + encode_varint(size) + body[:size]))
        if packet_vector.shortest:
            assert event != packet_vector.event


def test_published_packet_is_kept_as_received_if_its_qos_is_0(packet_vector):
    (event,) = packet_vector.decoder().receive(packet_vector.data)
    if isinstance(event, Message):
        assert packet_vector.data in (event.mqtt3, event.mqtt5)
        assert (event.mqtt3 is None) == (packet_vector.version == 5)


def test_violation_names_packet_and_field_and_says_farewell(violation_vector):
    assert violation_vector.decoder().receive(violation_vector.data) == [violation_vector.event]


def test_violation_comes_the_same_byte_by_byte(violation_vector):
    data = violation_vector.data
    assert feed(violation_vector.decoder(), data, list(range(len(data)))) == [violation_vector.event]


def test_nothing_follows_a_violation(violation_vector):
    decoder = violation_vector.decoder()
    assert decoder.receive(violation_vector.data + PINGREQ) == [violation_vector.event]
    assert decoder.receive(PINGREQ) == []
    assert decoder.stopped


def test_every_byte_of_a_packet_changed_never_raises(packet_vector):
    data = packet_vector.data
    for offset in range(len(data)):
        for changed in (0, 1, data[offset] ^ 0x80, data[offset] ^ 1, 0x7F, 0xFF):
            events = packet_vector.decoder().receive(data[:offset] + bytes((changed,)) + data[offset + 1 :])
            assert not any(isinstance(event, PeerViolation) for event in events[:-1])


def stream(version: int) -> tuple[bytes, list[type]]:
    """A client's whole connection, with short and long packets of all lengths of the remaining length."""
    properties = Properties(content_type=b"t", user_properties=((b"k", b"v"), (b"k", b"w")))
    parts = [
        encode_connect(Connect(version, b"c")),
        encode_publish(version, b"a/b", b"1", 0, 0, False, False),
        encode_publish(version, b"a/b", b"2", 1, 7, True, False, properties),
        PINGREQ,
        encode_publish(version, b"a/b", b"x" * 300, 0, 0, False, False),
        encode_subscribe(version, 1, [Subscription(b"a/#", 1), Subscription(b"+", 0)]),
        encode_publish(version, b"a/c", b"y" * 20000, 2, 9, False, True),
        encode_publish(version, b"a/b", b"", 0, 0, False, False),
        encode_puback(version, 3),
        encode_disconnect(version),
    ]
    kinds = [Connect, Publish, Publish, Pingreq, Publish, Subscribe, Publish, Publish, Puback, Disconnect]
    return b"".join(parts), kinds


STREAMS = {version: stream(version) for version in (3, 4, 5)}


@given(st.sampled_from([3, 4, 5]), st.lists(st.integers(0, len(STREAMS[4][0]))))
def test_any_split_gives_the_same_events(version, cuts):
    data, kinds = STREAMS[version]
    events = feed(Decoder(LIMIT), data, cuts)
    assert [type(event) for event in events] == kinds
    assert events == one_by_one(Decoder(LIMIT).receive(data))


@given(st.sampled_from([3, 4, 5]), st.lists(st.integers(0, len(STREAMS[4][0]))), st.integers(1, 40))
def test_slices_of_any_size_give_the_same_events(version, cuts, slice_size):
    data, _ = STREAMS[version]
    decoder = Decoder(LIMIT)
    decoder.slice_size = slice_size
    places = [0, *sorted(cuts), len(data)]
    events = []
    for start, end in pairwise(places):
        events += decoder.receive(data[start:end])
        while decoder.has_more:
            events += decoder.receive(b"")
    assert one_by_one(events) == one_by_one(Decoder(LIMIT).receive(data))


@pytest.mark.parametrize(
    ("packet", "most"),
    [
        (encode_publish(4, b"a/%d", b"x", 0, 0, False, False), 160),
        (encode_publish(4, b"a/b", b"x", 1, 7, False, False), 160),
        (encode_subscribe(4, 1, [Subscription(b"a/#", 1)]), 10),
        (encode_puback(4, 3), 10 * 1024 // 64 * 64),
    ],
    ids=["messages", "messages of QoS 1", "SUBSCRIBE", "PUBACK"],
)
def test_one_call_decodes_no_more_than_a_slice(packet, most):
    """A batch may hold tens of thousands; what the interpreter reads costs several messages."""
    count = 20_000
    decoder = connected(4)
    decoder.slice_size = 160
    counts = [
        len(one_by_one(decoder.receive(b"".join(packet.replace(b"%d", b"%02d" % (n % 100)) for n in range(count)))))
    ]
    while decoder.has_more:
        counts.append(len(one_by_one(decoder.receive(b""))))
    assert sum(counts) == count
    assert max(counts) <= most


# Fragments that get random bytes past the fixed header now and then.
FRAGMENTS = st.binary(max_size=20) | st.sampled_from(
    [
        encode_connect(Connect(4, b"c")),
        encode_connect(Connect(5, b"c")),
        b"\x30\x05\x00\x01a",
        b"\x32\x09\x00\x01a",
        b"\x82\x08\x00\x01",
        b"\x40\x04\x00\x01",
        b"\xe0\x06\x00",
        b"\xf0\x05\x18",
        b"\x26\x00\x01k\x00\x01v",
        PINGREQ,
    ]
)


@given(st.sampled_from([0, 3, 4, 5]), st.booleans(), st.lists(FRAGMENTS))
def test_random_bytes_never_raise_and_give_the_same_events_in_one_piece(version, from_client, chunks):
    def decoder() -> Decoder:
        if not from_client:
            return ClientDecoder(200, version or 4)
        return connected(version, 200) if version else Decoder(200)

    one = decoder()
    events = [event for chunk in chunks for event in one.receive(chunk)]
    assert not any(isinstance(event, PeerViolation) for event in events[:-1])
    assert one_by_one(events) == one_by_one(decoder().receive(b"".join(chunks)))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_packet_may_be_as_large_as_the_limit_and_no_larger(version):
    packet = encode_publish(version, b"a", b"x" * 500, 0, 0, False, False)
    assert len(connected(version, len(packet)).receive(packet)) == 1
    (violation,) = connected(version, len(packet) - 1).receive(packet)
    assert violation.reason is CloseReason.MAXIMUM_PAYLOAD_EXCEEDED


def test_packet_over_the_limit_is_refused_by_its_header():
    (violation,) = connected(5).receive(b"\x30\xff\xff\xff\x7f")
    assert violation.reason is CloseReason.MAXIMUM_PAYLOAD_EXCEEDED
    assert violation.farewell == b"\xe0\x01\x95"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_connect_fixes_the_version(version):
    decoder = Decoder(LIMIT)
    assert decoder.version == 0
    decoder.receive(encode_connect(Connect(version, b"c")))
    assert decoder.version == version


def test_events_before_a_violation_are_kept():
    good = encode_publish(4, b"a", b"1", 0, 0, False, False)
    events = connected(4).receive(good + PINGREQ + good + b"\x36\x00")
    assert [type(event) for event in events] == [Message, Pingreq, Message, PeerViolation]


def test_text_of_a_login_tells_no_secret():
    properties = Properties(authentication_method=b"SCRAM-SHA-256", authentication_data=b"sesame")
    packet = encode_connect(Connect(5, b"c", username=b"ann", password=b"sesame", properties=properties))
    (event,) = Decoder(LIMIT).receive(packet)
    assert isinstance(event, Connect)
    for said in (repr(event), repr(event.properties), repr([event])):
        assert "sesame" not in said
    assert "ann" in repr(event)
    assert "SCRAM-SHA-256" in repr(event.properties)
