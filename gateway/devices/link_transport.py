"""Link transport: what carries a connection's bytes inside a serial link. It outlives the cable: a device that comes
back goes on where it was.
"""

from collections.abc import Callable

import trio

from gateway.transport.reader import Readable
from protocols.message import Buffer
from protocols.serial_link.link import Link


class LinkTransport:
    """A transport (gateway.transport.transport) over `link`. `wake` tells the device's task that there is something to
    send; the task calls `feed` with what the link brings, and the connection's `write_ready` when there may be room.
    """

    # A device may be away for a while; what waits for it is bounded by its queue.
    patient = True

    __slots__ = ("_arrived", "_link", "_paused", "_readable", "_wake", "peer")

    def __init__(self, link: Link, port_name: str, wake: Callable[[], None]) -> None:
        self.peer = (port_name, 0)
        self._link = link
        self._wake = wake
        self._readable: Readable | None = None
        self._arrived = b""
        self._paused = False

    @property
    def local(self) -> tuple[str, int]:
        return ("", 0)

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream from the device."""
        self._arrived += data
        self._offer()

    def begin(self, readable: Readable) -> None:
        self._readable = readable

    def receive(self, size: int) -> bytes | None:
        data, self._arrived = self._arrived[:size], self._arrived[size:]
        self._link.consumed(len(data))
        return data or None

    def send(self, data: Buffer) -> int:
        taken = self._link.send(data)
        self._wake()
        return taken

    def send_pieces(self, pieces: list[Buffer]) -> int:
        return self.send(b"".join(pieces))

    def watch_room(self, wanted: bool) -> None:
        """The device's task looks each time round."""

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._offer()

    def end(self) -> bool:
        self._link.finish()
        self._wake()
        return False  # The link sees to it that its last words arrive, and tells of its end.

    def abort(self) -> None:
        self._link.abandon()
        self._wake()

    def close(self) -> None:
        self._readable = None
        self._arrived = b""

    def _offer(self) -> None:
        begun = trio.current_time()
        while self._arrived and not self._paused and self._readable is not None:
            size = self._readable.read_ready()
            if not size:
                return
            if self._readable is not None:
                self._readable.batch_done(size, begun, trio.current_time())
