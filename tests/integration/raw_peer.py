"""A socket for the integration tests where no client would send such bytes, or read so slowly."""

import socket
import ssl
from typing import IO, Self

from tests.patience import PATIENCE_SECONDS

READ = 1 << 16


def without_pings(said: bytes) -> bytes:
    """What a NATS server said but for its own PINGs, which come when it wants; nothing else may look like one."""
    return said.replace(b"PING\r\n", b"")


def nats_line(stream: IO[bytes]) -> bytes:
    """The next line that a NATS server says, but for its own PINGs; b"" at the end."""
    while (line := stream.readline()) == b"PING\r\n":
        pass
    return line


class RawPeer:
    """One connection. Every read gives up, with TimeoutError, after a while."""

    def __init__(self, address: tuple[str, int], receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        self.port: int = self.socket.getsockname()[1]
        self._held = b""

    def start_tls(self, context: ssl.SSLContext, name: str = "localhost", **options: bool) -> ssl.SSLSocket:
        """Go on inside TLS; returns the socket, which is closed with this peer."""
        secured = context.wrap_socket(self.socket, server_hostname=name, **options)  # type: ignore[arg-type]
        self.socket = secured
        return secured

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, size: int) -> bytes:
        """Exactly that many bytes."""
        received = bytearray(self._held)
        while len(received) < size:
            received += self._receive()
        self._held = bytes(received[size:])
        return bytes(received[:size])

    def read_through(self, ending: bytes) -> bytes:
        """Everything up to and with an ending."""
        received = bytearray(self._held)
        looked_at = 0
        while (found := received.find(ending, looked_at)) < 0:
            looked_at = max(len(received) - len(ending), 0)
            received += self._receive()
        end = found + len(ending)
        self._held = bytes(received[end:])
        return bytes(received[:end])

    def read_line(self) -> bytes:
        """The next line that a NATS server says, but for its own PINGs."""
        while (line := self.read_through(b"\r\n")) == b"PING\r\n":
            pass
        return line

    def read_to_end(self) -> bytes:
        """Everything until the stream ends; a reset is an end too."""
        received = bytearray(self._held)
        self._held = b""
        try:
            while data := self.socket.recv(READ):
                received += data
        except ConnectionResetError:
            pass
        return bytes(received)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> bytes:
        data = self.socket.recv(READ)
        if not data:
            raise EOFError("the gateway closed the connection")
        return data
