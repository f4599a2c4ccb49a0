"""A broker that means a bridge ill: whatever it says or leaves unsaid, clients here are served, memory is bounded, no
line of the log is anybody else's, and an honest broker behind it is taken as if nothing had been.
"""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.primitives import encode_varint
from protocols.mqtt.properties import Properties
from tests.integration.hostile_server import assert_log_is_ours, meet_all
from tests.integration.mqtt5_peers import paho5_client
from tests.integration.peers import Peer, free_port, gateway, mosquitto
from tests.integration.test_bridges import bridge
from tests.patience import PATIENCE_SECONDS

V5 = 5
CONNACK = b"\x20\x03\x00\x00\x00"
ENTRIES = (("up/#", "out", 1, "", ""), ("down/#", "in", 1, "", ""))
MOST_GROWTH = 64 << 20


class Visit:
    """One connection of the bridge."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(PATIENCE_SECONDS)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, first: int) -> bytes:
        """The body of the next packet of a kind."""
        while True:
            head = self.read(2)
            size, shift = head[1] & 0x7F, 7
            more = head[1] & 0x80
            while more:
                byte = self.read(1)[0]
                size |= (byte & 0x7F) << shift
                shift, more = shift + 7, byte & 0x80
            body = self.read(size)
            if head[0] & 0xF0 == first:
                return body

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def greet(self, connack: bytes = CONNACK) -> None:
        self.hear(0x10)
        self.send(connack)

    def grant(self) -> None:
        """Be a broker as far as the subscriptions."""
        self.greet()
        body = self.hear(0x80)
        self.send(b"\x90\x04" + body[:2] + b"\x00\x01")

    def listen(self, seconds: float = 0.15) -> None:
        """Read what comes and say nothing."""
        self.socket.settimeout(seconds)
        until = time.monotonic() + seconds
        with suppress(TimeoutError):
            while time.monotonic() < until and self.socket.recv(1 << 16):
                pass


Script = Callable[[Visit], None]


def connack(*properties: bytes, flags: int = 0, code: int = 0) -> bytes:
    said = b"".join(properties)
    body = bytes((flags, code)) + encode_varint(len(said)) + said
    return b"\x20" + encode_varint(len(body)) + body


def say(data: bytes, granted: bool = True) -> Script:
    def script(visit: Visit) -> None:
        visit.grant() if granted else visit.greet()
        visit.send(data)
        visit.listen()

    return script


def first_words(data: bytes) -> Script:
    def script(visit: Visit) -> None:
        visit.hear(0x10)
        visit.send(data)
        visit.listen()

    return script


def publish(topic: bytes, payload: bytes = b"x", qos: int = 0, packet_id: int = 0, **fields: int) -> bytes:
    properties = Properties(**fields) if fields else None  # type: ignore[arg-type]
    return encoder.encode_publish(V5, topic, payload, qos, packet_id, False, False, properties)


def raw_publish(topic: bytes, properties: bytes = b"", payload: bytes = b"x") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + encode_varint(len(properties)) + properties + payload
    return b"\x30" + encode_varint(len(body)) + body


def flood(data: bytes, seconds: float = 0.25) -> Script:
    def script(visit: Visit) -> None:
        visit.grant()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            visit.send(data)

    return script


def drip(visit: Visit) -> None:
    visit.grant()
    for byte in publish(b"down/slow", bytes(40)):
        visit.send(bytes((byte,)))
        time.sleep(0.005)


def noise(visit: Visit) -> None:
    visit.grant()
    visit.send(random.Random(11).randbytes(1 << 16))
    visit.listen()


USER_PROPERTIES = b"\x26\x00\x01a\x00\x01b" * 100_000
SCRIPTS: tuple[Script, ...] = (
    lambda visit: visit.socket.close(),
    lambda visit: visit.listen(),
    first_words(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    first_words(b"\xff" * 1000),
    first_words(b"\x20\xff\xff\xff\x7f"),
    first_words(b"\x20\xff\xff\xff\xff\xff\xff"),
    first_words(CONNACK * 3),
    first_words(b"\x20\x02\x00\x00"),
    first_words(connack(b"\x1f\x00\x20no\r\nevent=forged level=error \x1b[31m", code=0x95)),
    first_words(connack(b"\x21\x00\x00")),
    first_words(connack(b"\x27\x00\x00\x00\x00")),
    first_words(connack(b"\x27\x00\x00\x00\x05")),
    first_words(connack(b"\x13\x00\x00", b"\x22\xff\xff", b"\x24\x00")),
    first_words(connack(flags=1)),
    first_words(connack(flags=0xFE)),
    first_words(connack(b"\x12\x00\x05other")),
    first_words(connack(USER_PROPERTIES)),
    first_words(b"\xf0\x02\x18\x00"),
    first_words(b"\xe0\x00"),
    say(b"\x90\x04\x77\x77\x00\x01", granted=False),
    say(b"\x90\x03\x00\x01\x00", granted=False),
    say(b"\xd0\x00" * 1000, granted=False),
    say(b"\x90\x04\x00\x01\x00\x01"),
    say(b"\xb0\x04\x00\x01\x00\x00"),
    say(b"\x82\x07\x00\x01\x00\x00\x01#\x01"),
    say(b"\x10\x0c\x00\x04MQTT\x05\x02\x00\x00\x00\x00"),
    say(b"\xc0\x00"),
    say(b"".join(b"\x40\x02" + number.to_bytes(2, "big") for number in range(1, 5000))),
    say(b"\x50\x02\x00\x01\x62\x02\x00\x02\x70\x02\x00\x03"),
    say(publish(b"down/+/#")),
    say(raw_publish(b"down/\xff\xfe")),
    say(raw_publish(b"down/a\x00b")),
    say(publish(b"$SYS/broker") + publish(b"$JS/API/STREAM/DELETE/S") + publish(b"$LEAFGATE/publish/x")),
    say(publish(b"elsewhere/nobody/asked")),
    say(raw_publish(b"", b"\x23\xff\xff")),
    say(raw_publish(b"", b"\x23\x00\x00")),
    say(raw_publish(b"down/a", USER_PROPERTIES)),
    say(publish(b"down/" + b"a/" * 30_000)),
    say(b"\x32\x0b\x00\x06down/q\x00\x00\x00"),
    say(publish(b"down/q", b"x", 1, 1) * 2 + publish(b"down/q", b"x", 2, 1) * 70_000),
    say(b"\x36\x08\x00\x06down/a"),
    say(b"\x30\xff\xff\xff\x7f" + bytes(100_000)),
    say(b"\xe0\x1a\x9d\x18\x1c\x00\x15evil:1\r\nevent=forged!"),
    flood(publish(b"down/flood", bytes(1000)) * 1000),
    flood(publish(b"down/flood", b"x", 1, 3) * 5000),
    flood(b"\xd0\x00" * 20_000),
    drip,
    noise,
)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def edge(port: int, tmp_path: Path) -> Iterator[Peer]:
    config = bridge(f"mqtt://127.0.0.1:{port}", 'version = "5"', entries=ENTRIES)
    with gateway(tmp_path / "edge", protocols=("nats", "mqtt"), monitoring=True, config=config) as edge:
        yield edge


def test_a_broker_that_means_ill_harms_nobody(port: int, edge: Peer, tmp_path: Path) -> None:
    before = edge.resident_bytes()
    meet_all(edge, port, [lambda connection, script=script: script(Visit(connection)) for script in SCRIPTS])
    assert edge.resident_bytes() - before < MOST_GROWTH
    assert_log_is_ours(edge)
    with mosquitto(tmp_path / "honest", port=port) as honest, paho5_client(honest, "far") as far:
        edge.wait_for_log("event=up url=", 60)
        assert far.ask("up/#", qos=1) == 1
        with paho5_client(edge, "near") as near:
            near.paho.publish("up/a", b"here", 1)
            assert far.next_message().payload == b"here"
            assert near.ask("down/#", qos=1) == 1
            far.paho.publish("down/a", b"there", 1)
            assert near.next_message().payload == b"there"
