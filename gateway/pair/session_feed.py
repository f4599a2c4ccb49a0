"""Session feed: what happens to the MQTT sessions of this gateway, told to the other one of the pair.

The queue on the disk is the buffer: it is read behind the last place that was told, so what is acknowledged before it
is told never goes over the link. What is told of is in one batch, and the next one begins when the other gateway has
that on its disk.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from gateway.mqtt.session import MqttSession
from gateway.mqtt.sessions import MqttSessions
from gateway.pair import wire
from gateway.runtime.logs import shown
from gateway.storage.session_store import SessionStore
from gateway.storage.stored_session import QueuedMessage, StoredSession
from protocols.close_reason import CloseReason
from protocols.mqtt.packets import Subscription

log = logging.getLogger("leafgate.pair")

PAGE_ROWS = 200
PAGE_BYTES = 128 << 10
BATCH_BYTES = 256 << 10
ITEM_BYTES = 64
MOVED = "the session is at the other gateway of the pair now"


class Told:
    """What the other gateway knows of one session, and what it is to hear."""

    __slots__ = (
        "begun",
        "filters",
        "gone",
        "head",
        "is_asked_for",
        "is_offered",
        "is_over",
        "is_whole",
        "more",
        "reading",
        "received",
        "released",
        "session",
        "through",
    )

    def __init__(self, session: MqttSession) -> None:
        self.session = session
        self.begun = self.is_whole = self.is_over = False
        # Whether there may be places behind the last one that was told; whether they are being read.
        self.more = True
        self.reading = False
        self.through = 0
        self.gone: list[int] = []
        self.released: list[int] = []
        self.filters: dict[bytes, None] = {}
        self.head = self.received = False
        # Whether the other gateway wants it, and was told that it may have it.
        self.is_asked_for = self.is_offered = False


class SessionFeed:
    """A Watcher of the account's sessions. `deliver` has a batch on the other gateway's disk when it returns."""

    def __init__(
        self, sessions: MqttSessions, store: SessionStore, clock: Callable[[], float], deliver: "Deliver"
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._clock = clock
        self._deliver = deliver
        self._told: dict[int, Told] = {}
        self._dirty: dict[int, Told] = {}
        self._under_way = 0
        self._changed = trio.Event()
        self._at_rest = trio.Event()

    async def run(self) -> None:
        """Tell of all there is, and then of what changes."""
        self._store.watcher = self
        try:
            for session in self._sessions.lasting():
                self._begin(session)
            while True:
                if not self._dirty:
                    self._at_rest.set()
                    self._changed = trio.Event()
                    await self._changed.wait()
                if self._at_rest.is_set():
                    self._at_rest = trio.Event()
                self._under_way = 1
                items = await self._next_batch()
                if items:
                    await self._deliver(items)
                self._under_way = 0
        finally:
            if self._store.watcher is self:
                self._store.watcher = None

    @property
    def untold(self) -> int:
        """The sessions of which there is something to tell, or on its way."""
        return len(self._dirty) + self._under_way

    async def caught_up(self) -> None:
        """Return once everything was told."""
        while self.untold:
            self._changed.set()
            await self._at_rest.wait()

    def give(self, client_id: bytes) -> bool:
        """Let the other gateway have a session, once it has all of it; False where there is none."""
        session = self._sessions.find(client_id)
        told = self._told.get(session.key) if session is not None else None
        if told is None:
            return False
        if told.is_offered:  # Something went wrong with the last time.
            told = self._told[told.session.key] = Told(told.session)
        told.is_asked_for = True
        self._note(told)
        return True

    def through(self, client_id: bytes) -> int:
        """The last place in a session's queue that was told."""
        session = self._sessions.find(client_id)
        told = self._told.get(session.key) if session is not None else None
        return told.through if told is not None else 0

    # What the store tells.

    def saved(self, session: StoredSession) -> None:
        told = self._told.get(session.key)
        if told is None:
            found = self._sessions.find(session.client_id)
            if found is not None and found.key == session.key and found.store is not None and not found.limits:
                self._begin(found)
        else:
            told.head = True
            self._note(told)

    def deleted(self, key: int) -> None:
        told = self._told.get(key)
        if told is not None:
            told.is_over = True
            self._note(told)

    def subscription_changed(self, key: int, topic_filter: bytes) -> None:
        told = self._told.get(key)
        if told is not None:
            told.filters[topic_filter] = None
            self._note(told)

    def queued(self, key: int) -> None:
        told = self._told.get(key)
        if told is not None and not told.more:
            told.more = True
            self._note(told)

    def released(self, key: int, sequence: int) -> None:
        told = self._told.get(key)
        if told is not None and (told.reading or sequence <= told.through):
            told.released.append(sequence)
            self._note(told)

    def dequeued(self, key: int, sequence: int) -> None:
        told = self._told.get(key)
        if told is not None and (told.reading or sequence <= told.through):
            told.gone.append(sequence)
            self._note(told)

    def received_changed(self, key: int) -> None:
        told = self._told.get(key)
        if told is not None:
            told.received = True
            self._note(told)

    # What is told.

    def _begin(self, session: MqttSession) -> None:
        told = self._told[session.key] = Told(session)
        self._note(told)

    def _note(self, told: Told) -> None:
        self._dirty[told.session.key] = told
        self._changed.set()

    async def _next_batch(self) -> list[wire.Item]:
        """What there is to tell, as much as goes into one batch."""
        items: list[wire.Item] = []
        size = 0
        for key, told in list(self._dirty.items()):
            if size >= BATCH_BYTES:
                break
            del self._dirty[key]
            found = await self._items(key, told)
            items += found
            size += sum(map(size_of, found))
        return items

    async def _items(self, key: int, told: Told) -> list[wire.Item]:
        session = told.session
        client_id = session.client_id
        items: list[wire.Item] = []
        if told.is_over:
            del self._told[key]
            # One that has come in its place begins anew at the other gateway, too.
            return [wire.Ended(client_id)] if told.begun else []
        if told.is_offered:  # What comes now is told by `give_up`.
            return []
        if not told.begun:
            told.begun = True
            told.head = told.received = False
            told.filters.clear()
            held = [subscription_of(one.wanted, one.identifier) for one in session.subscriptions.values()]
            items.append(wire.Begun(head_of(session), held, sorted(session.received)))
        items += self._changes(told, client_id)
        if told.more:
            items += await self._page(key, told)
        elif not told.is_whole:
            told.is_whole = True
            items.append(wire.Whole(client_id))
        if told.is_asked_for and told.is_whole and not (told.is_offered or told.more or told.is_over):
            told.is_offered = True
            items.append(wire.Yours(client_id))
        return items

    def _changes(self, told: Told, client_id: bytes) -> list[wire.Item]:
        items: list[wire.Item] = []
        if told.head:
            told.head = False
            items.append(head_of(told.session))
        filters, told.filters = told.filters, {}
        for topic_filter in filters:
            held = told.session.subscriptions.get(topic_filter)
            if held is None:
                items.append(wire.Unsubscribed(client_id, topic_filter))
            else:
                items.append(wire.Subscribed(client_id, subscription_of(held.wanted, held.identifier)))
        if told.received:
            told.received = False
            items.append(wire.Received(client_id, sorted(told.session.received)))
        if told.released:
            items.append(wire.Released(client_id, told.released))
            told.released = []
        if told.gone:
            items.append(wire.Gone(client_id, told.gone))
            told.gone = []
        return items

    async def _page(self, key: int, told: Told) -> list[wire.Item]:
        """The next places of the queue. What is done with one of them while they are read is told behind them."""
        told.reading, told.more = True, False
        rows = await read_page(self._store, key, told.through)
        told.reading = False
        if rows:
            told.more = True
            told.through = rows[-1].sequence
        if told.is_over or rows or told.more or not told.is_whole:
            self._note(told)
        now, client_id = self._clock(), told.session.client_id
        return [
            wire.Queued(client_id, row.sequence, content_of(row, now) if row.message is not None else None)
            for row in rows
        ]


