"""A peer in memory at the far end of a real connection: what it says goes in, what it is sent comes out."""

from collections.abc import Callable

from gateway.assembly import Gateway
from gateway.transport.connection import Connection
from gateway.transport.reader import Readable
from gateway.transport.session import Session
from protocols.message import Buffer


class MemoryTransport:
    """A transport (gateway.transport.transport) that takes every byte. What there is to read it reports in `offer`."""

    patient = False
    peer = ("127.0.0.1", 50_000)
    local = ("127.0.0.1", 4222)

    def __init__(self) -> None:
        self.sent = b""
        self._arrived = b""
        self._readable: Readable | None = None
        self._paused = False
        self._left = False
        self._has_waiting = False

    def arrive(self, data: bytes) -> None:
        self._arrived += data
        self.offer()

    def leave(self) -> None:
        """The peer ends its side."""
        self._left = True
        self.offer()

    def offer(self) -> None:
        """A round of the reader's."""
        if self._readable is not None and self._has_waiting:
            self._readable.write_ready()
        while self._readable is not None and not self._paused and self._readable.read_ready():
            pass

    def begin(self, readable: Readable) -> None:
        self._readable = readable

    def receive(self, size: int) -> bytes | None:
        data, self._arrived = self._arrived[:size], self._arrived[size:]
        return data or (b"" if self._left else None)

    def send(self, data: Buffer) -> int:
        self.sent += data
        return len(data)

    def send_pieces(self, pieces: list[Buffer]) -> int:
        return self.send(b"".join(pieces))

    def watch_room(self, wanted: bool) -> None:
        self._has_waiting = wanted

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def end(self) -> bool:
        return False

    def abort(self) -> None:
        self.leave()

    def close(self) -> None:
        self._readable = None


class Peer:
    """Somebody who has come: `make_session` is what a door does for its protocol."""

    def __init__(self, gateway: Gateway, make_session: Callable[[Connection], Session]) -> None:
        self._switch = gateway.runtime.switch
        self._turns = gateway.runtime.turns
        self._transport = MemoryTransport()
        self.connection = Connection(gateway.runtime, gateway.registry, self._transport)
        self.connection.session = make_session(self.connection)
        self.connection.begin()

    def say(self, data: bytes) -> None:
        self._transport.arrive(data)
        self._switch.flush()

    def leave(self) -> None:
        self._transport.leave()
        self._switch.flush()

    def hear(self) -> bytes:
        """What it was sent since the last time, with what was left for later turns."""
        self._transport.offer()
        while self._turns:
            self._turns.take()
        self._switch.flush()
        heard, self._transport.sent = self._transport.sent, b""
        return heard
