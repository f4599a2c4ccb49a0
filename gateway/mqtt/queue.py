"""Outgoing queue of one MQTT session: QoS 1 and 2 messages that its client has not acknowledged.

    waiting ──take──> sent ──acknowledge──> gone
       ^                └─(QoS 2) release──> released ──acknowledge──> gone
       └─ pages of the rows that are only on the disk

The packet identifier of a message follows from its sequence number. So both are the same after any restart, and the
client of a QoS 2 message knows it again.
"""

from collections import deque
from collections.abc import Callable

from gateway.storage.session_store import SessionStore
from gateway.storage.stored_session import QueuedMessage
from protocols.message import Message

LAST_PACKET_ID = 65_535
# Rows that one look at the disk brings, and when the next ones are asked for.
PAGE_ROWS = 200
PAGE_BYTES = 1 << 20


class QueuedPublish:
    """A message as the client is to get it. `message` is None once a QoS 2 one is released: the client has it.

    `expires_at` is in unix seconds, 0.0 for never. `repeated`: it may have been sent before; `doubtful`: by an earlier
    run, or not at all.
    """

    __slots__ = (
        "doubtful",
        "expires_at",
        "identifiers",
        "message",
        "packet_id",
        "qos",
        "repeated",
        "retain",
        "sequence",
    )

    def __init__(
        self,
        sequence: int,
        message: Message | None,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...],
        expires_at: float,
    ) -> None:
        self.sequence = sequence
        self.packet_id = packet_id_of(sequence)
        self.message = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers
        self.expires_at = expires_at
        self.repeated = False
        self.doubtful = False


