"""All MQTT sessions by client id: who takes which over, how long they outlive their clients, and their wills."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import trio

from gateway.accounts.account import Account
from gateway.accounts.permissions import EVERYTHING
from gateway.accounts.review import review
from gateway.mqtt.attached_client import AttachedClient
from gateway.mqtt.bridge_ids import is_bridge
from gateway.mqtt.losses import Losses
from gateway.mqtt.replies import ReplyReceiver
from gateway.mqtt.sending_port import FULL
from gateway.mqtt.session import MqttSession, QueueLimits, session_bytes, will_bytes
from gateway.runtime.deadlines import Deadline
from gateway.runtime.logs import shown
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import OwnTurn
from gateway.settings.mqtt import Mqtt
from gateway.storage.schema import UNKNOWN_SENT
from gateway.storage.stored_session import NEVER_EXPIRES, RestoredSession, StoredSession, StoredWill
from protocols.close_reason import CloseReason
from protocols.message import Message

if TYPE_CHECKING:
    from gateway.storage.session_store import SessionStore

log = logging.getLogger("leafgate.mqtt")

# A will for which the disk has no room is said again and again, as long as so many bytes of such wills wait.
UNSAID_SECONDS = 1.0
UNSAID_OVERHEAD = 1024
MOST_UNSAID_BYTES = 8 << 20


class Absence:
    """What is due while the client of a session is away. `began` is in seconds of the account's clock."""

    __slots__ = ("began", "expiry", "will", "will_deadline")

    def __init__(self, began: float) -> None:
        self.began = began
        self.expiry: Deadline | None = None
        self.will: StoredWill | None = None
        self.will_deadline: Deadline | None = None


class NewClient(AttachedClient, Protocol):
    """A client that connects. `user` is whom it was admitted as, empty for somebody anonymous; `proof` is what is kept
    of how it was recognised.
    """

    will: StoredWill | None

    @property
    def user(self) -> str: ...

    @property
    def proof(self) -> bytes: ...


class Elsewhere(Protocol):
    """The other gateway of a pair, which may have sessions that are wanted here."""

    def owner_of(self, client_id: bytes) -> str | None:
        """The user whose a session there is, empty for nobody's; None where it is not known that there is one."""

    async def fetch(self, client_id: bytes) -> bool:
        """Have it here; False where the other gateway does not give it away in time."""

    def used(self, session: MqttSession) -> None:
        """A client has come to a session here."""


