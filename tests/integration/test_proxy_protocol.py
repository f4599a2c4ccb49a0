"""Listeners behind HAProxy, which says in the PROXY protocol whom it speaks for; and what others hear there."""

import base64
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.certificates import Site
from tests.integration.peers import HAPROXY, Peer, free_port, gateway, require_peer, running, wait_until
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

PROTOCOLS = ("nats", "mqtt", "websocket")
# Addresses of the loopback interface that are not the proxy's.
CLIENT, STRANGER = "127.0.0.7", "127.0.0.8"
LINE = f"PROXY TCP4 {CLIENT} 127.0.0.1 50000 4222\r\n".encode()
USERS = """
[authentication]
no-auth-user = "anybody"
[[users]]
name = "anybody"
password = "unused, but long enough"
[[users]]
name = "near"
password = "secret-of-near"
addresses = ["127.0.0.7"]
"""


def listeners(protocols: tuple[str, ...], more: str = "", trusted: str = "127.0.0.1") -> str:
    return "".join(
        f'[[listeners]]\nprotocol = "{protocol}"\naddress = "127.0.0.1:0"\nproxy-protocol = true\n'
        f'trusted-proxies = ["{trusted}"]\n{more}'
        for protocol in protocols
    )


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Peer]:
    with gateway(tmp_path / "edge", protocols=(), config=listeners(PROTOCOLS) + USERS) as peer:
        yield peer


def haproxy(directory: Path, edge: Peer, option: str) -> Iterator[Peer]:
    """HAProxy in front of every listener of a gateway, with health checks."""
    program = require_peer(HAPROXY)
    directory.mkdir()
    ports = {protocol: free_port() for protocol in PROTOCOLS}
    lines = ["defaults", "  mode tcp", "  timeout connect 60s", "  timeout client 60s", "  timeout server 60s"]
    for protocol, port in ports.items():
        lines += [f"listen {protocol}", f"  bind 127.0.0.1:{port}"]
        lines += [f"  server edge 127.0.0.1:{edge.ports[protocol]} {option} check inter 100ms fall 600"]
    file = directory / "haproxy.cfg"
    file.write_text("\n".join(lines) + "\n")
    peer = Peer(HAPROXY, directory, [program, "-db", "-f", str(file)], ports)
    peer.start()
    with running(peer):
        peer.wait_ports()
        yield peer


