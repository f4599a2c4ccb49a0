"""What peers begin to send and do not end is held against their share of the gateway's memory, whatever they speak."""

import json
import select
import struct
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from protocols.mqtt import encoder, packets
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.peers import Peer, gateway, wait_until
from tests.integration.raw_peer import RawPeer, without_pings

MIB = 1 << 20
LIMITS = "[limits]\nmax-memory-bytes = 8388608\n"
UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# All of a message but its last byte.
PUB = b"PUB a %d\r\n" % MIB + bytes(MIB + 1)
PUBLISH = encoder.encode_publish(5, b"a", bytes(MIB - 64), 0, 0, False, False)[:-1]
CONNECT = encoder.encode_connect(packets.Connect(5, b"", clean_start=True))
REFUSED_NATS = b"-ERR 'Maximum Payload Violation'\r\n"
REFUSED_MQTT = b"%c6\x1f\x003max-memory-bytes: 1048" % ReasonCode.QUOTA_EXCEEDED


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    with gateway(directory, protocols=("nats", "mqtt", "websocket"), config=LIMITS, monitoring=True) as edge:
        yield edge


def held(edge: Peer) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.ports['monitoring']}/varz") as response:
        return int(json.load(response)["memory"].get("unfinished-input", 0))


def is_answered(peer: RawPeer) -> bool:
    return bool(select.select([peer.socket], [], [], 0)[0])


def connect_nats(peer: RawPeer) -> None:
    peer.send(b'CONNECT {"verbose":false}\r\nPING\r\n')
    peer.read_through(b"PONG\r\n")


def connect_mqtt(peer: RawPeer) -> None:
    peer.send(CONNECT)
    assert peer.read(1) == b"\x20"
    peer.read(peer.read(1)[0])


def upgrade(path: bytes) -> Callable[[RawPeer], None]:
    def connect(peer: RawPeer) -> None:
        peer.send(UPGRADE % path)
        peer.read_through(b"\r\n\r\n")
        if path == b"/mqtt":
            peer.send(struct.pack("!BB4x", 0x82, 0x80 | len(CONNECT)) + CONNECT)
            peer.read(2)
            connack = peer.read(2)
            peer.read(connack[1])
        else:
            peer.read_through(b"} \r\n")

    return connect


def frame(payload: bytes) -> bytes:
    return struct.pack("!BBQ4x", 0x82, 0x80 | 127, len(payload)) + payload


PEERS = [
    pytest.param("nats", connect_nats, PUB, REFUSED_NATS, id="NATS"),
    pytest.param("mqtt", connect_mqtt, PUBLISH, REFUSED_MQTT, id="MQTT"),
    pytest.param("websocket", upgrade(b"/"), frame(PUB), REFUSED_NATS, id="NATS in WebSocket"),
    pytest.param("websocket", upgrade(b"/mqtt"), frame(PUBLISH), REFUSED_MQTT, id="MQTT in WebSocket"),
]


@pytest.mark.parametrize(("protocol", "connect", "unfinished", "refused"), PEERS)
def test_peers_that_do_not_end_what_they_send_are_refused_once_they_hold_too_much(
    edge: Peer, protocol: str, connect: Callable[[RawPeer], None], unfinished: bytes, refused: bytes
) -> None:
    with ExitStack() as peers:
        quiet = peers.enter_context(RawPeer(edge.address("nats")))
        connect_nats(quiet)
        quiet.send(b"SUB b 1\r\nPING\r\n")
        quiet.read_through(b"PONG\r\n")
        for _ in range(8):
            peer = peers.enter_context(RawPeer(edge.address(protocol)))
            connect(peer)
            before = held(edge)
            peer.send(unfinished)
            wait_until(lambda one=peer, more=before + MIB // 2: held(edge) > more or is_answered(one), "the input")  # type: ignore[misc]
            if is_answered(peer):
                break
        assert before > 2 * MIB
        assert refused in peer.read_to_end()
        assert held(edge) < 6 * MIB
        quiet.send(b"PUB b 2\r\nok\r\n")
        assert without_pings(quiet.read_through(b"ok\r\n")) == b"MSG b 1 2\r\nok\r\n"
    wait_until(lambda: held(edge) == 0, "the end of all input")
