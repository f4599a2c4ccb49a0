"""All MQTT sessions by client id: who takes which over, and which of them outlive their clients."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from gateway.accounts.account import Account
from gateway.accounts.permissions import EVERYTHING
from gateway.mqtt.absences import Absences
from gateway.mqtt.attached_client import AttachedClient
from gateway.mqtt.bridge_ids import is_bridge
from gateway.mqtt.losses import Losses
from gateway.mqtt.replies import ReplyReceiver
from gateway.mqtt.sending_port import FULL
from gateway.mqtt.session import MqttSession, QueueLimits, session_bytes, will_bytes
from gateway.mqtt.wills import Wills
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import OwnTurn
from gateway.settings.mqtt import Mqtt
from gateway.storage.schema import UNKNOWN_SENT
from gateway.storage.stored_session import NEVER_EXPIRES, RestoredSession, StoredSession, StoredWill
from protocols.close_reason import CloseReason

if TYPE_CHECKING:
    from gateway.storage.session_store import SessionStore


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
        # How many have a client, and how many ended because theirs did not come back.
        self.connected = 0
        self.expired = 0
        self._sessions: dict[bytes, MqttSession] = {}
        self._wills = Wills(runtime, account, self.expect_replies)
        self._absences = Absences(runtime, account, self._wills, self._save, self._expire)
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
            self._absences.end(session.client_id)  # Its will goes with it.
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
            self._absences.end(client_id)
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
        self._absences.end(client_id)
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
        self._absences.begin(session, began, None, 0.0, session.expiry_seconds)

    def held(self) -> list[MqttSession]:
        """The sessions of bridges, also of those that are not configured any more."""
        return [session for client_id, session in self._sessions.items() if is_bridge(client_id)]

    def leave(self, session: MqttSession, will: StoredWill | None, reason: CloseReason) -> None:
        """The client has gone; `will` is what it wants to be said, None after a DISCONNECT."""
        self.connected -= 1
        session.detach()
        self._absences.look_up_rights(session)
        # Only a session that is there again after the next start can have its will wait for that (3.1.2.5).
        stopping = reason is CloseReason.SERVER_SHUTDOWN and session.store is not None
        if session.expiry_seconds == 0:
            self._end(session, will)
            return
        delay = min(will.delay_seconds, session.expiry_seconds) if will is not None else 0
        due = None
        if will is not None and not stopping and (not delay or reason is CloseReason.SERVER_SHUTDOWN):
            due, will = will, None
        self._absences.begin(session, self._account.clock(), will, delay, session.expiry_seconds, stopping)
        if due is not None:
            self._absences.say(due, session)

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
            self._absences.begin(session, ended_at, will, will_in, left)
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
        self._absences.look_up_rights(session)
        return session

    def _expire(self, session: MqttSession) -> None:
        self.expired += 1
        self._end(session)

    def _end(self, session: MqttSession, will: StoredWill | None = None) -> None:
        """The session is over; a will that waits is said now [MQTT-3.1.2-8]."""
        will = self._absences.end(session.client_id) or will
        self._sessions.pop(session.client_id, None)
        session.end()
        self._dropped_before += session.dropped
        self._oversized_before += session.oversized

        def said() -> None:
            if self.store is not None and session.key:
                self.store.delete(session.key)

        if will is not None:
            self._wills.say(will.message, session, said)
        else:
            said()

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
