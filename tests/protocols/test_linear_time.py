"""Nothing that a peer sends takes a codec more than linear time, however it is cut: lines of Python are counted.

What runs inside one call into C is counted by nothing here; regular expressions are looked at in
tests/test_regular_expressions.py. In the compiled form the hot modules count as such calls.
"""

import sys
from collections.abc import Callable
from itertools import pairwise

import pytest

from protocols.leafnode.hub import HubDecoder
from protocols.leafnode.spoke import SpokeDecoder
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.header_mapping import headers_of, properties_of, with_correlation, without_retain
from protocols.mqtt.properties import Properties
from protocols.nats.client import ClientDecoder, read_header, read_status
from protocols.nats.headers import find_field
from protocols.nats.server import ServerDecoder
from protocols.serial_link.frames import FrameDecoder
from protocols.topic_mapping import filter_to_subjects, subject_to_topic, topic_to_subject
from protocols.websocket.codec import WebSocketServerCodec
from protocols.websocket.upgrade import UpgradePolicy
from tests.protocols.websocket.client_frames import deflate, frame

PROTOCOLS = frozenset(("nats", "mqtt"))
SIZES = (300, 600, 1200)
# Twice the input may take this many times the steps; a square takes four.
MOST_GROWTH = 2.3
LIMIT = 1 << 24

Decode = Callable[[bytes], object]


def upgraded() -> WebSocketServerCodec:
    codec = WebSocketServerCodec(UpgradePolicy(compression=True), PROTOCOLS, LIMIT)
    codec.receive(upgrade(b"Sec-WebSocket-Extensions: permessage-deflate\r\n"))
    return codec


def upgrade(fields: bytes) -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n" % fields
    )


def connected(version: int) -> Decoder:
    decoder = Decoder(LIMIT)
    decoder.receive(mqtt(0x10, b"\0\4MQTT" + bytes((version, 2, 0, 0)) + b"\0" * (version == 5) + b"\0\1c"))
    assert decoder.version == version
    return decoder


def mqtt(first: int, body: bytes) -> bytes:
    size, digits = len(body), b""
    while size > 0x7F:
        digits += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return bytes((first,)) + digits + bytes((size,)) + body


def properties(block: bytes) -> bytes:
    return mqtt(0, block)[1:]


class Serial:
    def __init__(self) -> None:
        self._decoder = FrameDecoder(256, 1)

    def receive(self, data: bytes) -> list[object]:
        return list(self._decoder.receive(data))


def codec(make: Callable[[], object]) -> Callable[[], Decode]:
    return lambda: make().receive  # type: ignore[attr-defined]


SERVER = codec(lambda: ServerDecoder(LIMIT, LIMIT))
CLIENT = codec(lambda: ClientDecoder(LIMIT))
SPOKE = codec(SpokeDecoder)
HUB = codec(lambda: HubDecoder(LIMIT, LIMIT))
SOCKET = codec(upgraded)
REQUEST = codec(lambda: WebSocketServerCodec(UpgradePolicy(compression=True, same_origin=True), PROTOCOLS, LIMIT))
MQTT_4 = codec(lambda: connected(4))
MQTT_5 = codec(lambda: connected(5))
SERIAL = codec(Serial)
PAIR = b"\x26\0\1a\0\1b"

