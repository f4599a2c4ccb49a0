"""TLS from a real MicroPython to a real nats-server: who is let in, and who is taken for the server."""

import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.peers import Peer, free_port, missing_peer, nats_server, running
from tests.micropython.certificates import Authority
from tests.micropython.device_peer import meet, refused
from tests.micropython.unix_port import board

INFO = b'{"server_id":"1","version":"2.11.0","max_payload":1000,"tls_required":true}'
SCHEMES = ("nats", "tls", "wss")


class Secured:
    """A nats-server for TLS only, and its CA; others reach it in the clear, over a second port."""

    def __init__(self, peer: Peer, authority: Authority, websocket_port: int) -> None:
        self.peer = peer
        self.ca = str(authority.der)
        self._websocket_port = websocket_port

    def url(self, scheme: str, host: str = "localhost") -> str:
        return f"{scheme}://{host}:{self._websocket_port if scheme == 'wss' else self.peer.ports['nats']}"


@contextmanager
def secured(directory: Path, *hosts: str) -> Iterator[tuple[Secured, Peer]]:
    """The server with TLS, and the server beside it that others talk to: the two are a cluster."""
    authority = Authority(directory / "ca")
    certificate, key = authority.server(*hosts)
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
    websocket_port, routes = free_port(), free_port()
    cluster = f'cluster {{ name: "c", listen: "127.0.0.1:{routes}" }}'
    websocket = f'websocket {{ listen: "127.0.0.1:{websocket_port}", {tls} }}'
    beside = f'cluster {{ name: "c", listen: "127.0.0.1:{free_port()}", routes: ["nats://127.0.0.1:{routes}"] }}'
    with (
        nats_server(directory / "tls", f"{tls}\n{websocket}\n{cluster}") as peer,
        nats_server(directory / "clear", beside) as clear,
    ):
        clear.wait_for_log("Route connection created")
        yield Secured(peer, authority, websocket_port), clear


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Secured, Peer]]:
    with secured(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1") as both:
        yield both


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_server_with_a_certificate_of_the_ca_is_met(server: tuple[Secured, Peer], scheme: str, host: str):
    meet(server[0].url(scheme, host), server[1].url(), ca=server[0].ca)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_certificate_will_do_only_for_those_who_say_so(server: tuple[Secured, Peer], scheme: str):
    meet(server[0].url(scheme), server[1].url(), tls=True)
    assert "TLS needs tls=" in refused(server[0].url(scheme))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_certificate_of_another_ca_is_refused(server: tuple[Secured, Peer], scheme: str, tmp_path: Path):
    other = Authority(tmp_path)
    assert "not correctly signed by the trusted CA" in refused(server[0].url(scheme), ca=str(other.der))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_certificate_for_another_host_is_refused(tmp_path: Path, scheme: str):
    with secured(tmp_path, "elsewhere.example", "127.0.0.2") as (server, _):
        for host in ("localhost", "127.0.0.1"):
            assert "Common Name (CN) does not match" in refused(server.url(scheme, host), ca=server.ca)


def test_server_that_offers_no_tls_is_refused_by_those_who_want_it(server: tuple[Secured, Peer]):
    assert "connected" not in refused(server[1].url(scheme="tls"), ca=server[0].ca)
    assert "connected" not in refused(server[1].url(), ca=server[0].ca)


def test_what_stands_behind_info_in_the_clear_is_not_taken_for_the_servers_word(tmp_path: Path):
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server("localhost"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = {"ca": str(authority.der), "ping": 60}
        with board("node.py", f"tls://localhost:{listener.getsockname()[1]}", json.dumps(options)) as device:
            plain, _ = listener.accept()
            plain.sendall(b"INFO %b\r\n-ERR 'somebody between us'\r\n" % INFO)
            with context.wrap_socket(plain, server_side=True) as secured:
                said = b""
                while b"PING\r\n" not in said:
                    said += secured.recv(1024)
                secured.sendall(b"PONG\r\n")
                device.until("connected")


@contextmanager
def psk_server(directory: Path, identity: str, key: bytes, *options: str) -> Iterator[Peer]:
    """An openssl that sends back every line reversed."""
    program = shutil.which("openssl")
    if program is None:
        missing_peer("openssl is not installed (Debian: openssl)")
    assert program is not None
    port = free_port()
    command = [program, "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2", "-rev", *options]
    command += ["-psk_identity", identity, "-psk", key.hex()] if key else []
    peer = Peer("openssl", directory, command, {"tls": port})
    peer.start()
    with running(peer):
        peer.wait_for_log("ACCEPT")
        yield peer


def test_shared_key_is_enough_without_certificates(tmp_path: Path):
    key = bytes(range(32))
    with psk_server(tmp_path, "dev1", key, "-nocert") as server:
        with board("psk.py", server.ports["tls"], "dev1", key.hex()) as device:
            device.until("olleh")
        with board("psk.py", server.ports["tls"], "dev1", bytes(32).hex()) as device:
            assert "OSError" in device.until("Error")


def test_server_with_a_certificate_but_without_the_key_is_refused(tmp_path: Path):
    certificate, private = Authority(tmp_path / "ca").server("localhost")
    with (
        psk_server(tmp_path, "", b"", "-cert", str(certificate), "-key", str(private)) as server,
        board("psk.py", server.ports["tls"], "dev1", bytes(32).hex()) as device,
    ):
        assert "OSError" in device.until("Error")
