"""All MQTT sessions by client id: who takes which over, how long they outlive their clients, and their wills."""

import time
from typing import TYPE_CHECKING

import trio

from gateway.sessions.mqtt_session import NEVER_EXPIRES, MqttSession
from gateway.storage.stored_session import RestoredSession, StoredSession, StoredWill
from protocols.close_reason import CloseReason
from protocols.message import Message

if TYPE_CHECKING:
    from gateway.deadlines import Deadline
    from gateway.gateway import Gateway
    from gateway.sessions.mqtt_client import MqttClient
    from gateway.storage.mqtt_sessions import MqttSessions as SessionStore


class Absence:
    """What is due while the client of a session is away. `began` is in unix seconds."""

    __slots__ = ("began", "expiry", "will", "will_deadline")

    def __init__(self, began: float) -> None:
        self.began = began
        self.expiry: Deadline | None = None
        self.will: StoredWill | None = None
        self.will_deadline: Deadline | None = None


class MqttSessions:
    """At most `max-sessions` sessions. With a `store` those that outlive their client outlive the process too."""

    def __init__(self, gateway: "Gateway", store: "SessionStore | None") -> None:
        self.gateway = gateway
        self.store = store
        self.connected = 0
        self._sessions: dict[bytes, MqttSession] = {}
        self._absences: dict[bytes, Absence] = {}
        # When the second began in which clients are counted, and how many came in it.
        self._second = 0.0
        self._arrived = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def admits(self) -> bool:
        """Whether one more client may connect in this second; it counts as having come."""
        most = self.gateway.config.mqtt.max_connects_per_second
        now = trio.current_time()
        if now - self._second >= 1.0:
            self._second = now
            self._arrived = 0
        self._arrived += 1
        return not most or self._arrived <= most

    def has_room(self, client_id: bytes) -> bool:
        return client_id in self._sessions or len(self._sessions) < self.gateway.config.mqtt.max_sessions

    def open(self, client: "MqttClient", clean_start: bool, expiry_seconds: int) -> tuple[MqttSession, bool]:
        """The session for a client, and whether it was there before. Its other client is sent away [MQTT-3.1.4-3]."""
        client_id = client.client_id
        session = self._sessions.get(client_id)
        if session is not None and session.client is not None:
            session.client.take_over()
            session = self._sessions.get(client_id)
        if session is not None and clean_start:
            self._end(session)
            session = None
        present = session is not None
        if session is None:
            session = self._sessions[client_id] = MqttSession(self.gateway, client_id)
        else:
            self._cancel(self._absences.pop(client_id, None))
        session.expiry_seconds = expiry_seconds
        session.attach(client)
        self.connected += 1
        if self.store is not None and not session.key and (expiry_seconds or client.will is not None):
            session.key = session.outgoing.key = self.store.new_key()
            # Of a session that ends with its connection nothing but the will outlives a crash.
            if expiry_seconds:
                session.store = session.outgoing.store = self.store
        self._save(session, 0.0, client.will)
        return session, present

    def leave(self, session: MqttSession, will: StoredWill | None, reason: CloseReason) -> None:
        """The client has gone; `will` is what it wants to be said, None after a DISCONNECT."""
        self.connected -= 1
        session.detach()
        stopping = reason is CloseReason.SERVER_SHUTDOWN
        if session.expiry_seconds == 0:
            self._end(session)
            # That the gateway stops is no fault of the client or the way to it.
            if will is not None and not stopping:
                self._publish(will.message, session)
            return
        delay = min(will.delay_seconds, session.expiry_seconds) if will is not None else 0
        if will is not None and not delay and not stopping:
            self._publish(will.message, session)
            will = None
        self._go_absent(session, time.time(), will, delay, session.expiry_seconds)

    def restore(self, found: list[RestoredSession]) -> None:
        """Take up the sessions that an earlier run left in the store."""
        now = time.time()
        for restored in found:
            stored = restored.session
            ended_at = min(stored.ended_at or now, now)
            left = NEVER_EXPIRES
            if stored.expiry_seconds != NEVER_EXPIRES:
                left = max(int(ended_at + stored.expiry_seconds - now), 0)
            session = self._restored(restored)
            will = stored.will
            if will is not None:
                will.due_at = will.due_at or now + will.delay_seconds
            if left == 0:
                self._end(session)
                if will is not None:
                    self._publish(will.message, session)
                continue
            self.gateway.expect_replies()
            self._go_absent(session, ended_at, will, will.due_at - now if will is not None else 0.0, left)

    def _restored(self, restored: RestoredSession) -> MqttSession:
        stored = restored.session
        session = self._sessions[stored.client_id] = MqttSession(self.gateway, stored.client_id)
        session.expiry_seconds = stored.expiry_seconds
        for subscription, identifier in restored.subscriptions:
            session.subscribe(subscription, identifier)
        session.received = restored.received
        session.key = session.outgoing.key = stored.key
        session.store = session.outgoing.store = self.store
        doubtful = 0 if stored.ended_at else self.gateway.config.mqtt.max_inflight
        session.outgoing.restore(restored.queue_count, restored.queue_bytes, restored.last_sequence, doubtful)
        return session

    def _go_absent(
        self, session: MqttSession, began: float, will: StoredWill | None, will_in: float, expires_in: int
    ) -> None:
        client_id = session.client_id
        absence = self._absences[client_id] = Absence(began)
        now = trio.current_time()
        call_at = self.gateway.deadlines.call_at
        if will is not None:
            will.due_at = time.time() + will_in
            absence.will = will
            absence.will_deadline = call_at(now + max(will_in, 0.0), lambda _: self._will_is_due(client_id))
        if expires_in != NEVER_EXPIRES:
            absence.expiry = call_at(now + expires_in, lambda _: self._end(session))
        self._save(session, began, will)

    def _will_is_due(self, client_id: bytes) -> None:
        absence = self._absences[client_id]
        will, absence.will = absence.will, None
        session = self._sessions[client_id]
        if will is not None:
            self._publish(will.message, session)
            self._save(session, absence.began, None)

    def _end(self, session: MqttSession) -> None:
        """The session is over; a will that waits is said now [MQTT-3.1.2-8]."""
        absence = self._absences.pop(session.client_id, None)
        self._sessions.pop(session.client_id, None)
        self._cancel(absence)
        session.end()
        if self.store is not None and session.key:
            self.store.delete(session.key)
        if absence is not None and absence.will is not None:
            self._publish(absence.will.message, session)

    def _cancel(self, absence: Absence | None) -> None:
        if absence is not None:
            self.gateway.deadlines.cancel(absence.expiry)
            self.gateway.deadlines.cancel(absence.will_deadline)

    def _publish(self, message: Message, session: MqttSession) -> None:
        self.gateway.account.router.route(message, message.subject, session)

    def _save(self, session: MqttSession, ended_at: float, will: StoredWill | None) -> None:
        if self.store is not None and session.key:
            version = session.version
            self.store.save(
                StoredSession(session.key, session.client_id, version, session.expiry_seconds, ended_at, will)
            )
