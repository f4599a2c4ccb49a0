"""Reading the packets that follow CONNECT and CONNACK, all but PUBLISH: one function each, for all protocol versions.

The caller has checked the fixed header, and checks that nothing follows the last field.
"""

from collections.abc import Callable, Mapping
from typing import Any

from protocols.mqtt.packets import (
    Auth,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from protocols.mqtt.primitives import MQTT_3_1, MQTT_5_0, PacketReader
from protocols.mqtt.properties import Carrier, Properties, read_properties
from protocols.mqtt.reason_codes import (
    CLIENT_AUTH_CODES,
    CLIENT_DISCONNECT_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SERVER_AUTH_CODES,
    SERVER_DISCONNECT_CODES,
    SUBACK_CODES,
    SUBACK_CODES_3_1_1,
    UNSUBACK_CODES,
    ReasonCode,
)
from protocols.mqtt.topics import SHARE_PREFIX, is_topic_filter, parse_shared_filter

QOS = 0x03
NO_LOCAL = 0x04
RETAIN_AS_PUBLISHED = 0x08
RETAIN_HANDLING_SHIFT = 4
RESERVED_OPTIONS = 0xC0
RESERVED_OPTIONS_3_1_1 = 0xFC
# What is read of a list before others have their turn.
FILTERS_AT_ONCE = 1024

Acknowledgement = tuple[int, ReasonCode, Properties | None]


def parse_puback(reader: PacketReader) -> Puback:
    return Puback(*_read_acknowledgement(reader, PUBACK_CODES, Carrier.PUBACK))


def parse_pubrec(reader: PacketReader) -> Pubrec:
    return Pubrec(*_read_acknowledgement(reader, PUBACK_CODES, Carrier.PUBREC))


def parse_pubrel(reader: PacketReader) -> Pubrel:
    return Pubrel(*_read_acknowledgement(reader, PUBREL_CODES, Carrier.PUBREL))


def parse_pubcomp(reader: PacketReader) -> Pubcomp:
    return Pubcomp(*_read_acknowledgement(reader, PUBREL_CODES, Carrier.PUBCOMP))


def _read_acknowledgement(reader: PacketReader, codes: Mapping[int, ReasonCode], carrier: Carrier) -> Acknowledgement:
    packet_id = reader.packet_id()
    if reader.version != MQTT_5_0:
        return packet_id, ReasonCode.SUCCESS, None
    return packet_id, *_read_outcome(reader, codes, carrier)


def _read_outcome(
    reader: PacketReader, codes: Mapping[int, ReasonCode], carrier: Carrier
) -> tuple[ReasonCode, Properties | None]:
    """Reason code and properties at the end of a 5.0 packet; the latter may be left out, and so may both (3.4.2.1)."""
    if not reader.remaining():
        return ReasonCode.SUCCESS, None
    code = reader.reason_code(codes)
    return code, read_properties(reader, carrier) if reader.remaining() else None


class FilterList:
    """A SUBSCRIBE or UNSUBSCRIBE of which only the begin is read: 100,000 filters may follow."""

    __slots__ = ("_filters", "_make", "_packet_id", "_properties", "_read", "_reader")

    def __init__(self, reader: PacketReader, carrier: Carrier) -> None:
        self._reader = reader
        self._packet_id = reader.packet_id()
        self._properties = read_properties(reader, carrier) if reader.version == MQTT_5_0 else None
        if not reader.remaining():  # [MQTT-3.8.3-2], [MQTT-3.10.3-2]
            raise reader.protocol_error("there is no topic filter")
        subscribes = carrier is Carrier.SUBSCRIBE
        self._make: type[Subscribe | Unsubscribe] = Subscribe if subscribes else Unsubscribe
        self._read: Callable[[PacketReader], Any] = _read_subscription if subscribes else _read_topic_filter
        self._filters: list[Any] = []

    def read_some(self) -> Subscribe | Unsubscribe | None:
        """Read the next filters; the packet, once it is whole. Raises PacketError."""
        reader = self._reader
        for _ in range(FILTERS_AT_ONCE):
            self._filters.append(self._read(reader))
            if not reader.remaining():
                return self._make(self._packet_id, tuple(self._filters), self._properties)
        return None


def parse_subscribe(reader: PacketReader) -> Subscribe | FilterList:
    """The packet, or what reads it where it is long."""
    filters = FilterList(reader, Carrier.SUBSCRIBE)
    packet = filters.read_some()
    return packet if isinstance(packet, Subscribe) else filters


def _read_subscription(reader: PacketReader) -> Subscription:
    topic_filter = _read_topic_filter(reader)
    options = reader.byte("the options byte of a subscription")
    if reader.version == MQTT_3_1:  # The others are not used there (its section 3.8).
        options &= QOS
    if options & (RESERVED_OPTIONS if reader.version == MQTT_5_0 else RESERVED_OPTIONS_3_1_1):  # [MQTT-3.8.3-5]
        raise reader.malformed("a reserved subscription option is set")
    retain_handling = options >> RETAIN_HANDLING_SHIFT
    if options & QOS == 3 or retain_handling == 3:  # 3.8.3.1
        raise reader.protocol_error("QoS or retain handling of a subscription is 3")
    return Subscription(
        topic_filter, options & QOS, options & NO_LOCAL != 0, options & RETAIN_AS_PUBLISHED != 0, retain_handling
    )


def _read_topic_filter(reader: PacketReader) -> bytes:
    topic_filter = reader.string("a topic filter")
    if not is_topic_filter(topic_filter):
        raise reader.fault(ReasonCode.TOPIC_FILTER_INVALID, "a topic filter is empty or its wildcards are misplaced")
    if topic_filter.startswith(SHARE_PREFIX) and parse_shared_filter(topic_filter) is None:
        raise reader.fault(ReasonCode.TOPIC_FILTER_INVALID, "a shared filter lacks its share name or its filter")
    return topic_filter


def parse_suback(reader: PacketReader) -> Suback:
    packet_id = reader.packet_id()
    if reader.version != MQTT_5_0:
        return Suback(packet_id, _read_reason_codes(reader, SUBACK_CODES_3_1_1))
    properties = read_properties(reader, Carrier.SUBACK)
    return Suback(packet_id, _read_reason_codes(reader, SUBACK_CODES), properties)


def parse_unsubscribe(reader: PacketReader) -> Unsubscribe | FilterList:
    """As `parse_subscribe`."""
    filters = FilterList(reader, Carrier.UNSUBSCRIBE)
    packet = filters.read_some()
    return packet if isinstance(packet, Unsubscribe) else filters


def parse_unsuback(reader: PacketReader) -> Unsuback:
    packet_id = reader.packet_id()
    if reader.version != MQTT_5_0:
        return Unsuback(packet_id)
    properties = read_properties(reader, Carrier.UNSUBACK)
    return Unsuback(packet_id, _read_reason_codes(reader, UNSUBACK_CODES), properties)


def _read_reason_codes(reader: PacketReader, codes: Mapping[int, ReasonCode]) -> tuple[ReasonCode, ...]:
    reason_codes = []
    while reader.remaining():
        reason_codes.append(reader.reason_code(codes))
    if not reason_codes:
        raise reader.protocol_error("there is no reason code")
    return tuple(reason_codes)


def parse_pingreq(reader: PacketReader) -> Pingreq:
    return Pingreq()


def parse_pingresp(reader: PacketReader) -> Pingresp:
    return Pingresp()


def parse_disconnect(reader: PacketReader) -> Disconnect:
    if reader.version != MQTT_5_0:
        return Disconnect()
    codes = CLIENT_DISCONNECT_CODES if reader.from_client else SERVER_DISCONNECT_CODES
    code, properties = _read_outcome(reader, codes, Carrier.DISCONNECT)
    if properties is not None and properties.session_expiry_interval is not None and not reader.from_client:
        raise reader.protocol_error("a server may not send a session expiry interval")  # [MQTT-3.14.2-2]
    return Disconnect(code, properties)


def parse_auth(reader: PacketReader) -> Auth:
    """An empty one means success without properties, which only a server may say (3.15.2.1)."""
    codes = CLIENT_AUTH_CODES if reader.from_client else SERVER_AUTH_CODES
    if not reader.remaining() and reader.from_client:
        raise reader.protocol_error("there is no reason code")
    code, properties = _read_outcome(reader, codes, Carrier.AUTH)
    if (properties is None or properties.authentication_method is None) and (properties or code):  # 3.15.2.2.2
        raise reader.protocol_error("there is no authentication method")
    return Auth(code, properties)
