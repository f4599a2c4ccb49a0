"""MQTT client: one connection, what its packets mean here, and what is said when it ends."""

import logging
from collections.abc import Callable
from typing import ClassVar

import trio

from gateway.accounts.account import Account
from gateway.accounts.admission import Admission, AdmissionRequest
from gateway.accounts.identity import Decision, Identity, Refusal
from gateway.dataplane.port import Port
from gateway.dataplane.router import ROUTED
from gateway.dataplane.verdicts import Denied
from gateway.mqtt.acknowledging import Acknowledging
from gateway.mqtt.answers import MOST_HELD, Answers
from gateway.mqtt.connecting import (
    NO_PROPERTIES,
    connack_properties,
    keep_alive_of,
    refusal_of,
    session_expiry,
    will_of,
)
from gateway.mqtt.directory import SessionDirectory
from gateway.mqtt.enhanced_login import EnhancedLogin
from gateway.mqtt.login import login_of, refusal_code
from gateway.mqtt.publishing import MessageInHand, Publishing, RunInHand
from gateway.mqtt.session import MqttSession
from gateway.mqtt.sessions import MqttSessions, capped_expiry
from gateway.mqtt.subscribing import Subscribing, Unsubscribing
from gateway.runtime.deadlines import Deadline
from gateway.runtime.identity import new_token
from gateway.runtime.logs import shown
from gateway.runtime.turns import DECODED_AT_ONCE, TURN_SECONDS
from gateway.storage.durability import Durability
from gateway.storage.stored_session import StoredWill
from gateway.transport.connection import Connection, expect_introduction
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.mqtt import encoder, packets
from protocols.mqtt.acknowledgements import PUBACK, PUBCOMP, PUBREL, AckRun
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.errors import PacketError
from protocols.mqtt.gateways_passed import gateway_named, name_gateway
from protocols.mqtt.parsers import FilterList
from protocols.mqtt.primitives import MQTT_3_1, MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish, PublishRun
from protocols.mqtt.reason_codes import ReasonCode

log = logging.getLogger("leafgate.mqtt")

# A client may be silent for one and a half times its keep-alive [MQTT-3.1.2-24].
KEEP_ALIVE_GRACE = 1.5
UNLIMITED = 0xFFFF
# A reason string is there to be read. It is left out where it could make a packet too large for the client: all else
# in a packet that may have one takes less than this.
LONGEST_REASON = 1024
REASON_ROOM = 64

# What a 5.0 client hears when the gateway ends the connection; of other ends it knows itself.
FAREWELLS = {
    CloseReason.SERVER_SHUTDOWN: ReasonCode.SERVER_SHUTTING_DOWN,
    CloseReason.STALE_CONNECTION: ReasonCode.KEEP_ALIVE_TIMEOUT,
    CloseReason.KICKED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.DUPLICATE_CLIENT_ID: ReasonCode.SESSION_TAKEN_OVER,
    CloseReason.MAXIMUM_PAYLOAD_EXCEEDED: ReasonCode.PACKET_TOO_LARGE,
    CloseReason.MAXIMUM_MEMORY_EXCEEDED: ReasonCode.QUOTA_EXCEEDED,
    CloseReason.PROTOCOL_VIOLATION: ReasonCode.PROTOCOL_ERROR,
    CloseReason.INTERNAL_ERROR: ReasonCode.UNSPECIFIED_ERROR,
}


# What a client may send before its login is decided on.
DURING_LOGIN = (packets.Auth, packets.Disconnect, PeerViolation)

# Nothing waits for the disk before there is a session, nor behind its connection.
NO_ANSWERS = Answers(Durability(), lambda packet: None)


