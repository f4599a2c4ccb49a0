"""Answers: acknowledgements that an MQTT client waits for, each sent when what it promises is true."""

from collections import deque
from collections.abc import Callable

from gateway.storage.batch import Batch
from gateway.storage.journal import Journal
from gateway.transport.connection import Connection

# A mark from before everything: the answer waits for all that is on its way to the disk, whoever changed it.
EVER = -1
# Bytes of answers that may wait for the disk: twice as many PUBACKs as there are identifiers.
MOST_HELD = 1 << 19


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

    __slots__ = ("_batch", "_crowded", "_journal", "_waiting", "_write", "held", "owed")

    def __init__(self, journal: Journal | None, write: Callable[[bytes], None]) -> None:
        self._journal = journal
        self._write = write
        self._waiting: deque[Promise] | None = None
        self._batch: Batch | None = None
        self._crowded = False
        # Bytes of answers that wait, and how many are PUBACKs of messages: the client may not have too many of either.
        self.held = 0
        self.owed = 0

    @property
    def fault(self) -> str | None:
        """Why nothing can be promised at the moment."""
        if self._journal is None:
            return None
        return self._journal.fault or ("the disk is too slow" if self._crowded else None)

    def look(self) -> None:
        """See whether the disk has room for more; once a batch will do."""
        if self._journal is not None:
            self._crowded = not self._journal.has_room()

    def mark(self) -> int:
        return self._journal.changes if self._journal is not None else 0

    def give(self, packet: bytes, mark: int, publishes: int = 0) -> None:
        """Send an answer once what was changed since `mark` is durable. It answers so many `publishes` of QoS 1."""
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
        self.held += len(packet)
        promise.publishes += publishes
        self.owed += publishes
        if new:
            journal.when_durable(self._send)
            # It waits for the batch before where this one is empty, as what was changed has been taken back.
            self._batch = journal.batch if journal.batch.actions else None

    def withhold(self, connection: Connection, mark: int) -> None:
        """Let nothing reach the client before what was changed since `mark` is durable.

        For the CONNACK: all else has to come behind it, and after a crash a session that was to end must not be there,
        one that was to stay must. While the disk takes nothing only clients without such a session come this far.
        """
        journal = self._journal
        if journal is not None and journal.changes != mark and not journal.fault:
            connection.withhold()
            journal.when_durable(connection.release)

    def close(self) -> None:
        """The client has gone: it will ask again."""
        self._waiting = None

    def _send(self) -> None:
        if self._waiting:
            promise = self._waiting.popleft()
            self.owed -= promise.publishes
            if not self._waiting:
                self._batch = None
            packets = b"".join(promise.packets)
            self.held -= len(packets)
            self._write(packets)
