"""Outgoing queue of one MQTT session: QoS 1 and 2 messages that its client has not acknowledged.

    waiting ──take──> sent ──acknowledge──> gone
       ^                └─(QoS 2) release──> released ──acknowledge──> gone
       └─ pages of the rows that are only on the disk

The packet identifier of a message follows from its sequence number. So both are the same after any restart, and the
client of a QoS 2 message knows it again.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.dataplane.mqtt_window import UNASKED_BYTES, QueuedPublish, Window, make_queued
from gateway.runtime.budget import MESSAGE_BYTES, Holding
from gateway.storage.stored_session import QueuedMessage
from protocols.message import Message

if TYPE_CHECKING:
    from gateway.storage.session_store import SessionStore

# Of the memory that was asked for so much is kept for the next messages.
LARGE_CHARGE = 1 << 16
QUEUES = "queues"
# Rows that one look at the disk brings, and when the next ones are asked for.
PAGE_ROWS = 200
PAGE_BYTES = 1 << 20


class OutgoingQueue(Window):
    """At most `window` messages are sent and unacknowledged; at most `max_messages` wait, with `max_bytes` of content.

    With a `store` every change is noted there under `key`, and while the client is away the messages are on the disk
    alone; `ready` is called when some have come back from there, or may be sent now. What is in memory is asked of
    `holding`, where there is one.
    """

    __slots__ = (
        "_awaited",
        "_committed",
        "_loading",
        "bytes",
        "holding",
        "lacks_memory",
        "max_bytes",
        "max_messages",
        "most_qos",
        "ready",
        "sent_through",
    )

    def __init__(self, max_messages: int, max_bytes: int, ready: Callable[[], None]) -> None:
        super().__init__()
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.ready = ready
        # What the peer takes; of a higher one it gets this.
        self.most_qos = 2
        self.store: SessionStore | None = None
        self.holding: Holding | None = None
        self.bytes = 0
        self._loading = False
        # Up to this sequence all is on the disk, where there is one; and what stands for the commit that is awaited.
        self._committed = 0
        self._awaited: object | None = None
        # The last place that may have been sent to an earlier client.
        self.sent_through = 0
        # Why the last message that was not taken was not: its share of the gateway's memory is used up.
        self.lacks_memory = False

    def __len__(self) -> int:
        """How many messages wait; those on their way to the client are not counted."""
        return self.behind + (len(self.waiting) if self.waiting else 0)

    def restore(self, count: int, size: int, last_sequence: int, sent_through: int) -> None:
        """Take over what an earlier run left on the disk; what is not behind `sent_through` may have been sent."""
        self.behind = count
        self.sent_through = sent_through
        self.bytes = size
        self.sequence = self._committed = last_sequence

    def add(
        self,
        message: Message,
        topic: bytes | None,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...],
        expires_at: float,
        away: bool,
    ) -> bool:
        """Append a message; False when there is no room for it."""
        waiting = self.waiting
        # What can be sent at once needs no room to wait.
        idle = not waiting and not self.behind and len(self.sent) < self.window
        if not idle and (len(self) >= self.max_messages or self.bytes + message.size > self.max_bytes):
            self.lacks_memory = False
            return False
        on_disk = self.behind or (away and self.store is not None)  # Nothing may pass what is on the disk.
        self.lacks_memory = not on_disk and not self._has_memory(message.size)
        if self.lacks_memory:
            return False
        sequence = self.sequence + 1
        store = self.store
        if store is not None and not store.enqueue(self.key, sequence, message, qos, retain, identifiers, expires_at):
            return False
        self.sequence = sequence
        self.bytes += message.size
        if on_disk:
            self.behind += 1
            return True
        self.loaded = sequence
        if waiting is None:
            waiting = self.waiting = deque()
        waiting.append(make_queued(sequence, message, topic, qos, retain, identifiers, expires_at))
        return True

    def take(self) -> QueuedPublish | None:
        """The next message to send, now counted as sent; None when there is none or the window is full."""
        waiting = self.waiting
        if not waiting:
            if self.charged > LARGE_CHARGE:
                self._give_back(self.flight)
            if self.behind:
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
        if publish.packet_id in sent:
            return None
        if publish.qos > self.most_qos and publish.message is not None:
            publish.qos = self.most_qos
        waiting.popleft()
        sent[publish.packet_id] = publish
        if publish.message is not None:
            self.bytes -= publish.message.size
            self.flight += publish.message.size
        if self.behind and len(waiting) < PAGE_ROWS // 2:
            self._load()
        return publish

    def withdraw(self) -> None:
        """The client has gone: all is to be sent again. What was not sent is left to the disk, where there is one."""
        self._loading = False
        # A release may be on its way to the disk: the client must not hear of it twice before it is there.
        self._committed = 0
        self._awaited = None
        unsent = list(self.waiting or ())
        if self.store is not None:
            unsent = self._leave_to_disk(unsent)
        for publish in self.sent.values():
            self.sent_through = max(self.sent_through, publish.sequence)
            publish.repeated = True
            publish.doubtful = False
            if publish.message is not None:
                self.bytes += publish.message.size
        again = deque((*self.sent.values(), *unsent))
        self.sent.clear()
        self.flight = 0
        self.waiting = again or None
        if self.store is not None:
            self._give_back(sum(one.message.size for one in again if one.message is not None))

    def begin_anew(self) -> None:
        """The peer knows nothing of earlier connections: what it was sent is new to it, and QoS 2 messages that it had
        are done. To be called while it is away.
        """
        self.sent_through = 0
        for publish in list(self.waiting or ()):
            publish.repeated = publish.doubtful = False
            if publish.message is None:
                assert self.waiting is not None
                self.waiting.remove(publish)
                if self.store is not None:
                    self.store.dequeue(self.key, publish.sequence, None)

    def close(self) -> None:
        """The session is over: nothing is taken any more."""
        self.store = None
        self.window = self.max_messages = 0
        self.ready = nothing
        self._loading = False
        self.waiting = None
        self.sent.clear()
        self.flight = 0
        self._give_back(0)

    def _has_memory(self, size: int) -> bool:
        """Whether a message more may be in memory, asked for in steps."""
        held = self.flight + self.bytes + size + MESSAGE_BYTES * len(self.waiting or ())
        if held <= self.charged or self.holding is None:
            return True
        more = held - self.charged
        if not self.holding.ask(QUEUES, more + held // 4):
            if not self.holding.ask(QUEUES, more):
                return False
        else:
            more += held // 4
        self.charged += more
        return True

    def _give_back(self, held: int) -> None:
        """So many bytes are in memory, and not so many any more as were asked for."""
        keep = max(2 * held, UNASKED_BYTES)
        if self.holding is not None and keep < self.charged:
            self.holding.add(QUEUES, keep - self.charged)
            self.charged = keep

    def _leave_to_disk(self, unsent: list[QueuedPublish]) -> list[QueuedPublish]:
        """Forget what was not sent; returns what was: that this is a repetition is not on the disk."""
        again = [publish for publish in unsent if publish.repeated and not publish.doubtful]
        rest = unsent[len(again) :]
        if rest:
            self.behind += len(rest)
            self.loaded = rest[0].sequence - 1
        return again

    def _await_commit(self, store: "SessionStore") -> None:
        """Send a QoS 2 message once it is on the disk: after a crash it must come with the same identifier again."""
        if self._awaited is not None:
            return
        awaited = self._awaited = object()
        sequence = self.sequence

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
        after = self.loaded

        def arrived(rows: list[QueuedMessage]) -> None:
            if self._loading and after == self.loaded:
                self._loading = False
                self._append(rows)

        self.store.read_page(self.key, after, PAGE_ROWS, PAGE_BYTES, arrived)

    def _append(self, rows: list[QueuedMessage]) -> None:
        if not rows:
            self.behind = 0
            return
        if self.waiting is None:
            self.waiting = deque()
        for row in rows:
            publish = make_queued(row.sequence, row.message, None, row.qos, row.retain, row.identifiers, row.expires_at)
            publish.repeated = publish.doubtful = row.sequence <= self.sent_through
            self.waiting.append(publish)
        self.behind = max(self.behind - len(rows), 0)
        self.loaded = rows[-1].sequence
        self.ready()


def nothing() -> None:
    """Nobody waits for messages any more."""
