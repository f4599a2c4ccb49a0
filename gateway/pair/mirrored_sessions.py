"""Mirrored sessions: whose each MQTT session is, this gateway's or the other one's of the pair, and how it moves.

    the other's, a copy here ──client comes, link up──> fetched ──> ours
                             └─────link lost──────────────────────> ours, noted
    both have it when the link is up again: one gives it up to the other, with what only it has

A session belongs to one gateway as long as they see each other. Where they do not, both take messages for it, and a
client may come to either.
"""

import logging
import time
from collections.abc import Callable

import trio

from gateway.mqtt.session import MqttSession
from gateway.mqtt.sessions import MqttSessions
from gateway.pair import wire
from gateway.pair.notes import NEVER, Note, Notes
from gateway.pair.session_copies import SessionCopies, message_from
from gateway.pair.session_feed import Deliver, SessionFeed, give_up
from gateway.runtime.logs import shown
from gateway.storage.durability import Durability
from gateway.storage.session_store import SessionStore

log = logging.getLogger("leafgate.pair")

# How long a client waits for its session, and how long after a start the other gateway is waited for.
FETCH_SECONDS = 5.0


class MirroredSessions:
    """`send` sends a packet over the link, `deliver` a batch, and returns when that is on the other's disk."""

    def __init__(
        self,
        sessions: MqttSessions,
        store: SessionStore,
        durability: Durability,
        clock: Callable[[], float],
        copies: SessionCopies,
        notes: Notes,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._durability = durability
        self._clock = clock
        self.copies = copies
        self._notes = notes
        self._link: LinkedSessions | None = None
        # Sessions that are on their way here, and who waits for them.
        self._awaited: dict[bytes, trio.Event] = {}
        sessions.elsewhere = self

    def __len__(self) -> int:
        """How many sessions are ours."""
        return len(self._sessions.lasting())

    # What the sessions ask (gateway.mqtt.sessions.Elsewhere).

    def owner_of(self, client_id: bytes) -> str | None:
        return self.copies.owner_of(client_id)

    async def fetch(self, client_id: bytes) -> bool:
        link = self._link
        if link is None:
            self._take_over(client_id)
            return True
        with trio.move_on_after(FETCH_SECONDS):
            await link.settled.wait()
            arrived = self._awaited.setdefault(client_id, trio.Event())
            link.send(wire.Take(client_id))
            await arrived.wait()
        if self.owner_of(client_id) is not None and self._link is None:
            self._take_over(client_id)
        return self.owner_of(client_id) is None

    def used(self, session: MqttSession) -> None:
        if self._link is None:
            note = self._notes.of(session.client_id)
            self._notes.set(session.client_id, note._replace(used=time.time()))

    # The link.

    def linked(self, send: Callable[[wire.Packet], None], deliver: Deliver, is_first: bool) -> "LinkedSessions":
        """The other gateway is there. `is_first`: of two who have the same right to a session this one keeps it."""
        link = self._link = LinkedSessions(self, send, deliver, is_first)
        return link

    def parted(self) -> None:
        """The other gateway is gone: what was its is ours from now on."""
        self._link = None
        self.copies.settle_drafts()
        names = self.copies.names()
        for client_id in names:
            self._take_over(client_id)
        if names:
            log.warning("event=sessions-taken-over count=%d", len(names))
        for arrived in self._awaited.values():
            arrived.set()
        self._awaited.clear()

    def _take_over(self, client_id: bytes) -> None:
        through = self.copies.activate(client_id)
        if through is not None:
            self._notes.set(client_id, Note(through, self._notes.of(client_id).used))

    def arrived(self, client_id: bytes) -> None:
        event = self._awaited.pop(client_id, None)
        if event is not None:
            event.set()

    # For the link.

    def owned(self) -> list[wire.Owned]:
        found = []
        for session in self._sessions.lasting():
            note = self._notes.of(session.client_id)
            told = session.client_id, session.user, session.client is not None
            found.append(wire.Owned(*told, note.used, note.through))
        return found

    def know(self, theirs: list[wire.Owned]) -> None:
        self.copies.keep_only({one.id: one.user for one in theirs})

    async def give_up(self, client_id: bytes, through: int, deliver: Deliver) -> None:
        await give_up(self._sessions, self._store, self._clock, client_id, through, deliver)

    def feed(self, deliver: Deliver) -> SessionFeed:
        self._notes.clear()
        return SessionFeed(self._sessions, self._store, self._clock, deliver)

    def take(self, items: list[wire.Item], send: Callable[[wire.Packet], None]) -> None:
        """Do what a batch says."""
        for item in items:
            if isinstance(item, wire.Merged):
                self._merge(item)
            elif isinstance(item, wire.Yours):
                self.copies.activate(item.id)
                self.arrived(item.id)
                send(wire.Mine(item.id))
            else:
                self.copies.take(item)
                if isinstance(item, wire.Ended):
                    self.arrived(item.id)

    def _merge(self, item: wire.Merged) -> None:
        session = self._sessions.find(item.id)
        if session is None:
            log.warning("event=not-merged client-id=%s detail='the session has ended'", shown(item.id))
            return
        message, content = message_from(item.content), item.content
        expires_at = self._clock() + content.expires_in if content.expires_in else 0.0
        away = session.client is None
        options = (content.qos, content.retain, content.identifiers, expires_at, away)
        if not self._durability.reserve(message, 1, False) or not session.outgoing.add(message, None, *options):
            self._sessions.note_loss(session)
        elif not away:
            session.pump()

    def when_durable(self, action: Callable[[], None]) -> None:
        self._durability.when_durable(action)


class LinkedSessions:
    """The sessions of both while they see each other."""

    def __init__(
        self, mirrored: MirroredSessions, send: Callable[[wire.Packet], None], deliver: Deliver, is_first: bool
    ) -> None:
        self.settled = trio.Event()
        self.send = send
        self._mirrored = mirrored
        self._deliver = deliver
        self._is_first = is_first
        self._told = {one.id: one for one in mirrored.owned()}
        self._theirs: list[wire.Owned] | None = None
        self._came = trio.Event()
        self._other_settled = trio.Event()
        # What the other gateway asks for, and what it says it has.
        self._asked: list[wire.Take | wire.Mine] = []
        self._wakes = trio.Event()
        self.feed: SessionFeed | None = None

    async def run(self) -> None:
        """Settle whose is whose, and tell of ours from then on."""
        self.send(wire.Sessions(list(self._told.values())))
        await self._came.wait()
        assert self._theirs is not None
        for client_id, through in self.losses(self._theirs):
            await self._mirrored.give_up(client_id, through, self._deliver)
        self.send(wire.Settled())
        await self._other_settled.wait()
        feed = self.feed = self._mirrored.feed(self._deliver)
        self.settled.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            nursery.start_soon(self._move, feed)

    def losses(self, theirs: list[wire.Owned]) -> list[tuple[bytes, int]]:
        """The sessions that both have and the other gateway keeps, each with the last place that both had."""
        found = []
        for other in theirs:
            own = self._told.get(other.id)
            if own is None:
                continue
            through = max(own.through, other.through, 0)
            if self._right(own, self._is_first) < self._right(other, not self._is_first):
                found.append((other.id, through))
        return found

    def _right(self, one: wire.Owned, is_first: bool) -> tuple[bool, float, bool, bool]:
        """Who has the client keeps the session; then to whom it has come last; then whose it was before."""
        return one.connected, one.used, one.through == NEVER, is_first

    async def _move(self, feed: SessionFeed) -> None:
        """Give the other gateway what it asks for."""
        while True:
            while self._asked:
                asked = self._asked.pop(0)
                if isinstance(asked, wire.Mine):
                    await self._mirrored.give_up(asked.id, feed.through(asked.id), self._deliver)
                elif not feed.give(asked.id):  # It has ended meanwhile.
                    await self._deliver([wire.Ended(asked.id)])
            self._wakes = trio.Event()
            await self._wakes.wait()

    # What the other gateway says.

    def take_sessions(self, packet: wire.Sessions) -> None:
        self._theirs = packet.owned
        self._mirrored.know(packet.owned)
        self._came.set()

    def take_settled(self) -> None:
        self._other_settled.set()

    def take_asked(self, packet: wire.Take | wire.Mine) -> None:
        self._asked.append(packet)
        self._wakes.set()
