"""Answers: acknowledgements that an MQTT client waits for, each sent when what it promises is true."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.storage.batch import Batch
    from gateway.storage.journal import Journal


class Promise:
    """Answers that wait for one commit; `publishes` of them are PUBACKs."""

    __slots__ = ("packets", "publishes")

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.publishes = 0


class Answers:
    """Sends answers in the order in which they are given [MQTT-4.6.0-2].

    Take a `mark`, act, then `give` the answer: when acting changed something that must survive, it waits for the commit
    that holds the change. Without a journal nothing survives, and nothing waits.
    """

    __slots__ = ("_batch", "_journal", "_waiting", "_write", "owed")

    def __init__(self, journal: "Journal | None", write: Callable[[bytes], None]) -> None:
        self._journal = journal
        self._write = write
        self._waiting: deque[Promise] | None = None
        self._batch: Batch | None = None
        # QoS 1 publishes whose PUBACK waits: the client may not have too many of them.
        self.owed = 0

    @property
    def fault(self) -> str | None:
        """Why nothing can be promised at the moment."""
        return self._journal.fault if self._journal is not None else None

    def mark(self) -> int:
        return self._journal.changes if self._journal is not None else 0

    def give(self, packet: bytes, mark: int, publish: bool = False) -> None:
        """Send an answer once what was changed since `mark` is durable. `publish`: it is the PUBACK of a message."""
        journal = self._journal
        if journal is None or (journal.changes == mark and not self._waiting):
            self._write(packet)
            return
        if self._waiting is None:
            self._waiting = deque()
        new = not self._waiting or (journal.changes != mark and journal.batch is not self._batch)
        if new:
            self._waiting.append(Promise())
        promise = self._waiting[-1]
        promise.packets.append(packet)
        if publish:
            promise.publishes += 1
            self.owed += 1
        if new:
            self._batch = journal.batch
            journal.when_durable(self._send)

    def close(self) -> None:
        """The client has gone: it will ask again."""
        self._waiting = None

    def _send(self) -> None:
        if self._waiting:
            promise = self._waiting.popleft()
            self.owed -= promise.publishes
            if not self._waiting:
                self._batch = None
            self._write(b"".join(promise.packets))
