"""Transport: what carries the bytes of a connection. A socket does here; other rooms bring others, as a serial link."""

import socket
from typing import Protocol

from gateway.transport.reader import Readable, Reader
from protocols.message import Buffer


class Transport(Protocol):
    """One stream in both directions. Nothing waits: what cannot be done at once is not done.

    Between `begin` and `close` it calls `Readable.read_ready` when there is something to read and, while it is asked
    to by `watch_room`, `Readable.write_ready` when the peer takes bytes again.
    """

    @property
    def patient(self) -> bool:
        """Whether a peer that takes nothing is waited for, because the transport itself gives up in time."""

    @property
    def peer(self) -> tuple[str, int]:
        """Who is at the other end: host or port name, and a number or 0."""

    @property
    def local(self) -> tuple[str, int]:
        """This end."""

    def begin(self, readable: Readable) -> None: ...

    def receive(self, size: int) -> bytes | None:
        """Up to `size` bytes; None when there are none yet, b"" at the end of the stream. Raises OSError."""

    def send(self, data: Buffer) -> int:
        """Returns how many bytes were taken. Raises OSError when the peer is gone."""

    def send_pieces(self, pieces: list[Buffer]) -> int:
        """Like `send`, for pieces one behind the other."""

    def watch_room(self, wanted: bool) -> None: ...

    def pause(self) -> None:
        """Report nothing to read until `resume`."""

    def resume(self) -> None: ...

    def end(self) -> bool:
        """Tell the peer that everything is sent; False when it is gone already."""

    def abort(self) -> None:
        """End both directions: the next `receive` finds the end of the stream."""

    def close(self) -> None: ...


class SocketTransport:
    """A connected, non-blocking socket."""

    patient = False

    __slots__ = ("_fileno", "_reader", "peer", "socket")

    def __init__(self, sock: socket.socket, reader: Reader) -> None:
        self.socket = sock
        self._reader = reader
        self._fileno = sock.fileno()
        self.peer = peer_address(sock)

    @property
    def local(self) -> tuple[str, int]:
        try:
            address = self.socket.getsockname()
        except OSError:
            return ("", 0)
        return (str(address[0]), int(address[1]))

    def begin(self, readable: Readable) -> None:
        self._reader.add(self._fileno, readable)

    def receive(self, size: int) -> bytes | None:
        try:
            return self.socket.recv(size)
        except (BlockingIOError, InterruptedError):
            return None

    def send(self, data: Buffer) -> int:
        try:
            return self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def send_pieces(self, pieces: list[Buffer]) -> int:
        try:
            return self.socket.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            return 0

    def watch_room(self, wanted: bool) -> None:
        self._reader.watch_room(self._fileno, wanted)

    def pause(self) -> None:
        self._reader.pause(self._fileno)

    def resume(self) -> None:
        self._reader.resume(self._fileno)

    def end(self) -> bool:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def end_reading(self) -> None:
        """Whatever comes still: the next `receive` finds the end of the stream."""
        try:
            self.socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # The peer was faster.

    def abort(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The peer was faster.

    def close(self) -> None:
        self._reader.remove(self._fileno)
        self.socket.close()


def peer_address(sock: socket.socket) -> tuple[str, int]:
    try:
        peer = sock.getpeername()
    except OSError:
        return ("", 0)
    return (str(peer[0]), int(peer[1]))
