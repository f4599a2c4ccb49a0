"""PUBLISH: reading a run of them and writing one (hot). All other packets are few and live elsewhere."""

from protocols.cache import GenerationCache
from protocols.errors import MisuseError
from protocols.mqtt.errors import PacketError
from protocols.mqtt.primitives import (
    LONGEST_STRING,
    MQTT_5_0,
    PacketReader,
    encode_packet_id,
    encode_varint,
    is_string,
    is_utf8,
    read_length,
)
from protocols.mqtt.properties import Carrier, Properties, encode_properties, read_properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topics import is_topic_name

TYPE = 0x30
TYPE_MASK = 0xF0
DUP = 0x08
RETAIN = 0x01
# Packets of up to this size have a remaining length of one byte.
SHORT = 0x7F

# Topics repeat from message to message, so each is checked once. A longer one is checked anew each time: the cache is
# bounded in bytes, not only in entries.
LONGEST_REMEMBERED_TOPIC = 128
REMEMBERED_TOPICS = 4096

_topics: GenerationCache = GenerationCache(REMEMBERED_TOPICS)


class Publish:
    """A PUBLISH as it came in.

    `topic` is a legal topic name, or empty when `properties` hold a topic alias. `packet_id` is 0 for QoS 0.
    `properties` is None when there are none. `packet` is the whole packet as received.
    """

    __slots__ = ("dup", "packet", "packet_id", "payload", "properties", "qos", "retain", "topic")

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    properties: Properties | None
    packet: bytes

    def __eq__(self, other: object) -> bool:
        """Whether it is the same message; `packet` is only its wire form."""
        if not isinstance(other, Publish):
            return NotImplemented
        return self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in sorted(self.__slots__) if name != "packet")
        return f"Publish({fields})"

    def _fields(self) -> tuple[bytes, bytes, int, bool, bool, int, Properties | None]:
        return self.topic, self.payload, self.qos, self.retain, self.dup, self.packet_id, self.properties


class PublishRun:
    """`count` QoS 0 packets in a row that differ in nothing but their payload of `payload_size` bytes.

    They are neither retained nor do they have properties. `packets` are all of them as received.
    """

    __slots__ = ("count", "packets", "payload_size", "topic")

    def __init__(self, topic: bytes, packets: bytes, count: int, payload_size: int) -> None:
        self.topic = topic
        self.packets = packets
        self.count = count
        self.payload_size = payload_size

    def payloads(self) -> list[bytes]:
        size = len(self.packets) // self.count
        lead = size - self.payload_size
        return [self.packets[at + lead : at + size] for at in range(0, len(self.packets), size)]


def read_publishes(
    data: bytes, position: int, version: int, from_client: bool, max_packet_size: int, events: list[object]
) -> int:
    """Append the run of whole PUBLISH packets that begins at `position`; returns where it ends.

    It ends before another kind of packet, before an incomplete packet and before a fixed header that is no good (bad
    remaining length, over `max_packet_size`). Raises PacketError for a PUBLISH that is bad otherwise.
    """
    known = _topics.young
    end = len(data)
    while position + 2 <= end:
        first = data[position]
        if first & TYPE_MASK != TYPE:
            break
        # A remaining length of one or two bytes; longer ones are rare enough for a loop.
        body = position + 2
        size = data[position + 1]
        if size > SHORT:
            size, body = read_length(data, position + 1)
        stop = body + size
        if stop > end or stop - position > max_packet_size or body <= 0:
            break

        if size < 2:
            raise _fault(ReasonCode.MALFORMED_PACKET, "the topic name is cut short")
        start = body + 2
        here = start + (data[body] << 8 | data[body + 1])
        if here > stop:
            raise _fault(ReasonCode.MALFORMED_PACKET, "the topic name is cut short")
        topic = data[start:here]
        checked = known.get(topic)
        if checked is None:
            checked = _check_topic(topic, version)

        if first == TYPE and stop < end:
            # Mostly publishers repeat themselves: then only the payload of the packets that follow is new.
            lead_end = here + 1 if version == MQTT_5_0 else here
            run_end = find_run_end(data, position, lead_end, stop, end) if checked else stop
            if run_end > stop and (version != MQTT_5_0 or data[here] == 0):
                count = (run_end - position) // (stop - position)
                events.append(PublishRun(checked, data[position:run_end], count, stop - lead_end))
                position = run_end
                continue

        publish = Publish.__new__(Publish)
        # Always the same object for the same topic, so that its hash is known from the second message on.
        publish.topic = checked
        publish.qos = 0
        publish.dup = False
        publish.retain = first & RETAIN != 0
        publish.packet_id = 0
        publish.properties = None
        if first > TYPE | RETAIN:
            here = _read_delivery(publish, first, data, here, stop)
        if version == MQTT_5_0:
            if here < stop and data[here] == 0 and checked:
                here += 1
            else:
                here = _read_properties(publish, from_client, data, here, stop)
        publish.payload = data[here:stop]
        publish.packet = data[position:stop]
        events.append(publish)
        position = stop
    return position


