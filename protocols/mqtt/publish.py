"""PUBLISH: reading a run of them and writing one (hot). All other packets are few and live elsewhere."""

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.cache import GenerationCache
from protocols.errors import MisuseError
from protocols.mqtt.errors import PacketError
from protocols.mqtt.primitives import (
    LARGEST_VARINT,
    LONGEST_STRING,
    MQTT_5_0,
    PacketReader,
    is_string,
    is_utf8,
    read_length,
)
from protocols.mqtt.properties import Carrier, Properties, encode_properties, read_properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topics import is_topic_name
from protocols.scanning import cut, cut_ends, repeats_at

TYPE = 0x30
TYPE_MASK = 0xF0
TYPE_QOS_1 = 0x32
TYPE_QOS_2 = 0x34
DUP = 0x08
RETAIN = 0x01
# Packets of up to this size have a remaining length of one byte.
SHORT = 0x7F

# In a remaining length: another byte follows.
MORE = 0x80
PLUS = 0x2B
HASH = 0x23

NOTHING = bytearray()
NO_PROPERTIES = b"\0"

# Topics repeat from message to message, so each is checked twice at most. A longer one is checked anew each time: the
# cache is bounded in bytes, not only in entries.
LONGEST_REMEMBERED_TOPIC = 128
REMEMBERED_TOPICS = 4096

_topics: GenerationCache = GenerationCache(REMEMBERED_TOPICS)


