"""PUBLISH: reading a run of them and writing one (hot). All other packets are few and live elsewhere."""

from protocols.cache import GenerationCache
from protocols.errors import MisuseError
from protocols.mqtt.faults import PacketFault
from protocols.mqtt.primitives import (
    LONGEST_STRING,
    MQTT_5_0,
    PacketReader,
    encode_packet_id,
    encode_varint,
    is_string,
    is_utf8,
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
        return "Publish(topic=%r, payload=%r, qos=%r, retain=%r, dup=%r, packet_id=%r, properties=%r)" % self._fields()

    def _fields(self) -> tuple[bytes, bytes, int, bool, bool, int, Properties | None]:
        return self.topic, self.payload, self.qos, self.retain, self.dup, self.packet_id, self.properties


def read_publishes(
    data: bytes, position: int, version: int, from_client: bool, max_packet_size: int, events: list[object]
) -> int:
    """Append the run of whole PUBLISH packets that begins at `position`; returns where it ends.

    It ends before another kind of packet, before an incomplete packet and before a fixed header that is no good (bad
    remaining length, over `max_packet_size`). Raises PacketFault for a PUBLISH that is bad otherwise.
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
            size, body = _read_length(data, position + 1)
        stop = body + size
        if stop > end or stop - position > max_packet_size or body == 0:
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
