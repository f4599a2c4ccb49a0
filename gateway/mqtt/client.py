"""MQTT client: one connection, what its packets mean here, and what is said when it ends."""

import logging
from collections.abc import Callable
from typing import ClassVar

import trio

from gateway.accounts.account import Account
from gateway.accounts.admission import Admission, AdmissionRequest, Credentials, Decision, Refusal
from gateway.dataplane.port import Port
from gateway.dataplane.router import ROUTED
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
from gateway.mqtt.publishing import Publishing, RunInHand
from gateway.mqtt.session import MqttSession
from gateway.mqtt.sessions import MqttSessions, capped_expiry
from gateway.mqtt.subscribing import Subscribing, Unsubscribing
from gateway.runtime.deadlines import Deadline
from gateway.runtime.identity import new_token
from gateway.runtime.logs import shown
from gateway.runtime.turns import TURN_SECONDS
from gateway.storage.durability import Durability
from gateway.storage.stored_session import StoredWill
from gateway.transport.connection import Connection, expect_introduction
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.mqtt import encoder, packets
from protocols.mqtt.acknowledgements import PUBACK, PUBCOMP, PUBREL, AckRun, encode_acknowledgements
from protocols.mqtt.decoder import Decoder
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
    CloseReason.DUPLICATE_CLIENT_ID: ReasonCode.SESSION_TAKEN_OVER,
    CloseReason.MAXIMUM_PAYLOAD_EXCEEDED: ReasonCode.PACKET_TOO_LARGE,
    CloseReason.PROTOCOL_VIOLATION: ReasonCode.PROTOCOL_ERROR,
    CloseReason.INTERNAL_ERROR: ReasonCode.UNSPECIFIED_ERROR,
}


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
        "_explains",
        "_farewell",
        "_left",
        "_request",
        "_sessions",
        "bridge",
        "client_id",
        "connection",
        "decoder",
        "has_more",
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
        self._request = AdmissionRequest(connection, admission)
        self._directory = directory
        self._sessions: MqttSessions | None = None
        self._left: list[object] = []
        self.has_more = False
        self.version = MQTT_3_1_1
        self.client_id = b""
        self.bridge = False
        self.session: MqttSession | None = None
        self.publishing: Publishing | None = None
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
    def port(self) -> Port | None:
        return self.session

    def opened(self) -> None:
        self._expect_connect()

    def receive(self, data: bytes) -> None:
        self._answers.look()
        if self.has_more:
            events, self._left = self._left, []
            self.has_more = False
        else:
            events = self.decoder.receive(data)
        self._act(events)
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
        self.decoder.limit(
            largest,
            settings.limits.max_payload_bytes,
            limits.max_topic_levels,
            limits.max_user_properties,
        )

    def describe(self) -> PeerSnapshot:
        return self.session.describe() if self.session is not None else PeerSnapshot(type="mqtt")

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        self._answers.close()
        self._answers = NO_ANSWERS
        session = self.session
        if session is None:
            return
        self._say_farewell(reason)
        self.publishing = None
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
        self.client_id = packet.client_id or b"auto-" + new_token().encode()
        self._take_limits(packet.properties or NO_PROPERTIES)
        credentials = Credentials(
            kind=self.kind,
            user=(packet.username or b"").decode("utf-8", "replace"),
            password=packet.password or b"",
            client_id=self.client_id,
            address=self.connection.address[0],
        )
        self._request.ask(credentials, lambda decision, held: self._decided(packet, decision, held))

    def _decided(self, packet: packets.Connect, decision: Decision, held: list[object]) -> None:
        """Go on as whoever the client was admitted as, with what it said behind its CONNECT."""
        if isinstance(decision, Refusal):
            self._refuse(ReasonCode.NOT_AUTHORIZED, CloseReason.AUTHENTICATION_FAILURE, "")
            return
        account = decision.account
        sessions = self._directory.of(account)
        refusal = refusal_of(self.connection, self._directory, sessions, packet, self.client_id)
        if refusal is not None:
            self._refuse(*refusal)
            return
        self._enter(packet, account, sessions)
        if self.connection.close_reason is None:
            self._act(held)

    def _refuse(self, code: ReasonCode, reason: CloseReason, detail: str) -> None:
        connack = encoder.encode_connack(self.version, False, code, self.problem(detail))
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
        if properties is not None and not self._takes(len(encoder.encode_connack(self.version, False, 0, properties))):
            properties.response_information = None
        return properties

    def _enter(self, packet: packets.Connect, account: Account, sessions: MqttSessions) -> None:
        """Take up the session, and say so."""
        config = self.runtime.settings.mqtt
        expiry = session_expiry(packet, config)
        properties = self._greeting(packet, expiry)
        if not self._takes(len(encoder.encode_connack(self.version, False, 0, properties))):
            detail = f"the CONNACK is larger than the {self.max_packet_size} bytes that the client takes"
            self._refuse(ReasonCode.PACKET_TOO_LARGE, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED, detail)
            return
        self._sessions = sessions
        self._answers = Answers(account.durability, self.write, self._cannot_store)
        self._answers.look()
        self.will = will_of(packet.will, self.runtime.names.gateway_id)
        mark = self._answers.mark()
        session, present = sessions.open(self, packet.clean_start, expiry)
        self.session = session
        self.publishing = Publishing(self, session, self._answers)
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
        assert self.session is not None
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
        if self.version == MQTT_5_0 and self._farewell is not None and code is not None:
            farewell = encoder.encode_disconnect(MQTT_5_0, code, self._reason())
            if self._takes(len(farewell)):
                self.write(farewell)

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

    def _on_publish(self, packet: Publish) -> None:
        assert self.publishing is not None
        self.publishing.publish(packet)

    def _on_publish_run(self, run: PublishRun) -> object:
        assert self.publishing is not None
        return self.publishing.publish_run(run)

    def _on_run_in_hand(self, hand: RunInHand) -> object:
        assert self.publishing is not None
        return self.publishing.route_run(hand)

    def _on_pubrel(self, packet: packets.Pubrel) -> None:
        assert self.publishing is not None
        self.publishing.release(packet)

    # Acknowledgements of messages to the client.

    def _on_puback(self, packet: packets.Puback) -> None:
        self._acknowledge([packet.packet_id], 1)

    def _on_pubcomp(self, packet: packets.Pubcomp) -> None:
        self._acknowledge([packet.packet_id], 2)

    def _on_ack_run(self, run: AckRun) -> None:
        if run.kind in (PUBACK, PUBCOMP):
            self._acknowledge(run.packet_ids, 1 if run.kind == PUBACK else 2)
        elif run.kind == PUBREL:
            assert self.publishing is not None
            self.publishing.release_run(run.packet_ids)
        else:
            self._on_pubrecs(run.packet_ids)

    def _on_pubrec(self, packet: packets.Pubrec) -> None:
        session = self.session
        assert session is not None
        if packet.reason_code < ReasonCode.UNSPECIFIED_ERROR:
            self._on_pubrecs([packet.packet_id])
        elif session.outgoing.first_refused([packet.packet_id], 2, False) == 0:
            self._misplaced(packet.packet_id)
        else:  # 4.3.3: that is the end of the message
            session.outgoing.acknowledge(packet.packet_id, 2)
            session.acknowledged()

    def _on_pubrecs(self, packet_ids: list[int]) -> None:
        session = self.session
        assert session is not None
        place = session.outgoing.first_refused(packet_ids, 2, False)
        if place < 0:
            self._release(session, packet_ids)
            return
        if place:
            self._release(session, packet_ids[:place])
        self._misplaced(packet_ids[place])

    def _acknowledge(self, packet_ids: list[int], qos: int) -> None:
        """The client is done with messages: PUBACK, or PUBCOMP behind PUBREC and PUBREL [MQTT-4.3.3-3]."""
        session = self.session
        assert session is not None
        outgoing = session.outgoing
        place = outgoing.first_refused(packet_ids, qos, True)
        outgoing.acknowledge_all(packet_ids if place < 0 else packet_ids[:place], qos)
        if place < 0:
            session.acknowledged()
        else:
            self._misplaced(packet_ids[place])

    def _misplaced(self, packet_id: int) -> None:
        """An acknowledgement of the wrong kind: who is so confused shall get the message again, not lose it."""
        self._farewell = ReasonCode.PROTOCOL_ERROR
        self._explains = False
        self.connection.close(CloseReason.PROTOCOL_VIOLATION, f"packet identifier {packet_id}: wrong acknowledgement")

    def _release(self, session: MqttSession, packet_ids: list[int]) -> None:
        mark = self._answers.mark()
        unknown = session.outgoing.release_all(packet_ids)
        if unknown and self.version == MQTT_5_0:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            answers = [encoder.encode_pubrel(MQTT_5_0, one, code if one in unknown else 0) for one in packet_ids]
            self._answers.give(b"".join(answers), mark)
        else:
            self._answers.give(encode_acknowledgements(PUBREL, packet_ids), mark)

    # Subscriptions.

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

    def _on_auth(self, packet: packets.Auth) -> None:
        """The CONNECT had no authentication method: then no AUTH may follow [MQTT-4.12.0-7]."""
        self.violate(ReasonCode.PROTOCOL_ERROR, "AUTH: the CONNECT had no authentication method")

    def _on_violation(self, event: PeerViolation) -> None:
        self._farewell = None
        self.connection.close(event.reason, event.detail, event.farewell)

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
        AckRun: _on_ack_run,
        packets.Puback: _on_puback,
        packets.Pubrec: _on_pubrec,
        packets.Pubrel: _on_pubrel,
        packets.Pubcomp: _on_pubcomp,
        packets.Subscribe: _on_subscribe,
        Subscribing: _on_subscribing,
        packets.Unsubscribe: _on_unsubscribe,
        Unsubscribing: _on_unsubscribing,
        packets.Pingreq: _on_pingreq,
        packets.Disconnect: _on_disconnect,
        packets.Auth: _on_auth,
        PeerViolation: _on_violation,
    }