class MqttSessions:
    """The sessions of one account, at most `max-sessions`. With a `store` those that outlive their client outlive the
    process too.
    """

    def __init__(self, runtime: Runtime, account: Account, store: "SessionStore | None") -> None:
        self.store = store
        self._runtime = runtime
        self._account = account
        self._replies = ReplyReceiver(account, runtime.names.gateway_id)
        account.unwrap = self._replies.unwrap
        account.rights_changed = self._rights_changed
        # How many have a client, and how many ended because theirs did not come back.
        self.connected = 0
        self.expired = 0
        self._sessions: dict[bytes, MqttSession] = {}
        self._absences: dict[bytes, Absence] = {}
        self._unsaid_bytes = 0
        self._losses = Losses(runtime.deadlines)
        # What sessions had lost that are over.
        self._dropped_before = 0
        self._oversized_before = 0
        # None where there is no pair.
        self.elsewhere: Elsewhere | None = None
        for section in ("limits", "mqtt"):
            runtime.settings.subscribe(section, self._settings_changed)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def fault(self) -> str | None:
        """Why nothing can be stored at the moment."""
        return self._account.durability.fault

    @property
    def obstacle(self) -> str | None:
        """Why no more may be stored at the moment."""
        return self._account.durability.obstacle()

    def expect_replies(self) -> None:
        """Take what is sent to the gateway's own reply subjects from now on."""
        if self._replies.slot < 0:
            self._account.router.subscribe(self._replies)

    async def losses(self) -> tuple[int, int]:
        """Messages that did not get to their client since the start, and those of them that were too large for it;
        counted in turns.
        """
        turn = OwnTurn(self._runtime.turns)
        dropped = oversized = 0
        for session in list(self._sessions.values()):
            # Of one that has ended meanwhile it is counted below.
            if self._sessions.get(session.client_id) is session:
                dropped += session.dropped
                oversized += session.oversized
            if turn.is_over():
                await turn.next()
        return self._dropped_before + dropped, self._oversized_before + oversized

    def has_room(self, client_id: bytes) -> bool:
        return client_id in self._sessions or len(self._sessions) < self._runtime.settings.mqtt.max_sessions

    def has_memory(self, client_id: bytes, will: StoredWill | None) -> bool:
        """Whether the gateway can afford a client's session and what it wants to be said at its end."""
        session = self._sessions.get(client_id)
        held = session.holding.bytes if session is not None else 0
        size = session_bytes(client_id) if session is None else 0
        if will is not None:
            size += will_bytes(will.message)
        return not size or self._runtime.budget.grants(held, size)

    def belongs_to_other(self, client_id: bytes, user: str) -> bool:
        """Whether a session is another user's, who keeps it until it ends. What nobody has may be anybody's."""
        session = self._sessions.get(client_id)
        if session is None:
            owner = self.elsewhere.owner_of(client_id) if self.elsewhere is not None else None
            return bool(owner) and owner != user
        return session.user != user and (bool(session.user) or session.client is not None)

    def fetch(self, client_id: bytes) -> Awaitable[bool] | None:
        """Have the session of a client here, where the other gateway of a pair has it; None where that is not so."""
        elsewhere = self.elsewhere
        if elsewhere is None or client_id in self._sessions or elsewhere.owner_of(client_id) is None:
            return None
        return elsewhere.fetch(client_id)

    def find(self, client_id: bytes) -> MqttSession | None:
        return self._sessions.get(client_id)

    def lasting(self) -> list[MqttSession]:
        """The sessions that outlive the process, those of bridges aside."""
        return [one for client_id, one in self._sessions.items() if one.store is not None and not is_bridge(client_id)]

    def give_away(self, session: MqttSession, detail: str) -> None:
        """The session is at the other gateway of the pair now: its client goes, and is to look for it there."""
        if session.client is not None:
            session.client.connection.close(CloseReason.DUPLICATE_CLIENT_ID, detail)
        if self._sessions.get(session.client_id) is session:
            absence = self._absences.get(session.client_id)
            if absence is not None:
                absence.will = None
            self._end(session)

    def has_client(self, client_id: bytes) -> bool:
        """Whether a client of this id is connected."""
        session = self._sessions.get(client_id)
        return session is not None and session.client is not None

    def stores(self, client_id: bytes) -> bool:
        """Whether a session of this client outlives the process."""
        session = self._sessions.get(client_id)
        return session is not None and session.store is not None

    def open(self, client: NewClient, clean_start: bool, expiry_seconds: int) -> tuple[MqttSession, bool]:
        """The session for a client, and whether it was there before. Its other client is sent away [MQTT-3.1.4-3]."""
        client_id = client.client_id
        session = self._sessions.get(client_id)
        if session is not None and session.client is not None:
            session.client.take_over(client.connection)
            session = self._sessions.get(client_id)
        if session is not None and clean_start:
            self._end(session)
            session = None
        present = session is not None
        if session is None:
            session = self._sessions[client_id] = self._make(client_id)
        else:
            self._cancel(self._absences.pop(client_id, None))
        session.belong_to(client.user, client.proof)
        session.expiry_seconds = expiry_seconds
        session.hold_will(client.will)
        session.attach(client)
        if self.elsewhere is not None:
            self.elsewhere.used(session)
        self.connected += 1
        # A will that cannot be written down now is none to outlive a crash.
        lasting = expiry_seconds or (client.will is not None and not self.obstacle)
        if self.store is not None and not session.key and lasting:
            session.key = session.outgoing.key = self.store.new_key()
            # Of a session that ends with its connection nothing but the will outlives a crash.
            if expiry_seconds:
                session.keep_in(self.store)
        self._save(session, 0.0, client.will)
        return session, present

    def hold(self, client_id: bytes, limits: QueueLimits) -> MqttSession:
        """The session of a bridge, which is there whether or not it is connected, until `release`
        (gateway.mqtt.bridge_ids)."""
        session = self._sessions.get(client_id)
        if session is None:
            session = self._sessions[client_id] = self._make(client_id)
        self._cancel(self._absences.pop(client_id, None))
        session.expiry_seconds = NEVER_EXPIRES
        session.limits = limits
        session.take_rights(EVERYTHING)
        session.settings_changed()
        if self.store is not None and not session.key:
            session.key = session.outgoing.key = self.store.new_key()
            session.keep_in(self.store)
            self._save(session, self._account.clock(), None)
        return session

    def attach(self, session: MqttSession, client: AttachedClient) -> None:
        """The other end of a bridge is there; call `pump` on the session when it knows."""
        session.attach(client)
        self._save(session, 0.0, None)

    def detach(self, session: MqttSession) -> None:
        """The other end of a bridge has gone."""
        session.detach()
        self._save(session, self._account.clock(), None)

    def release(self, session: MqttSession) -> None:
        """A bridge is not configured any more. What waits for it is kept as long as it is for a client that is away, so
        that a mistake loses nothing; more does not come.
        """
        for topic_filter in list(session.subscriptions):
            session.unsubscribe(topic_filter)
        began = self._account.clock()
        session.expiry_seconds = capped_expiry(NEVER_EXPIRES, self._runtime.settings.mqtt)
        self._save(session, began, None)
        self._go_absent(session, began, None, 0.0, session.expiry_seconds)

    def held(self) -> list[MqttSession]:
        """The sessions of bridges, also of those that are not configured any more."""
        return [session for client_id, session in self._sessions.items() if is_bridge(client_id)]

    def leave(self, session: MqttSession, will: StoredWill | None, reason: CloseReason) -> None:
        """The client has gone; `will` is what it wants to be said, None after a DISCONNECT."""
        self.connected -= 1
        session.detach()
        self._look_up_rights(session)
        # Only a session that is there again after the next start can have its will wait for that (3.1.2.5).
        stopping = reason is CloseReason.SERVER_SHUTDOWN and session.store is not None
        if session.expiry_seconds == 0:
            self._end(session, will)
            return
        delay = min(will.delay_seconds, session.expiry_seconds) if will is not None else 0
        due = None
        if will is not None and not stopping and (not delay or reason is CloseReason.SERVER_SHUTDOWN):
            due, will = will, None
        self._go_absent(session, self._account.clock(), will, delay, session.expiry_seconds, stopping)
        if due is not None:
            self._say_of_absent(due, session)

    def restore(self, found: list[RestoredSession]) -> None:
        """Take up the sessions that an earlier run left in the store."""
        now = self._account.clock()
        over: list[tuple[MqttSession, StoredWill | None]] = []
        for restored in found:
            stored = restored.session
            # A crash may leave some of the last run uncounted.
            ended_at = min(stored.ended_at or now, now)
            session = self._restored(restored)
            left: float = NEVER_EXPIRES
            if session.expiry_seconds != NEVER_EXPIRES:
                left = ended_at + session.expiry_seconds - now
            will = stored.will
            if left <= 0:
                over.append((session, will))
                continue
            self.expect_replies()
            will_in = 0.0
            if will is not None:
                will_in = min(will.due_at - now, will.delay_seconds) if will.due_at else will.delay_seconds
            self._go_absent(session, ended_at, will, will_in, left)
        # All are there to hear what the others leave behind.
        for session, will in over:
            self._end(session, will)

    def _restored(self, restored: RestoredSession) -> MqttSession:
        stored = restored.session
        session = self._sessions[stored.client_id] = self._make(stored.client_id)
        session.belong_to(stored.user, stored.proof)
        session.expiry_seconds = stored.expiry_seconds
        if not is_bridge(stored.client_id):
            session.expiry_seconds = capped_expiry(stored.expiry_seconds, self._runtime.settings.mqtt)
        for subscription, identifier in restored.subscriptions:
            session.restore_subscription(subscription, identifier)
        session.received = restored.received
        session.key = session.outgoing.key = stored.key
        if self.store is not None:
            session.keep_in(self.store)
        # Of a client that was there nobody knows how far it had got.
        known = stored.ended_at and stored.sent_through != UNKNOWN_SENT
        sent_through = stored.sent_through if known else restored.last_sequence
        session.outgoing.restore(restored.queue_count, restored.queue_bytes, restored.last_sequence, sent_through)
        self._look_up_rights(session)
        return session

    def _look_up_rights(self, session: MqttSession) -> None:
        """Nobody is there who would be told of other rights, but there may be a will, and what comes is kept."""
        permissions = self._account.rights_of(session.user, session.proof)
        if permissions is not None:
            session.take_rights(permissions)

    def _rights_changed(self) -> None:
        review(self._runtime.turns, list(self._absences), self._review)

    def _review(self, client_id: bytes) -> None:
        if client_id in self._absences:
            self._look_up_rights(self._sessions[client_id])

    def _go_absent(
        self,
        session: MqttSession,
        began: float,
        will: StoredWill | None,
        will_in: float,
        expires_in: float,
        stopping: bool = False,
    ) -> None:
        """Note what is due. When the gateway is `stopping` the will waits for the next start."""
        client_id = session.client_id
        session.hold_will(will)
        absence = self._absences[client_id] = Absence(began)
        now = trio.current_time()
        call_at = self._runtime.deadlines.call_at
        if will is not None:
            will.due_at = self._account.clock() + will_in
            absence.will = will
            if not stopping:
                absence.will_deadline = call_at(now + max(will_in, 0.0), lambda _: self._will_is_due(client_id))
        if expires_in != NEVER_EXPIRES:
            absence.expiry = call_at(now + expires_in, lambda _: self._expire(session))
        self._save(session, began, will)

    def _will_is_due(self, client_id: bytes) -> None:
        absence = self._absences[client_id]
        will, absence.will = absence.will, None
        if will is not None:
            session = self._sessions[client_id]
            session.hold_will(None)
            self._look_up_rights(session)  # They may have ended meanwhile, and nobody changed anything.
            self._say_of_absent(will, session)

    def _say_of_absent(self, will: StoredWill, session: MqttSession) -> None:
        """Say a will that is due; a crash before it is said leaves it to the next start."""
        absence = self._absences[session.client_id]
        will.due_at = will.due_at or absence.began
        self._save(session, absence.began, will)

        def said() -> None:
            if self._absences.get(session.client_id) is absence:
                self._save(session, absence.began, None)

        self._say(will.message, session, said)

    def _expire(self, session: MqttSession) -> None:
        self.expired += 1
        self._end(session)

    def _end(self, session: MqttSession, will: StoredWill | None = None) -> None:
        """The session is over; a will that waits is said now [MQTT-3.1.2-8]."""
        absence = self._absences.pop(session.client_id, None)
        self._sessions.pop(session.client_id, None)
        self._cancel(absence)
        session.end()
        self._dropped_before += session.dropped
        self._oversized_before += session.oversized

        def said() -> None:
            if self.store is not None and session.key:
                self.store.delete(session.key)

        if absence is not None and absence.will is not None:
            will = absence.will
        if will is not None:
            self._say(will.message, session, said)
        else:
            said()

    def _cancel(self, absence: Absence | None) -> None:
        if absence is not None:
            self._runtime.deadlines.cancel(absence.expiry)
            self._runtime.deadlines.cancel(absence.will_deadline)

    def _say(self, message: Message, session: MqttSession, said: Callable[[], None]) -> None:
        """Publish a will, and call `said`; later where the disk has no room for all who keep it. One that may not be
        published any more is dropped.
        """
        if not session.allows(message.subject):
            log.warning("event=will-dropped client-id=%s detail='it may not be published'", shown(session.client_id))
            said()
            return
        if message.reply:
            self.expect_replies()
        size = message.size + UNSAID_OVERHEAD
        may_wait = self._unsaid_bytes + size <= MOST_UNSAID_BYTES

        def again(now: float) -> None:
            self._unsaid_bytes -= size
            self._say(message, session, said)

        def done(message: Message) -> None:
            if may_wait and message.refused:
                self._unsaid_bytes += size
                self._runtime.deadlines.call_at(trio.current_time() + UNSAID_SECONDS, again)
            else:
                said()

        self._account.publish(message, session, whole=may_wait, done=done)

    def note_loss(self, session: MqttSession) -> None:
        """A message that came from elsewhere found no room in a session."""
        session.dropped += 1
        self._losses.note(session, FULL)

    def _make(self, client_id: bytes) -> MqttSession:
        return MqttSession(self._runtime, self._account, client_id, self.expect_replies, self._losses.note)

    def _settings_changed(self) -> None:
        for session in list(self._sessions.values()):
            session.settings_changed()

    def _save(self, session: MqttSession, ended_at: float, will: StoredWill | None) -> None:
        if self.store is not None and session.key:
            sent_through = session.outgoing.sent_through if ended_at else UNKNOWN_SENT
            head = (session.key, session.client_id, session.version, session.expiry_seconds)
            self.store.save(StoredSession(*head, ended_at, will, sent_through, session.user, session.proof))


def capped_expiry(wanted: int, config: Mqtt) -> int:
    """How long a session outlives its connection at most, in seconds."""
    return min(wanted, config.max_session_expiry_seconds or NEVER_EXPIRES)