ATTACKS: dict[str, tuple[Callable[[], Decode], Callable[[int], bytes]]] = {
    "NATS pings": (SERVER, lambda n: b"PING\r\n" * n),
    "NATS pings in lower case": (SERVER, lambda n: b"ping \r\n" * n),
    "NATS line of blanks": (SERVER, lambda n: b"SUB" + b" \t" * n + b"\r\n"),
    "NATS line of arguments": (SERVER, lambda n: b"PUB" + b" a" * n + b"\r\n"),
    "NATS line of tokens": (SERVER, lambda n: b"SUB " + b"a." * n + b"a 1\r\n"),
    "NATS messages of one subject": (SERVER, lambda n: b"PUB a 1\r\nx\r\n" * n),
    "NATS messages of many subjects": (SERVER, lambda n: b"".join(b"PUB a%d 1\r\nx\r\n" % i for i in range(n))),
    "NATS payload": (SERVER, lambda n: b"PUB a %d\r\n%b\r\n" % (n, bytes(n))),
    "NATS object": (SERVER, lambda n: b'CONNECT {"name":"' + b"\xff" * n + b'"}\r\n'),
    "NATS object of fields": (SERVER, lambda n: b"CONNECT {" + b'"a":"\xff",' * n + b'"b":1}\r\n'),
    "NATS errors of a server": (CLIENT, lambda n: b"-ERR '" + b"'" * n + b"'\r\n" + b"+OK\r\n" * n),
    "leafnode queues": (SPOKE, lambda n: b"LMSG a |" + b" q" * n + b" 1\r\nx\r\n"),
    "leafnode queues to a hub": (HUB, lambda n: b"LMSG a |" + b" q" * n + b" 1\r\nx\r\n"),
    "leafnode object": (HUB, lambda n: b"CONNECT {" + b'"deny_pub":["a"],' * n + b'"b":1}\r\n'),
    "leafnode interest": (HUB, lambda n: b"LS+ a q 1\r\n" * n),
    "leafnode reply": (SPOKE, lambda n: b"LMSG a $JS.ACK." + b"@." * n + b" 1\r\nx\r\n"),
    "MQTT pings": (MQTT_4, lambda n: b"\xc0\0" * n),
    "MQTT publishes": (MQTT_4, lambda n: b"".join(mqtt(0x30, b"\0\5t%04d" % i) for i in range(n))),
    "MQTT run of publishes": (MQTT_4, lambda n: mqtt(0x30, b"\0\1tx") * n),
    "MQTT acknowledgements": (MQTT_4, lambda n: b"\x40\2\0\1" * n),
    "MQTT acknowledgements in turn": (MQTT_4, lambda n: b"\x40\2\0\1\x50\2\0\1" * n),
    "MQTT filters": (MQTT_4, lambda n: mqtt(0x82, b"\0\1" + b"\0\3a/+\0" * n)),
    "MQTT levels": (MQTT_4, lambda n: mqtt(0x82, b"\0\1" + (2 * n + 1).to_bytes(2) + b"+/" * n + b"#\0")),
    "MQTT user properties": (MQTT_5, lambda n: mqtt(0x30, b"\0\1t" + properties(PAIR * n))),
    "MQTT subscription identifiers": (MQTT_5, lambda n: mqtt(0x30, b"\0\1t" + properties(b"\x0b\1" * n))),
    "MQTT user properties of SUBSCRIBE": (MQTT_5, lambda n: mqtt(0x82, b"\0\1" + properties(PAIR * n) + b"\0\1a\0")),
    "request with cookies": (REQUEST, lambda n: upgrade(b"Cookie: " + b"a=b; " * n + b"\r\n")),
    "request with blanks": (REQUEST, lambda n: upgrade(b"Cookie:" + b" " * n + b"\0\r\n")),
    "request with extensions": (
        REQUEST,
        lambda n: upgrade(b"Sec-WebSocket-Extensions: " + b"permessage-deflate; a, " * n + b"\r\n"),
    ),
    "request with parameters": (
        REQUEST,
        lambda n: upgrade(b"Sec-WebSocket-Extensions: permessage-deflate" + b"; a" * n + b"\r\n"),
    ),
    "request with elements": (REQUEST, lambda n: upgrade(b"Connection: " + b"a," * n + b"\r\n")),
    "request with proxies": (REQUEST, lambda n: upgrade(b"X-Forwarded-For: " + b"10.0.0.1," * n + b"\r\n")),
    "request with folds": (REQUEST, lambda n: upgrade(b"A: b\r\n" + b" c\r\n" * (n // 16))),
    "socket pings": (SOCKET, lambda n: frame(b"x", 0x89) * n),
    "socket pongs": (SOCKET, lambda n: frame(b"x", 0x8A) * n),
    "socket messages": (SOCKET, lambda n: frame(b"x") * n),
    "socket fragments": (SOCKET, lambda n: frame(b"x", 0x02) + frame(b"x", 0x00) * n),
    "socket text in fragments": (SOCKET, lambda n: frame(b"\xe2", 0x01) + frame(b"\x82\xac\xe2", 0x00) * n),
    "socket compressed messages": (SOCKET, lambda n: frame(deflate(b"x"), 0xC2) * n),
    "socket compressed fragments": (SOCKET, lambda n: frame(b"\2\0", 0x42) + frame(b"", 0x00) * n),
    "serial link": (SERIAL, lambda n: b"\x7e\x7d\x5e" * n),
    "topic": (lambda: topic_to_subject, lambda n: b"./ *" * n),
    "topic of signs": (lambda: topic_to_subject, lambda n: b" \xe2\x88\x95." * n),
    "topic filter": (lambda: filter_to_subjects, lambda n: b"a b/+/" * (n // 10) + b"#"),
    "subject": (lambda: subject_to_topic, lambda n: b"a/s//./." * n + b"a"),
    "header lines": (lambda: properties_of, lambda n: b"NATS/1.0\r\n" + b"a: b\r\n" * n + b"\r\n"),
    "header of blanks": (lambda: properties_of, lambda n: b"NATS/1.0 503" + b" " * n + b"\rX\r\n" * 2),
    "header of escapes": (
        lambda: properties_of,
        lambda n: b"NATS/1.0\r\nMqtt-User-Property: " + b"%41" * n + b"=\r\n\r\n",
    ),
    "header of retain lines": (lambda: without_retain, lambda n: b"NATS/1.0\r\n" + b"Mqtt-Retain: 1\r\n" * n + b"\r\n"),
    "header of correlations": (
        lambda: lambda header: with_correlation(header, b"x"),
        lambda n: b"NATS/1.0\r\n" + b"Mqtt-Correlation-Data: eA==\r\n" * n + b"\r\n",
    ),
    "header of ids": (
        lambda: lambda header: find_field(header, b"Nats-Msg-Id"),
        lambda n: b"NATS/1.0\r\n" + b"Nats-Msg-Id: \r\r\n" * n + b"\r\n",
    ),
    "header read by a client": (
        lambda: lambda header: (read_header(header), read_status(header)),
        lambda n: b"NATS/1.0 " + b"5" * n + b"\r\n" + b"a:b\r\n" * n + b"\r\n",
    ),
    "user properties to a header": (
        lambda: lambda wire: headers_of(Properties(user_properties=((wire, wire),) * (len(wire) // 9)), True),
        lambda n: b"a" * n,
    ),
}
WAYS = {"at once": 1 << 20, "in bytes": 1, "in threes": 3}


def lines_run(decode: Decode, data: bytes, step: int) -> int:
    """Lines and calls of Python that it takes to decode the data, given in pieces of that size."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        for start in range(0, len(data), step):
            decode(data[start : start + step])
    finally:
        sys.settrace(before)
    return count


STREAMS = (SERVER, CLIENT, SPOKE, SOCKET, REQUEST, SERIAL, MQTT_4, MQTT_5)


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name, (make, _) in ATTACKS.items() for way in WAYS if way == "at once" or make in STREAMS],
)
def test_twice_the_input_takes_twice_the_steps(name: str, way: str):
    make, attack = ATTACKS[name]
    counts = [lines_run(make(), attack(size), WAYS[way]) for size in SIZES]
    for fewer, more in pairwise(counts):
        assert more <= MOST_GROWTH * max(fewer, 200), counts


def test_square_is_told():
    def square(data: bytes) -> None:
        for _ in data:
            for _ in data:
                pass

    fewer, more = (lines_run(square, bytes(size), 1 << 20) for size in (50, 100))
    assert more > 3 * fewer
