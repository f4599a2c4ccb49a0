"""Session copies: the MQTT sessions of the other gateway of a pair, on the disk here. None of them takes messages
before it is made a session of this gateway.

They are kept as sessions of an account that nobody can be in, so that to make one of them ours is one row.
"""

import logging
from collections.abc import Callable, Iterable

from gateway.mqtt.sessions import MqttSessions
from gateway.pair import wire
from gateway.storage.schema import UNKNOWN_SENT
from gateway.storage.session_store import SessionStore
from gateway.storage.stored_session import RestoredSession, StoredSession
from protocols.message import Message
from protocols.mqtt.packets import Subscription

log = logging.getLogger("leafgate.pair")

# Behind a space, which no account's name has.
SHADOW = " (pair)"
# So far from what the other gateway may have sent last that no packet identifier is soon given out again.
JUMP = 16_384
PLACE_BYTES = 300


class Copy:
    """One session. `places` are what is queued, by sequence: messages without their content, None for a released one.
    `last` is the last sequence of all.
    """

    __slots__ = ("bytes", "last", "places", "received", "stored", "subscriptions")

    def __init__(self, stored: StoredSession) -> None:
        self.stored = stored
        self.subscriptions: dict[bytes, wire.Subscription] = {}
        self.received: set[int] = set()
        self.places: dict[int, Message | None] = {}
        self.bytes = 0
        self.last = 0

    def restored(self) -> RestoredSession:
        found = [(subscription_from(one), one.identifier) for one in self.subscriptions.values()]
        counts = (len(self.places), self.bytes, min(self.places, default=0), self.last + JUMP)
        return RestoredSession(self.stored, found, self.received, *counts)


