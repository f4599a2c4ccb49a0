"""A NATS server that does what a test tells it, byte by byte: one that is silent, slow, rude or talks nonsense."""

import socket
from types import TracebackType
from typing import Self

from tests.micropython.unix_port import PATIENCE_SECONDS

INFO = b'INFO {"server_id":"x","headers":true,"max_payload":1048576}\r\n'


class Visit:
    """A connection that a client made."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        self._socket = connection
        self._lines = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def until(self, start: bytes) -> bytes:
        """The next line that begins so; a client's PING is answered meanwhile. b"": it has gone."""
        while True:
            try:
                line = self._lines.readline()
            except ConnectionResetError:
                return b""
            if line == b"PING\r\n":
                self.send(b"PONG\r\n")
            if line.startswith(start) or not line:
                return line

    def read(self, size: int) -> bytes:
        return self._lines.read(size)

    def greet(self, info: bytes = INFO) -> bytes:
        """From INFO to the first PONG; returns CONNECT."""
        self.send(info)
        told = self.until(b"CONNECT ")
        self.until(b"PING")
        return told

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class ScriptedServer:
    """Listens on a free port. `visit` waits for the next client; all are sent away at the end."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_SECONDS)
        self._visits: list[Visit] = []
        self.url = f"nats://127.0.0.1:{self._socket.getsockname()[1]}"

    def visit(self) -> Visit:
        connection, _ = self._socket.accept()
        visit = Visit(connection)
        self._visits.append(visit)
        return visit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()
        for visit in self._visits:
            visit.close()
