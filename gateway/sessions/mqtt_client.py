"""MQTT client session: what an MQTT client's packets mean here. A session ends with its connection."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import trio

from gateway.dataplane.mqtt_receivers import MqttRoute, MqttSubscription, topic_of
from gateway.dataplane.port import Port, Receiver
from gateway.identity import new_token
from gateway.sessions.mqtt_inflight import Delivery, Inflight
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.message import Burst, Message, make_message
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.publish import Publish, PublishRun, encode_publish
from protocols.mqtt.reason_codes import ReasonCode
from protocols.subjects import filter_to_subjects, topic_to_subject

if TYPE_CHECKING:
    from gateway.connection import Connection
    from gateway.deadlines import Deadline

log = logging.getLogger("leafgate.mqtt")

HIGHEST_GRANTED_QOS = 1
# A client may be silent for one and a half times its keep-alive [MQTT-3.1.2-24].
KEEP_ALIVE_GRACE = 1.5
# Reasons to close that are no fault of the client or the way to it: its will stays unsaid.
WILL_STAYS = (CloseReason.SERVER_SHUTDOWN,)


class MqttClientSession(Port):
    """One MQTT 3.1 or 3.1.1 client."""

    kind = "mqtt"

    __slots__ = (
        "_deadline",
        "_received",
        "_reported",
        "account",
        "client_id",
        "connection",
        "decoder",
        "inflight",
        "longest_silence",
        "max_payload",
        "subscriptions",
        "version",
        "will",
    )

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection.outbox)
        config = connection.gateway.config.mqtt
        limits = connection.gateway.config.limits
        self.connection = connection
        self.account = connection.gateway.account
        self.headers = False
        self.decoder = Decoder(config.max_packet_bytes)
        self.max_payload = limits.max_payload_bytes
        self.version = MQTT_3_1_1
        self.client_id = b""
        self.longest_silence = 0.0
        self.will: packets.Will | None = None
        self.subscriptions: dict[bytes, list[MqttSubscription]] = {}
        self.inflight = Inflight(config.max_inflight, config.max_queued_messages, limits.max_pending_bytes)
        self._received: set[int] = set()
        self._reported = 0
        self._deadline: Deadline | None = None

    def opened(self) -> None:
        self._call_in(self.connection.gateway.config.timeouts.connect_seconds, self._check_connected)

    def receive(self, data: bytes) -> None:
        for event in self.decoder.receive(data):
            self._HANDLERS[type(event)](self, event)
            if self.connection.close_reason is not None:
                return

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        gateway = self.connection.gateway
        gateway.deadlines.cancel(self._deadline)
        gateway.mqtt_clients.leave(self)
        self._report_losses()
        for subscriptions in self.subscriptions.values():
            self._unsubscribe(subscriptions)
        self.subscriptions.clear()
        if self.will is not None and reason not in WILL_STAYS:
            self._publish_will(self.will)

    # What routing calls (gateway.dataplane.port.Port).

    def combine(self, subject: bytes, receivers: list[Receiver]) -> Receiver | None:
        topic = topic_of(subject)
        qos = -1
        for receiver in receivers:
            assert isinstance(receiver, MqttSubscription)
            # A filter that begins with a wildcard does not match topics that begin with $ [MQTT-4.7.2-1].
            if subject.startswith(b"$") and receiver.subject.startswith((b"*", b">")):
                continue
            qos = max(qos, receiver.qos)
        if topic is None or qos < 0:
            return None
        return MqttRoute(self, subject, topic, qos, self.connection.gateway.config.limits.max_pending_bytes)

    def deliver_reliably(self, message: Message, topic: bytes) -> bool:
        self._deliver_reliably(Delivery(topic, message.payload()))
        return True

    # Packets.

    def _on_connect(self, packet: packets.Connect) -> None:
        gateway = self.connection.gateway
        refusal = self._refusal(packet)
        if refusal is not None:
            code, reason, detail = refusal
            self.connection.close(reason, detail, encoder.encode_connack(packet.version, False, code))
            return
        self.version = packet.version
        self.client_id = packet.client_id or b"auto-" + new_token().encode()
        self.will = packet.will
        gateway.mqtt_clients.take_over(self)
        gateway.deadlines.cancel(self._deadline)
        self._write(encoder.encode_connack(self.version, False))
        most = gateway.config.mqtt.max_keep_alive_seconds
        keep_alive = min(packet.keep_alive or most, most) if most else packet.keep_alive
        if keep_alive:
            self.longest_silence = keep_alive * KEEP_ALIVE_GRACE
            self._call_in(self.longest_silence, self._check_keep_alive)

    def _refusal(self, packet: packets.Connect) -> tuple[ReasonCode, CloseReason, str] | None:
        """Why a client may not connect, if so."""
        if packet.version == MQTT_5_0:
            code = ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
            return code, CloseReason.BAD_CLIENT_PROTOCOL_VERSION, "MQTT 5.0 is not spoken yet"
        gateway = self.connection.gateway
        if gateway.registry.clients > gateway.config.limits.max_connections:
            code = ReasonCode.SERVER_UNAVAILABLE
            return code, CloseReason.MAXIMUM_CONNECTIONS_EXCEEDED, "too many connections"
        fault = self._fault(packet.will.topic, len(packet.will.payload)) if packet.will is not None else None
        if fault is not None:
            reason, detail = fault
            return ReasonCode.SERVER_UNAVAILABLE, reason, f"will: {detail}"
        return None

    def _on_publish(self, packet: Publish) -> None:
        subject = self._accept(packet.topic, len(packet.payload))
        if subject is None:
            return
        if packet.qos == 2 and packet.packet_id in self._received:
            self._write(encoder.encode_pubrec(self.version, packet.packet_id))
            return
        message = make_message(subject, packet.payload)
        if packet.qos:
            message.qos = packet.qos
        elif not packet.retain:
            message.mqtt3 = packet.packet
        self.account.router.route(message, subject, self)
        if packet.retain:
            self.account.retained.keep(message)
        if packet.qos == 1:
            self._write(encoder.encode_puback(self.version, packet.packet_id))
        elif packet.qos == 2:
            self._received.add(packet.packet_id)
            self._write(encoder.encode_pubrec(self.version, packet.packet_id))

    def _on_publish_run(self, run: PublishRun) -> None:
        subject = self._accept(run.topic, run.payload_size)
        if subject is None:
            return
        burst = Burst(subject, 0, run.payload_size, None, run.count, None)
        burst.mqtt3 = run.packets
        self.account.router.forward([burst], 0, self)

    def _on_pubrel(self, packet: packets.Pubrel) -> None:
        self._received.discard(packet.packet_id)
        self._write(encoder.encode_pubcomp(self.version, packet.packet_id))

    def _on_puback(self, packet: packets.Puback) -> None:
        for packet_id, delivery in self.inflight.acknowledge(packet.packet_id):
            self._send(delivery, packet_id)

    def _on_subscribe(self, packet: packets.Subscribe) -> None:
        granted = [self._subscribe(subscription) for subscription in packet.subscriptions]
        codes = tuple(ReasonCode.UNSPECIFIED_ERROR if qos is None else ReasonCode(qos) for qos in granted)
        self._write(encoder.encode_suback(self.version, packet.packet_id, codes))
        for subscription, qos in zip(packet.subscriptions, granted, strict=True):
            if qos is not None:
                self._send_retained(subscription.topic_filter, qos)

    def _on_unsubscribe(self, packet: packets.Unsubscribe) -> None:
        for topic_filter in packet.topic_filters:
            self._unsubscribe(self.subscriptions.pop(topic_filter, []))
        self._write(encoder.encode_unsuback(self.version, packet.packet_id))

    def _on_pingreq(self, packet: packets.Pingreq) -> None:
        self._write(encoder.PINGRESP)

    def _on_disconnect(self, packet: packets.Disconnect) -> None:
        self.will = None  # [MQTT-3.14.4-3]
        self.connection.close(CloseReason.CLIENT_CLOSED)

    def _on_unexpected(self, packet: object) -> None:
        """An acknowledgement of something that we never send."""
        self.connection.close(CloseReason.PROTOCOL_VIOLATION, f"unexpected {type(packet).__name__.upper()}")

    def _on_violation(self, event: PeerViolation) -> None:
        self.connection.close(event.reason, event.detail, event.farewell)

    _HANDLERS: ClassVar[dict[type, Callable[..., None]]] = {
        packets.Connect: _on_connect,
        Publish: _on_publish,
        PublishRun: _on_publish_run,
        packets.Puback: _on_puback,
        packets.Pubrec: _on_unexpected,
        packets.Pubrel: _on_pubrel,
        packets.Pubcomp: _on_unexpected,
        packets.Subscribe: _on_subscribe,
        packets.Unsubscribe: _on_unsubscribe,
        packets.Pingreq: _on_pingreq,
        packets.Disconnect: _on_disconnect,
        packets.Auth: _on_unexpected,
        PeerViolation: _on_violation,
    }

    # Time.

    def _check_connected(self, now: float) -> None:
        self.connection.close(CloseReason.AUTHENTICATION_TIMEOUT, "no CONNECT in time")

    def _check_keep_alive(self, now: float) -> None:
        self._report_losses()
        silent = now - self.connection.last_activity
        if silent >= self.longest_silence:
            self.connection.gateway.registry.stale_connections += 1
            self.connection.close(CloseReason.STALE_CONNECTION, f"silent for {silent:.0f} s")
        else:
            self._call_in(self.longest_silence - silent, self._check_keep_alive)

    def _call_in(self, seconds: float, action: Callable[[float], None]) -> None:
        self._deadline = self.connection.gateway.deadlines.call_at(trio.current_time() + seconds, action)

    # Small parts.

    def _subscribe(self, wanted: packets.Subscription) -> int | None:
        """Subscribe to a topic filter; returns the granted QoS, None when it is refused."""
        subjects = filter_to_subjects(wanted.topic_filter)
        limit = self.connection.gateway.config.limits.max_subscriptions
        known = self.subscriptions.get(wanted.topic_filter)
        if subjects is None or (limit and known is None and len(self.subscriptions) >= limit):
            return None
        qos = min(wanted.qos, HIGHEST_GRANTED_QOS)
        if known is not None:  # [MQTT-3.8.4-3]
            self._unsubscribe(known)
        subscriptions = [MqttSubscription(self, subject, qos) for subject in subjects]
        for subscription in subscriptions:
            self.account.router.subscribe(subscription)
        self.subscriptions[wanted.topic_filter] = subscriptions
        return qos

    def _unsubscribe(self, subscriptions: list[MqttSubscription]) -> None:
        for subscription in subscriptions:
            self.account.router.unsubscribe(subscription)

    def _send_retained(self, topic_filter: bytes, qos: int) -> None:
        for subject in filter_to_subjects(topic_filter) or ():
            for message in self.account.retained.matching(subject):
                if message.subject.startswith(b"$") and subject.startswith((b"*", b">")):
                    continue
                topic = topic_of(message.subject)
                if topic is None:
                    continue
                delivery = Delivery(topic, message.payload(), retain=True)
                if min(qos, message.qos):
                    self._deliver_reliably(delivery)
                else:
                    self._send(delivery, 0)

    def _publish_will(self, will: packets.Will) -> None:
        subject = topic_to_subject(will.topic)
        if subject is None:
            return
        self.will = None
        message = make_message(subject, will.payload)
        message.qos = will.qos
        self.account.router.route(message, subject, self)
        if will.retain:
            self.account.retained.keep(message)

    def _deliver_reliably(self, delivery: Delivery) -> None:
        packet_id = self.inflight.add(delivery)
        if packet_id is None:
            self.dropped += 1
        elif packet_id:
            self._send(delivery, packet_id)

    def _send(self, delivery: Delivery, packet_id: int) -> None:
        """Send a message, with QoS 0 when there is no packet id; as such it is dropped where there is no room."""
        topic, payload, retain = delivery
        packet = encode_publish(self.version, topic, payload, 1 if packet_id else 0, packet_id, retain, False)
        outbox = self.connection.outbox
        if outbox.pending() + len(packet) > outbox.limit:
            outbox.flush()  # What counts is what the client does not take.
        if not packet_id and outbox.pending() + len(packet) > outbox.limit:
            self.dropped += 1
        else:
            outbox.append(packet, b"", len(payload))

    def _fault(self, topic: bytes, payload_size: int) -> tuple[CloseReason, str] | None:
        """Why a message may not be published, if so."""
        if topic_to_subject(topic) is None:
            return CloseReason.PROTOCOL_VIOLATION, f"topic {topic!r} has white space, which no subject can hold"
        if payload_size > self.max_payload:
            detail = f"payload of {payload_size} bytes is longer than {self.max_payload}"
            return CloseReason.MAXIMUM_PAYLOAD_EXCEEDED, detail
        return None

    def _accept(self, topic: bytes, payload_size: int) -> bytes | None:
        """The subject to publish to; None when that may not be, which ends the connection."""
        subject = topic_to_subject(topic)
        if subject is not None and payload_size <= self.max_payload:
            return subject
        fault = self._fault(topic, payload_size)
        assert fault is not None
        self.connection.close(*fault)
        return None

    def _report_losses(self) -> None:
        if self.dropped != self._reported:
            self._reported = self.dropped
            reason = "the client takes messages too slowly"
            log.warning("cid=%d event=dropped total=%d reason=%r", self.connection.cid, self.dropped, reason)

    def _write(self, data: bytes) -> None:
        self.connection.outbox.write(data)