class Publish:
    """A PUBLISH as it came in.

    `topic` is a legal topic name, or empty when `properties` hold a topic alias. `packet_id` is 0 for QoS 0.
    `properties` is None when there are none. `packet` is the whole packet as received where the QoS is 0, else b"":
    with a packet identifier it is of no use to others.
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
    """`count` packets in a row that differ in nothing but their payload of `payload_size` bytes and packet identifier.

    They are neither retained nor repeated nor do they have properties. `packets` are all of them as received,
    `packet_ids` is None for QoS 0.
    """

    __slots__ = ("count", "packet_ids", "packets", "payload_size", "qos", "topic")

    def __init__(
        self,
        topic: bytes,
        packets: bytes,
        count: int,
        payload_size: int,
        qos: int = 0,
        packet_ids: list[int] | None = None,
    ) -> None:
        self.topic = topic
        self.packets = packets
        self.count = count
        self.payload_size = payload_size
        self.qos = qos
        self.packet_ids = packet_ids

    def payloads(self) -> list[bytes]:
        return cut_ends(self.packets, self.count, self.payload_size)

    def publishes(self) -> list[Publish]:
        """The events that the packets make one by one."""
        size = len(self.packets) // self.count
        publishes = []
        for index, payload in enumerate(self.payloads()):
            publish = make_publish(self.topic, False)
            publish.payload = payload
            if self.packet_ids is None:
                publish.packet = self.packets[index * size : (index + 1) * size]
            else:
                publish.qos = self.qos
                publish.packet_id = self.packet_ids[index]
            publishes.append(publish)
        return publishes


def read_publishes(
    data: bytes, position: int, version: int, from_client: bool, max_packet_size: int, events: list[object]
) -> int:
    """Append the run of whole PUBLISH packets that begins at `position`; returns where it ends.

    It ends before another kind of packet, before an incomplete packet and before a fixed header that is no good (bad
    remaining length, over `max_packet_size`). Raises PacketError for a PUBLISH that is bad otherwise.
    """
    end = len(data)
    while position + 2 <= end:
        first = data[position]
        if first & TYPE_MASK != TYPE:
            break
        # A remaining length of one or two bytes; longer ones are rare enough for a call.
        body = position + 2
        size = data[position + 1]
        if size > SHORT and body < end and 0 < data[body] <= SHORT:
            size = size & SHORT | data[body] << 7
            body += 1
        elif size > SHORT:
            size, body = read_length(data, position + 1)
        stop = body + size
        if stop > end or stop - position > max_packet_size or body <= 0:
            break
        position = _read_packet(data, position, body, stop, version, from_client, events)
    return position


def _read_packet(
    data: bytes, position: int, body: int, stop: int, version: int, from_client: bool, events: list[object]
) -> int:
    """Append the packet in `data[position:stop]`, or the run that it begins; returns where that ends."""
    start = body + 2
    here = start + (data[body] << 8 | data[body + 1]) if start <= stop else start
    if here > stop:
        raise _fault(ReasonCode.MALFORMED_PACKET, "the topic name is cut short")
    # In the interpreter a call costs more than what `cut` saves.
    topic = cut(data, start, here) if cython.compiled else data[start:here]
    # Always the same object for a topic that comes often, so that its hash is known.
    topics = _topics
    checked = topics.young.get(topic)
    if checked is None:
        checked = _check_topic(topic, version)
    first = data[position]
    if first == TYPE and stop < len(data) and checked:
        # Mostly publishers repeat themselves: then only the payload of the packets that follow is new.
        lead_end = here + 1 if version == MQTT_5_0 else here
        run_end = find_run_end(data, position, lead_end, stop)
        if run_end > stop and (version != MQTT_5_0 or data[here] == 0):
            count = (run_end - position) // (stop - position)
            events.append(PublishRun(checked, cut(data, position, run_end), count, stop - lead_end))
            return run_end
    if first in (TYPE_QOS_1, TYPE_QOS_2) and from_client and checked:
        packet_ids = read_packet_ids(data, position, here - position, stop - position, version)
        count = len(packet_ids)
        if count > 1:
            run_end = position + count * (stop - position)
            payload_size = stop - here - (3 if version == MQTT_5_0 else 2)
            packets = cut(data, position, run_end)
            events.append(PublishRun(checked, packets, count, payload_size, first >> 1 & 3, packet_ids))
            return run_end
    publish = make_publish(checked, first & RETAIN != 0)
    if first > TYPE | RETAIN:
        here = _read_delivery(publish, first, data, here, stop)
    else:
        publish.packet = cut(data, position, stop) if cython.compiled else data[position:stop]
    if version == MQTT_5_0:
        if here < stop and data[here] == 0 and checked:
            here += 1
        else:
            here = _read_properties(publish, from_client, data, here, stop)
    publish.payload = cut(data, here, stop) if cython.compiled else data[here:stop]
    events.append(publish)
    return stop


def make_publish(topic: bytes, retain: bool) -> Publish:
    """A QoS 0 message without a payload."""
    publish = Publish.__new__(Publish)
    publish.topic = topic
    publish.payload = publish.packet = b""
    publish.qos = 0
    publish.dup = False
    publish.retain = retain
    publish.packet_id = 0
    publish.properties = None
    return publish


def read_packet_ids(data: bytes, position: int, lead: int, size: int, version: int) -> list[int]:
    """The packet identifiers of packets in a row, of `size` bytes each, that have no properties.

    They equal the one at `position` in the first `lead` bytes, behind which the identifier stands.
    """
    packet_ids: list[int] = []
    end = len(data)
    at = position
    if size < lead + 3:
        return packet_ids
    model = b"" if cython.compiled else data[position : position + lead]
    while at + size <= end:
        alike = repeats_at(data, position, lead, at, end) if cython.compiled else data.startswith(model, at)
        if not alike and at != position:
            break
        packet_id = data[at + lead] << 8 | data[at + lead + 1]
        if packet_id == 0 or (version == MQTT_5_0 and data[at + lead + 2] != 0):
            break
        packet_ids.append(packet_id)
        at += size
    return packet_ids


def find_run_end(data: bytes, position: int, lead_end: int, stop: int) -> int:
    """Where the packets end that follow the one in `data[position:stop]` and equal it up to `lead_end`.

    Its remaining length is among those bytes, so they all have its size.
    """
    size = stop - position
    lead = lead_end - position
    end = len(data)
    if cython.compiled:
        while stop + size <= end and repeats_at(data, position, lead, stop, end):
            stop += size
        return stop
    model = data[position:lead_end]
    while stop + size <= end and data.startswith(model, stop):
        stop += size
    return stop


def _check_topic(topic: bytes, version: int) -> bytes:
    """The topic, or the equal one that is remembered; PacketError when it is no topic name."""
    topics = _topics
    known: bytes | None = topics.recall(topic)
    if known is not None:
        return known
    if not topic and version == MQTT_5_0:
        return topic  # A topic alias may stand for it.
    if not is_plain_topic(topic):
        if not is_string(topic):
            raise _fault(ReasonCode.MALFORMED_PACKET, "the topic name is no UTF-8 string")
        if not is_topic_name(topic):
            raise _fault(ReasonCode.TOPIC_NAME_INVALID, "the topic name is empty or holds a wildcard")
    if len(topic) <= LONGEST_REMEMBERED_TOPIC and topics.is_familiar(topic):
        topics.remember(topic, topic)
    return topic


def is_plain_topic(topic: bytes) -> bool:
    """Whether it is a topic name of printable ASCII characters, so certainly a good one."""
    for character in topic:
        if character < 0x20 or character > 0x7E or character == PLUS or character == HASH:  # noqa: SIM109 - typed
            return False
    return len(topic) > 0


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
    first = TYPE | qos << 1
    if retain:
        first |= RETAIN
    if dup:
        first |= DUP
    middle = NOTHING
    if qos:
        if not 0 < packet_id <= 0xFFFF:
            raise MisuseError(f"{packet_id} is no packet identifier")
        middle = bytearray(2)
        middle[0] = packet_id >> 8
        middle[1] = packet_id & 0xFF
    block = b""
    if version == MQTT_5_0:
        block = encode_properties(properties, Carrier.PUBLISH) if properties is not None else NO_PROPERTIES
    begin = _encode_begin(first, len(topic), len(middle) + len(block) + len(payload))
    return b"".join((begin, topic, middle, block, payload))


def publish_lead(version: int, topic: bytes, payload_size: int) -> bytes:
    """What stands before the payload in a QoS 0 PUBLISH without properties: equal for all messages of one size."""
    block = NO_PROPERTIES if version == MQTT_5_0 else b""
    return b"".join((_encode_begin(TYPE, len(topic), len(block) + payload_size), topic, block))


def numbered_lead(version: int, topic: bytes, payload_size: int, qos: int) -> tuple[bytes, bytes]:
    """What stands before and behind the packet identifier of a PUBLISH with a QoS above 0 and without properties."""
    block = NO_PROPERTIES if version == MQTT_5_0 else b""
    begin = _encode_begin(TYPE | qos << 1, len(topic), 2 + len(block) + payload_size)
    return b"".join((begin, topic)), block


def _encode_begin(first: int, topic_size: int, rest: int) -> bytearray:
    """What stands before the topic; `rest` bytes follow it."""
    if topic_size > LONGEST_STRING:
        raise MisuseError(f"a topic of {topic_size} bytes is longer than {LONGEST_STRING}")
    size = 2 + topic_size + rest
    if size > LARGEST_VARINT:
        raise MisuseError(f"a packet of {size} bytes is too large")
    begin = bytearray()
    begin.append(first)
    while size > SHORT:
        begin.append(size & SHORT | MORE)
        size >>= 7
    begin.append(size)
    begin.append(topic_size >> 8)
    begin.append(topic_size & 0xFF)
    return begin