Deliver = Callable[[list[wire.Item]], Awaitable[None]]


async def read_page(store: SessionStore, key: int, after: int) -> list[QueuedMessage]:
    """The next places of a queue; none at its end."""
    found: list[QueuedMessage] = []
    came = trio.Event()

    def arrived(rows: list[QueuedMessage]) -> None:
        found.extend(rows)
        came.set()

    store.read_page(key, after, PAGE_ROWS, PAGE_BYTES, arrived)
    await came.wait()
    return found


def content_of(row: QueuedMessage, now: float) -> wire.Content:
    message = row.message
    assert message is not None
    expires_in = max(row.expires_at - now, 0.001) if row.expires_at else 0.0
    head = (row.qos, row.retain, row.identifiers, expires_in)
    return wire.Content(*head, message.subject, message.reply, message.header_size, message.body(), message.qos)


def head_of(session: MqttSession) -> wire.Head:
    return wire.Head(session.client_id, session.version, session.expiry_seconds, session.user, session.proof)


def subscription_of(wanted: Subscription, identifier: int) -> wire.Subscription:
    options = (wanted.qos, wanted.no_local, wanted.retain_as_published, wanted.retain_handling)
    return wire.Subscription(wanted.topic_filter, *options, identifier)


def size_of(item: wire.Item) -> int:
    """About how many bytes it takes."""
    if isinstance(item, wire.Queued | wire.Merged) and item.content is not None:
        return ITEM_BYTES + len(item.content.subject) + len(item.content.body)
    if isinstance(item, wire.Begun):
        return ITEM_BYTES * (1 + len(item.subscriptions))
    return ITEM_BYTES


async def give_up(
    sessions: MqttSessions,
    store: SessionStore,
    clock: Callable[[], float],
    client_id: bytes,
    through: int,
    deliver: Deliver,
) -> None:
    """Give a session up for the other gateway's: what only this one has goes there first."""
    session = sessions.find(client_id)
    if session is None:
        return
    if session.client is not None:
        session.client.connection.close(CloseReason.DUPLICATE_CLIENT_ID, MOVED)
    count = 0
    while sessions.find(client_id) is session:
        last = session.outgoing.sequence
        rows = await read_page(store, session.key, through)
        if sessions.find(client_id) is not session:
            return
        if not rows and session.outgoing.sequence == last:
            break
        now = clock()
        items: list[wire.Item] = [
            wire.Merged(client_id, content_of(row, now)) for row in rows if row.message is not None
        ]
        if rows:
            through = rows[-1].sequence
        if items:
            count += len(items)
            await deliver(items)
    sessions.give_away(session, MOVED)
    log.info("event=session-moved client-id=%s merged=%d", shown(client_id), count)
