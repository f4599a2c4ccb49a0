"""PUBLISH: reading a run of them and writing one (hot). All other packets are few and live elsewhere."""

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.errors import MisuseError
from protocols.message import RETAIN_HEADER, Burst, Message, make_plain_message
from protocols.mqtt.errors import PacketError
from protocols.mqtt.primitives import (
    LARGEST_VARINT,
    LONGEST_STRING,
    MOST_USER_PROPERTIES,
    MQTT_5_0,
    NO_LIMIT,
    PacketReader,
    is_utf8,
    read_length,
)
from protocols.mqtt.properties import Carrier, Properties, encode_properties, read_properties
from protocols.mqtt.published_topics import EVERYBODYS, PublishedTopic
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topics import is_topic_name
from protocols.scanning import copy_into, cut, cut_buffer, repeats_at

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

NOTHING = bytearray()
# Where heads of packets are put together, with topics of up to this size.
SHORT_TOPIC = 256
_head = bytearray(SHORT_TOPIC + 16)
NO_PROPERTIES = b"\0"


class Publish:
    """A PUBLISH as it came in.

    `topic` is a legal topic name, or empty when `properties` hold a topic alias. `packet_id` is 0 for QoS 0.
    `properties` is None when there are none.
    """

    __slots__ = ("dup", "packet_id", "payload", "properties", "qos", "retain", "topic")

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    properties: Properties | None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Publish):
            return NotImplemented
        return self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in sorted(self.__slots__))
        return f"Publish({fields})"

    def _fields(self) -> tuple[bytes, bytes, int, bool, bool, int, Properties | None]:
        return self.topic, self.payload, self.qos, self.retain, self.dup, self.packet_id, self.properties


class PublishRun:
    """PUBLISH packets in a row of one QoS above 0, with nothing to say but topic and payload: `messages`, and the
    identifier of each in `packet_ids`. None of them is repeated. `retained` of them are to be kept for their subjects,
    with `retained_bytes` of subjects, headers and payloads.
    """

    __slots__ = ("messages", "packet_ids", "qos", "retained", "retained_bytes")

    def __init__(self, qos: int) -> None:
        self.qos = qos
        self.retained = 0
        self.retained_bytes = 0
        self.messages: list[Message] = []
        self.packet_ids: list[int] = []

    def all_delivered(self) -> bool:
        """Whether each was routed and somebody took it."""
        for message in self.messages:  # noqa: SIM110 - compiled, a generator would cost more
            if not message.delivered:
                return False
        return True


class PublishReader:
    """Reads runs of PUBLISH packets. Events: Message, Burst and PublishRun for what a client may publish and has
    nothing to say of but topic and payload; Publish for all else, and for all that a server sends.

    `version` is the peer's protocol level. A payload above `max_payload`, a topic with more than `max_levels` levels
    and one that `topics` does not permit make a Publish. `room` is for how many more packets or bursts there is time.
    """

    __slots__ = (
        "_from_client",
        "_run",
        "max_levels",
        "max_packet_size",
        "max_payload",
        "max_user_properties",
        "room",
        "topics",
        "version",
    )

    def __init__(
        self,
        from_client: bool,
        max_packet_size: int,
        max_payload: int,
        max_levels: int,
        max_user_properties: int = MOST_USER_PROPERTIES,
    ) -> None:
        self._from_client = from_client
        self._run: PublishRun | None = None
        self.version = 0
        self.max_packet_size = max_packet_size
        self.max_payload = max_payload
        self.max_levels = max_levels
        self.max_user_properties = max_user_properties
        self.topics = EVERYBODYS
        self.room = NO_LIMIT

    def read(self, data: bytes, position: int, events: list[object]) -> int:
        """Append the run of whole PUBLISH packets that begins at `position`; returns where it ends.

        It ends before another kind of packet, before an incomplete packet and before a fixed header that is no good
        (bad remaining length, over `max_packet_size`), and where there is no more `room`. Raises PacketError for a
        PUBLISH that is bad otherwise.
        """
        end = len(data)
        self._run = None
        while position + 2 <= end and self.room > 0:
            if data[position] & TYPE_MASK != TYPE:
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
            if stop > end or stop - position > self.max_packet_size or body <= 0:
                break
            self.room -= 1
            position = self._read_packet(data, position, body, stop, events)
        return position

    def _read_packet(self, data: bytes, position: int, body: int, stop: int, events: list[object]) -> int:
        """Append the packet in `data[position:stop]`, or the burst that it begins; returns where that ends."""
        start = body + 2
        here = start + (data[body] << 8 | data[body + 1]) if start <= stop else start
        if here > stop:
            raise _fault(ReasonCode.MALFORMED_PACKET, "the topic name is cut short")
        # In the interpreter a call costs more than what `cut` saves.
        topic = cut(data, start, here) if cython.compiled else data[start:here]
        topics = self.topics
        judged = topics.young.get(topic)
        five = self.version == MQTT_5_0
        if judged is None and (topic or not five):  # In 5.0 a topic alias may stand for it.
            judged = topics.judge(topic)
        first = data[position]
        if judged is not None and judged.permitted and judged.levels <= self.max_levels and self._from_client:
            if first == TYPE:
                if five:
                    here += 1
                if here <= stop and stop - here <= self.max_payload and (not five or data[here - 1] == 0):
                    self._run = None
                    return self._read_plain(judged, data, position, here, stop, events)
                if five:
                    here -= 1
            elif first | RETAIN in (TYPE_QOS_1 | RETAIN, TYPE_QOS_2 | RETAIN):
                begin = here + (3 if five else 2)
                if begin <= stop and stop - begin <= self.max_payload and (not five or data[begin - 1] == 0):
                    self._read_numbered(judged, first, data, here, begin, stop, events)
                    return stop
        self._run = None
        publish = make_publish(judged.topic if judged is not None else topic, first & RETAIN != 0)
        if first > TYPE | RETAIN:
            here = _read_delivery(publish, first, data, here, stop)
        if five:
            if here < stop and data[here] == 0 and topic:
                here += 1
            else:
                here = _read_properties(publish, self._from_client, data, here, stop, self.max_user_properties)
        publish.payload = cut(data, here, stop) if cython.compiled else data[here:stop]
        events.append(publish)
        return stop

    def _read_plain(
        self, judged: PublishedTopic, data: bytes, position: int, here: int, stop: int, events: list[object]
    ) -> int:
        """Append a QoS 0 message whose payload begins at `here`, or those in a row that equal it up to there."""
        five = self.version == MQTT_5_0
        run_end = find_run_end(data, position, here, stop)
        if run_end > stop:
            count = (run_end - position) // (stop - position)
            burst = Burst(judged.subject, 0, stop - here, None, count, None)
            burst.qos = 0
            if five:
                burst.mqtt5 = cut(data, position, run_end)
            else:
                burst.mqtt3 = cut(data, position, run_end)
            events.append(burst)
            return run_end
        message = make_plain_message(judged.subject, stop - here, 0)
        packet = cut(data, position, stop) if cython.compiled else data[position:stop]
        if five:
            message.mqtt5 = packet
        else:
            message.mqtt3 = packet
        events.append(message)
        return stop

    def _read_numbered(
        self, judged: PublishedTopic, first: int, data: bytes, here: int, begin: int, stop: int, events: list[object]
    ) -> None:
        """Append a message whose packet identifier stands at `here` and whose payload begins at `begin`."""
        qos = first >> 1 & 3
        packet_id = data[here] << 8 | data[here + 1]
        if packet_id == 0:  # [MQTT-2.2.1-3]
            raise _fault(ReasonCode.PROTOCOL_ERROR, "the packet identifier is 0")
        run = self._run
        if run is None or run.qos != qos:
            run = self._run = PublishRun(qos)
            events.append(run)
        message = make_plain_message(judged.subject, stop - begin, qos)
        message.content = cut(data, begin, stop) if cython.compiled else data[begin:stop]
        if first & RETAIN:
            retain(message)
            run.retained += 1
            run.retained_bytes += len(message.subject) + message.size
        run.messages.append(message)
        run.packet_ids.append(packet_id)


