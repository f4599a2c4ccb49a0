"""A raw connection to a server, over TCP or as a WebSocket: what to write for some bytes, how many bytes arrived.

The load writes to `socket` itself; nothing here costs anything per message.
"""

import base64
import os
import socket
import ssl
import struct
from collections.abc import Iterator

from machine import LoadError
from server_process import Address

ANSWER_SECONDS = 20.0

Buffer = bytes | memoryview


class Stream:
    """A TCP connection. `wrap` and `unwrap` go between the protocol's bytes and the wire's; here they are equal."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def wrap(self, data: bytes) -> bytes:
        return data

    def unwrap(self, wire: memoryview) -> list[memoryview]:
        return [wire]

    def payload_size(self, wire: memoryview) -> int:
        """How many protocol bytes a piece of the wire holds; to be called once for every piece, in order."""
        return len(wire)

    def send(self, data: bytes) -> None:
        self.socket.sendall(self.wrap(data))

    def receive(self) -> bytes:
        """Protocol bytes of one read; raises TimeoutError when none come and LoadError at the connection's end."""
        wire = self.socket.recv(1 << 18)
        if not wire:
            raise LoadError("the server closed the connection")
        return b"".join(self.unwrap(memoryview(wire)))

    def receive_until(self, mark: bytes) -> bytes:
        """Everything up to the read that holds `mark`."""
        data = bytearray()
        while mark not in data:
            data += self.receive()
        return bytes(data)

    def receive_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            data += self.receive()
        return bytes(data)

    def close(self) -> None:
        self.socket.close()


class TlsSocket(socket.socket):
    """A socket inside TLS that reads and writes batches: OpenSSL works on memory, as it does in the gateway."""

    _engine: ssl.SSLObject

    def secure(self, context: ssl.SSLContext) -> None:
        """The handshake; to be called while the socket still waits."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        # Records that were not taken yet, and of how many bytes; the caller sends those again.
        self._wire, self._claimed = memoryview(b""), 0
        while True:
            try:
                self._engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                super().sendall(self._outgoing.read())
                data = super().recv(1 << 16)
                if not data:
                    raise LoadError("the server ended the handshake") from None
                self._incoming.write(data)
        super().sendall(self._outgoing.read())

    def send(self, data: Buffer, flags: int = 0) -> int:
        if not self._claimed:
            self._engine.write(data)
            self._wire, self._claimed = memoryview(self._outgoing.read()), len(data)
        self._wire = self._wire[super().send(self._wire) :]
        if self._wire:
            return 0
        size, self._claimed = self._claimed, 0
        return size

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        self._engine.write(data)
        super().sendall(self._outgoing.read())

    def recv(self, size: int, flags: int = 0) -> bytes:
        """All that one read brings; waits for more where that is no whole record."""
        while True:
            data = super().recv(size)
            if not data:
                return b""
            self._incoming.write(data)
            found = b"".join(self._decrypted())
            if found:
                return found

    def recv_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0) -> int:  # type: ignore[override]
        """Raises BlockingIOError where what came is no whole record."""
        count = super().recv_into(buffer, len(buffer) // 2)
        if not count:
            return 0
        self._incoming.write(buffer[:count])
        at = 0
        for piece in self._decrypted():
            buffer[at : at + len(piece)] = piece
            at += len(piece)
        if not at:
            raise BlockingIOError
        return at

    def _decrypted(self) -> Iterator[bytes]:
        try:
            while self._incoming.pending:
                yield self._engine.read(1 << 14)
        except ssl.SSLWantReadError:
            pass


class TlsStream(Stream):
    """A connection inside TLS; with a `greeting` the server says something first that ends so."""

    socket: TlsSocket

    def __init__(self, address: Address, context: ssl.SSLContext, greeting: bytes = b"") -> None:
        self.socket = TlsSocket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(ANSWER_SECONDS)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._early = b""
        while greeting and not self._early.endswith(greeting):
            self._early += socket.socket.recv(self.socket, 1 << 16)
        self.socket.secure(context)

    def receive(self) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            return early
        return super().receive()


class WebSocketStream(Stream):
    """A client-side WebSocket (RFC 6455) without extensions, its messages taken as one byte stream."""

    def __init__(self, address: Address, path: str) -> None:
        super().__init__(address)
        self._in_frame = 0
        self._skipped = False
        self._head = b""
        self._upgrade(address, path)

    def _upgrade(self, address: Address, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.socket.sendall(request.encode())
        answer = bytearray()
        # One byte at a time: what follows the head already belongs to the first frame.
        while not answer.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                raise LoadError(f"no WebSocket: {bytes(answer[:200])!r}")
            answer += byte
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise LoadError(f"no WebSocket: {bytes(answer[:200])!r}")

    def wrap(self, data: bytes) -> bytes:
        """One masked binary frame (RFC 6455 5.2, 5.3)."""
        key = os.urandom(4)
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x82, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x82, 0xFE, size)
        else:
            head = struct.pack("!BBQ", 0x82, 0xFF, size)
        pad = (key * (size // 4 + 1))[:size]
        masked = int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")
        return head + key + masked.to_bytes(size, "big")

    def unwrap(self, wire: memoryview) -> list[memoryview]:
        """The data frames' payload in a piece of the wire; control frames are skipped."""
        found: list[memoryview] = []
        if self._head:
            wire = memoryview(self._head + bytes(wire))
            self._head = b""
        at, end = 0, len(wire)
        while at < end:
            if not self._in_frame:
                head_size = self._read_head(wire, at)
                if not head_size:
                    self._head = bytes(wire[at:])
                    break
                at += head_size
            taken = min(self._in_frame, end - at)
            if taken and not self._skipped:
                found.append(wire[at : at + taken])
            self._in_frame -= taken
            at += taken
        return found

    def payload_size(self, wire: memoryview) -> int:
        return sum(map(len, self.unwrap(wire)))

    def _read_head(self, wire: memoryview, at: int) -> int:
        """Take a server's frame head (never masked) and return its size, or 0 while it is not whole."""
        left = len(wire) - at
        if left < 2:
            return 0
        length = wire[at + 1]
        size = 2 if length < 126 else 4 if length == 126 else 10
        if left < size:
            return 0
        if size > 2:
            length = int.from_bytes(wire[at + 2 : at + size], "big")
        self._in_frame = length
        self._skipped = wire[at] & 0x0F >= 8
        return size
