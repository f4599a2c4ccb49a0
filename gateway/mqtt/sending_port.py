"""SendingPort: how messages get to the client of an MQTT session: packed for its version, as far as it takes them."""

import math
from collections.abc import Callable

from gateway.accounts.account import Account
from gateway.dataplane.mqtt_receivers import MqttPort, MqttRoute, MqttSubscription
from gateway.dataplane.mqtt_window import QueuedPublish
from gateway.dataplane.port import Receiver
from gateway.mqtt.attached_client import AttachedClient
from gateway.mqtt.messages import expiry_of, publish_packet
from gateway.mqtt.queue import OutgoingQueue
from gateway.runtime.runtime import Runtime
from protocols.message import Message
from protocols.mqtt import encoder
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.reply_subjects import parse_reply

# Why messages do not get to a client, as the log says it.
OVERSIZED = "larger than its maximum packet size"
SLOW = "it takes messages too slowly"
FULL = "its queue was full while it was away"
NO_MEMORY = "its share of limits.max-memory-bytes was used up"


class SendingPort(MqttPort):
    """The way to the client of one client id; `client` is None while it is away. `lost` is called with the cause when a
    message does not get to it. `retains`: the peer takes retain flags. `most_aliases` topics may have an alias there.
    """

    __slots__ = ("account", "client", "client_id", "lost", "most_aliases", "retains", "runtime")

    def __init__(
        self, runtime: Runtime, account: Account, client_id: bytes, lost: Callable[["SendingPort", str], None]
    ) -> None:
        super().__init__(runtime.settings.limits.max_pending_bytes)
        config = runtime.settings.mqtt
        self.runtime = runtime
        self.account = account
        self.client_id = client_id
        self.lost = lost
        self.client: AttachedClient | None = None
        self.outgoing: OutgoingQueue = OutgoingQueue(config.max_queued_messages, config.max_queued_bytes, self.pump)
        self.retains = True
        self.most_aliases = 0

    # What routing calls (gateway.dataplane.mqtt_receivers.MqttPort).

    def combine(self, subject: bytes, receivers: list[Receiver]) -> Receiver | None:
        topic = self.topic_for(subject)
        if topic is None:
            return None
        matching: list[MqttSubscription] = []
        for receiver in receivers:
            assert isinstance(receiver, MqttSubscription)
            # A filter that begins with a wildcard does not match topics that begin with $ [MQTT-4.7.2-1].
            if not (subject.startswith(b"$") and receiver.subject.startswith((b"*", b">"))):
                matching.append(receiver)
        if not matching:
            return None
        route = self._route(subject, topic, matching)
        others = [one for one in matching if not one.no_local]
        if len(others) < len(matching):
            route.selective = True
            route.own = self._route(subject, topic, others) if others else None
        return route

    def _route(self, subject: bytes, topic: bytes, matching: list[MqttSubscription]) -> MqttRoute:
        """One delivery for all of them, with the highest QoS and all identifiers [MQTT-3.3.4-2] to [MQTT-3.3.4-5]."""
        return MqttRoute(
            self,
            subject,
            topic,
            max(one.qos for one in matching),
            any(one.retain_as_published for one in matching),
            tuple(one.identifier for one in matching if one.identifier),
        )

    def expect_answer(self, message: Message) -> None:
        if self.replies is not None:
            self.replies.note(parse_reply(message.reply, self.runtime.names.gateway_id)[0])

    def deliver_reliably(self, message: Message, route: MqttRoute) -> bool:
        away = self.client is None
        qos = min(message.qos, route.qos)
        retain = route.retain_as_published and message.is_retained()
        expires_at = expiry_of(message, self.account.clock)
        outgoing = self.outgoing
        if not outgoing.add(message, route.topic, qos, retain, route.identifiers, expires_at, away):
            if not message.refused:  # That is counted for all at once.
                self.dropped += 1
                self.lost(self, NO_MEMORY if outgoing.lacks_memory else FULL if away else SLOW)
            return False
        if not away and len(outgoing.sent) < outgoing.window:
            self.pump()
        return True

    def drop(self, topic: bytes, oversized: bool) -> None:
        super().drop(topic, oversized)
        self.lost(self, OVERSIZED if oversized else SLOW)

    def encode_unshared(self, message: Message, route: MqttRoute) -> bytes:
        retain = route.retain_as_published and message.is_retained()
        return self._packet(message, route.topic, 0, 0, retain, False, route.identifiers, 0.0)

    # What sends.

    def pump(self) -> None:
        """Send what waits, as far as window and client allow."""
        outbox = self.outbox
        if outbox is None:
            return
        outgoing = self.outgoing
        # Each flush can find that the client is gone.
        while self.outbox is outbox:
            # A slow client gets no more than it can take; its acknowledgements bring us back here.
            if outgoing.sent and outbox.pending() > self.high_water:
                outbox.flush()
                if outbox.pending() > self.high_water or self.outbox is not outbox:
                    return
            publish = outgoing.take()
            if publish is None:
                return
            message = publish.message
            # It may have waited since other rights were in force.
            if self.may_receive is not None and message is not None and not self.receives(message.subject):
                self._give_up(publish)
            elif not self.send_plain(publish):
                self._send(publish)

    def deliver_retained(self, message: Message, qos: int, identifier: int, expires_at: float) -> bool:
        """Send a retained message; False when it has to wait for room."""
        topic = self.topic_for(message.subject)
        outbox = self.outbox
        if not self.receives(message.subject):
            return True
        if topic is None or outbox is None or (expires_at and expires_at <= self.account.clock()):
            return True
        identifiers = (identifier,) if identifier else ()
        if qos:
            outgoing = self.outgoing
            if len(outgoing) and len(outgoing) >= outgoing.max_messages // 2:
                return False
            if self.durable and not self.account.durability.reserve(message, 1, False):
                return False
            if not outgoing.add(message, topic, qos, True, identifiers, expires_at, away=False):
                return False
            self.pump()
            return True
        if outbox.pending() > self.high_water:
            outbox.flush()
            if self.outbox is not outbox:  # The flush has found that the client is gone.
                return True
            if outbox.pending() > self.high_water:
                return False
        self._append(self._packet(message, topic, 0, 0, True, False, identifiers, expires_at), topic, message)
        return True

    def _send(self, publish: QueuedPublish) -> None:
        """Send a message that is in flight, or its release."""
        assert self.client is not None
        message = publish.message
        if message is None:
            self.client.write(encoder.encode_pubrel(self.version, publish.packet_id))
            return
        topic = publish.topic or self.topic_for(message.subject)
        # What the client was sent before it expired is sent again all the same [MQTT-4.4.0-1].
        begun = publish.repeated and not publish.doubtful
        if topic is None or (publish.expires_at and publish.expires_at <= self.account.clock() and not begun):
            self._give_up(publish)
            return
        if message.reply and self.version == MQTT_5_0:
            self.expect_answer(message)
        packet = self._packet(
            message,
            topic,
            publish.qos,
            publish.packet_id,
            publish.retain,
            publish.repeated,
            publish.identifiers,
            publish.expires_at,
        )
        if not self._append(packet, topic, message):
            self._give_up(publish)

    def _give_up(self, publish: QueuedPublish) -> None:
        """Be done with a message that is not sent. Of a QoS 2 one the client may know: a PUBREL makes it forget."""
        if publish.qos == 2 and publish.repeated:
            self.outgoing.release(publish.packet_id)
            self._send(publish)
        else:
            self.outgoing.acknowledge(publish.packet_id, publish.qos)

    def _append(self, packet: bytes, topic: bytes, message: Message) -> bool:
        """False for a packet that is larger than the client takes: it counts as sent [MQTT-3.1.2-25]."""
        assert self.outbox is not None
        if self.max_packet_size and len(packet) > self.max_packet_size:
            self.drop(topic, True)
            return False
        self.outbox.append_packet(packet, message.size - message.header_size)
        return True

    def _packet(
        self,
        message: Message,
        topic: bytes,
        qos: int,
        packet_id: int,
        retain: bool,
        dup: bool,
        identifiers: tuple[int, ...],
        expires_at: float,
    ) -> bytes:
        retain = retain and self.retains
        if self.version != MQTT_5_0:
            return encoder.encode_publish(self.version, topic, message.payload(), qos, packet_id, retain, dup)
        remaining = max(math.ceil(expires_at - self.account.clock()), 0) if expires_at else None
        alias, topic = self._alias(topic)
        return publish_packet(
            message,
            topic,
            qos,
            packet_id,
            retain,
            dup,
            identifiers,
            remaining,
            alias,
            self.runtime.names.gateway_id,
            to_gateway=self.beyond != b"",
        )

    def _alias(self, topic: bytes) -> tuple[int, bytes]:
        """The alias of a topic or 0, and the topic as it goes out: empty once the client knows the alias."""
        aliases = self.aliases
        if aliases is None:
            return 0, topic
        alias = aliases.get(topic)
        if alias is not None:
            return alias, b"" if alias else topic
        if len(aliases) >= self.most_aliases:
            return 0, topic
        alias = aliases[topic] = len(aliases) + 1
        return alias, topic
