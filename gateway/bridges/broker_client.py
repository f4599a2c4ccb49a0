"""Broker client: one connection of a bridge. The session that it serves is there before it and after it."""

from collections.abc import Callable
from typing import ClassVar, Protocol

import trio

from gateway.accounts.identity import Identity
from gateway.bridges.receiving import BridgeReceiving
from gateway.dataplane.port import Port
from gateway.dataplane.router import ROUTED
from gateway.mqtt.acknowledging import Acknowledging
from gateway.mqtt.answers import MOST_HELD, Answers
from gateway.mqtt.publishing import MessageInHand
from gateway.mqtt.session import MqttSession
from gateway.runtime.deadlines import Deadline
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.broker_presets import BrokerRules
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.mqtt import encoder, packets
from protocols.mqtt.client_role import Accepted, ClientRole, Refused, ServerTerms, Silent, State, Subscribed
from protocols.mqtt.gateways_passed import gateway_named
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.remapping import Remapping

# Signs of life that a broker may answer while it leaves a message unacknowledged.
MOST_UNANSWERED = 3


class BridgeOwner(Protocol):
    """Who opened the connection (gateway.bridges.bridge)."""

    name: str
    session: MqttSession
    remapping: Remapping
    # What the broker takes, by what is published of it.
    rules: BrokerRules

    def start_talking(self, now: float) -> ClientRole:
        """The client role of a connection that is open; it goes first."""

    def accepted(self, client: "BrokerClient", session_present: bool, terms: ServerTerms) -> str:
        """The broker has taken the connection. Returns what makes it useless all the same, or ""."""

    def up(self, client: "BrokerClient", subscribed: Subscribed) -> None:
        """Everything is subscribed to that the broker grants: messages to it may go out."""

    def turned_away(self, code: ReasonCode, detail: str) -> None:
        """The broker has refused or ended the connection."""

    def level_refused(self) -> None:
        """The broker does not speak the protocol level of the CONNECT [MQTT-3.1.2-2]."""

    def unanswered(self) -> None:
        """The connection has ended without an answer to the CONNECT, or with one that is none."""

    def down(self, client: "BrokerClient") -> None:
        """The connection has ended."""

    def dropped(self, reason: str) -> None:
        """A message from the broker is not taken."""

    def refused_message(self, code: ReasonCode, detail: str) -> None:
        """The broker does not take a message."""

    def farewell(self) -> ReasonCode:
        """What the broker hears when the gateway ends the connection."""


