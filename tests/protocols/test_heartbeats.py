"""Signs of life in a row, of every protocol, are one event: a flood of them costs as little as its bytes."""

import sys
from collections.abc import Callable

import pytest

from protocols.errors import PeerViolation
from protocols.leafnode.spoke import SpokeDecoder
from protocols.mqtt.decoder import ClientDecoder as MqttClientDecoder
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.packets import Pingreq, Pingresp, Puback
from protocols.nats.client import ClientDecoder
from protocols.nats.heartbeats import Ping, Pong
from protocols.nats.server import ServerDecoder

MANY = 100_000
# Of Python, for all of them; the compiled form runs fewer.
MOST_LINES = 500


def mqtt() -> Decoder:
    decoder = Decoder(1 << 16)
    decoder.receive(b"\x10\x0d\0\4MQTT\4\2\0\0\0\1c")
    return decoder


NATS = {"client": lambda: ServerDecoder(100, 1000), "server": lambda: ClientDecoder(100), "hub": SpokeDecoder}


def lines_run(work: Callable[[], object]) -> int:
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("peer", NATS)
@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"PONG\r\n" * MANY, [Pong(MANY)]),
        (b"PING\r\n" * MANY, [Ping(MANY)]),
        (b"ping\n" * MANY, [Ping(MANY)]),
        (b"PING\r\n" * MANY + b"PONG\r\n" * MANY, [Ping(MANY), Pong(MANY)]),
    ],
    ids=["pongs", "pings", "in lower case", "both"],
)
def test_heartbeats_of_nats_in_a_row_are_one_event(peer: str, data: bytes, events: list[object]):
    decoder = NATS[peer]()
    found: list[object] = []
    assert lines_run(lambda: found.extend(decoder.receive(data))) < MOST_LINES
    assert found == events


@pytest.mark.parametrize("peer", NATS)
def test_heartbeats_in_turn_are_two_events(peer: str):
    assert NATS[peer]().receive(b"PONG\r\nPING\r\npong\nPiNg\r\n" * 100) == [Ping(200), Pong(200)]


def test_heartbeats_stay_between_what_stood_before_and_behind():
    (first, pings, second, pongs, third) = ServerDecoder(100, 1000).receive(
        b"SUB a 1\r\nPING\r\nPING\r\nPUB a 1\r\nx\r\nPONG\r\nUNSUB 1\r\nPIN"
    )
    assert (first.sid, pings, second.subject, pongs, third.sid) == (b"1", Ping(2), b"a", Pong(1), b"1")


@pytest.mark.parametrize("line", [b"PINGS", b"PONGO", b"PENG", b"PIN", b"XPING", b"PING\0"])
def test_what_only_looks_like_a_heartbeat_is_read_as_before(line: bytes):
    def read(peer: str) -> object:
        event = NATS[peer]().receive(line + b"\r\n")[-1]
        return "violation" if isinstance(event, PeerViolation) else event

    # nats-server looks at the beginning only.
    begins = line.startswith((b"PING", b"PONG"))
    assert read("client") == ((Ping() if line[1:2] == b"I" else Pong()) if begins else "violation")
    assert read("server") == read("hub") == "violation"


def test_pingreqs_in_a_row_are_one_event():
    decoder = mqtt()
    found: list[object] = []
    assert lines_run(lambda: found.extend(decoder.receive(b"\xc0\0" * MANY + b"\xc0"))) < MOST_LINES
    assert found == [Pingreq(MANY)]
    assert decoder.receive(b"\0\xc0\0\x40\2\0\1\xc0\0") == [Pingreq(2), Puback(1), Pingreq()]


def test_pingresps_in_a_row_are_one_event():
    decoder = MqttClientDecoder(1 << 16, 5)
    found: list[object] = []
    assert lines_run(lambda: found.extend(decoder.receive(b"\xd0\0" * MANY + b"\xd0"))) < MOST_LINES
    assert found == [Pingresp(MANY)]
    assert decoder.receive(b"\0\xd0\0\x40\2\0\1\xd0\0") == [Pingresp(2), Puback(1), Pingresp()]
