"""SessionStore: what is stored of the MQTT sessions of an account. A thin layer over the journal's batch: no call waits
for the disk.
"""

from collections.abc import Callable
from typing import Protocol

from gateway.storage.identities import Identities
from gateway.storage.journal import Journal
from gateway.storage.message_store import MessageStore
from gateway.storage.queue_pages import RELEASED, RETAIN, PageRequest
from gateway.storage.session_rows import load_sessions, session_row
from gateway.storage.stored_session import QueuedMessage, RestoredSession, StoredSession
from protocols.message import Message
from protocols.mqtt.packets import Subscription

# The message of a place in a queue whose message is not needed any more.
NO_MESSAGE = 0


class Watcher(Protocol):
    """Hears what is noted of sessions, by their keys, as it is noted."""

    def saved(self, session: StoredSession) -> None: ...

    def deleted(self, key: int) -> None: ...

    def subscription_changed(self, key: int, topic_filter: bytes) -> None: ...

    def queued(self, key: int) -> None: ...

    def released(self, key: int, sequence: int) -> None: ...

    def dequeued(self, key: int, sequence: int) -> None: ...

    def received_changed(self, key: int) -> None: ...


class SessionStore:
    """A session has a key, a number that is never used again while the gateway runs.

    The places in its queue are numbered by whoever calls, ascending from 1. A message may be queued for a further
    session as long as one that was given the same object has it queued.
    """

    def __init__(self, journal: Journal, messages: MessageStore, account: str) -> None:
        self._journal = journal
        self._messages = messages
        self._account = account
        # How many bytes of headers and payloads wait, of each session and of all.
        self._waiting: dict[int, int] = {}
        self.bytes = 0
        # Where ids are that are kept beside the messages of streams (Durability.identities).
        self.identities: Identities | None = None
        self.watcher: Watcher | None = None

    def load(self) -> list[RestoredSession]:
        """What the database holds; to be called once, before anything else. Raises sqlite3.Error."""
        restored = load_sessions(self._journal.database.connection, self._account)
        for one in restored:
            self._count(one.session.key, one.queue_bytes)
        return restored

    def _count(self, key: int, size: int) -> None:
        """So many bytes more wait for a session, or fewer."""
        waiting = self._waiting.get(key, 0) + size
        self.bytes += size
        if waiting:
            self._waiting[key] = waiting
        else:
            self._waiting.pop(key, None)

    def new_key(self) -> int:
        return self._messages.new_key()

    def save(self, session: StoredSession) -> None:
        """Insert or replace a session; what is under it stays."""
        self._journal.batch.session.put(session.key, session_row(session, self._account))
        self._journal.note()
        if self.watcher is not None:
            self.watcher.saved(session)

    def delete(self, key: int) -> None:
        """Remove a session and everything under it."""
        self._count(key, -self._waiting.get(key, 0))
        self._journal.batch.ended.add(key)
        self._journal.note()
        if self.identities is not None:
            self.identities.forget_session(key)
        if self.watcher is not None:
            self.watcher.deleted(key)

    def adopt(self, session: StoredSession, before: "SessionStore") -> None:
        """Make a session of another account this one's, with everything under it."""
        size = before._waiting.get(session.key, 0)
        before._count(session.key, -size)
        self._count(session.key, size)
        self.save(session)

    def save_subscription(self, key: int, subscription: Subscription, identifier: int = 0) -> None:
        """Insert a subscription, or replace the one with the same topic filter."""
        wanted = subscription
        options = (wanted.qos, wanted.no_local, wanted.retain_as_published, wanted.retain_handling, identifier)
        row = (key, wanted.topic_filter, *options)
        self._journal.batch.subscription.put((key, wanted.topic_filter), row)
        self._journal.note()
        if self.watcher is not None:
            self.watcher.subscription_changed(key, wanted.topic_filter)

    def delete_subscription(self, key: int, topic_filter: bytes) -> None:
        self._journal.batch.subscription.remove((key, topic_filter))
        self._journal.note()
        if self.watcher is not None:
            self.watcher.subscription_changed(key, topic_filter)

    def enqueue(
        self,
        key: int,
        sequence: int,
        message: Message,
        qos: int,
        retain: bool = False,
        identifiers: tuple[int, ...] = (),
        expires_at: float = 0.0,
    ) -> bool:
        """Queue a message for which there is room (`Durability.reserve`). False, and nothing done, where it is refused.

        `expires_at` is the message's: what the first call says holds for all.
        """
        if message.refused:
            return False
        journal = self._journal
        record = self._messages.add_place(message, expires_at)
        self._count(key, message.size)
        flags = qos | RETAIN if retain else qos
        text = " ".join(map(str, identifiers)) if identifiers else None
        journal.batch.queue.put((key, sequence), (key, sequence, record, flags, text))
        journal.note()
        if self.watcher is not None:
            self.watcher.queued(key)
        return True

    def enqueue_released(self, key: int, sequence: int) -> None:
        """Queue the place of a QoS 2 message that its client has, as it was elsewhere."""
        self._journal.batch.queue.put((key, sequence), (key, sequence, NO_MESSAGE, 2 | RELEASED, None))
        self._journal.note()

    def release(self, key: int, sequence: int, message: Message) -> None:
        """The client has a QoS 2 message: only its place is needed, until `dequeue`."""
        queue = self._journal.batch.queue
        queue.take_back((key, sequence))
        queue.put((key, sequence), (key, sequence, NO_MESSAGE, 2 | RELEASED, None))
        self._count(key, -message.size)
        self._messages.drop_place(message)
        self._journal.note()
        if self.watcher is not None:
            self.watcher.released(key, sequence)

    def dequeue(self, key: int, sequence: int, message: Message | None) -> None:
        """Remove a place from the queue; `message` is None when it was released."""
        self._journal.batch.queue.take_back((key, sequence))
        if message is not None:
            self._count(key, -message.size)
            self._messages.drop_place(message)
        self._journal.note()
        if self.watcher is not None:
            self.watcher.dequeued(key, sequence)

    def remember_received(self, key: int, packet_id: int, identities: Identities | None = None) -> None:
        """A QoS 2 message came with this id; its PUBREL is awaited. `identities`: where the message's ids are kept."""
        if self.watcher is not None:
            self.watcher.received_changed(key)
        if identities is not None:
            identities.remember_received(key, packet_id)
            return
        self._journal.batch.received.put((key, packet_id), (key, packet_id))
        self._journal.note()

    def forget_received(self, key: int, packet_id: int) -> None:
        if self.watcher is not None:
            self.watcher.received_changed(key)
        if self.identities is None or not self.identities.forget_received(key, packet_id):
            self._journal.batch.received.remove((key, packet_id))
            self._journal.note()

    def when_durable(self, action: Callable[[], None]) -> None:
        """Have `action` called once everything noted so far is on the disk; at once when it is."""
        self._journal.when_durable(action)

    def read_page(
        self,
        key: int,
        after_sequence: int,
        limit_rows: int,
        limit_bytes: int,
        action: Callable[[list[QueuedMessage]], None],
    ) -> None:
        """Have `action` called with the next places of a queue, in order; with none where there are no more.

        A page has at most `limit_rows` places, and ends with the one that reaches `limit_bytes` of headers and
        payloads. It shows everything that was noted before this call; so it waits as long as the journal has a fault.
        """
        self._journal.ask(PageRequest(key, after_sequence, limit_rows, limit_bytes, action))
