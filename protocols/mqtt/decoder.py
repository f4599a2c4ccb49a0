"""MQTT framing: bytes in, packets out, for a server (`Decoder`) and for a client (`ClientDecoder`).

The fixed header is checked as soon as it is there, the body once all of it is. What a packet holds is read by
publish.py (runs of PUBLISH at once), acknowledgements.py (runs too), connect.py and parsers.py.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from protocols.errors import PeerViolation
from protocols.mqtt.acknowledgements import (
    ACKNOWLEDGEMENTS,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    SHORT_FORM_SIZE,
    read_acknowledgements,
)
from protocols.mqtt.connect import parse_connack, parse_connect
from protocols.mqtt.encoder import encode_disconnect
from protocols.mqtt.errors import PacketError
from protocols.mqtt.packets import Connect, Pingreq, Pingresp
from protocols.mqtt.parsers import (
    FilterList,
    parse_auth,
    parse_disconnect,
    parse_pingreq,
    parse_pingresp,
    parse_puback,
    parse_pubcomp,
    parse_pubrec,
    parse_pubrel,
    parse_suback,
    parse_subscribe,
    parse_unsuback,
    parse_unsubscribe,
)
from protocols.mqtt.primitives import (
    LARGEST_VARINT,
    LONGEST_STRING,
    MOST_USER_PROPERTIES,
    MQTT_3_1,
    MQTT_5_0,
    NO_LIMIT,
    PacketReader,
    read_length,
)
from protocols.mqtt.publish import PublishReader
from protocols.mqtt.reason_codes import ReasonCode
from protocols.scanning import count_repeats

Parser = Callable[[PacketReader], object]

NAMES = (
    "reserved type 0",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
)
CONNECT = 0x10
PUBLISH = 0x30
PINGREQ = 0xC0
PINGRESP = 0xD0
PING_SIZE = 2
AUTH = 0xF0
TYPE = 0xF0
FLAGS = 0x0F
# What follows the fixed header of a CONNECT of MQTT 3.1, which alone may have flags there.
SHORTEST_CONNECT_3_1 = 14
# A packet that is read in the interpreter takes about as long as so many messages, and so many bytes of
# acknowledgements as long as one.
PACKET_COST = 16
ACKNOWLEDGED_AS_ONE = 64

# By the whole first byte: the flags of all packets but PUBLISH are fixed [MQTT-2.1.3-1].
_ACKNOWLEDGEMENTS: Mapping[int, Parser] = {
    PUBACK: parse_puback,
    PUBREC: parse_pubrec,
    PUBREL: parse_pubrel,
    PUBCOMP: parse_pubcomp,
    0xE0: parse_disconnect,
    AUTH: parse_auth,
}
_FROM_CLIENT: Mapping[int, Parser] = {
    **_ACKNOWLEDGEMENTS,
    CONNECT: parse_connect,
    0x82: parse_subscribe,
    0xA2: parse_unsubscribe,
    PINGREQ: parse_pingreq,
}
_FROM_SERVER: Mapping[int, Parser] = {
    **_ACKNOWLEDGEMENTS,
    0x20: parse_connack,
    0x90: parse_suback,
    0xB0: parse_unsuback,
    0xD0: parse_pingresp,
}
# In MQTT 3.1 only PUBLISH has flags that matter; others may carry DUP or are unused (its section 2.1).
_FIRST_BYTES = {first & TYPE: first for first in (*_FROM_CLIENT, *_FROM_SERVER)}


class Decoder:
    """Decodes what a client sends. Events: those of `publishes` (PublishReader), AckRun, the classes of packets.py,
    FilterList, PeerViolation.

    `max_packet_size` counts a packet with its fixed header; more than `max_user_properties` in one packet (of 5.0) are
    answered with 0x97, in CONNACK or DISCONNECT. `version` is 0 until the CONNECT, which must come first,
    has fixed it. In 5.0 the farewell of a later violation is a DISCONNECT, legal only after a CONNACK that accepts.

    With `slice_size` each call decodes about so many messages, or fewer packets of other kinds: while `has_more`,
    `receive(b"")` goes on with what is there, after others have had their turn.
    """

    _parsers: ClassVar[Mapping[int, Parser]] = _FROM_CLIENT
    _from_client: ClassVar[bool] = True

    __slots__ = (
        "_pending",
        "_rest",
        "_rest_from",
        "_room",
        "_wanted",
        "has_more",
        "max_packet_size",
        "max_user_properties",
        "publishes",
        "slice_size",
        "stopped",
        "version",
    )

    def __init__(
        self,
        max_packet_size: int,
        max_payload: int = LARGEST_VARINT,
        max_levels: int = LONGEST_STRING + 1,
        max_user_properties: int = MOST_USER_PROPERTIES,
    ) -> None:
        self.max_packet_size = max_packet_size
        self.max_user_properties = max_user_properties
        self.publishes = PublishReader(self._from_client, max_packet_size, max_payload, max_levels, max_user_properties)
        self.version = 0
        self.stopped = False
        # The begin of a packet, and the packet's size once that is known.
        self._pending: bytearray | None = None
        self._wanted = 0
        self.slice_size = NO_LIMIT
        # How much may still be decoded in this slice; and what is left for the next ones, from there on.
        self._room = 0
        self.has_more = False
        self._rest = b""
        self._rest_from = 0

    def limit(self, max_packet_size: int, max_payload: int, max_levels: int, max_user_properties: int) -> None:
        """Change the limits for what comes."""
        self.max_packet_size = self.publishes.max_packet_size = max_packet_size
        self.max_user_properties = self.publishes.max_user_properties = max_user_properties
        self.publishes.max_payload = max_payload
        self.publishes.max_levels = max_levels

    def unfinished_bytes(self) -> int:
        """How many bytes are held back of a packet that is not complete."""
        return 0 if self._pending is None else len(self._pending)

    def receive(self, data: bytes) -> list[object]:
        """Packets in the order in which they came; a PeerViolation is always the last of them."""
        events: list[object] = []
        if self.stopped:
            return events
        self._room = self.slice_size
        try:
            if self.has_more:
                self._go_on(data, events)
            else:
                self._resume(data, events)
        except PacketError as fault:
            events.append(self.violation(fault))
        return events

    def _go_on(self, data: bytes, events: list[object]) -> None:
        """Decode more of what is left, in front of `data`."""
        self.has_more = False
        rest, position = self._rest, self._rest_from
        self._rest = b""
        if data:
            rest, position = rest[position:] + data, 0
        self._decode(rest, position, events)

    def _resume(self, data: bytes, events: list[object]) -> None:
        """Finish the packet that is held back, then go on with the rest of `data`."""
        pending = self._pending
        position = 0
        if pending is not None:
            if self._wanted:
                position = self._wanted - len(pending)
                pending += data[:position]
                if position > len(data):
                    return
                packet = bytes(pending)
            else:
                packet, data = bytes(pending) + data, b""
            self._pending = None
            self._wanted = 0
            self._decode(packet, 0, events)
        self._decode(data, position, events)

    def _decode(self, data: bytes, position: int, events: list[object]) -> None:
        end = len(data)
        while position < end:
            if self._room <= 0:
                # What waits for another slice is not copied for each of them.
                self._rest, self._rest_from, self.has_more = data, position, True
                return
            first = data[position]
            if first & TYPE == PUBLISH and self.version:
                self.publishes.room = self._room
                position = self.publishes.read(data, position, events)
                self._room = self.publishes.room
                if position == end or self._room <= 0:
                    continue
                first = data[position]
            if first in ACKNOWLEDGEMENTS and self.version and self.max_packet_size >= SHORT_FORM_SIZE:
                begin = position
                position = read_acknowledgements(data, position, self._from_client, events)
                if position > begin:
                    self._room -= 1 + (position - begin) // ACKNOWLEDGED_AS_ONE
                    continue
            self._room -= PACKET_COST
            ping = PINGREQ if self._from_client else PINGRESP
            if first == ping and self.version and data[position + 1 : position + 2] == b"\0":
                count = count_repeats(data, position, PING_SIZE)
                events.append(Pingreq(count) if self._from_client else Pingresp(count))
                position += count * PING_SIZE
                continue
            parser = self._parser(first)
            size, body = read_length(data, position + 1)
            if body < 0:
                raise _fault(first, ReasonCode.MALFORMED_PACKET, "the remaining length is malformed")
            if first != CONNECT and not self.version and body and size < SHORTEST_CONNECT_3_1:
                raise self._unexpected(first)  # Mostly the first bytes of TLS.
            stop = body + size
            if body and stop - position > self.max_packet_size:
                complaint = f"{stop - position} bytes are more than {self.max_packet_size}"
                raise _fault(first, ReasonCode.PACKET_TOO_LARGE, complaint)
            if not body or stop > end:
                self._pending = bytearray(data[position:])
                self._wanted = stop - position if body else 0
                return
            if parser is not None:
                events.append(self._parse(parser, first, data, body, stop))
                position = stop

    def _parser(self, first: int) -> Parser | None:
        """What reads a packet with this first byte; None for a PUBLISH. PacketError when it may not come now."""
        if self.version == 0 and first & TYPE != CONNECT:  # [MQTT-3.1.0-1]
            raise _fault(first, ReasonCode.PROTOCOL_ERROR, "a connection begins with CONNECT")
        if first & TYPE == PUBLISH:
            return None
        if self.version == MQTT_3_1 or (self.version == 0 and first & TYPE == CONNECT):
            first = _FIRST_BYTES.get(first & TYPE, first)
        parser = self._parsers.get(first)
        if parser is None:
            raise self._unexpected(first)
        if first == CONNECT and self.version:  # [MQTT-3.1.0-2]
            raise _fault(first, ReasonCode.PROTOCOL_ERROR, "it may come only once")
        if first == AUTH and self.version != MQTT_5_0:
            raise _fault(first, ReasonCode.MALFORMED_PACKET, "it came with MQTT 5.0")
        return parser

    def _unexpected(self, first: int) -> PacketError:
        if first & TYPE == 0:
            return _fault(first, ReasonCode.MALFORMED_PACKET, "there is no such packet")
        if first & TYPE in {known & TYPE for known in self._parsers}:
            return _fault(first, ReasonCode.MALFORMED_PACKET, f"its flags may not be {first & FLAGS:04b}")
        sender = "client" if self._from_client else "server"
        return _fault(first, ReasonCode.PROTOCOL_ERROR, f"a {sender} may not send it")

    def _parse(self, parser: Parser, first: int, data: bytes, body: int, stop: int) -> object:
        reader = PacketReader(
            NAMES[first >> 4], self.version, self._from_client, data, body, stop, self.max_user_properties
        )
        packet = parser(reader)
        if not isinstance(packet, FilterList):
            reader.finish()
        if isinstance(packet, Connect):
            if first != CONNECT and packet.version != MQTT_3_1:
                raise self._unexpected(first)
            self.version = self.publishes.version = packet.version
        return packet

    def violation(self, fault: PacketError) -> PeerViolation:
        """End the stream: later input is ignored."""
        self.stopped = True
        self._pending = None
        farewell = encode_disconnect(MQTT_5_0, fault.code) if self.version == MQTT_5_0 else fault.farewell
        return PeerViolation(fault.close_reason, fault.detail, farewell)


class ClientDecoder(Decoder):
    """Decodes what a server sends to a client that sent a CONNECT of this version: every packet is an event."""

    _parsers: ClassVar[Mapping[int, Parser]] = _FROM_SERVER
    _from_client: ClassVar[bool] = False

    __slots__ = ()

    def __init__(self, max_packet_size: int, version: int) -> None:
        super().__init__(max_packet_size)
        self.version = self.publishes.version = version


def _fault(first: int, code: ReasonCode, complaint: str) -> PacketError:
    return PacketError(code, f"{NAMES[first >> 4]}: {complaint}")