class SessionCopies:
    """`shadow` is where they are, `store` where those are that become ours; `found` is what an earlier run has left."""

    def __init__(
        self,
        sessions: MqttSessions,
        store: SessionStore,
        shadow: SessionStore,
        clock: Callable[[], float],
        found: Iterable[RestoredSession],
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._shadow = shadow
        self._clock = clock
        # Those that an earlier run has left, until they are told anew; those that are whole; those that are not yet.
        self._left = {one.session.client_id: one for one in found}
        self._copies: dict[bytes, Copy] = {}
        self._drafts: dict[bytes, Copy] = {}
        # Whose each session is that is there, while the other gateway is: also of those that are not whole here yet.
        self._there: dict[bytes, str] = {}
        # Of those and the drafts together.
        self.places = 0

    def __len__(self) -> int:
        return len(self._left) + len(self._copies)

    @property
    def messages(self) -> int:
        """How many are queued in those that are whole."""
        found = sum(len(one.places) for one in self._copies.values())
        return found + sum(one.queue_count for one in self._left.values())

    def owner_of(self, client_id: bytes) -> str | None:
        """Whose a session is; None where there is none at the other gateway."""
        copy = self._copies.get(client_id)
        if copy is not None:
            return copy.stored.user
        left = self._left.get(client_id)
        return left.session.user if left is not None else self._there.get(client_id)

    def keep_only(self, there: dict[bytes, str]) -> None:
        """The other gateway has no more than these, of these users: what is not among them has ended."""
        self._there = there
        for client_id in [*self._left, *self._copies]:
            if client_id not in there:
                self._forget(client_id)

    def settle_drafts(self) -> None:
        """The other gateway has gone: what it has told of a session is better than nothing, but not than all of it as
        it was before.
        """
        self._there.clear()
        for client_id in list(self._drafts):
            if client_id in self._copies or client_id in self._left:
                self._drop(self._drafts.pop(client_id))
            else:
                self._complete(client_id)

    def activate(self, client_id: bytes) -> int | None:
        """Make a session ours: it takes messages from now on. Returns the last place in its queue that both had; None
        where there is no copy.
        """
        self._there.pop(client_id, None)
        left, copy = self._left.pop(client_id, None), self._copies.pop(client_id, None)
        restored = copy.restored() if copy is not None else left
        if restored is None or self._sessions.find(client_id) is not None:
            if restored is not None:
                self._shadow.delete(restored.session.key)
            return None
        if copy is not None:
            through = copy.last
            self.places -= len(copy.places)
        else:
            through = restored.last_sequence
            restored.last_sequence += JUMP
        stored = restored.session
        stored.ended_at, stored.sent_through = self._clock(), UNKNOWN_SENT
        self._store.adopt(stored, self._shadow)
        self._sessions.restore([restored])
        return through

    def names(self) -> list[bytes]:
        return [*{**self._left, **self._copies}]

    def take(self, item: wire.Item) -> None:
        """Do what the other gateway tells of one of its sessions."""
        if isinstance(item, wire.Begun):
            self._begin(item)
            return
        client_id = item.id
        if isinstance(item, wire.Ended):
            self._there.pop(client_id, None)
            self._forget(client_id)
            return
        copy = self._drafts.get(client_id) or self._copies.get(client_id)
        if copy is None:  # It is ours meanwhile.
            return
        key = copy.stored.key
        if isinstance(item, wire.Queued):
            self._queue(copy, item)
        elif isinstance(item, wire.Gone):
            for sequence in item.sequences:
                self._take_out(copy, sequence)
        elif isinstance(item, wire.Released):
            for sequence in item.sequences:
                self._release(copy, sequence)
        elif isinstance(item, wire.Whole):
            self._complete(client_id)
        elif isinstance(item, wire.Head):
            copy.stored = stored_from(item, key)
            if client_id in self._copies:
                self._shadow.save(copy.stored)
        elif isinstance(item, wire.Subscribed):
            copy.subscriptions[item.subscription.topic_filter] = item.subscription
            self._shadow.save_subscription(key, subscription_from(item.subscription), item.subscription.identifier)
        elif isinstance(item, wire.Unsubscribed):
            if copy.subscriptions.pop(item.topic_filter, None) is not None:
                self._shadow.delete_subscription(key, item.topic_filter)
        elif isinstance(item, wire.Received):
            self._take_received(copy, set(item.packet_ids))

    def _begin(self, item: wire.Begun) -> None:
        client_id = item.head.id
        self._there[client_id] = item.head.user
        before = self._drafts.pop(client_id, None)
        if before is not None:
            self._drop(before)
        # Perhaps ours has yet to go there. Its row comes last: without it nothing of this is there after a crash.
        key = self._shadow.new_key()
        copy = self._drafts[client_id] = Copy(stored_from(item.head, key))
        for one in item.subscriptions:
            copy.subscriptions[one.topic_filter] = one
            self._shadow.save_subscription(key, subscription_from(one), one.identifier)
        self._take_received(copy, set(item.received))

    def _complete(self, client_id: bytes) -> None:
        copy = self._drafts.pop(client_id, None)
        if copy is None:
            return
        self._forget(client_id)
        self._copies[client_id] = copy
        self._shadow.save(copy.stored)

    def _queue(self, copy: Copy, item: wire.Queued) -> None:
        key, content = copy.stored.key, item.content
        copy.last = max(copy.last, item.sequence)
        self._take_out(copy, item.sequence)
        self.places += 1
        if content is None:
            copy.places[item.sequence] = None
            self._shadow.enqueue_released(key, item.sequence)
            return
        message = message_from(content)
        expires_at = self._clock() + content.expires_in if content.expires_in else 0.0
        self._shadow.enqueue(key, item.sequence, message, content.qos, content.retain, content.identifiers, expires_at)
        copy.bytes += message.size
        # The content is on its way to the disk; its place and size are what is needed from now on.
        place = copy.places[item.sequence] = Message(b"", b"", 0, message.size, None, None)
        place.record = message.record

    def _take_out(self, copy: Copy, sequence: int) -> None:
        if sequence not in copy.places:
            return
        message = copy.places.pop(sequence)
        self.places -= 1
        copy.bytes -= message.size if message is not None else 0
        self._shadow.dequeue(copy.stored.key, sequence, message)

    def _release(self, copy: Copy, sequence: int) -> None:
        message = copy.places.get(sequence)
        if message is not None:
            copy.places[sequence] = None
            copy.bytes -= message.size
            self._shadow.release(copy.stored.key, sequence, message)

    def _take_received(self, copy: Copy, packet_ids: set[int]) -> None:
        key = copy.stored.key
        for packet_id in packet_ids - copy.received:
            self._shadow.remember_received(key, packet_id)
        for packet_id in copy.received - packet_ids:
            self._shadow.forget_received(key, packet_id)
        copy.received = packet_ids

    def _forget(self, client_id: bytes) -> None:
        draft = self._drafts.pop(client_id, None)
        if draft is not None:
            self._drop(draft)
        left = self._left.pop(client_id, None)
        if left is not None:
            self._shadow.delete(left.session.key)
        copy = self._copies.pop(client_id, None)
        if copy is not None:
            self._drop(copy)

    def _drop(self, copy: Copy) -> None:
        self.places -= len(copy.places)
        self._shadow.delete(copy.stored.key)


def stored_from(head: wire.Head, key: int) -> StoredSession:
    return StoredSession(key, head.id, head.version, head.expiry_seconds, user=head.user, proof=head.proof)


def subscription_from(told: wire.Subscription) -> Subscription:
    head = (told.topic_filter, told.qos, told.no_local, told.retain_as_published)
    return Subscription(*head, told.retain_handling)


def message_from(content: wire.Content) -> Message:
    message = Message(content.subject, content.reply, content.header_size, len(content.body), None, None)
    message.set_body(content.body)
    message.qos = content.published_qos
    return message
