"""Browsers that bring who they are in cookies: what CONNECT says goes first; pages of other origins are kept out."""

import json
from collections.abc import Iterator

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connect
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import MQTT_5_0
from tests.integration.node_peers import NodeClient, require_node
from tests.integration.peers import Peer, gateway
from tests.integration.raw_peer import RawPeer
from tests.protocols.websocket.client_frames import frame

COOKIES = 'cookies = { jwt = "jwt", token = "tk", user = "who", password = "pw" }'
CONFIG = f"""
{COOKIES}
allowed-origins = ["https://site.example"]
[authentication]
token = "a-long-token"
timeout-seconds = 5
[[users]]
name = "anna"
password = "wonderland"
[[users]]
name = "bert"
password = "plain-words"
"""
ANNA = "who=anna; pw=wonderland"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    # The keys go on with the listener's table.
    with gateway(directory, protocols=("websocket",), listener=CONFIG) as peer:
        yield peer
        assert "Traceback" not in peer.log()
        assert "wonderland" not in peer.log()


def upgrade(edge: Peer, path: str = "/", **fields: str) -> tuple[RawPeer, bytes]:
    """The connection, and the status line of the answer."""
    peer = RawPeer(edge.address("websocket"))
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{edge.ports['websocket']}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    peer.send("\r\n".join([*lines, "", ""]).encode())
    return peer, peer.read_line()


def nats_login(edge: Peer, cookie: str, **connect: str) -> bool:
    """Whether a NATS client with this cookie and this CONNECT comes in."""
    peer, status = upgrade(edge, Cookie=cookie)
    with peer:
        assert b" 101 " in status
        peer.send(frame(b"CONNECT " + json.dumps({"verbose": False, **connect}).encode() + b"\r\nPING\r\n"))
        try:
            peer.read_through(b"PONG")
        except EOFError:
            return False
        return True


@pytest.mark.parametrize(
    ("cookie", "connect", "is_in"),
    [
        (ANNA, {}, True),
        ("theme=dark;who=anna;pw=wonderland", {}, True),
        ('who="anna"; pw="wonderland"', {}, True),
        ("tk=a-long-token", {}, True),
        ("who=anna", {"pass": "wonderland"}, True),
        (ANNA, {"user": "bert", "pass": "plain-words"}, True),
        (ANNA, {"user": "bert"}, False),
        ("who=anna; pw=another", {}, False),
        ("tk=another", {}, False),
        ("user=anna; password=wonderland", {}, False),
        ("", {}, False),
    ],
)
def test_cookies_fill_what_connect_leaves_out(edge: Peer, cookie: str, connect: dict[str, str], is_in: bool):
    assert nats_login(edge, cookie, **connect) is is_in


@pytest.mark.parametrize(("cookie", "code"), [(ANNA, 0), ("", ReasonCode.NOT_AUTHORIZED)])
def test_cookies_of_mqtt_clients(edge: Peer, cookie: str, code: int):
    peer, status = upgrade(edge, "/mqtt", Cookie=cookie, **{"Sec-WebSocket-Protocol": "mqtt"})
    with peer:
        assert b" 101 " in status
        peer.read_through(b"\r\n\r\n")
        peer.send(frame(encoder.encode_connect(Connect(MQTT_5_0, b"browser"))))
        # The head of a frame, then that of a CONNACK, its flags and its code.
        assert peer.read(6)[2::3] == bytes((0x20, code))


def test_nats_client_in_node_with_a_cookie(edge: Peer, monkeypatch: pytest.MonkeyPatch):
    program = require_node("ws", "@nats-io/nats-core")
    monkeypatch.setenv("WS_HEADERS", json.dumps({"Cookie": ANNA}))
    client = NodeClient(program, "nats_client.mjs", edge.url("websocket", "ws"))
    try:
        assert client.next_answer() == "connected"
        client.call("subscribe", subject="a")
        client.call("publish", subject="a", payload="hi")
        assert client.next_message()["payload"] == "hi"
    finally:
        client.close()


@pytest.mark.parametrize(
    ("origin", "is_in"),
    [
        ("http://127.0.0.1:PORT", True),
        ("https://site.example", True),
        ("https://elsewhere.example", False),
        ("http://127.0.0.1:1", False),
        ("null", False),
    ],
)
def test_pages_of_other_origins_are_kept_out(edge: Peer, origin: str, is_in: bool):
    peer, status = upgrade(edge, Origin=origin.replace("PORT", str(edge.ports["websocket"])), Cookie=ANNA)
    with peer:
        assert (b" 101 " in status) is is_in
        assert is_in or b" 403 " in status
