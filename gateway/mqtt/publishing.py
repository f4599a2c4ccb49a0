"""Publishing: what an MQTT client sends, from its packets to the router, and what it is answered."""

import logging
from collections.abc import Sequence
from typing import Protocol

from gateway.dataplane.router import Drawn
from gateway.dataplane.verdicts import Denied
from gateway.mqtt.answers import EVER, Answers
from gateway.mqtt.messages import message_of
from gateway.mqtt.session import MqttSession
from gateway.runtime.logs import shown
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.live import Settings
from gateway.storage.durability import TOO_SLOW
from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.message import Burst, Message
from protocols.mqtt import encoder, packets
from protocols.mqtt.acknowledgements import PUBACK, PUBCOMP, PUBREC, encode_acknowledgements
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish, PublishRun
from protocols.mqtt.published_topics import EVERYBODYS
from protocols.mqtt.reason_codes import ReasonCode
from protocols.topic_mapping import topic_to_subject

log = logging.getLogger("leafgate.mqtt")

Fault = tuple[ReasonCode, str]


class Publisher(Protocol):
    """What the publishing side must know of its client."""

    version: int
    connection: Connection
    tells_problems: bool

    def violate(self, code: ReasonCode, detail: str, reason: CloseReason = ...) -> None:
        """The client broke a rule: part with this reason code."""

    def problem(self, detail: str) -> Properties | None:
        """Properties with a reason string, where the client may have one."""


class MessageInHand:
    """A message with a QoS above 0 that is being routed: `events` holds it, or what stands in its place. `mark` as in
    `RunInHand`.
    """

    __slots__ = ("events", "mark", "message", "packet_id")

    def __init__(self, message: Message, packet_id: int, mark: int) -> None:
        self.events: list[object] = [message]
        self.message = message
        self.packet_id = packet_id
        self.mark = mark


class RunInHand:
    """A run of messages that is being routed: those from `index` on are left. `mark` is where the promise of the answer
    begins (`Answers.mark`); where there is something to say about one of them each is answered on its own, and `begun`
    is that of which a part is left.
    """

    __slots__ = ("begun", "index", "mark", "one_by_one", "run")

    def __init__(self, run: PublishRun, mark: int, one_by_one: bool) -> None:
        self.run = run
        self.mark = mark
        self.one_by_one = one_by_one
        self.begun: MessageInHand | None = None
        self.index = 0