def find_run_end(data: bytes, position: int, lead_end: int, stop: int, end: int) -> int:
    """Where the packets end that follow the one in `data[position:stop]` and equal it up to `lead_end` bytes.

    Its remaining length is among those bytes, so they all have its size.
    """
    size = stop - position
    lead = data[position:lead_end]
    while stop + size <= end and data.startswith(lead, stop):
        stop += size
    return stop


def _check_topic(topic: bytes, version: int) -> bytes:
    """The topic, or the equal one that is remembered; PacketError when it is no topic name."""
    known: bytes | None = _topics.recall(topic)
    if known is not None:
        return known
    if not topic and version == MQTT_5_0:
        return topic  # A topic alias may stand for it.
    if not is_string(topic):
        raise _fault(ReasonCode.MALFORMED_PACKET, "the topic name is no UTF-8 string")
    if not is_topic_name(topic):
        raise _fault(ReasonCode.TOPIC_NAME_INVALID, "the topic name is empty or holds a wildcard")
    if len(topic) <= LONGEST_REMEMBERED_TOPIC:
        _topics.remember(topic, topic)
    return topic


def _read_delivery(publish: Publish, first: int, data: bytes, position: int, stop: int) -> int:
    """Flags and packet identifier of anything but a plain QoS 0 message; returns where they end."""
    publish.qos = first >> 1 & 3
    publish.dup = first & DUP != 0
    if publish.qos == 3:  # [MQTT-3.3.1-4]
        raise _fault(ReasonCode.MALFORMED_PACKET, "the QoS is 3")
    if publish.qos == 0:  # [MQTT-3.3.1-2]
        raise _fault(ReasonCode.MALFORMED_PACKET, "DUP is set with QoS 0")
    if position + 2 > stop:
        raise _fault(ReasonCode.MALFORMED_PACKET, "the packet identifier is cut short")
    publish.packet_id = data[position] << 8 | data[position + 1]
    if publish.packet_id == 0:  # [MQTT-2.2.1-3]
        raise _fault(ReasonCode.PROTOCOL_ERROR, "the packet identifier is 0")
    return position + 2


def _read_properties(publish: Publish, from_client: bool, data: bytes, position: int, stop: int) -> int:
    """The properties, with the rules that concern the rest of the packet; returns where they end."""
    reader = PacketReader("PUBLISH", MQTT_5_0, from_client, data, position, stop)
    properties = publish.properties = read_properties(reader, Carrier.PUBLISH)
    if not publish.topic and (properties is None or properties.topic_alias is None):
        raise reader.protocol_error("there is neither a topic name nor a topic alias")  # 3.3.2.1
    if properties is None:
        return reader.position
    if from_client and properties.subscription_identifiers:  # [MQTT-3.3.4-6]
        raise reader.protocol_error("a client may not send a subscription identifier")
    check_message_properties(reader, properties, data[reader.position : stop])
    return reader.position


def check_message_properties(reader: PacketReader, properties: Properties, payload: bytes) -> None:
    """Raise PacketError when properties of a PUBLISH or a will contradict their meaning."""
    response_topic = properties.response_topic
    if response_topic is not None and not is_topic_name(response_topic):  # [MQTT-3.3.2-14]
        raise reader.protocol_error("the response topic is empty or holds a wildcard")
    if properties.payload_format_indicator and not is_utf8(payload):  # 3.3.2.3.2
        raise reader.fault(ReasonCode.PAYLOAD_FORMAT_INVALID, "the payload is not the UTF-8 text that it says it is")


def _fault(code: ReasonCode, complaint: str) -> PacketError:
    return PacketError(code, f"PUBLISH: {complaint}")


def encode_publish(
    version: int,
    topic: bytes,
    payload: bytes,
    qos: int,
    packet_id: int,
    retain: bool,
    dup: bool,
    properties: Properties | None = None,
) -> bytes:
    """A PUBLISH packet. The topic must be legal; `packet_id` is used from QoS 1 on, `properties` only in 5.0."""
    topic_size = len(topic)
    if topic_size > LONGEST_STRING:
        raise MisuseError(f"a topic of {topic_size} bytes is longer than {LONGEST_STRING}")
    first = TYPE | qos << 1
    if retain:
        first |= RETAIN
    if dup:
        first |= DUP
    middle = encode_packet_id(packet_id) if qos else b""
    if version == MQTT_5_0:
        middle += encode_properties(properties, Carrier.PUBLISH)
    size = 2 + topic_size + len(middle) + len(payload)
    return b"%c%b%b%b%b%b" % (first, encode_varint(size), topic_size.to_bytes(2), topic, middle, payload)


def publish_lead(version: int, topic: bytes, payload_size: int) -> bytes:
    """What stands before the payload in a QoS 0 PUBLISH without properties: equal for all messages of one size."""
    properties = b"\0" if version == MQTT_5_0 else b""
    size = 2 + len(topic) + len(properties) + payload_size
    return b"%c%b%b%b%b" % (TYPE, encode_varint(size), len(topic).to_bytes(2), topic, properties)
