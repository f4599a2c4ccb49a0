"""Device connection: a connection inside a serial link. It outlives the cable: a device that comes back goes on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.message import Buffer

if TYPE_CHECKING:
    from gateway.gateway import Gateway
    from protocols.serial_link.link import Link

# What an outbox may hold beyond the queue's limit: one message of the largest size, and control lines.
ALLOWANCE = 1 << 16


class DeviceConnection(Connection):
    """What a session sees as its connection. `wake` tells the device's task that the link has something to send."""

    __slots__ = ("link", "queue_limit", "wake")

    def __init__(
        self, gateway: "Gateway", link: "Link", port_name: str, wake: Callable[[], None], queue_limit: int
    ) -> None:
        self.link = link
        self.wake = wake
        self.queue_limit = queue_limit
        largest = gateway.config.limits.max_payload_bytes
        self._set_up(gateway, (port_name, 0), queue_limit + largest + ALLOWANCE)

    def begin(self) -> None:
        """The session is set: take part."""
        self.gateway.registry.add(self)
        self.session.opened()

    def is_full(self, size: int) -> bool:
        """Whether a message of `size` bytes finds no room. One message always does."""
        pending = self.outbox.pending()
        return pending > 0 and pending + size > self.queue_limit

    def receive(self, data: bytes) -> None:
        """The next bytes of the stream from the device."""
        if self.close_reason is None:
            self.session.receive(data)
            self.last_activity = trio.current_time()

    def resume(self) -> None:
        """The link may have room again."""
        if self._writing:
            self._writing = self.outbox.resume()
            if not self._writing and self.close_reason is not None:
                self._end_sending()

    def link_ended(self, reason: CloseReason, detail: str = "") -> None:
        """The link's session is over; nothing can be delivered any more."""
        if self.close_reason is None:
            self.close_detail = detail
            self._ended(reason)
        self._finish()

    def local_address(self) -> tuple[str, int]:
        return ("", 0)

    def read_once(self) -> None:
        """The device's task reads."""

    async def relieved(self) -> None:
        """Nobody waits for a device: its queue is bounded, and what does not fit is dropped."""
        await trio.lowlevel.checkpoint()

    def send(self, data: bytes | memoryview) -> int:
        taken = self.link.send(data)
        self.wake()
        return taken

    def send_pieces(self, pieces: list[Buffer]) -> int:
        return self.send(b"".join(pieces))

    def start_writer(self) -> None:
        self._writing = True

    def _end_sending(self) -> None:
        self.gateway.deadlines.cancel(self._linger)
        self._linger = None
        self.link.finish()
        self.wake()

    def _abandon(self, now: float) -> None:
        self.link.abandon()
        self.wake()

    def _finish(self) -> None:
        self.gateway.deadlines.cancel(self._linger)
        self.outbox.close()
        self.gateway.registry.remove(self)
