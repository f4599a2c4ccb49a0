"""An HTTP proxy that means an uplink ill: whatever it answers, the link waits and tries again, clients here are served,
no secret is told, and through an honest proxy at the same address the link comes up.
"""

import base64
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.integration.hostile_server import assert_log_is_ours, meet_all
from tests.integration.leafnode_pair import IMPATIENT, LEAF_AUTHORIZATION, LINK_UP, leaf_url
from tests.integration.peers import free_port, gateway, nats_server, uplink
from tests.integration.test_uplink_ways import http_proxy
from tests.patience import PATIENCE_SECONDS

MOST_GROWTH = 32 << 20
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
USER, PASSWORD = "site", "pr0xy-s3cret"
CREDENTIALS = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def request_of(connection: socket.socket) -> bytes:
    connection.settimeout(PATIENCE_SECONDS)
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        if not data:
            raise EOFError
        head += data
    return head


def answer(data: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(data)
        listen(connection)

    return script


def listen(connection: socket.socket, seconds: float = 0.15) -> None:
    connection.settimeout(seconds)
    with suppress(TimeoutError):
        while connection.recv(1 << 16):
            pass


def drip(connection: socket.socket) -> None:
    request_of(connection)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000:
        connection.sendall(bytes((byte,)))
        time.sleep(0.002)


def repeat(data: bytes, count: int) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        request_of(connection)
        for _ in range(count):
            connection.sendall(data)

    return script


def echo(connection: socket.socket) -> None:
    """What it was told stands in its refusal."""
    request = request_of(connection)
    field = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"proxy-authorization"))
    connection.sendall(b"HTTP/1.1 407 " + field + b"\r\n\r\n")


SCRIPTS = (
    lambda connection: connection.close(),
    listen,
    answer(b""),
    answer(b"\r\n\r\n"),
    answer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    answer(b"HTTP/1.1 200\n\n"),
    answer(b"HTTP/1.1 999 \x1b[31mred\x07\x00 event=forged\r\n\r\n"),
    answer(b"HTTP/1.1 403 line\nevent=forged level=error\r\n\r\n"),
    answer(b"HTTP/1.1 403 " + b"\xff" * 10_000 + b"\r\n\r\n"),
    answer(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n"),
    answer(b"HTTP/1.1 100 Continue\r\n\r\n"),
    answer(b"HTTP/2 200\r\n\r\n"),
    answer(f"HTTP/1.1 407 no {PASSWORD} and no {CREDENTIALS}\r\n\r\n".encode()),
    echo,
    repeat(b"HTTP/1.1 200 " + b"x" * 4096, 5000),
    repeat(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500, 5000),
    drip,
    answer(OK),
    answer(OK + b"\xff" * 70_000),
    answer(OK + b"INFO {\r\n"),
    answer(OK + b'INFO {"max_payload":1,"leafnode_urls":["\\u001b[2J:1"],"connect_urls":["x"]}\r\n'),
    answer(OK + b"INFO " + b"[" * 100_000 + b"\r\n"),
    answer(OK + b"-ERR 'no\x1b[31m'\r\n"),
    answer(OK + OK),
    answer(OK + b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
)


def test_a_proxy_that_means_ill_harms_nobody(tmp_path: Path) -> None:
    port = free_port()
    with nats_server(tmp_path / "hub", leafnodes=LEAF_AUTHORIZATION) as hub:
        config = uplink(leaf_url(hub), proxy=f"http://{USER}:{PASSWORD}@127.0.0.1:{port}", **IMPATIENT)
        with gateway(tmp_path / "edge", protocols=("nats",), monitoring=True, config=config) as edge:
            before = edge.resident_bytes()
            meet_all(edge, port, SCRIPTS)
            assert edge.resident_bytes() - before < MOST_GROWTH
            assert_log_is_ours(edge)
            assert PASSWORD not in edge.log()
            assert CREDENTIALS not in edge.log()
            with http_proxy(tmp_path / "proxy", "--basic-auth", f"{USER}:{PASSWORD}", port=port):
                edge.wait_for_log(LINK_UP, 60.0)
