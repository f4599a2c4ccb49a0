"""A link to an MQTT broker, in 5.0: headers are user properties, a reply subject is a response topic."""

import os
import time
from collections import deque
from collections.abc import Sequence

from gateway.command.clients.link import (
    ANSWER_SECONDS,
    MAX_PAYLOAD,
    ConnectionLostError,
    Interest,
    Link,
    Outgoing,
    Received,
    Target,
)
from gateway.command.clients.strangers import ask_around, name_stranger
from gateway.command.clients.wire import Stream
from gateway.errors import ClientError
from protocols.errors import MisuseError, PeerViolation
from protocols.mqtt import encoder, packets
from protocols.mqtt.client_role import Accepted, ClientRole, Refused, Silent, State, Subscribed
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish, encode_publish
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topics import is_topic_name

KEEP_ALIVE = 60
QOS = 1
LARGEST_ID = 0xFFFF
NAME_BYTES = 8
# A broker that has nothing to say to a message: it has taken it, or had nobody to give it to (3.4.2.1).
TAKEN = (ReasonCode.SUCCESS, ReasonCode.NO_MATCHING_SUBSCRIBERS)


class MqttLink(Link):
    """See gateway.command.clients.link.Link. Making one raises ClientError.

    Messages go out and come in with QoS 1 where the broker has it. `interests` are subscribed to at once: an MQTT
    session of ours is one connection.
    """

    def __init__(self, stream: Stream, target: Target, interests: Sequence[Interest]) -> None:
        url, login = target.url, target.login
        if login.seed is not None:
            raise ClientError("--credentials and --nkey are for NATS; an MQTT broker takes --user and --password-file")
        self._stream = stream
        self._url = url
        self._messages: deque[Received] = deque()
        self._unacknowledged: set[int] = set()
        self._last_id = 0
        self._said: bytes | None = b""
        subscriptions = [packets.Subscription(filter_of(interest), QOS) for interest in interests]
        # A user without a password is a token, which MQTT knows as a password alone.
        user, password = (None, url.user) if url.password is None else (url.user, url.password)
        connect = packets.Connect(
            MQTT_5_0,
            b"leafgate-" + os.urandom(NAME_BYTES).hex().encode(),
            keep_alive=KEEP_ALIVE,
            username=user.encode() if user is not None else None,
            password=password.encode() if password is not None else None,
        )
        self._role = ClientRole(connect, subscriptions, {}, MAX_PAYLOAD, ANSWER_SECONDS, time.monotonic())
        while self._role.state is not State.UP:
            self._step(None)

    def publish(self, messages: list[Outgoing]) -> None:
        terms = self._role.terms
        qos = min(QOS, terms.maximum_qos)
        for message in messages:
            if not is_topic_name(message.name):
                raise MisuseError(f"{message.name.decode('utf-8', 'replace')!r} is not a topic")
            if message.retain and not terms.retain_available:
                raise ClientError(f"{self._url} does not retain messages")
            while len(self._unacknowledged) >= terms.receive_maximum:  # [MQTT-4.9.0-2]
                self._await(self._answer_deadline())
            packet_id = self._new_id() if qos else 0
            packet = encode_publish(
                MQTT_5_0, message.name, message.payload, qos, packet_id, message.retain, False, properties_of(message)
            )
            if terms.max_packet_size and len(packet) > terms.max_packet_size:
                complaint = f"the message has {len(packet)} bytes, {self._url} takes at most {terms.max_packet_size}"
                raise ClientError(complaint)
            if qos:
                self._unacknowledged.add(packet_id)
            self._stream.send(packet)

    def settle(self) -> None:
        while self._unacknowledged:
            self._await(self._answer_deadline())

    def next_message(self, deadline: float | None) -> Received | None:
        while not self._messages:
            if deadline is not None and time.monotonic() >= deadline:
                return None
            self._step(deadline)
        return self._messages.popleft()

    def tend(self) -> None:
        self._step(time.monotonic())

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        if self._role.state is State.UP:
            try:
                self._stream.send(self._role.disconnect())
            except ConnectionLostError:
                pass  # It is to end anyway.
        self._stream.close()

    def _answer_deadline(self) -> float:
        return time.monotonic() + ANSWER_SECONDS

    def _await(self, deadline: float) -> None:
        """Take what comes; silence is no answer."""
        before = len(self._unacknowledged)
        while len(self._unacknowledged) == before:
            if time.monotonic() >= deadline:
                raise ConnectionLostError(f"{self._url} did not answer within {ANSWER_SECONDS:g} s")
            self._step(deadline)

    def _new_id(self) -> int:
        packet_id = self._last_id
        while True:
            packet_id = packet_id % LARGEST_ID + 1
            if packet_id not in self._unacknowledged:
                self._last_id = packet_id
                return packet_id

    def _step(self, deadline: float | None) -> None:
        """Say what the protocol has to say, and take what comes until `deadline` or until something is due."""
        to_send = self._role.bytes_to_send()
        if to_send:
            self._stream.send(to_send)
        due = self._role.next_deadline()
        until = min((moment for moment in (deadline, due) if moment is not None), default=None)
        data = self._stream.receive(until)
        now = time.monotonic()
        if data is None:
            self._take(self._role.on_deadline(now))
        elif not data:
            raise ConnectionLostError(f"{self._url} closed the connection{self._stranger(b'')}")
        else:
            if self._said is not None:
                self._said += data
            self._take(self._role.receive(data, now))
        to_send = self._role.bytes_to_send()
        if to_send:
            self._stream.send(to_send)

    def _stranger(self, said: bytes) -> str:
        """What else the server may speak, where it has not let us in; "" afterwards."""
        if self._said is None:
            return ""
        found = name_stranger(said or self._said, self._url) or ask_around(self._url)
        return f": {found}" if found else ""

    def _take(self, events: list[object]) -> None:
        for event in events:
            if isinstance(event, Publish):
                self._take_message(event)
            elif isinstance(event, packets.Puback):
                self._unacknowledged.discard(event.packet_id)
                if event.reason_code not in TAKEN:
                    raise ClientError(f"{self._url} says: {event.reason_code.words}")
            elif isinstance(event, Accepted):
                self._said = None
            elif isinstance(event, Subscribed):
                for topic_filter, code in event.refused.items():
                    name = topic_filter.decode("utf-8", "replace")
                    raise ClientError(f"{self._url} says: {code.words} for the subscription to {name}")
            elif isinstance(event, Refused):
                detail = f": {event.detail}" if event.detail else ""
                raise ClientError(f"{self._url} says: {event.reason_code.words}{detail}")
            elif isinstance(event, Silent):
                stranger = self._stranger(b"")
                if stranger:
                    raise ClientError(f"{self._url} does not speak MQTT{stranger}")
                raise ConnectionLostError(f"{self._url} did not answer within {ANSWER_SECONDS:g} s")
            elif isinstance(event, PeerViolation):
                stranger = self._stranger(b"") or f": {event.detail}"
                raise ClientError(f"{self._url} does not speak MQTT{stranger}")

    def _take_message(self, publish: Publish) -> None:
        if publish.qos:
            self._stream.send(encoder.encode_puback(MQTT_5_0, publish.packet_id))
        properties = publish.properties or Properties()
        pairs = tuple((_text(key), _text(value)) for key, value in properties.user_properties)
        self._messages.append(
            Received(
                publish.topic,
                publish.payload,
                properties.response_topic or b"",
                pairs,
                correlation=properties.correlation_data,
                retained=publish.retain,
            )
        )


def filter_of(interest: Interest) -> bytes:
    return b"$share/%b/%b" % (interest.queue, interest.name) if interest.queue else interest.name


def properties_of(message: Outgoing) -> Properties | None:
    """None for a message that needs none."""
    if not (message.reply or message.fields or message.correlation is not None):
        return None
    properties = Properties()
    properties.response_topic = message.reply or None
    properties.correlation_data = message.correlation
    properties.user_properties = tuple((key.encode(), value.encode()) for key, value in message.fields)
    return properties


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
