"""PlainOutlet: what is published while it is there, kept in memory up to a bound; what does not fit is dropped."""

import time
from collections import deque
from collections.abc import Sequence

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.integrations.outlet import Batch, Outlet
from gateway.runtime.drops import Drops, example_of
from gateway.storage.streams.stored_message import StoredMessage, stored_message
from protocols.message import Message
from protocols.subjects import is_meant

FULL = "max-pending-bytes is reached, and the newest is dropped"
ENDED = "the integration ended or was changed, and what waited in memory is gone"
# What a message takes besides its bytes.
OVERHEAD = 300


class PlainOutlet(Outlet):
    """Filters do not overlap. `sequence` is given in the order in which messages come, from 1."""

    def __init__(self, account: Account, subjects: Sequence[str], max_pending_bytes: int, drops: Drops) -> None:
        super().__init__(drops)
        self.max_pending_bytes = max_pending_bytes
        self.bytes = 0
        self._router = account.router
        self._queue: deque[StoredMessage] = deque()
        self._waiting = 0
        self._sequence = 0
        port = Port(None)
        self._receivers = [Subscribed(self, port, subject.encode()) for subject in subjects]
        for receiver in self._receivers:
            self._router.subscribe(receiver)

    def accept(self, message: Message) -> None:
        """Keep a message where there is room."""
        size = OVERHEAD + len(message.subject) + message.size
        if self.bytes + size > self.max_pending_bytes:
            self.drops.count(FULL, example=example_of(message.subject))
            return
        self.bytes += size
        self._sequence += 1
        header = message.header() if message.header_size else b""
        now = time.time_ns()
        self._queue.append(stored_message(self._sequence, now, message.subject, header, message.payload()))
        self._waiting += 1
        if len(self._queue) == 1:
            self.wake()

    async def take(self, max_messages: int, max_bytes: int) -> tuple[list[StoredMessage], int]:
        queue = self._queue
        found: list[StoredMessage] = []
        while queue and len(found) < max_messages and max_bytes > 0:
            message = queue.popleft()
            found.append(message)
            max_bytes -= message.size
        return found, self._sequence - len(queue)

    def move(self, batch: Batch) -> None:
        self._waiting -= len(batch)
        self.bytes -= sum([kept_bytes(message) for message in batch.messages])

    def take_back(self, batches: list[Batch], held: list[StoredMessage]) -> None:
        self._queue.extendleft(reversed(held))
        for batch in reversed(batches):
            if batch.is_done:
                self.done_messages += len(batch)
                self.move(batch)
            else:
                self._queue.extendleft(reversed(batch.messages))

    @property
    def waiting(self) -> tuple[int, int]:
        return self._waiting, self.bytes

    def close(self) -> None:
        for receiver in self._receivers:
            self._router.unsubscribe(receiver)
        self._receivers.clear()
        if self._waiting:
            self.drops.count(ENDED, self._waiting)
        self._queue.clear()
        self._waiting = self.bytes = 0


class Subscribed(Receiver):
    """One of its filters."""

    __slots__ = ("_outlet",)

    def __init__(self, outlet: PlainOutlet, port: Port, subject: bytes) -> None:
        super().__init__(port, subject, b"")
        self.dear = SERVICE
        self.filtered = subject[:1] in (b"*", b">")
        self._outlet = outlet

    def leads(self, subject: bytes) -> bool:
        return is_meant(self.subject, subject)

    def deliver(self, message: Message, source: Port) -> bool:
        self._outlet.accept(message)
        return True


def kept_bytes(message: StoredMessage) -> int:
    """What a message is counted with."""
    return OVERHEAD + len(message.subject) + len(message.header) + len(message.payload)