class BrokerClient:
    """See gateway.transport.session.Session, gateway.mqtt.attached_client.AttachedClient and
    gateway.mqtt.publishing.Publisher. `_left` are events that wait for the next turn.
    """

    kind = "bridge"
    is_client = False
    identity: Identity | None = None
    tells_problems = False

    __slots__ = (
        "_acknowledging",
        "_answers",
        "_deadline",
        "_due",
        "_farewell",
        "_first_unanswered",
        "_left",
        "_owner",
        "_receiving",
        "_role",
        "_spoken",
        "_unanswered_times",
        "beyond",
        "client_id",
        "connection",
        "has_more",
        "max_packet_size",
        "receive_maximum",
        "topic_alias_maximum",
        "version",
    )

    def __init__(self, connection: Connection, owner: BridgeOwner, version: int) -> None:
        self.connection = connection
        self.version = version
        self.client_id = owner.session.client_id
        self.beyond = b""
        self.receive_maximum = 0
        self.max_packet_size = 0
        self.topic_alias_maximum = 0
        self.has_more = False
        self._owner = owner
        self._left: list[object] = []
        self._role: ClientRole | None = None
        self._answers = Answers(owner.session.account.durability, self.write, self._cannot_store)
        self._receiving: BridgeReceiving | None = None
        self._acknowledging: Acknowledging | None = None
        self._deadline: Deadline | None = None
        self._due: float | None = None
        # The message that waits longest for its acknowledgement, and at how many signs of life it was that already.
        self._first_unanswered: object = None
        self._unanswered_times = 0
        # Whether the broker has answered the CONNECT; and the farewell, None when all is said.
        self._spoken = False
        self._farewell: ReasonCode | None = ReasonCode.NORMAL_DISCONNECTION

    # gateway.transport.session.Session

    @property
    def port(self) -> Port | None:
        return self._owner.session

    def opened(self) -> None:
        self._role = self._owner.start_talking(trio.current_time())
        self._advance()

    def receive(self, data: bytes) -> None:
        assert self._role is not None
        self._answers.look()
        if self._left:
            events, self._left = self._left, []
        else:
            events = self._role.receive(data, trio.current_time())
        self._act(events)
        self.has_more = bool(self._left) or self._role.has_more
        if self.connection.close_reason is not None:
            return
        self._advance()
        if self._answers.held > MOST_HELD:
            detail = "too many acknowledgements wait for the disk"
            self.violate(ReasonCode.QUOTA_EXCEEDED, detail, CloseReason.STORAGE_FAILURE)

    def unfinished_bytes(self) -> int:
        """We have called the broker, and what it sends at once is bounded: it has no share."""
        return 0

    def refuse_input(self, detail: str) -> None:
        """It holds nothing."""

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        self.connection.runtime.deadlines.cancel(self._deadline)
        self._answers.close()
        self._receiving = self._acknowledging = None
        if self._role is not None and self._farewell is not None and self._role.state is State.UP:
            if self._farewell is ReasonCode.NORMAL_DISCONNECTION:
                self._farewell = self._owner.farewell()
            # Before 5.0 a DISCONNECT takes the will back, whatever it says.
            if self.version == MQTT_5_0 or self._farewell is ReasonCode.NORMAL_DISCONNECTION:
                self.write(encoder.encode_disconnect(self.version, self._farewell))
        asked = self._role is not None and not self._spoken
        if asked and reason in (CloseReason.CLIENT_CLOSED, CloseReason.READ_ERROR):
            self._owner.unanswered()
        self._owner.down(self)

    def announce_lame_duck(self) -> None:
        """A broker is no client that could go elsewhere."""

    def settings_changed(self) -> None:
        """Whoever asks for other terms connects anew; the queue's limits are the session's."""

    def describe(self) -> PeerSnapshot:
        session = self._owner.session
        return PeerSnapshot(
            type="mqtt",
            account=session.account.name,
            name=self._owner.name,
            subscriptions=len(session.subscriptions),
        )

    # gateway.mqtt.attached_client.AttachedClient and gateway.mqtt.publishing.Publisher

    def write(self, data: bytes) -> None:
        self.connection.outbox.write(data)

    def take_over(self, heir: Connection) -> None:
        """No client can have a bridge's client id here."""

    def violate(self, code: ReasonCode, detail: str, reason: CloseReason = CloseReason.PROTOCOL_VIOLATION) -> None:
        """Part with the broker and say why."""
        self._farewell = code
        self.connection.close(reason, detail)

    def problem(self, detail: str) -> Properties | None:
        return None

    # The steps.

    def _advance(self) -> None:
        """Send what the client role has to say, and wait for its next deadline."""
        role = self._role
        assert role is not None
        data = role.bytes_to_send()
        if data:
            self.write(data)
        due = role.next_deadline()
        if due != self._due:
            deadlines = self.connection.runtime.deadlines
            deadlines.cancel(self._deadline)
            self._due = due
            self._deadline = deadlines.call_at(due, self._on_deadline) if due is not None else None

    def _on_deadline(self, now: float) -> None:
        assert self._role is not None
        self._deadline = self._due = None
        self._act(self._role.on_deadline(now))
        if self.connection.close_reason is None and self._is_stuck():
            self._farewell = None
            self.connection.cut(CloseReason.STALE_CONNECTION, "the broker acknowledges nothing any more")
        if self.connection.close_reason is None:
            self._advance()

    def _is_stuck(self) -> bool:
        """Whether the same message has waited for its acknowledgement at several signs of life in a row: a broker may
        answer them and nothing else. On another connection it is sent again.
        """
        sent = self._owner.session.outgoing.sent
        first = next(iter(sent.values())) if sent else None
        self._unanswered_times = self._unanswered_times + 1 if first is self._first_unanswered else 0
        self._first_unanswered = first
        return first is not None and self._unanswered_times >= MOST_UNANSWERED

    def _act(self, events: list[object]) -> None:
        router, session = self._owner.session.account.router, self._owner.session
        clock = self.connection.runtime.turns.clock
        until = clock() + TURN_SECONDS
        index, count = 0, len(events)
        while index < count:
            event = events[index]
            if type(event) in ROUTED:  # What is left of a message.
                index = router.forward(events, index, session, judged=True)
            elif type(event) is packets.Puback:
                index = self._take_pubacks(events, index)
            else:
                rest = self._HANDLERS[type(event)](self, event)
                if rest is None:
                    index += 1
                else:
                    events[index] = rest
            if self.connection.close_reason is not None:
                return
            if index < count and clock() > until:
                self._left = events[index:]
                self.has_more = True
                return

    def _on_accepted(self, event: Accepted) -> None:
        self._spoken = True
        terms, session = event.terms, self._owner.session
        self.receive_maximum = terms.receive_maximum
        limits = [size for size in (terms.max_packet_size, self._owner.rules.most_packet_bytes) if size]
        self.max_packet_size = min(limits, default=0)
        self.topic_alias_maximum = terms.topic_alias_maximum
        self.beyond = gateway_named(event.properties)
        fault = self._owner.accepted(self, event.session_present, terms)
        if fault:
            self.violate(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, fault)
            return
        self._receiving = BridgeReceiving(self, session, self._answers, self._owner.remapping, self._owner.dropped)
        self._acknowledging = Acknowledging(self.version, session, self._answers, self._misplaced)

    def _on_subscribed(self, event: Subscribed) -> None:
        self._advance()
        self._owner.up(self, event)

    def _on_refused(self, event: Refused) -> None:
        refused_level = event.reason_code is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION and not self._spoken
        self._spoken = True
        self._farewell = None
        if refused_level:
            self._owner.level_refused()
        self._owner.turned_away(event.reason_code, event.detail)
        self.connection.close(CloseReason.CLIENT_CLOSED, words_of(event.reason_code, event.detail))

    def _on_silent(self, event: Silent) -> None:
        self._farewell = None
        self.connection.registry.stale_connections += 1
        self.connection.cut(CloseReason.STALE_CONNECTION, event.detail)

    def _on_violation(self, event: PeerViolation) -> None:
        if not self._spoken:
            self._owner.unanswered()
        self._spoken = True
        self._farewell = None
        self.connection.close(event.reason, event.detail, event.farewell)

    def _on_publish(self, packet: Publish) -> object:
        assert self._receiving is not None
        return self._receiving.publish(packet)

    def _on_message_in_hand(self, hand: MessageInHand) -> object:
        assert self._receiving is not None
        return self._receiving.route_message(hand)

    def _on_pubrel(self, packet: packets.Pubrel) -> None:
        assert self._receiving is not None
        self._receiving.release(packet)

    def _take_pubacks(self, events: list[object], index: int) -> int:
        """Those in a row at once; returns where they end."""
        assert self._acknowledging is not None
        packet_ids: list[int] = []
        while index < len(events):
            packet = events[index]
            if not isinstance(packet, packets.Puback):
                break
            index += 1
            if packet.reason_code >= ReasonCode.UNSPECIFIED_ERROR:
                self._owner.refused_message(packet.reason_code, "")
            packet_ids.append(packet.packet_id)
        self._acknowledging.finish(packet_ids, 1)
        return index

    def _on_pubrec(self, packet: packets.Pubrec) -> None:
        assert self._acknowledging is not None
        if packet.reason_code >= ReasonCode.UNSPECIFIED_ERROR:
            self._owner.refused_message(packet.reason_code, "")
        self._acknowledging.take_pubrec(packet)

    def _on_pubcomp(self, packet: packets.Pubcomp) -> None:
        assert self._acknowledging is not None
        self._acknowledging.finish([packet.packet_id], 2)

    def _misplaced(self, packet_id: int) -> None:
        self.violate(ReasonCode.PROTOCOL_ERROR, f"packet identifier {packet_id}: wrong acknowledgement")

    def _cannot_store(self) -> None:
        detail = "something can never be stored"
        self.violate(ReasonCode.QUOTA_EXCEEDED, detail, CloseReason.STORAGE_FAILURE)

    _HANDLERS: ClassVar[dict[type, Callable[..., object]]] = {
        Accepted: _on_accepted,
        Subscribed: _on_subscribed,
        Refused: _on_refused,
        Silent: _on_silent,
        PeerViolation: _on_violation,
        Publish: _on_publish,
        MessageInHand: _on_message_in_hand,
        packets.Pubrel: _on_pubrel,
        packets.Pubrec: _on_pubrec,
        packets.Pubcomp: _on_pubcomp,
    }


def words_of(code: ReasonCode, detail: str) -> str:
    """A reason code as people read it, with what the broker says itself."""
    return f"{code.words}: {detail}" if detail else code.words
