"""What one packet or message may hold of what costs more than its bytes: user properties and header lines."""

import pytest

from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.leafnode.spoke import SpokeDecoder
from protocols.message import Burst, Message
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.header_mapping import MOST_LINES, properties_of
from protocols.mqtt.primitives import encode_varint
from protocols.nats.client import ClientDecoder
from protocols.nats.server import ServerDecoder

MOST = 20
LIMIT = 1 << 24
PAIR = b"\x26\0\1a\0\1b"
DISCONNECT_QUOTA = b"\xe0\x01\x97"
CONNACK_QUOTA = b"\x20\x03\x00\x97\x00"


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + encode_varint(len(body)) + body


def block(properties: bytes) -> bytes:
    return encode_varint(len(properties)) + properties


def connect(properties: bytes = b"", will: bytes | None = None) -> bytes:
    head = b"\0\4MQTT\5" + (b"\2" if will is None else b"\6") + b"\0\0"
    said = b"" if will is None else block(will) + b"\0\1w\0\0"
    return packet(0x10, head + block(properties) + b"\0\1c" + said)


CARRIERS = {
    "CONNECT": connect,
    "will": lambda properties: connect(will=properties),
    "PUBLISH": lambda properties: connect() + packet(0x30, b"\0\1t" + block(properties)),
    "PUBLISH of QoS 1": lambda properties: connect() + packet(0x32, b"\0\1t\0\1" + block(properties)),
    "PUBACK": lambda properties: connect() + packet(0x40, b"\0\1\0" + block(properties)),
    "PUBREL": lambda properties: connect() + packet(0x62, b"\0\1\0" + block(properties)),
    "SUBSCRIBE": lambda properties: connect() + packet(0x82, b"\0\1" + block(properties) + b"\0\1a\0"),
    "UNSUBSCRIBE": lambda properties: connect() + packet(0xA2, b"\0\1" + block(properties) + b"\0\1a"),
    "DISCONNECT": lambda properties: connect() + packet(0xE0, b"\0" + block(properties)),
    "AUTH": lambda properties: connect() + packet(0xF0, b"\x18" + block(b"\x15\0\1m" + properties)),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_user_properties_of_every_packet_are_limited(carrier: str):
    (*_, last) = Decoder(LIMIT, max_user_properties=MOST).receive(CARRIERS[carrier](PAIR * MOST))
    assert not isinstance(last, PeerViolation)
    (*_, last) = Decoder(LIMIT, max_user_properties=MOST).receive(CARRIERS[carrier](PAIR * (MOST + 1)))
    assert isinstance(last, PeerViolation)
    assert "more than 20" in last.detail
    assert last.farewell == (CONNACK_QUOTA if carrier in ("CONNECT", "will") else DISCONNECT_QUOTA)


@pytest.mark.parametrize("between", [b"", b"\x01\1"])
def test_user_properties_are_counted_wherever_they_stand(between: bytes):
    properties = PAIR * 10 + between + PAIR * 11
    assert isinstance(
        Decoder(LIMIT, max_user_properties=MOST).receive(CARRIERS["PUBLISH"](properties))[-1], PeerViolation
    )


def test_other_properties_that_may_be_repeated_are_limited_too():
    (*_, last) = Decoder(LIMIT, max_user_properties=MOST).receive(CARRIERS["PUBLISH"](b"\x0b\1" * (MOST + 1)))
    assert isinstance(last, PeerViolation)
    assert last.farewell == DISCONNECT_QUOTA


def test_flood_of_user_properties_costs_no_more_than_the_limit():
    flood = CARRIERS["PUBLISH"](PAIR * 140_000)
    (*_, last) = Decoder(LIMIT).receive(flood)
    assert isinstance(last, PeerViolation)
    assert "more than 1000" in last.detail


def hpub(lines: int, payload: bytes = b"", operation: bytes = b"HPUB a") -> bytes:
    header = b"NATS/1.0\r\n" + b"a:b\r\n" * lines + b"\r\n"
    size = len(header)
    return b"%b %d %d\r\n%b%b\r\n" % (operation, size, size + len(payload), header, payload)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("operation", [b"HPUB a", b"HPUB a b", b"hpub  a"])
@pytest.mark.parametrize("payload", [b"", b"x\ny" * 2000])
def test_header_lines_of_a_message_are_limited(operation: bytes, payload: bytes, times: int):
    def received(lines: int) -> list[object]:
        decoder = ServerDecoder(LIMIT, 1000, MOST)
        decoder.headers = True
        return decoder.receive(hpub(MOST, payload, operation) * times + hpub(lines, payload, operation))

    found = received(MOST)
    assert sum(event.count if isinstance(event, Burst) else 1 for event in found) == times + 1
    found = received(MOST + 1)
    last = found.pop()
    assert isinstance(last, PeerViolation)
    assert (last.reason, last.farewell) == (
        CloseReason.MAXIMUM_PAYLOAD_EXCEEDED,
        b"-ERR 'Maximum Payload Violation'\r\n",
    )
    assert "more than 20 lines" in last.detail
    assert sum(event.count if isinstance(event, Burst) else 1 for event in found) == times


@pytest.mark.parametrize("place", range(3))
def test_each_message_of_a_burst_is_counted(place: int):
    few = b"NATS/1.0\r\na: %b\r\n\r\n" % (b"x" * 60)
    many = b"NATS/1.0\r\n" + b"\r\n" * ((len(few) - 10) // 2) + b"x" * (len(few) % 2)
    blocks = [few] * 3
    blocks[place] = many
    decoder = ServerDecoder(LIMIT, 1000, MOST)
    decoder.headers = True
    found = decoder.receive(b"".join(b"HPUB a %d %d\r\n%b\r\n" % (len(few), len(few), header) for header in blocks))
    assert isinstance(found.pop(), PeerViolation)
    assert [type(event) for event in found] == [Message] * place


def test_what_servers_send_is_not_refused():
    hub = SpokeDecoder().receive(hpub(5000, b"", b"HMSG a"))
    server = ClientDecoder(LIMIT).receive(hpub(5000, b"", b"HMSG a 1"))
    assert not any(isinstance(event, PeerViolation) for event in hub + server)


def test_of_a_longer_header_only_the_first_lines_become_properties():
    contents = properties_of(b"NATS/1.0\r\n" + b"a: b\r\n" * 200_000 + b"\r\n")
    assert contents.properties is not None
    assert MOST_LINES - 2 <= len(contents.properties.user_properties) <= MOST_LINES
