"""MQTT client role: one connection to a broker, from CONNECT until everything is subscribed to, and its keep-alive.

    BEGUN ──CONNACK──> SUBSCRIBING ──SUBACK──> UP
      └───────────────────┴──────────────────────┴──> ENDED (refusal, DISCONNECT, violation, silence)

It yields what the broker says. QoS 1 and 2 messages on their way are the session's, which outlives connections.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from protocols.close_reason import CloseReason
from protocols.errors import MisuseError, PeerViolation
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0, NO_LIMIT
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import CONNECT_RETURN_CODES, ReasonCode

UNLIMITED = 0xFFFF
# Of the filters of one SUBSCRIBE; a broker may take no more, and its SUBACK is to fit into small packets.
FILTERS_AT_ONCE = 64
NO_PROPERTIES = Properties()
# The fixed header of a CONNACK of 3.1.1; one of 5.0 is longer.
CONNACK_3_1_1 = b"\x20\x02"


class State(Enum):
    BEGUN = "waits for CONNACK"
    SUBSCRIBING = "waits for SUBACK"
    UP = "up"
    ENDED = "ended"


class ServerTerms(Struct, frozen=True):
    """What a broker takes, as its CONNACK says; before 5.0 it says nothing. `keep_alive` in seconds, 0 for none;
    `max_packet_size` 0 for no limit.
    """

    receive_maximum: int = UNLIMITED
    max_packet_size: int = 0
    topic_alias_maximum: int = 0
    maximum_qos: int = 2
    retain_available: bool = True
    wildcards_available: bool = True
    keep_alive: int = 0
    client_id: bytes = b""


class Accepted(Struct):
    """The broker has taken the connection; what it holds for us from before may come at once."""

    session_present: bool
    terms: ServerTerms
    properties: Properties


class Refused(Struct):
    """The broker does not take the connection, or ends it: nothing follows. `detail` is its own reason string."""

    reason_code: ReasonCode
    detail: str


class Subscribed(Struct):
    """Everything is subscribed to that the broker lets us have: `held` is the QoS of each filter that it has for us
    now, `refused` are those that it does not grant.
    """

    held: dict[bytes, int]
    refused: dict[bytes, ReasonCode]


class Silent(Struct):
    """The broker says nothing any more: the connection is to be given up."""

    detail: str


class ClientRole:
    """Events: Accepted, Subscribed, Refused, Silent, PeerViolation, and what a broker sends of messages: Publish, with
    its alias resolved, Puback, Pubrec, Pubrel, Pubcomp.

    `subscriptions` are to be there. Where the broker still has the session, it has those that are `held`, with their
    QoS: they are not asked for again, which before 5.0 would have it send all retained messages anew, and those that
    are not wanted are taken back. `patience` is how long, in seconds, the broker may take to answer, `filters_at_once`
    how many a SUBSCRIBE may have. Packet identifiers of SUBSCRIBE are free because no message with one of ours may be
    sent before `State.UP` [MQTT-2.2.1-3].
    """

    def __init__(
        self,
        connect: packets.Connect,
        subscriptions: Sequence[packets.Subscription],
        held: Mapping[bytes, int],
        max_packet_size: int,
        patience: float,
        now: float,
        slice_size: int = NO_LIMIT,
        filters_at_once: int = FILTERS_AT_ONCE,
    ) -> None:
        if connect.version not in (MQTT_3_1_1, MQTT_5_0):
            raise MisuseError(f"protocol level {connect.version} is not spoken here")
        self.state = State.BEGUN
        self.version = connect.version
        self.terms = ServerTerms()
        self._connect = connect
        self._subscriptions = list(subscriptions)
        self._held = dict(held)
        self._decoder = ClientDecoder(max_packet_size, connect.version)
        self._decoder.slice_size = slice_size
        self._patience = patience
        self._at_once = filters_at_once
        self._to_send = [encoder.encode_connect(connect)]
        self._deadline: float | None = now + patience
        # What is asked for, by the identifier of the SUBSCRIBE or UNSUBSCRIBE that is to be answered.
        self._asked: dict[int, list[packets.Subscription]] = {}
        self._refused: dict[bytes, ReasonCode] = {}
        self._pinged = False
        # How many signs of life were asked for, and given.
        self.pings = self.pongs = 0
        self._aliases: dict[int, bytes] = {}
        properties = connect.properties or NO_PROPERTIES
        self._most_aliases = properties.topic_alias_maximum or 0

    @property
    def has_more(self) -> bool:
        """Whether `receive(b"", now)` would go on with what is there (Decoder.slice_size)."""
        return self._decoder.has_more

    def bytes_to_send(self) -> bytes:
        """What is to be sent now, behind what was sent before."""
        data = b"".join(self._to_send)
        self._to_send.clear()
        return data

    def next_deadline(self) -> float | None:
        """When `on_deadline` is to be called; None for never."""
        return self._deadline if self.state is not State.ENDED else None

    def on_deadline(self, now: float) -> list[object]:
        """Send a sign of life, or give up a broker that gives none."""
        if self.state is State.ENDED or self._deadline is None or now < self._deadline:
            return []
        if self.state is State.BEGUN or self._asked or self._pinged:
            waits_for = "CONNACK" if self.state is State.BEGUN else "SUBACK" if self._asked else "PINGRESP"
            self.state = State.ENDED
            return [Silent(f"no {waits_for} in time")]
        self.ping(now)
        return []

    def ping(self, now: float) -> None:
        """Ask for a sign of life. A broker that gives it has taken what was sent before, of QoS 0 too."""
        self._pinged = True
        self.pings += 1
        self._to_send.append(encoder.PINGREQ)
        self._deadline = now + self._patience

    def receive(self, data: bytes, now: float) -> list[object]:
        """What the broker says, in order."""
        events: list[object] = []
        if self.state is State.BEGUN and self.version == MQTT_5_0 and data[:2] == CONNACK_3_1_1:
            return self._take_older_connack(data)
        for packet in self._decoder.receive(data):
            if self.state is State.ENDED:
                break
            events += self._take(packet, now)
        return events

    def disconnect(self) -> bytes:
        """The farewell of a client that wants to keep its session."""
        self.state = State.ENDED
        return encoder.encode_disconnect(self.version)

    def violation(self, code: ReasonCode, detail: str) -> PeerViolation:
        """End the connection for what the broker did; before the CONNACK nothing may be said [MQTT-3.14.0-1]."""
        spoken = self.state is not State.BEGUN and self.version == MQTT_5_0
        self.state = State.ENDED
        farewell = encoder.encode_disconnect(MQTT_5_0, code) if spoken else b""
        return PeerViolation(CloseReason.PROTOCOL_VIOLATION, detail, farewell)

    def _take(self, packet: object, now: float) -> list[object]:
        if isinstance(packet, PeerViolation):
            farewell = packet.farewell if self.state is not State.BEGUN else b""
            self.state = State.ENDED
            return [PeerViolation(packet.reason, packet.detail, farewell)]
        if self.state is State.BEGUN:
            if isinstance(packet, packets.Connack):
                return self._take_connack(packet, now)
            return [self.violation(ReasonCode.PROTOCOL_ERROR, f"{name_of(packet)} came before the CONNACK")]
        if isinstance(packet, Publish):
            return [self._resolved(packet)]
        if isinstance(packet, packets.Suback):
            return self._take_suback(packet, now)
        if isinstance(packet, packets.Unsuback):
            return self._answered(packet.packet_id, now)
        if isinstance(packet, packets.Pingresp):
            self.pongs = min(self.pongs + 1, self.pings)
            self._pinged = self.pongs < self.pings
            if not self._pinged:
                self._rest(now)
            return []
        if isinstance(packet, packets.Disconnect):
            self.state = State.ENDED
            return [Refused(packet.reason_code, reason_string(packet.properties))]
        if isinstance(packet, packets.Connack | packets.Auth):
            return [self.violation(ReasonCode.PROTOCOL_ERROR, f"{name_of(packet)} came though nothing asked for it")]
        return [packet]

    def _take_connack(self, packet: packets.Connack, now: float) -> list[object]:
        properties = packet.properties or NO_PROPERTIES
        if packet.reason_code:
            self.state = State.ENDED
            return [Refused(packet.reason_code, reason_string(properties))]
        if packet.session_present and self._connect.clean_start:  # [MQTT-3.2.2-2]
            return [self.violation(ReasonCode.PROTOCOL_ERROR, "the CONNACK tells of a session after a clean start")]
        keep_alive = properties.server_keep_alive
        self.terms = ServerTerms(
            receive_maximum=properties.receive_maximum or UNLIMITED,
            max_packet_size=properties.maximum_packet_size or 0,
            topic_alias_maximum=properties.topic_alias_maximum or 0,
            maximum_qos=2 if properties.maximum_qos is None else properties.maximum_qos,
            retain_available=properties.retain_available != 0,
            wildcards_available=properties.wildcard_subscription_available != 0,
            keep_alive=self._connect.keep_alive if keep_alive is None else keep_alive,
            client_id=properties.assigned_client_identifier or self._connect.client_id,
        )
        self.state = State.SUBSCRIBING
        if not packet.session_present:
            self._held.clear()
        self._ask()
        self._deadline = now + self._patience
        accepted: list[object] = [Accepted(packet.session_present, self.terms, properties)]
        return accepted + self._come_up(now)

    def _take_older_connack(self, data: bytes) -> list[object]:
        """A broker that does not know 5.0 says so in its own form."""
        self.state = State.ENDED
        code = CONNECT_RETURN_CODES.get(data[3]) if len(data) > 3 else None
        return [Refused(code or ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, "")]

    def _ask(self) -> None:
        """Subscribe to what the broker has not, and take back what is not wanted any more."""
        packet_id = 0
        most = self.terms.maximum_qos
        capped = [replace(one, qos=min(one.qos, most)) for one in self._subscriptions]
        wanted = [one for one in capped if self._held.get(one.topic_filter) != one.qos]
        for begin in range(0, len(wanted), self._at_once):
            packet_id += 1
            chunk = self._asked[packet_id] = wanted[begin : begin + self._at_once]
            self._to_send.append(encoder.encode_subscribe(self.version, packet_id, chunk))
        unwanted = sorted(self._held.keys() - {one.topic_filter for one in capped})
        for begin in range(0, len(unwanted), self._at_once):
            packet_id += 1
            self._asked[packet_id] = []
            filters = unwanted[begin : begin + self._at_once]
            self._to_send.append(encoder.encode_unsubscribe(self.version, packet_id, filters))
        for topic_filter in unwanted:
            del self._held[topic_filter]

    def _take_suback(self, packet: packets.Suback, now: float) -> list[object]:
        asked = self._asked.get(packet.packet_id, [])
        if len(asked) != len(packet.reason_codes):  # [MQTT-3.8.4-6]
            return [self.violation(ReasonCode.PROTOCOL_ERROR, "the SUBACK does not fit any SUBSCRIBE")]
        for subscription, code in zip(asked, packet.reason_codes, strict=True):
            if code >= ReasonCode.UNSPECIFIED_ERROR:
                self._refused[subscription.topic_filter] = code
            else:  # A broker may grant less; it need not be asked for more every time.
                self._held[subscription.topic_filter] = subscription.qos
        return self._answered(packet.packet_id, now)

    def _answered(self, packet_id: int, now: float) -> list[object]:
        if self._asked.pop(packet_id, None) is None:
            return [self.violation(ReasonCode.PROTOCOL_ERROR, f"nothing was asked for as {packet_id}")]
        return self._come_up(now)

    def _come_up(self, now: float) -> list[object]:
        if self._asked:
            return []
        self.state = State.UP
        self._rest(now)
        return [Subscribed(self._held, self._refused)]

    def _rest(self, now: float) -> None:
        """Until the next sign of life is due. Sent whatever else is, so that a half of the connection that is dead
        is noticed too.
        """
        self._deadline = now + self.terms.keep_alive if self.terms.keep_alive else None

    def _resolved(self, publish: Publish) -> object:
        """The message with its topic instead of an alias (3.3.2.3.4)."""
        properties = publish.properties
        alias = properties.topic_alias if properties is not None else None
        if properties is None or alias is None:
            return publish
        properties.topic_alias = None
        if not 0 < alias <= self._most_aliases:  # [MQTT-3.3.2-10]
            return self.violation(ReasonCode.TOPIC_ALIAS_INVALID, f"PUBLISH: topic alias {alias} is above the maximum")
        if publish.topic:
            self._aliases[alias] = publish.topic
        elif alias in self._aliases:
            publish.topic = self._aliases[alias]
        else:
            return self.violation(ReasonCode.PROTOCOL_ERROR, f"PUBLISH: topic alias {alias} stands for no topic")
        return publish


def reason_string(properties: Properties | None) -> str:
    text = properties.reason_string if properties is not None else None
    return text.decode("utf-8", "replace") if text else ""


def name_of(packet: object) -> str:
    return type(packet).__name__.upper()
