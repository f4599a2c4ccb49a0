"""A raw connection to a server, over TCP or as a WebSocket: what to write for some bytes, how many bytes arrived.

The load writes to `socket` itself; nothing here costs anything per message.
"""

import base64
import os
import socket
import struct

from machine import LoadError
from server_process import Address

ANSWER_SECONDS = 20.0


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