class Publishing:
    """The publishing side of one connected client. `promised` is what holds as long as its connection: its CONNACK has
    told it (3.2.2.3), and it could not know of other limits.
    """

    __slots__ = ("_aliases", "_answers", "_client", "_inherited", "_session", "_settings", "_version", "promised")

    def __init__(self, client: Publisher, session: MqttSession, answers: Answers) -> None:
        self._client = client
        self._session = session
        self._answers = answers
        self._version = client.version
        self._settings = session.runtime.settings
        self.promised = self._settings.mqtt
        self._aliases: dict[int, bytes] | None = None
        # What is unreleased from earlier connections does not count here (4.9).
        self._inherited = len(session.received)

    def publish(self, packet: Publish) -> object:
        """A message with more to say than topic and payload, or one to refuse. Returns what is left of it when the turn
        is over: that is `route_message`'s, or the router's where it has QoS 0.
        """
        session = self._session
        topic = packet.topic
        properties = packet.properties
        if properties is not None and properties.topic_alias is not None:
            named = self._resolve_alias(topic, properties)
            if named is None:
                return None
            topic = named
        qos = packet.qos
        if qos and not self._may_send(qos, packet.packet_id):
            return None
        most = self._settings.limits.max_payload_bytes
        if session.identity is not None:
            most = session.identity.limits.payload_bytes(most)
        fault = publish_fault(self._settings, topic, len(packet.payload), most)
        if fault is not None:
            self._refuse(qos, packet.packet_id, *fault)
            return None
        subject = topic_to_subject(topic)
        assert subject is not None
        if not session.allows_now(subject):
            self._deny(subject, qos, packet.packet_id)
            return None
        message = message_of(subject, packet.payload, qos, packet.retain, properties, session.runtime.names.gateway_id)
        if message.reply:
            session.expect_replies()
        if not qos:
            events: list[object] = [message]
            return None if session.account.router.forward(events, 0, session, judged=True) else events[0]
        return self._take(message, packet.packet_id) if self._may_retain(message, packet.packet_id) else None

    def publish_run(self, run: PublishRun) -> RunInHand | None:
        """Take messages with a QoS above 0 at once, or one by one where there is something to say about one of them.

        Returns what is left of them when the turn is over.
        """
        session = self._session
        answers = self._answers
        packet_ids = run.packet_ids
        count = len(packet_ids)
        unreleased = len(session.received) - self._inherited + answers.owed
        one_by_one = (
            bool(answers.fault)
            or (run.retained and not session.account.has_retained_room(run.retained, run.retained_bytes, session))
            or unreleased + count > self.promised.receive_maximum
            or (run.qos == 2 and (len(set(packet_ids)) < count or not session.received.isdisjoint(packet_ids)))
        )
        return self.route_run(RunInHand(run, answers.mark(), one_by_one))

    def route_run(self, hand: RunInHand) -> RunInHand | None:
        """Go on with a run, for a turn."""
        messages, packet_ids = hand.run.messages, hand.run.packet_ids
        session = self._session
        clock = session.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while hand.index < len(messages):
            if not hand.one_by_one:
                hand.index = session.account.router.forward(messages, hand.index, session, whole=True)
                if is_denied(messages, hand.index):
                    self._answer_run(hand.run, hand.index, hand.mark)
                    hand.one_by_one = True
                elif is_refused(messages, hand.index):
                    self._answer_run(hand.run, hand.index, hand.mark)
                    self._refuse_storing(hand.run.qos, packet_ids[hand.index])
                    if self._client.connection.close_reason is not None:
                        return None
                    hand.index += 1
                    hand.one_by_one = True
            else:
                message, packet_id = messages[hand.index], packet_ids[hand.index]
                if hand.begun is not None:
                    hand.begun = self.route_message(hand.begun)
                elif self._may_send(hand.run.qos, packet_id):
                    if not session.allows_now(message.subject):
                        self._deny(message.subject, hand.run.qos, packet_id)
                    elif self._may_retain(message, packet_id):
                        hand.begun = self._take(message, packet_id)
                if self._client.connection.close_reason is not None:
                    return None
                hand.index += hand.begun is None
            if hand.index < len(messages) and clock() > until:
                return hand
        if not hand.one_by_one:
            self._answer_run(hand.run, len(messages), hand.mark)
        return None

    def judge(self, denied: Denied) -> Drawn | None:
        """Drop QoS 0 messages but those that the right to answer allows; returns these."""
        event, session = denied.event, self._session
        assert isinstance(event, Message | Burst)
        answers: list[Message] = []
        for message in event.messages() if isinstance(event, Burst) else [event]:
            if session.replies is not None and session.replies.use(message.subject):
                answers.append(message)
            else:
                self._deny(message.subject, 0, 0)
        return Drawn(answers) if answers else None

    def _answer_run(self, run: PublishRun, taken: int, mark: int) -> None:
        """Acknowledge the first `taken` messages of a run."""
        session = self._session
        answers = self._answers
        qos, packet_ids = run.qos, run.packet_ids
        whole = taken == len(packet_ids)
        acknowledged = packet_ids if whole else packet_ids[:taken]
        if qos == 2:
            session.received.update(acknowledged)
            if session.store is not None:
                for message, packet_id in zip(run.messages, acknowledged, strict=False):
                    self._remember(packet_id, message.subject)
        if self._version != MQTT_5_0 or (whole and run.all_delivered()):
            packets = encode_acknowledgements(PUBACK if qos == 1 else PUBREC, acknowledged)
        else:
            packets = b"".join([self._acknowledgement(*one) for one in zip(run.messages, acknowledged, strict=False)])
        if taken:
            answers.give(packets, mark, taken if qos == 1 else 0)

    def _take(self, message: Message, packet_id: int) -> MessageInHand | None:
        """Route a message, and acknowledge it once everything that must survive because of it is on the disk; returns
        what is left when the turn is over.
        """
        session = self._session
        qos = message.qos
        # What was looked at once for the whole batch, mostly that there is none.
        fault = self._answers.fault and session.account.obstacle_to(message)
        if fault and (session.account.must_store(message) or (qos == 2 and session.store is not None)):
            self._refuse_storing(qos, packet_id, fault)
            return None
        return self.route_message(MessageInHand(message, packet_id, self._answers.mark()))

    def route_message(self, hand: MessageInHand) -> MessageInHand | None:
        """Go on with a message, for a turn."""
        session = self._session
        router, clock = session.account.router, session.runtime.turns.clock
        packet_id, qos = hand.packet_id, hand.message.qos
        until = clock() + TURN_SECONDS
        while not router.forward(hand.events, 0, session, whole=True, judged=True):
            if is_refused(hand.events, 0):
                self._refuse_storing(qos, packet_id)
                return None
            if clock() > until:
                return hand
        routed = hand.events[0]  # It may stand on another subject now.
        assert isinstance(routed, Message)
        if qos == 2:
            self._receive(packet_id, routed.subject)
        self._answers.give(self._acknowledgement(routed, packet_id), hand.mark, qos & 1)
        return None

    def _acknowledgement(self, message: Message, packet_id: int) -> bytes:
        """The PUBACK or PUBREC of a message that was routed."""
        encode = encoder.encode_puback if message.qos == 1 else encoder.encode_pubrec
        reached = message.delivered or self._version != MQTT_5_0
        return encode(self._version, packet_id, 0 if reached else ReasonCode.NO_MATCHING_SUBSCRIBERS)

    def _may_send(self, qos: int, packet_id: int) -> bool:
        """Whether a QoS 1 or 2 message is new; one that was taken before is answered again [MQTT-4.3.3-10]."""
        session = self._session
        if qos == 2 and packet_id in session.received:
            # The message may still be on its way to the disk, from another connection of this session.
            self._answers.give(encoder.encode_pubrec(self._version, packet_id), EVER)
            return False
        limit = self.promised.receive_maximum
        unreleased = len(session.received) - self._inherited
        if self._version == MQTT_5_0 and unreleased + self._answers.owed >= limit:  # 3.3.4
            self._client.violate(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, f"more than {limit} messages are unacknowledged")
            return False
        return True

    def _may_retain(self, message: Message, packet_id: int) -> bool:
        """Whether there is room for a message that is to be retained; it is refused where not."""
        limit = self._session.account.refuses(message, self._session) if message.header_size else None
        if limit is None:
            return True
        self._refuse(message.qos, packet_id, ReasonCode.QUOTA_EXCEEDED, f"retained messages: {limit} is reached")
        return False

    def _resolve_alias(self, topic: bytes, properties: Properties) -> bytes | None:
        """The topic that an alias stands for; None ends the connection."""
        alias = properties.topic_alias
        assert alias is not None
        properties.topic_alias = None
        if alias > self.promised.max_topic_aliases:  # [MQTT-3.3.2-9]
            self._client.violate(ReasonCode.TOPIC_ALIAS_INVALID, f"PUBLISH: topic alias {alias} is above the maximum")
            return None
        if self._aliases is None:
            self._aliases = {}
        if topic:
            self._aliases[alias] = topic
            return topic
        if alias not in self._aliases:  # 3.3.4
            self._client.violate(ReasonCode.PROTOCOL_ERROR, f"PUBLISH: topic alias {alias} stands for no topic")
            return None
        return self._aliases[alias]

    def _deny(self, subject: bytes, qos: int, packet_id: int) -> None:
        """A message may not be published. Where the version has no word for that it is acknowledged; the log tells."""
        session = self._session
        session.in_messages += 1
        name = shown(session.client_id)
        session.runtime.repeats.log(
            log,
            logging.WARNING,
            ("not-permitted", session),
            "event=not-permitted client-id=%s publish=%s",
            name,
            shown(subject),
        )
        if qos and self._version == MQTT_5_0:
            self._refuse(qos, packet_id, ReasonCode.NOT_AUTHORIZED, "the topic may not be published to")
        elif qos:
            mark = self._answers.mark()
            if qos == 2:
                self._receive(packet_id, subject)
            encode = encoder.encode_puback if qos == 1 else encoder.encode_pubrec
            self._answers.give(encode(self._version, packet_id), mark, qos & 1)

    def _receive(self, packet_id: int, subject: bytes) -> None:
        """Note a QoS 2 message until it is released."""
        session = self._session
        session.received.add(packet_id)
        if session.store is not None:
            self._remember(packet_id, subject)

    def _remember(self, packet_id: int, subject: bytes) -> None:
        """Bring the id of a QoS 2 message to the disk, beside the message where that is kept for a hub."""
        session = self._session
        assert session.store is not None
        session.store.remember_received(session.key, packet_id, session.account.durability.identities(subject))

    def _refuse_storing(self, qos: int, packet_id: int, detail: str | None = None) -> None:
        """The disk has no room for a message; `detail` says why, where that is known."""
        obstacle = detail or self._session.account.obstacle()
        self._refuse(qos, packet_id, ReasonCode.QUOTA_EXCEEDED, obstacle or TOO_SLOW)

    def _refuse(self, qos: int, packet_id: int, code: ReasonCode, detail: str) -> None:
        """Say no to one message. QoS 0 and versions before 5.0 know no such answer: there the connection ends."""
        if code is ReasonCode.PACKET_TOO_LARGE:
            self._client.violate(code, detail, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED)
        elif qos == 0 or self._version != MQTT_5_0:
            stored = code is ReasonCode.QUOTA_EXCEEDED
            reason = CloseReason.STORAGE_FAILURE if stored else CloseReason.PROTOCOL_VIOLATION
            self._client.violate(code, detail, reason)
        else:
            encode = encoder.encode_puback if qos == 1 else encoder.encode_pubrec
            problem = self._client.problem(detail) if self._client.tells_problems else None
            answer = encode(self._version, packet_id, code, problem)
            self._answers.give(answer, self._answers.mark(), qos & 1)

    def release(self, packet: packets.Pubrel) -> None:
        self.release_run([packet.packet_id])

    def release_run(self, packet_ids: list[int]) -> None:
        """Several PUBRELs in a row."""
        session = self._session
        mark = self._answers.mark()
        known = session.received.intersection(packet_ids)
        unknown = known.symmetric_difference(packet_ids)
        session.received -= known
        if session.store is not None:
            for packet_id in known:
                session.store.forget_received(session.key, packet_id)
        if unknown and self._version == MQTT_5_0:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            answers = [encoder.encode_pubcomp(MQTT_5_0, one, code if one in unknown else 0) for one in packet_ids]
            self._answers.give(b"".join(answers), mark)
        else:
            self._answers.give(encode_acknowledgements(PUBCOMP, packet_ids), mark)


def is_refused(messages: Sequence[object], index: int) -> bool:
    """Whether the router left a message because it is refused, not because a share of work was done."""
    if index == len(messages):
        return False
    message = messages[index]
    return isinstance(message, Message) and message.refused  # What has begun stands in its place.


def is_denied(messages: list[Message], index: int) -> bool:
    """Whether the router left a message because its publisher may not publish it; then it stands there again."""
    left: object = messages[index] if index < len(messages) else None
    if not isinstance(left, Denied):
        return False
    assert isinstance(left.event, Message)
    messages[index] = left.event
    return True


def publish_fault(settings: Settings, topic: bytes, payload_size: int, most: int) -> Fault | None:
    """Why a message may not be published, if so. The topic must be a topic name; `most` is the longest payload."""
    if payload_size > most:
        return ReasonCode.PACKET_TOO_LARGE, f"payload of {payload_size} bytes is longer than {most}"
    levels = settings.mqtt.max_topic_levels
    judged = EVERYBODYS.judge(topic)
    if judged.levels > levels:
        return ReasonCode.TOPIC_NAME_INVALID, f"the topic has more than {levels} levels"
    if not judged.permitted:
        return ReasonCode.NOT_AUTHORIZED, "the subject is reserved"
    return None