def retain(message: Message) -> None:
    """Give a message of nothing but a payload the header by which its subject is to keep it."""
    content = message.content
    assert content is not None
    message.content = RETAIN_HEADER + content
    message.header_size = len(RETAIN_HEADER)
    message.size += len(RETAIN_HEADER)


def make_publish(topic: bytes, retain: bool) -> Publish:
    """A QoS 0 message without a payload."""
    publish = Publish.__new__(Publish)
    publish.topic = topic
    publish.payload = b""
    publish.qos = 0
    publish.dup = False
    publish.retain = retain
    publish.packet_id = 0
    publish.properties = None
    return publish


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


def _read_properties(
    publish: Publish, from_client: bool, data: bytes, position: int, stop: int, max_user_properties: int
) -> int:
    """The properties, with the rules that concern the rest of the packet; returns where they end."""
    reader = PacketReader("PUBLISH", MQTT_5_0, from_client, data, position, stop, max_user_properties)
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


def publish_head(version: int, topic: bytes, payload_size: int, qos: int, packet_id: int) -> bytes:
    """What stands before the payload of a PUBLISH without properties, retained or repeated; of QoS 0 it is equal for
    all messages of one size.
    """
    topic_size = len(topic)
    rest = 2 + topic_size + payload_size + (2 if qos else 0) + (1 if version == MQTT_5_0 else 0)
    if topic_size > LONGEST_STRING:
        raise MisuseError(f"a topic of {topic_size} bytes is longer than {LONGEST_STRING}")
    if rest > LARGEST_VARINT:
        raise MisuseError(f"a packet of {rest} bytes is too large")
    if qos and not 0 < packet_id <= 0xFFFF:
        raise MisuseError(f"{packet_id} is no packet identifier")
    head = _head
    head[0] = TYPE | qos << 1
    end = 1
    while rest > SHORT:
        head[end] = rest & SHORT | MORE
        rest >>= 7
        end += 1
    head[end] = rest
    head[end + 1] = topic_size >> 8
    head[end + 2] = topic_size & 0xFF
    end += 3
    if topic_size <= SHORT_TOPIC and cython.compiled:
        copy_into(head, end, topic)
        end += topic_size
    else:
        begin = bytes(head[:end])
        end = 0
    if qos:
        head[end] = packet_id >> 8
        head[end + 1] = packet_id & 0xFF
        end += 2
    if version == MQTT_5_0:
        head[end] = 0
        end += 1
    if topic_size <= SHORT_TOPIC and cython.compiled:
        return cut_buffer(head, end)
    return b"".join((begin, topic, head[:end]))


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