@pytest.fixture(params=["send-proxy", "send-proxy-v2 proxy-v2-options unique-id,crc32c"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path, edge: Peer) -> Iterator[Peer]:
    yield from haproxy(tmp_path / "haproxy", edge, request.param)


def connect(address: tuple[str, int], source: str = CLIENT) -> RawPeer:
    peer = RawPeer.__new__(RawPeer)
    peer.socket = socket.create_connection(address, 10, (source, 0))
    peer.port = peer.socket.getsockname()[1]
    peer._held = b""
    return peer


def info_of(data: bytes) -> dict[str, object]:
    """NATS's first words, be it in a frame of a WebSocket."""
    told: dict[str, object] = json.JSONDecoder().raw_decode(data[data.index(b"INFO ") + 5 :].decode())[0]
    return told


def test_clients_behind_haproxy_are_known_by_their_own_addresses(edge: Peer, proxy: Peer) -> None:
    with closing(connect(proxy.address("nats"))) as client:
        assert info_of(client.read_through(b"\r\n"))["client_ip"] == CLIENT
        edge.wait_for_log(f"event=proxied kind=nats peer={CLIENT}:{client.port} proxy=127.0.0.1")
    with closing(connect(proxy.address("websocket"))) as client:
        key = base64.b64encode(os.urandom(16)).decode()
        client.send(
            f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        client.read_through(b"\r\n\r\n")
        assert info_of(client.read_through(b"\r\n"))["client_ip"] == CLIENT
    command = ["mosquitto_pub", "-A", CLIENT, "-p", str(proxy.ports["mqtt"]), "-i", "behind", "-t", "a/b", "-m", "x"]
    require_peer("mosquitto_pub")
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    edge.wait_for_log(f"event=proxied kind=mqtt peer={CLIENT}:")
    assert "event=failed" not in edge.log()


def test_users_addresses_are_those_of_clients(edge: Peer, proxy: Peer) -> None:
    connect_line = b'CONNECT {"verbose":true,"pedantic":false,"user":"near","pass":"secret-of-near"}\r\nPING\r\n'
    for source, said in ((CLIENT, b"+OK\r\n"), (STRANGER, b"-ERR 'Authorization Violation'\r\n")):
        with closing(connect(proxy.address("nats"), source)) as client:
            client.read_through(b"\r\n")
            client.send(connect_line)
            assert client.read_through(b"\r\n") == said


@pytest.mark.parametrize(
    ("protocol", "sent", "heard"),
    [
        ("nats", b"CONNECT {}\r\n", b"-ERR 'PROXY protocol header expected'\r\n"),
        ("nats", b"PROXY TCP4 nonsense\r\n", b"-ERR 'PROXY protocol header expected'\r\n"),
        ("mqtt", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", b""),
        ("websocket", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
    ],
)
def test_who_comes_without_a_header_is_refused_and_others_go_on(
    edge: Peer, protocol: str, sent: bytes, heard: bytes
) -> None:
    with closing(RawPeer(edge.address(protocol))) as client:
        client.send(sent)
        assert client.read_to_end().startswith(heard)
    edge.wait_for_log(f"event=not-proxied kind={protocol} peer=127.0.0.1 reason='PROXY protocol: ")
    with closing(RawPeer(edge.address("nats"))) as client:
        client.send(LINE + b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert info_of(client.read_through(b"\r\n"))["client_ip"] == CLIENT
        assert client.read_through(b"\r\n") == b"PONG\r\n"


def test_who_is_no_trusted_proxy_is_turned_away(tmp_path: Path) -> None:
    config = listeners(PROTOCOLS, trusted="192.0.2.1")
    with gateway(tmp_path, protocols=(), config=config) as edge:
        with closing(RawPeer(edge.address("nats"))) as client:
            assert client.read_to_end() == b"-ERR 'this address is for proxies'\r\n"
        edge.wait_for_log("event=turned-away")
        assert "reason='no trusted proxy'" in edge.log()


def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    config = listeners(("nats",)) + "[timeouts]\nconnect-seconds = 2\n"
    with gateway(tmp_path, protocols=(), config=config) as edge, closing(RawPeer(edge.address("nats"))) as client:
        client.send(LINE[:10])
        assert client.read_to_end() == b"-ERR 'PROXY protocol header expected'\r\n"
        edge.wait_for_log("no PROXY protocol header in time")


def test_tls_follows_the_header(tmp_path: Path) -> None:
    site = Site(tmp_path)
    config = listeners(("mqtt",), f"tls = {site.tls()}\n")
    with gateway(tmp_path / "edge", protocols=(), config=config) as edge:
        with closing(RawPeer(edge.address("mqtt"))) as client:
            client.send(LINE)
            client.start_tls(site.context())
            client.send(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")
            assert client.read(4) == b"\x20\x02\x00\x00"
        edge.wait_for_log(f"event=proxied kind=mqtt peer={CLIENT}:50000")
        with closing(RawPeer(edge.address("mqtt"))) as client, pytest.raises(OSError, match=r"EOF|reset|closed|Broken"):
            client.start_tls(site.context())


def test_health_checks_of_haproxy_are_no_clients(edge: Peer, tmp_path: Path) -> None:
    for proxy in haproxy(tmp_path / "haproxy", edge, "send-proxy-v2"):
        wait_until(lambda: edge.log().count("kind=nats reason=") > 4, "health checks")
        assert "DOWN" not in proxy.log()
        # Looking whether HAProxy is there was one.
        assert edge.log().count("event=proxied kind=nats") <= 1
        assert "event=not-proxied" not in edge.log()
