"""Statements of the specifications that the codec keeps alone, value by value where there are few values."""

import pytest

from protocols.errors import MisuseError, PeerViolation
from protocols.mqtt import encoder
from protocols.mqtt.decoder import ClientDecoder, Decoder
from protocols.mqtt.packets import Connect, Subscription, Will

LIMIT = 1 << 20
ALL_CODES = range(256)

# MQTT 5.0: 3.2.2.2, 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.9.3, 3.11.3, 3.14.2.1, 3.15.2.1.
_PUBLISHED = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
_EITHER = {0x00, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99}
_REFUSED = {*range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F}
FROM_CLIENT = {
    "PUBACK": (b"\x40\x03\x00\x01%c", _PUBLISHED),
    "PUBREC": (b"\x50\x03\x00\x01%c", _PUBLISHED),
    "PUBREL": (b"\x62\x03\x00\x01%c", {0x00, 0x92}),
    "PUBCOMP": (b"\x70\x03\x00\x01%c", {0x00, 0x92}),
    "DISCONNECT": (b"\xe0\x01%c", _EITHER | {0x04}),
    "AUTH": (b"\xf0\x06%c\x04\x15\x00\x01m", {0x18, 0x19}),
}
FROM_SERVER = {
    "CONNACK": (b"\x20\x03\x00%c\x00", {0x00} | _REFUSED),
    "PUBACK": (b"\x40\x03\x00\x01%c", _PUBLISHED),
    "PUBREC": (b"\x50\x03\x00\x01%c", _PUBLISHED),
    "PUBREL": (b"\x62\x03\x00\x01%c", {0x00, 0x92}),
    "PUBCOMP": (b"\x70\x03\x00\x01%c", {0x00, 0x92}),
    "SUBACK": (b"\x90\x04\x00\x01\x00%c", {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}),
    "UNSUBACK": (b"\xb0\x04\x00\x01\x00%c", {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}),
    "DISCONNECT": (b"\xe0\x01%c", _EITHER | {0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, *range(0x9A, 0xA3)}),
    "AUTH": (b"\xf0\x06%c\x04\x15\x00\x01m", {0x00, 0x18}),
}
# First bytes with the flags that are fixed (2.1.3).
FIRST_BYTES = {0x10, 0x20, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0}


def connected(version: int) -> Decoder:
    decoder = Decoder(LIMIT)
    decoder.receive(encoder.encode_connect(Connect(version, b"c")))
    return decoder


def is_accepted(events: list[object]) -> bool:
    return not any(isinstance(event, PeerViolation) for event in events)


@pytest.mark.parametrize("packet", FROM_CLIENT)
def test_client_uses_the_reason_codes_of_the_packet_and_no_others(packet: str) -> None:
    wire, codes = FROM_CLIENT[packet]
    assert {code for code in ALL_CODES if is_accepted(connected(5).receive(wire % code))} == codes


@pytest.mark.parametrize("packet", FROM_SERVER)
def test_server_uses_the_reason_codes_of_the_packet_and_no_others(packet: str) -> None:
    wire, codes = FROM_SERVER[packet]
    assert {code for code in ALL_CODES if is_accepted(ClientDecoder(LIMIT, 5).receive(wire % code))} == codes


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("first", [first for first in range(256) if first >> 4 != 3 and first not in FIRST_BYTES])
def test_wrong_flags_are_known_by_the_first_byte(version: int, first: int) -> None:
    (event,) = connected(version).receive(bytes((first,)))[:1] or connected(version).receive(bytes((first, 0)))
    assert isinstance(event, PeerViolation)


def test_packets_without_properties_say_so() -> None:
    """[MQTT-2.2.2-1], but for those that may leave them out with their reason code."""
    assert encoder.encode_connect(Connect(5, b"c"))[12:13] == b"\0"
    assert encoder.encode_connect(Connect(5, b"", will=Will(b"t", b"")))[15:16] == b"\0"
    assert encoder.encode_connack(5, False) == b"\x20\x03\x00\x00\x00"
    assert encoder.encode_publish(5, b"t", b"p", 0, 0, False, False) == b"\x30\x05\x00\x01t\x00p"
    assert encoder.encode_subscribe(5, 1, [Subscription(b"t")]) == b"\x82\x07\x00\x01\x00\x00\x01t\x00"
    assert encoder.encode_suback(5, 1, [0]) == b"\x90\x04\x00\x01\x00\x00"
    assert encoder.encode_unsubscribe(5, 1, [b"t"]) == b"\xa2\x06\x00\x01\x00\x00\x01t"
    assert encoder.encode_unsuback(5, 1, [0]) == b"\xb0\x04\x00\x01\x00\x00"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_topic_may_have_65535_bytes_and_no_more(version: int) -> None:
    topic = b"t" * 65_535
    (event,) = connected(version).receive(encoder.encode_publish(version, topic, b"", 0, 0, False, False))
    assert getattr(event, "subject", None) == topic
    with pytest.raises(MisuseError):
        encoder.encode_publish(version, topic + b"t", b"", 0, 0, False, False)
    with pytest.raises(MisuseError):
        encoder.encode_subscribe(version, 1, [Subscription(topic + b"t")])


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_packet_identifier_0_is_never_written(version: int, qos: int) -> None:
    with pytest.raises(MisuseError):
        encoder.encode_publish(version, b"t", b"", qos, 0, False, False)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_quality_of_service_0_has_no_packet_identifier(version: int) -> None:
    with_id, without = (encoder.encode_publish(version, b"t", b"p", 0, number, False, False) for number in (7, 0))
    assert with_id == without
