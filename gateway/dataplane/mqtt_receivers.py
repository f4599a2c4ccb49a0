"""Receivers that speak MQTT (hot)."""

from typing import Protocol

from gateway.dataplane.mqtt_window import QueuedPublish, Window
from gateway.dataplane.outbox import CONGESTED_AT, Outbox
from gateway.dataplane.port import Port, Receiver
from protocols.message import Burst, Message
from protocols.mqtt.gateways_passed import gateways_passed
from protocols.mqtt.publish import encode_publish, publish_head
from protocols.mqtt.published_topics import topic_of

MQTT_3_1_1 = 4
MQTT_5_0 = 5
AWAY = 0

DOLLAR = 0x24


class Outward(Protocol):
    """Which topics pass a bridge (protocols.mqtt.remapping)."""

    def outward(self, topic: bytes) -> bytes | None:
        """What a local topic is called on the remote side; None where it does not pass."""


class MqttPort(Port):
    """An MQTT session's place on the switch; it stays while its client is away.

    `version` is the protocol level of the connected client, `AWAY` while there is none. `limit` is how many bytes may
    wait for the client before QoS 0 messages are dropped, `high_water` how many before others wait in the queue,
    `max_packet_size` the largest packet that it takes; `oversized` counts the dropped messages that were larger.
    `outgoing` holds its messages with a QoS above 0. `durable`: what waits for it outlives the process. `aliases`, by
    topic, is set where topics go out as aliases, so that no two clients get the same bytes. `remapping`, where topics
    are others beyond a bridge, says which. `beyond` names the gateway that is the peer, b"" for any other peer: it gets
    nothing that has been there.
    """

    __slots__ = (
        "aliases",
        "beyond",
        "durable",
        "high_water",
        "limit",
        "max_packet_size",
        "outgoing",
        "oversized",
        "remapping",
        "version",
    )

    def __init__(self, limit: int) -> None:
        super().__init__(None)
        self.version = AWAY
        self.set_limit(limit)
        self.max_packet_size = 0
        self.oversized = 0
        self.durable = False
        self.outgoing = Window()
        self.aliases: dict[bytes, int] | None = None
        self.remapping: Outward | None = None
        self.beyond = b""

    def topic_for(self, subject: bytes) -> bytes | None:
        """What the peer calls a subject; None where it has no topic there."""
        topic = topic_of(subject)
        if topic is None or self.remapping is None:
            return topic
        return self.remapping.outward(topic)

    def has_been_beyond(self, message: Message) -> bool:
        """Whether a message comes, over whatever way, from the gateway that is the peer."""
        return message.header_size > 0 and self.beyond in gateways_passed(message.header())

    def set_limit(self, limit: int) -> None:
        """How many bytes may wait for the client."""
        self.limit = limit
        self.high_water = min(CONGESTED_AT, limit // 2)

    def deliver_reliably(self, message: Message, route: "MqttRoute") -> bool:
        """Deliver a message with a QoS above 0, now or when the client is back."""
        raise NotImplementedError

    def encode_unshared(self, message: Message, route: "MqttRoute") -> bytes:
        """The QoS 0 packet of a message that no other client gets in the same bytes."""
        raise NotImplementedError

    def expect_answer(self, message: Message) -> None:
        """The client is sent a request, and may publish on its response topic (`Port.replies`)."""
        raise NotImplementedError

    def drop(self, topic: bytes, oversized: bool) -> None:
        """Count a message that the client does not get; the packet that tells an alias may be among them."""
        self.dropped += 1
        if oversized:
            self.oversized += 1
        self.dismiss_alias(topic)

    def dismiss_alias(self, topic: bytes) -> None:
        """The packet that tells an alias did not go out: the topic has none from now on."""
        aliases = self.aliases
        if aliases is not None and topic in aliases:
            aliases[topic] = 0

    def takes_plain(self, message: Message) -> bool:
        """Whether the client gets a message as nothing but topic and payload."""
        return (
            not message.header_size
            and self.aliases is None
            and not self.beyond
            and not self.max_packet_size
            and (not message.reply or self.version != MQTT_5_0)
        )

    def send_plain(self, publish: QueuedPublish) -> bool:
        """Send a message that is in flight; False where there is more to say, or to see to, than topic and payload."""
        message, topic, outbox = publish.message, publish.topic, self.outbox
        if (
            message is None
            or topic is None
            or outbox is None
            or publish.repeated
            or publish.retain
            or publish.identifiers
            or publish.expires_at
            or not self.takes_plain(message)
        ):
            return False
        head = publish_head(self.version, topic, message.size, publish.qos, publish.packet_id)
        outbox.append(head, message.body(), message.size)
        return True


class MqttSubscription(Receiver):
    """One topic filter of an MQTT session, as the subject filter that it maps to.

    A filter like `a/#` takes two of these. `qos` is the granted one, `identifier` 0 when there is none. What matches
    several reaches the client once.
    """

    __slots__ = ("identifier", "no_local", "qos", "retain_as_published", "session")

    def __init__(
        self, port: MqttPort, subject: bytes, qos: int, no_local: bool, retain_as_published: bool, identifier: int
    ) -> None:
        super().__init__(port, subject, b"")
        self.session = port
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier
        self.combines = True

    def is_durable(self) -> bool:
        return self.qos > 0 and self.session.durable

    def deliver(self, message: Message, source: Port) -> bool:
        return False

    def alone(self) -> Receiver:
        route = any_route(self.session, self.subject, self.qos, self.retain_as_published, self.identifier)
        route.selective = self.no_local
        return route


class MqttShare(Receiver):
    """A shared subscription: membership in the queue group `queue`. One whose client is away serves last."""

    __slots__ = ("_route", "identifier", "qos", "retain_as_published", "session")

    def __init__(
        self, port: MqttPort, subject: bytes, queue: bytes, qos: int, retain_as_published: bool, identifier: int
    ) -> None:
        super().__init__(port, subject, queue)
        self.shared = True
        self.session = port
        self.qos = qos
        self.retain_as_published = retain_as_published
        self.identifier = identifier
        self._route: MqttRoute | None = None

    def is_durable(self) -> bool:
        return self.qos > 0 and self.session.durable

    def deliver(self, message: Message, source: Port) -> bool:
        return self.session.version != AWAY and self._deliver(message)

    def keep(self, message: Message) -> bool:
        return self.session.version == AWAY and self._deliver(message)

    def _deliver(self, message: Message) -> bool:
        if self._route is None:
            self._route = any_route(self.session, self.subject, self.qos, self.retain_as_published, self.identifier)
        return self._route.deliver(message, self.session)


class MqttRoute(Receiver):
    """Sends messages on one literal subject to an MQTT session, with at most `qos`.

    QoS 0 messages are dropped and counted (`Port.dropped`) where more than `MqttPort.limit` bytes would wait for the
    client; others go through `MqttPort.outgoing`. A `plain` one adds nothing of its own to the message, so that clients
    share its packet. Where `selective`, the session's own messages take the route `own`, or none. One that `follows`
    takes messages on any subject: those in a row that are equal share the topic that it makes.
    """

    __slots__ = (
        "follows",
        "hides_dollar",
        "identifiers",
        "own",
        "plain",
        "qos",
        "retain_as_published",
        "selective",
        "session",
        "topic",
    )

    def __init__(
        self,
        port: MqttPort,
        subject: bytes,
        topic: bytes,
        qos: int,
        retain_as_published: bool,
        identifiers: tuple[int, ...],
    ) -> None:
        super().__init__(port, subject, b"")
        self.session = port
        self.topic = topic
        self.qos = qos
        self.retain_as_published = retain_as_published
        self.identifiers = identifiers
        self.plain = not retain_as_published and not identifiers
        self.selective = False
        self.own: MqttRoute | None = None
        self.follows = self.hides_dollar = False

    def is_durable(self) -> bool:
        return self.qos > 0 and self.session.durable

    def deliver(self, message: Message, source: Port) -> bool:
        session = self.session
        if self.selective and (source is session or (session.beyond and session.has_been_beyond(message))):
            return self.own is not None and self.own.deliver(message, source)
        if self.follows and not self._leads_to(message.subject):
            return False
        outbox = session.outbox
        if message.qos and self.qos:
            return self._send_numbered(message, outbox) or session.deliver_reliably(message, self)
        if outbox is None or outbox.closed:
            return False
        packet = self._packet(message)
        size = len(packet)
        if outbox.pending() + size > session.limit:
            outbox.flush()  # What counts is what the client does not take.
            if outbox.pending() + size > session.limit:
                session.drop(self.topic, False)
                return True
        if session.max_packet_size and size > session.max_packet_size:  # [MQTT-3.1.2-25]: as if it had been sent.
            session.drop(self.topic, True)
            return True
        outbox.append_packet(packet, message.size - message.header_size)
        return True

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        session = self.session
        outbox = session.outbox
        if self.follows and not self._leads_to(burst.subject):
            return
        alike = session.aliases is None and not session.beyond and not session.max_packet_size
        shared = alike and self.plain and not self.selective
        if not shared or (burst.qos and self.qos) or (burst.header_size and session.version == MQTT_5_0):
            Receiver.deliver_burst(self, burst, source)  # Compiled, super() knows no class here.
            return
        if outbox is None or outbox.closed:
            return
        packets = self._packets(burst)
        if outbox.pending() + len(packets) > session.limit:
            Receiver.deliver_burst(self, burst, source)  # As many as there is room for.
            return
        outbox.append_burst(
            [packets], len(packets), burst.count, burst.count * (burst.message_size - burst.header_size)
        )

    def _leads_to(self, subject: bytes) -> bool:
        """Make the topic of a subject; False where it has none that the filter takes."""
        if subject != self.subject:
            # A filter that begins with a wildcard does not match topics that begin with $ [MQTT-4.7.2-1].
            hidden = self.hides_dollar and subject[0] == DOLLAR
            self.subject = subject
            self.topic = b"" if hidden else self.session.topic_for(subject) or b""
        return len(self.topic) > 0

    def _send_numbered(self, message: Message, outbox: Outbox | None) -> bool:
        """Send a message with a QoS above 0 where that is no more than giving it a number."""
        session = self.session
        if (
            outbox is None
            or outbox.closed
            or not self.plain
            or not session.takes_plain(message)
            or outbox.pending() > session.high_water
        ):
            return False
        qos = min(message.qos, self.qos)
        packet_id = session.outgoing.admit(message, self.topic, qos)
        if not packet_id:
            return False
        outbox.append(
            publish_head(session.version, self.topic, message.size, qos, packet_id), message.body(), message.size
        )
        return True

    def _packet(self, message: Message) -> bytes:
        """The QoS 0 packet of a message, made once for all clients of a protocol version that can share it."""
        session = self.session
        if session.version != MQTT_5_0:
            retained = self.retain_as_published and message.is_retained()
            if retained or session.remapping is not None:  # a bridge
                return encode_publish(MQTT_3_1_1, self.topic, message.payload(), 0, 0, retained, False)
            if message.mqtt3 is None:
                size = message.size - message.header_size
                message.mqtt3 = publish_head(MQTT_3_1_1, self.topic, size, 0, 0) + message.payload()
            return message.mqtt3
        if session.replies is not None and message.reply:
            session.expect_answer(message)
        if not self.plain or session.aliases is not None or session.beyond:
            return session.encode_unshared(message, self)
        if message.mqtt5 is None:
            if message.header_size or message.reply:
                message.mqtt5 = session.encode_unshared(message, self)
            else:
                message.mqtt5 = publish_head(MQTT_5_0, self.topic, message.size, 0, 0) + message.body()
        return message.mqtt5

    def _packets(self, burst: Burst) -> bytes:
        """The QoS 0 packets of a burst, one behind the other."""
        five = self.session.version == MQTT_5_0
        packets = burst.mqtt5 if five else burst.mqtt3
        if packets is None:
            version = MQTT_5_0 if five else MQTT_3_1_1
            lead = publish_head(version, self.topic, burst.message_size - burst.header_size, 0, 0)
            packets = lead + lead.join(burst.payloads())
            if five:
                burst.mqtt5 = packets
            else:
                burst.mqtt3 = packets
        return packets


def any_route(
    session: MqttPort, subject_filter: bytes, qos: int, retain_as_published: bool, identifier: int
) -> MqttRoute:
    """A route that takes messages on every subject that a filter matches."""
    route = MqttRoute(session, b"", b"", qos, retain_as_published, (identifier,) if identifier else ())
    route.follows = True
    route.hides_dollar = subject_filter.startswith((b"*", b">"))
    return route
