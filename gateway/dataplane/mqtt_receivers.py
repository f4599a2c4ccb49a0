"""Receivers that speak MQTT (hot)."""

from gateway.dataplane.port import Port, Receiver
from protocols.message import Burst, Message
from protocols.mqtt.primitives import is_string
from protocols.mqtt.publish import encode_publish, publish_lead
from protocols.mqtt.topics import is_topic_name
from protocols.subjects import subject_to_topic

MQTT_3_1_1 = 4


class MqttSubscription(Receiver):
    """One topic filter of an MQTT client, as the subject filter that it maps to.

    A filter like `a/#` takes two of these. `qos` is the granted one. What matches several reaches the client once.
    """

    __slots__ = ("qos",)

    def __init__(self, port: Port, subject: bytes, qos: int) -> None:
        super().__init__(port, subject, b"")
        self.qos = qos
        self.combines = True

    def deliver(self, message: Message, source: Port) -> bool:
        return False


class MqttRoute(Receiver):
    """Sends messages on one literal subject to an MQTT client, with at most `qos`.

    QoS 0 messages are dropped and counted (`Port.dropped`) where more than `limit` bytes would wait for the client;
    others go through `Port.deliver_reliably`.
    """

    __slots__ = ("limit", "qos", "topic")

    def __init__(self, port: Port, subject: bytes, topic: bytes, qos: int, limit: int) -> None:
        super().__init__(port, subject, b"")
        self.topic = topic
        self.qos = qos
        self.limit = limit

    def deliver(self, message: Message, source: Port) -> bool:
        port = self.port
        outbox = port.outbox
        if outbox is None or outbox.closed:
            return False
        if message.qos and self.qos:
            return port.deliver_reliably(message, self.topic)
        packet = message.mqtt3
        if packet is None:
            packet = message.mqtt3 = encode_publish(MQTT_3_1_1, self.topic, message.payload(), 0, 0, False, False)
        if outbox.pending() + len(packet) > self.limit:
            port.dropped += 1
            return True
        outbox.append(packet, b"", message.size)
        return True

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        port = self.port
        outbox = port.outbox
        if outbox is None or outbox.closed:
            return
        packets = burst.mqtt3
        if packets is None:
            lead = publish_lead(MQTT_3_1_1, self.topic, burst.message_size - burst.header_size)
            packets = burst.mqtt3 = lead + lead.join(burst.payloads())
        if outbox.pending() + len(packets) > self.limit:
            port.dropped += burst.count
            return
        outbox.append_burst([packets], len(packets), burst.count, burst.count * burst.message_size)


def topic_of(subject: bytes) -> bytes | None:
    """The MQTT topic of a subject, or None where it makes none."""
    topic = subject_to_topic(subject)
    return topic if is_topic_name(topic) and is_string(topic) else None
