"""MQTT 3.1 beside its successors: bits that it does not use say nothing, and answers have its own form."""

import pytest

from protocols.errors import PeerViolation
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.packets import Connect, Disconnect, Pingreq, Puback, Subscribe, Subscription, Unsubscribe

LIMIT = 1 << 16
NAMES = {3: b"MQIsdp", 4: b"MQTT", 5: b"MQTT"}


def connect(version: int, flags: int = 0, first: int = 0x10, level: int | None = None, tail: bytes = b"") -> bytes:
    name = NAMES[version]
    properties = b"\0" if version == 5 else b""
    body = len(name).to_bytes(2) + name + bytes((level or version, flags, 0, 10)) + properties + b"\0\1p" + tail
    return bytes((first, len(body))) + body


def received(version: int, packet: bytes) -> list[object]:
    return Decoder(LIMIT).receive(connect(version, 2) + packet)[1:]


@pytest.mark.parametrize("flags", [0x01, 0x03, 0x08, 0x10, 0x20, 0x31])
def test_unused_connect_flags_say_nothing_in_3_1_alone(flags: int):
    (event,) = Decoder(LIMIT).receive(connect(3, flags))
    assert event == Connect(3, b"p", bool(flags & 2), 10, None, None, None, None)
    assert isinstance(Decoder(LIMIT).receive(connect(4, flags | 2))[0], PeerViolation)


def test_connect_of_an_old_device_is_taken():
    (event,) = Decoder(LIMIT).receive(bytes.fromhex("100F00064D51497364700301000A000170"))
    assert event == Connect(3, b"p", False, 10, None, None, None, None)


def test_reserved_flag_beside_a_will_and_a_user_says_nothing():
    (event,) = Decoder(LIMIT).receive(connect(3, 0xC7, tail=b"\0\1w\0\1x\0\1u\0\1s"))
    assert (event.will.topic, event.will.payload, event.username, event.password) == (b"w", b"x", b"u", b"s")


@pytest.mark.parametrize("flags", range(1, 16))
def test_unused_bits_of_the_first_byte_say_nothing_in_3_1_alone(flags: int):
    subscribe, unsubscribe = b"\x06\0\1\0\1a\0", b"\x05\0\1\0\1a"
    for first, rest, event in (
        (0xC0, b"\0", Pingreq()),
        (0xE0, b"\0", Disconnect()),
        (0x40, b"\2\0\1", Puback(1)),
        (0x80, subscribe, Subscribe(1, (Subscription(b"a", 0),))),
        (0xA0, unsubscribe, Unsubscribe(1, (b"a",))),
    ):
        assert received(3, bytes((first | flags,)) + rest) == [event]
        if flags != 2 or first not in (0x80, 0xA0):
            assert isinstance(received(4, bytes((first | flags,)) + rest)[0], PeerViolation)
    assert isinstance(Decoder(LIMIT).receive(connect(3, first=0x10 | flags))[0], Connect)
    assert isinstance(Decoder(LIMIT).receive(connect(4, 2, first=0x10 | flags))[0], PeerViolation)


@pytest.mark.parametrize("options", [0x04, 0x41, 0xFE])
def test_unused_bits_of_a_subscription_say_nothing_in_3_1_alone(options: int):
    packet = b"\x82\x06\0\1\0\1a" + bytes((options,))
    assert received(3, packet) == [Subscribe(1, (Subscription(b"a", options & 3),))]
    assert isinstance(received(4, packet)[0], PeerViolation)


@pytest.mark.parametrize("level", [1, 2, 4, 5, 6, 0x7F, 0x84, 0xFF])
def test_bad_level_under_the_name_of_3_1_is_answered_in_its_form(level: int):
    (event,) = Decoder(LIMIT).receive(connect(3, level=level))
    assert event.farewell == b"\x20\x02\x00\x01"


@pytest.mark.parametrize(
    ("level", "farewell"), [(3, b"\x20\x02\x00\x01"), (2, b"\x20\x02\x00\x01"), (6, b"\x20\x03\x00\x84\x00")]
)
def test_bad_level_under_the_other_name_is_answered_in_the_nearest_form(level: int, farewell: bytes):
    (event,) = Decoder(LIMIT).receive(connect(4, 2, level=level))
    assert event.farewell == farewell


@pytest.mark.parametrize(
    "topic_filter", [b"$share/", b"$share/g", b"$share//t", b"$share/p/", b"$share//", b"$share/+"]
)
@pytest.mark.parametrize("first", [0x82, 0xA2])
@pytest.mark.parametrize("version", [3, 4, 5])
def test_incomplete_shared_filter_is_answered_like_one_with_a_wildcard_in_its_name(
    version: int, first: int, topic_filter: bytes
):
    def answer(text: bytes) -> tuple[object, bytes]:
        properties, options = b"\0" if version == 5 else b"", b"\0" if first == 0x82 else b""
        body = b"\0\1" + properties + len(text).to_bytes(2) + text + options
        (event,) = received(version, bytes((first, len(body))) + body)
        assert isinstance(event, PeerViolation)
        return event.reason, event.farewell

    assert answer(topic_filter) == answer(b"$share/g+/t")