class MqttClient:
    """One connection of an MQTT client; `session` is None until its CONNECT is accepted. `_left` are events that wait
    for the next turn.
    """

    kind = "mqtt"
    is_client = True

    __slots__ = (
        "_answers",
        "_deadline",
        "_directory",
        "_entered",
        "_explains",
        "_farewell",
        "_left",
        "_login",
        "_past",
        "_request",
        "_sessions",
        "acknowledging",
        "beyond",
        "bridge",
        "client_id",
        "connection",
        "decoder",
        "has_more",
        "identity",
        "keep_alive",
        "longest_silence",
        "max_packet_size",
        "publishing",
        "receive_maximum",
        "runtime",
        "session",
        "tells_problems",
        "topic_alias_maximum",
        "version",
        "will",
    )

    def __init__(self, connection: Connection, admission: Admission, directory: SessionDirectory) -> None:
        self.connection = connection
        self.runtime = connection.runtime
        settings, limits = self.runtime.settings, self.runtime.settings.mqtt
        self.decoder = Decoder(
            limits.max_packet_bytes,
            settings.limits.max_payload_bytes,
            limits.max_topic_levels,
            limits.max_user_properties,
        )
        self.decoder.slice_size = DECODED_AT_ONCE
        self._request = AdmissionRequest(connection, admission)
        self.identity: Identity | None = None
        self._directory = directory
        self._sessions: MqttSessions | None = None
        # Where the client logs in by an authentication method.
        self._login: EnhancedLogin | None = None
        # The account that counts this connection.
        self._entered: Account | None = None
        self._left: list[object] = []
        self.has_more = False
        self.version = MQTT_3_1_1
        self.client_id = b""
        self.bridge = False
        self.beyond = b""
        self.session: MqttSession | None = None
        # What the client did, once it has gone: its session may serve another one then.
        self._past: Port | None = None
        self.publishing: Publishing | None = None
        self.acknowledging: Acknowledging | None = None
        self.will: StoredWill | None = None
        self.keep_alive = 0
        self.longest_silence = 0.0
        # What the client said it takes.
        self.receive_maximum = UNLIMITED
        self.max_packet_size = 0
        self.topic_alias_maximum = 0
        self.tells_problems = True
        self._answers = NO_ANSWERS
        # The reason code to part with, where the reason to close does not say it; None when all is said.
        self._farewell: ReasonCode | None = ReasonCode.SUCCESS
        # Whether that is said in words, too.
        self._explains = True
        self._deadline: Deadline | None = None

    @property
    def user(self) -> str:
        return self.identity.user if self.identity is not None else ""

    @property
    def proof(self) -> bytes:
        return self.identity.proof_to_keep() if self.identity is not None else b""

    @property
    def port(self) -> Port | None:
        return self._past or self.session

    def opened(self) -> None:
        self._expect_connect()

    def receive(self, data: bytes) -> None:
        self._answers.look()
        if self._left:
            events, self._left = self._left, []
        else:
            events = self.decoder.receive(data)
        self._act(events)
        self.has_more = bool(self._left) or self.decoder.has_more
        if self.connection.close_reason is not None:
            return
        if self._answers.held > MOST_HELD:
            self.violate(ReasonCode.QUOTA_EXCEEDED, "too many acknowledgements wait for the disk")

    def _act(self, events: list[object]) -> None:
        request = self._request
        if request.held is not None:
            request.held += events
            return
        index, count = 0, len(events)
        clock = self.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while index < count:
            session = self.session
            if session is not None:
                index = session.account.router.forward(events, index, session)
                if index == count:
                    return
            event = events[index]
            if self._login is not None and self._login.is_open and type(event) not in DURING_LOGIN:
                self._refuse(ReasonCode.PROTOCOL_ERROR, CloseReason.PROTOCOL_VIOLATION, "a packet amid the login")
                return
            if session is None or type(event) not in ROUTED:
                rest = self._HANDLERS[type(event)](self, event)
                if rest is None:
                    index += 1
                else:
                    events[index] = rest
                if self.connection.close_reason is not None:
                    return
                if request.held is not None:
                    request.held += events[index:]
                    return
            if index < count and clock() > until:
                self._left = events[index:]
                self.has_more = True
                return

    def unfinished_bytes(self) -> int:
        return self.decoder.unfinished_bytes()

    def refuse_input(self, detail: str) -> None:
        self.connection.close(CloseReason.MAXIMUM_MEMORY_EXCEEDED, detail)

    def announce_lame_duck(self) -> None:
        """MQTT has words for it only at the end."""

    def settings_changed(self) -> None:
        settings = self.runtime.settings
        limits = settings.mqtt
        largest = limits.max_packet_bytes
        if self.publishing is not None and self.version == MQTT_5_0:
            largest = max(largest, self.publishing.promised.max_packet_bytes)
        elif self.session is None:
            self._expect_connect()
        self._limit_decoder(largest)

    def _limit_decoder(self, largest_packet: int) -> None:
        settings = self.runtime.settings
        most = settings.limits.max_payload_bytes
        if self.identity is not None:
            most = self.identity.limits.payload_bytes(most)
        self.decoder.limit(largest_packet, most, settings.mqtt.max_topic_levels, settings.mqtt.max_user_properties)

    def identity_changed(self, identity: Identity) -> None:
        """See gateway.accounts.identity.Member. MQTT has no words for a subscription that is over: the log tells."""
        session = self.session
        if session is None or self.connection.close_reason is not None:
            return
        if identity.account is session.account:
            self.identity = identity
            self._request.expire(identity, self._expire)
            session.take_rights(identity.permissions)
            self.settings_changed()
        else:
            self._lose("the user belongs to another account")

    def identity_lost(self, refusal: Refusal) -> None:
        """See gateway.accounts.identity.Member."""
        self._lose(refusal.reason)

    def describe(self) -> PeerSnapshot:
        if self.session is None or self.identity is None:
            return PeerSnapshot(type="mqtt")
        return self.session.describe(self.identity.user)

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        self._request.end()
        self._answers.close()
        self._answers = NO_ANSWERS
        if self._entered is not None:
            self._entered.leave()
        session = self.session
        if session is None:
            return
        self._say_farewell(reason)
        self._past = session.end_count()
        self.publishing = self.acknowledging = None
        assert self._sessions is not None
        self._sessions.leave(session, self.will, reason)

    def _cannot_store(self) -> None:
        self.violate(ReasonCode.QUOTA_EXCEEDED, "something can never be stored", CloseReason.STORAGE_FAILURE)

    def write(self, data: bytes) -> None:
        self.connection.outbox.write(data)

    def take_over(self, heir: Connection) -> None:
        """Another connection is the client now."""
        name = shown(self.client_id)
        self.runtime.repeats.log(
            log,
            logging.WARNING,
            ("take-over", name),
            "event=take-over client-id=%s peer=%s:%d new-peer=%s:%d keep-alive=%d",
            name,
            *self.connection.address,
            *heir.address,
            self.keep_alive,
        )
        self.connection.close(CloseReason.DUPLICATE_CLIENT_ID, f"client id {name} connected again")

    # CONNECT and DISCONNECT.

    def _on_connect(self, packet: packets.Connect) -> None:
        self.version = packet.version
        self.bridge = packet.bridge
        self.beyond = gateway_named(packet.properties)
        self.client_id = packet.client_id
        self._take_limits(packet.properties or NO_PROPERTIES)
        if (packet.properties or NO_PROPERTIES).authentication_method is None:
            login = login_of(packet, self.connection)
            self._request.ask(login, lambda decision, held: self._decided(packet, decision, held))
        else:
            self._login = EnhancedLogin(self, self._request, packet)
            self._login.begin()

    def login_decided(self, packet: packets.Connect, decision: Decision, held: list[object]) -> None:
        self._decided(packet, decision, held)

    def login_renewed(self, identity: Identity, held: list[object]) -> None:
        self.identity_changed(identity)
        self._act(held)

    def send_login(self, auth: bytes) -> bool:
        if self._takes(len(auth)):
            self.write(auth)
            return True
        detail = f"the AUTH is larger than the {self.max_packet_size} bytes that the client takes"
        self.login_failed(ReasonCode.PACKET_TOO_LARGE, detail)
        return False

    def login_failed(self, code: ReasonCode, detail: str) -> None:
        if self.session is None:
            self._refuse(code, CloseReason.AUTHENTICATION_FAILURE, detail)
        else:
            self.violate(code, detail, CloseReason.AUTHENTICATION_FAILURE)

    def _decided(self, packet: packets.Connect, decision: Decision, held: list[object]) -> None:
        """Go on as whoever the client was admitted as, with what it said behind its CONNECT."""
        if isinstance(decision, Refusal):
            self._refuse(refusal_code(packet, decision), CloseReason.AUTHENTICATION_FAILURE, "")
            return
        if not self.client_id:
            self.client_id = decision.client_id_prefix + b"auto-" + new_token().encode()
        sessions = self._directory.of(decision.account)
        if self._is_sent_on():
            return
        refusal = refusal_of(self.connection, self._directory, sessions, packet, self.client_id, decision)
        if refusal is not None:
            if refusal[0] is ReasonCode.CLIENT_IDENTIFIER_NOT_VALID:
                self._request.report(f"{refusal[2]}: {shown(self.client_id)}", decision.user)
            self._refuse(*refusal)
            return
        fetching = sessions.fetch(self.client_id)
        if fetching is not None:
            self._request.held = held
            self.connection.wait_for(fetching, lambda came: self._fetched(packet, decision, came))
            return
        if not decision.account.enter(instead=sessions.has_client(self.client_id)):
            detail = "the account has as many connections as it may"
            self._refuse(ReasonCode.QUOTA_EXCEEDED, CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS, detail)
            return
        self._entered = decision.account
        self.identity = decision
        self._limit_decoder(self.runtime.settings.mqtt.max_packet_bytes)
        self._enter(packet, decision, sessions)
        self._request.expire(decision, self._expire)
        if self.connection.close_reason is None:
            self._act(held)

    def _is_sent_on(self) -> bool:
        """Whether the client is told to go to the other gateway of the pair, because this one ends."""
        neighbour = self.runtime.neighbour
        if neighbour is None or not (neighbour.is_draining and neighbour.mqtt):
            return False
        self._refuse(ReasonCode.USE_ANOTHER_SERVER, CloseReason.SERVER_SHUTDOWN, "the gateway is stopping")
        return True

    def _fetched(self, packet: packets.Connect, identity: Identity, came: bool) -> None:
        """The session was at the other gateway of the pair."""
        held, self._request.held = self._request.held or [], None
        if came:
            self._decided(packet, identity, held)
        else:
            detail = "the session is at the other gateway of the pair, which does not give it away: try again"
            self._refuse(ReasonCode.SERVER_BUSY, CloseReason.STORAGE_FAILURE, detail)

    def _lose(self, detail: str) -> None:
        self.violate(ReasonCode.NOT_AUTHORIZED, detail, CloseReason.CREDENTIALS_REVOKED)

    def _expire(self) -> None:
        self.violate(ReasonCode.NOT_AUTHORIZED, "user authentication expired", CloseReason.AUTHENTICATION_EXPIRED)

    def _refuse(self, code: ReasonCode, reason: CloseReason, detail: str) -> None:
        connack = encoder.encode_connack(self.version, False, code, self._referring(code, self.problem(detail)))
        self.connection.close(reason, detail, connack if self._takes(len(connack)) else b"")

    def _takes(self, size: int) -> bool:
        """Whether the client takes packets of this size [MQTT-3.1.2-24]."""
        return not self.max_packet_size or size <= self.max_packet_size

    def _takes_codes(self, name: str, count: int) -> bool:
        """Whether an answer with so many reason codes can be sent; parts with the client when not."""
        if not self.max_packet_size or self._takes(len(encoder.encode_suback(self.version, 1, [0] * count))):
            return True
        self.violate(
            ReasonCode.PACKET_TOO_LARGE,
            f"{name}: the answer is larger than the {self.max_packet_size} bytes that the client takes",
            CloseReason.MAXIMUM_PAYLOAD_EXCEEDED,
        )
        return False

    def _greeting(self, packet: packets.Connect, expiry: int) -> Properties | None:
        """The properties of the CONNACK, without what can be left out where the client takes no more."""
        properties = connack_properties(packet, self.client_id, expiry, self.runtime.settings.mqtt)
        if properties is not None and self.beyond:
            properties.user_properties = name_gateway(self.runtime.names.gateway_id)
        if properties is not None and self._login is not None:
            self._login.sign(properties)
        if properties is not None and not self._takes(len(encoder.encode_connack(self.version, False, 0, properties))):
            properties.response_information = None
        return properties

    def _enter(self, packet: packets.Connect, identity: Identity, sessions: MqttSessions) -> None:
        """Take up the session, and say so."""
        config = self.runtime.settings.mqtt
        expiry = session_expiry(packet, config)
        properties = self._greeting(packet, expiry)
        if not self._takes(len(encoder.encode_connack(self.version, False, 0, properties))):
            detail = f"the CONNACK is larger than the {self.max_packet_size} bytes that the client takes"
            self._refuse(ReasonCode.PACKET_TOO_LARGE, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED, detail)
            return
        self._sessions = sessions
        self._answers = Answers(identity.account.durability, self.write, self._cannot_store)
        self._answers.look()
        self.will = will_of(packet.will, self.runtime.names.gateway_id)
        mark = self._answers.mark()
        session, present = sessions.open(self, packet.clean_start, expiry)
        self.session = session
        session.take_rights(identity.permissions)
        self.publishing = Publishing(self, session, self._answers)
        self.acknowledging = Acknowledging(self.version, session, self._answers, self._misplaced)
        self.connection.introduce()
        self.runtime.deadlines.cancel(self._deadline)
        present = present and self.version != MQTT_3_1  # It has no such flag.
        self.write(encoder.encode_connack(self.version, present, 0, properties))
        self._answers.withhold(self.connection, mark)
        self.keep_alive = keep_alive_of(packet, config)
        if self.keep_alive:
            self.longest_silence = self.keep_alive * KEEP_ALIVE_GRACE
            self._call_in(self.longest_silence, self._check_keep_alive)
        session.pump()

    def _take_limits(self, properties: Properties) -> None:
        self.receive_maximum = properties.receive_maximum or UNLIMITED
        self.max_packet_size = properties.maximum_packet_size or 0
        self.topic_alias_maximum = properties.topic_alias_maximum or 0
        self.tells_problems = properties.request_problem_information != 0

    def _on_disconnect(self, packet: packets.Disconnect) -> None:
        if self.session is None:  # Amid its login.
            self.connection.close(CloseReason.CLIENT_CLOSED)
            return
        expiry = packet.properties.session_expiry_interval if packet.properties is not None else None
        if expiry is not None:
            if expiry and not self.session.expiry_seconds:  # 3.14.2.2.2
                self.violate(ReasonCode.PROTOCOL_ERROR, "DISCONNECT: the session was to end with the connection")
                return
            self.session.expiry_seconds = capped_expiry(expiry, self.runtime.settings.mqtt)
        if packet.reason_code == ReasonCode.NORMAL_DISCONNECTION:
            self.will = None  # [MQTT-3.14.4-3]
        self.connection.close(CloseReason.CLIENT_CLOSED)

    def _say_farewell(self, reason: CloseReason) -> None:
        """A DISCONNECT with the reason: only 5.0 has it."""
        code = self._farewell or FAREWELLS.get(reason)
        neighbour = self.runtime.neighbour
        if reason is CloseReason.SERVER_SHUTDOWN and neighbour is not None and neighbour.mqtt:
            code = ReasonCode.USE_ANOTHER_SERVER
        if self.version == MQTT_5_0 and self._farewell is not None and code is not None:
            farewell = encoder.encode_disconnect(MQTT_5_0, code, self._referring(code, self._reason()))
            if self._takes(len(farewell)):
                self.write(farewell)

    def _referring(self, code: ReasonCode, properties: Properties | None) -> Properties | None:
        """The same with where to go, for a client that is sent to the other gateway of the pair (4.11)."""
        neighbour = self.runtime.neighbour
        if code is not ReasonCode.USE_ANOTHER_SERVER or neighbour is None or self.version != MQTT_5_0:
            return properties
        referring = properties or Properties()
        referring.server_reference = neighbour.mqtt
        return referring

    def _reason(self) -> Properties | None:
        return self.problem(self.connection.close_detail) if self._explains else None

    def violate(self, code: ReasonCode, detail: str, reason: CloseReason = CloseReason.PROTOCOL_VIOLATION) -> None:
        """The client broke a rule: part with this reason code."""
        self._farewell = code
        self.connection.close(reason, detail)

    def problem(self, detail: str) -> Properties | None:
        if not detail or self.version != MQTT_5_0:
            return None
        text = detail[:LONGEST_REASON].encode("utf-8", "replace").replace(b"\0", b"")
        if self.max_packet_size and len(text) + REASON_ROOM > self.max_packet_size:  # [MQTT-3.14.2-3] and others
            return None
        reason = Properties()
        reason.reason_string = text
        return reason

    # Messages from the client. What is returned is what is left of an event.

    def _on_publish(self, packet: Publish) -> object:
        assert self.publishing is not None
        return self.publishing.publish(packet)

    def _on_message_in_hand(self, hand: MessageInHand) -> object:
        assert self.publishing is not None
        return self.publishing.route_message(hand)

    def _on_publish_run(self, run: PublishRun) -> object:
        assert self.publishing is not None
        return self.publishing.publish_run(run)

    def _on_run_in_hand(self, hand: RunInHand) -> object:
        assert self.publishing is not None
        return self.publishing.route_run(hand)

    def _on_denied(self, denied: Denied) -> object:
        assert self.publishing is not None
        return self.publishing.judge(denied)

    def _on_pubrel(self, packet: packets.Pubrel) -> None:
        assert self.publishing is not None
        self.publishing.release(packet)

    # Acknowledgements of messages to the client.

    def _on_puback(self, packet: packets.Puback) -> None:
        assert self.acknowledging is not None
        self.acknowledging.finish([packet.packet_id], 1)

    def _on_pubrec(self, packet: packets.Pubrec) -> None:
        assert self.acknowledging is not None
        self.acknowledging.take_pubrec(packet)

    def _on_pubcomp(self, packet: packets.Pubcomp) -> None:
        assert self.acknowledging is not None
        self.acknowledging.finish([packet.packet_id], 2)

    def _on_ack_run(self, run: AckRun) -> None:
        assert self.publishing is not None
        assert self.acknowledging is not None
        if run.kind == PUBACK:
            self.acknowledging.finish(run.packet_ids, 1)
        elif run.kind == PUBCOMP:
            self.acknowledging.finish(run.packet_ids, 2)
        elif run.kind == PUBREL:
            self.publishing.release_run(run.packet_ids)
        else:
            self.acknowledging.take_pubrecs(run.packet_ids)

    def _misplaced(self, packet_id: int) -> None:
        """An acknowledgement of the wrong kind: who is so confused shall get the message again, not lose it."""
        self._farewell = ReasonCode.PROTOCOL_ERROR
        self._explains = False
        self.connection.close(CloseReason.PROTOCOL_VIOLATION, f"packet identifier {packet_id}: wrong acknowledgement")

    # Subscriptions.

    def _on_filter_list(self, filters: FilterList) -> object:
        """A packet with many filters is read in turns; what it is then stands in its place."""
        try:
            return filters.read_some() or filters
        except PacketError as fault:
            self._on_violation(self.decoder.violation(fault))
            return None

    def _on_subscribe(self, packet: packets.Subscribe) -> object:
        assert self.session is not None
        if not self._takes_codes("SUBSCRIBE", len(packet.subscriptions)):
            return None
        return self._on_subscribing(Subscribing(self.session, packet, self.bridge, self._answers.mark()))

    def _on_subscribing(self, work: Subscribing) -> object:
        """Of a packet with many filters some are granted in each turn; the answer is one, behind the last."""
        if not work.is_granted:
            fault = work.grant_some()
            if fault is not None:
                self.violate(ReasonCode.PROTOCOL_ERROR, fault)
                return None
            if not work.is_granted:
                return work
            self._answers.give(encoder.encode_suback(self.version, work.packet_id, work.codes), work.mark)
        return None if work.feed_some() else work

    def _on_unsubscribe(self, packet: packets.Unsubscribe) -> object:
        session = self.session
        assert session is not None
        if not self._takes_codes("UNSUBSCRIBE", len(packet.topic_filters)):
            return None
        mark = self._answers.mark()
        if self._answers.broken and session.store is not None and self.version == MQTT_5_0:
            refused = [ReasonCode.UNSPECIFIED_ERROR] * len(packet.topic_filters)
            self._answers.give(encoder.encode_unsuback(self.version, packet.packet_id, refused), mark)
            return None
        return self._on_unsubscribing(Unsubscribing(session, packet, mark))

    def _on_unsubscribing(self, work: Unsubscribing) -> object:
        if not work.go_on():
            return work
        self._answers.give(encoder.encode_unsuback(self.version, work.packet_id, work.codes), work.mark)
        return None

    # The rest.

    def _on_pingreq(self, packet: packets.Pingreq) -> None:
        self.write(encoder.PINGRESP * packet.count)
        self.connection.heartbeats(packet.count)

    def _on_auth(self, packet: packets.Auth) -> None:
        if self._login is not None:
            self._login.take(packet)
        else:  # [MQTT-4.12.0-7]
            self.violate(ReasonCode.PROTOCOL_ERROR, "AUTH: the CONNECT had no authentication method")

    def _on_violation(self, event: PeerViolation) -> None:
        self._farewell = None
        # A DISCONNECT comes behind a CONNACK only [MQTT-3.14.0-1].
        farewell = event.farewell if self._login is None or not self._login.is_open else b""
        self.connection.close(event.reason, event.detail, farewell)

    def _expect_connect(self) -> None:
        self._deadline = expect_introduction(self.connection, self._deadline, self._check_connected)

    def _check_connected(self, now: float) -> None:
        self.connection.close(CloseReason.AUTHENTICATION_TIMEOUT, "no CONNECT in time")

    def _check_keep_alive(self, now: float) -> None:
        silent = now - self.connection.last_activity
        if silent >= self.longest_silence:
            self.connection.registry.stale_connections += 1
            self.connection.close(CloseReason.STALE_CONNECTION, f"silent for {silent:.0f} s")
        else:
            self._call_in(self.longest_silence - silent, self._check_keep_alive)

    def _call_in(self, seconds: float, action: Callable[[float], None]) -> None:
        self._deadline = self.runtime.deadlines.call_at(trio.current_time() + seconds, action)

    _HANDLERS: ClassVar[dict[type, Callable[..., object]]] = {
        packets.Connect: _on_connect,
        Publish: _on_publish,
        PublishRun: _on_publish_run,
        RunInHand: _on_run_in_hand,
        MessageInHand: _on_message_in_hand,
        Denied: _on_denied,
        AckRun: _on_ack_run,
        packets.Puback: _on_puback,
        packets.Pubrec: _on_pubrec,
        packets.Pubrel: _on_pubrel,
        packets.Pubcomp: _on_pubcomp,
        FilterList: _on_filter_list,
        packets.Subscribe: _on_subscribe,
        Subscribing: _on_subscribing,
        packets.Unsubscribe: _on_unsubscribe,
        Unsubscribing: _on_unsubscribing,
        packets.Pingreq: _on_pingreq,
        packets.Disconnect: _on_disconnect,
        packets.Auth: _on_auth,
        PeerViolation: _on_violation,
    }