class OutgoingQueue:
    """At most `window` messages are sent and unacknowledged; at most `max_messages` wait, with `max_bytes` of content.

    With a `store` every change is noted there under `key`, and while the client is away the messages are on the disk
    alone; `ready` is called when some have come back from there, or may be sent now.
    """

    __slots__ = (
        "_awaited",
        "_behind",
        "_committed",
        "_doubtful",
        "_loaded",
        "_loading",
        "_sequence",
        "_waiting",
        "bytes",
        "key",
        "max_bytes",
        "max_messages",
        "ready",
        "sent",
        "store",
        "window",
    )

    def __init__(self, max_messages: int, max_bytes: int, ready: Callable[[], None]) -> None:
        self.window = 0
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.ready = ready
        self.store: SessionStore | None = None
        self.key = 0
        self.bytes = 0
        self.sent: dict[int, QueuedPublish] = {}
        self._sequence = 0
        self._waiting: deque[QueuedPublish] | None = None
        # Rows behind those in memory, and the last sequence that is or was in memory.
        self._behind = 0
        self._loaded = 0
        self._loading = False
        # Up to this sequence all is on the disk, where there is one; and what stands for the commit that is awaited.
        self._committed = 0
        self._awaited: object | None = None
        # So many of the first rows may have been sent by an earlier run.
        self._doubtful = 0

    def __len__(self) -> int:
        """How many messages wait; those on their way to the client are not counted."""
        return self._behind + (len(self._waiting) if self._waiting else 0)

    def restore(self, count: int, size: int, last_sequence: int, doubtful: int) -> None:
        """Take over what an earlier run left on the disk; the first `doubtful` messages may have been sent."""
        self._behind = count
        self._doubtful = doubtful
        self.bytes = size
        self._sequence = self._committed = last_sequence

    def add(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...], expires_at: float, away: bool
    ) -> bool:
        """Append a message; False when there is no room for it."""
        waiting = self._waiting
        # What can be sent at once needs no room to wait.
        idle = not waiting and not self._behind and len(self.sent) < self.window
        if not idle and (len(self) >= self.max_messages or self.bytes + message.size > self.max_bytes):
            return False
        sequence = self._sequence + 1
        store = self.store
        if store is not None and not store.enqueue(self.key, sequence, message, qos, retain, identifiers, expires_at):
            return False
        self._sequence = sequence
        self.bytes += message.size
        if self._behind or (away and self.store is not None):  # Nothing may pass what is on the disk.
            self._behind += 1
            return True
        self._loaded = sequence
        if waiting is None:
            waiting = self._waiting = deque()
        waiting.append(QueuedPublish(sequence, message, qos, retain, identifiers, expires_at))
        return True

    def takes(self, count: int, qos: int) -> bool:
        """Whether so many messages can be sent at once (`send_all`)."""
        sent = self.sent
        if self._waiting or self._behind or len(sent) + count > self.window or (qos == 2 and self.store is not None):
            return False
        return not sent or self._sequence + count - next(iter(sent.values())).sequence < LAST_PACKET_ID

    def send_all(self, messages: list[Message], qos: int, lead: bytes, middle: bytes) -> tuple[bytes, int]:
        """Count messages without headers as sent; returns their packets, and how many of them there was room for.

        `lead` and `middle` stand before and behind the packet identifier.
        """
        sent = self.sent
        store = self.store
        sequence = self._sequence
        parts: list[bytes] = []
        for message in messages:
            if store is not None and not store.enqueue(self.key, sequence + 1, message, qos, False, (), 0.0):
                continue
            sequence += 1
            publish = QueuedPublish(sequence, message, qos, False, (), 0.0)
            sent[publish.packet_id] = publish
            parts.append(lead)
            parts.append(publish.packet_id.to_bytes(2))
            parts.append(middle)
            parts.append(message.payload())
        count = sequence - self._sequence
        self._sequence = self._loaded = sequence
        return b"".join(parts), count

    def take(self) -> QueuedPublish | None:
        """The next message to send, now counted as sent; None when there is none or the window is full."""
        waiting = self._waiting
        if not waiting:
            if self._behind:
                self._load()
            return None
        sent = self.sent
        if len(sent) >= self.window:
            return None
        publish = waiting[0]
        if publish.qos == 2 and publish.sequence > self._committed and self.store is not None:
            self._await_commit(self.store)
            return None
        # Identifiers come round: none may be given out that an old message still holds.
        if sent and publish.sequence - next(iter(sent.values())).sequence >= LAST_PACKET_ID:
            return None
        waiting.popleft()
        sent[publish.packet_id] = publish
        if publish.message is not None:
            self.bytes -= publish.message.size
        if self._behind and len(waiting) < PAGE_ROWS // 2:
            self._load()
        return publish

    def acknowledge(self, packet_id: int, qos: int) -> bool:
        """The client is done with a message; False when none of this QoS was sent with this identifier."""
        publish = self.sent.get(packet_id)
        if publish is None or publish.qos != qos:
            return False
        del self.sent[packet_id]
        if self.store is not None:
            self.store.dequeue(self.key, publish.sequence, publish.message)
        return True

    def acknowledge_all(self, packet_ids: list[int], qos: int) -> None:
        """The client is done with messages."""
        if self.store is not None:
            for packet_id in packet_ids:
                self.acknowledge(packet_id, qos)
            return
        sent = self.sent
        for packet_id in packet_ids:
            publish = sent.get(packet_id)
            if publish is not None and publish.qos == qos:
                del sent[packet_id]

    def release(self, packet_id: int) -> bool:
        """The client has a QoS 2 message (PUBREC); False when none was sent with this identifier."""
        publish = self.sent.get(packet_id)
        if publish is None or publish.qos != 2:
            return False
        if publish.message is not None:
            if self.store is not None:
                self.store.release(self.key, publish.sequence, publish.message)
            publish.message = None
        return True

    def withdraw(self) -> None:
        """The client has gone: all is to be sent again. What was not sent is left to the disk, where there is one."""
        self._loading = False
        # A release may be on its way to the disk: the client must not hear of it twice before it is there.
        self._committed = 0
        self._awaited = None
        unsent = list(self._waiting or ())
        if self.store is not None:
            unsent = self._leave_to_disk(unsent)
        for publish in self.sent.values():
            publish.repeated = True
            publish.doubtful = False
            if publish.message is not None:
                self.bytes += publish.message.size
        again = deque((*self.sent.values(), *unsent))
        self.sent.clear()
        self._waiting = again or None

    def close(self) -> None:
        """The session is over: nothing is taken any more."""
        self.store = None
        self.window = self.max_messages = 0
        self.ready = nothing
        self._loading = False
        self._waiting = None
        self.sent.clear()

    def _leave_to_disk(self, unsent: list[QueuedPublish]) -> list[QueuedPublish]:
        """Forget what was not sent; returns what was: that this is a repetition is not on the disk."""
        again = [publish for publish in unsent if publish.repeated and not publish.doubtful]
        rest = unsent[len(again) :]
        if rest:
            self._behind += len(rest)
            self._loaded = rest[0].sequence - 1
            self._doubtful += sum(publish.doubtful for publish in rest)
        return again

    def _await_commit(self, store: SessionStore) -> None:
        """Send a QoS 2 message once it is on the disk: after a crash it must come with the same identifier again."""
        if self._awaited is not None:
            return
        awaited = self._awaited = object()
        sequence = self._sequence

        def committed() -> None:
            if self._awaited is awaited:
                self._awaited = None
                self._committed = sequence
                self.ready()

        store.when_durable(committed)

    def _load(self) -> None:
        if self._loading or self.store is None:
            return
        self._loading = True
        after = self._loaded

        def arrived(rows: list[QueuedMessage]) -> None:
            if self._loading and after == self._loaded:
                self._loading = False
                self._append(rows)

        self.store.read_page(self.key, after, PAGE_ROWS, PAGE_BYTES, arrived)

    def _append(self, rows: list[QueuedMessage]) -> None:
        if not rows:
            self._behind = 0
            return
        if self._waiting is None:
            self._waiting = deque()
        for row in rows:
            publish = QueuedPublish(row.sequence, row.message, row.qos, row.retain, row.identifiers, row.expires_at)
            publish.repeated = publish.doubtful = self._doubtful > 0
            self._doubtful -= publish.doubtful
            self._waiting.append(publish)
        self._behind = max(self._behind - len(rows), 0)
        self._loaded = rows[-1].sequence
        self.ready()


def nothing() -> None:
    """Nobody waits for messages any more."""


def packet_id_of(sequence: int) -> int:
    """1 to 65,535, round and round."""
    return (sequence - 1) % LAST_PACKET_ID + 1
