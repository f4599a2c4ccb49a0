"""Receiving: what a broker sends over a bridge, from its packets to the router.

Unlike a client's, a message that cannot be taken does not end the connection: the broker would send it again and again.
It is acknowledged, counted and told. Only where the disk has no room for now is it left to the broker.
"""

from collections.abc import Callable

from gateway.mqtt.answers import EVER, Answers
from gateway.mqtt.publishing import Publisher, Publishing
from gateway.mqtt.session import MqttSession
from gateway.storage.durability import TOO_SLOW
from protocols.close_reason import CloseReason
from protocols.message import Message
from protocols.mqtt import encoder
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.remapping import Remapping

STRAY = "no entry of topics takes it"


class BridgeReceiving(Publishing):
    """The receiving side of one connection to a broker. `dropped` hears why a message is not taken."""

    __slots__ = ("_dropped", "_remapping")

    def __init__(
        self,
        client: Publisher,
        session: MqttSession,
        answers: Answers,
        remapping: Remapping,
        dropped: Callable[[str], None],
    ) -> None:
        super().__init__(client, session, answers)
        self._remapping = remapping
        self._dropped = dropped

    def publish(self, packet: Publish) -> object:
        topic = self._remapping.inward(packet.topic)
        if topic is None:
            self._refuse(packet.qos, packet.packet_id, ReasonCode.NOT_AUTHORIZED, STRAY)
            return None
        packet.topic = topic
        return super().publish(packet)

    def _acknowledgement(self, message: Message, packet_id: int) -> bytes:
        """Only a server may say that nobody is interested (3.4.2.1)."""
        encode = encoder.encode_puback if message.qos == 1 else encoder.encode_pubrec
        return encode(self._version, packet_id)

    def _refuse_storing(self, qos: int, packet_id: int, detail: str | None = None) -> None:
        reason = detail or self._session.account.obstacle() or TOO_SLOW
        if qos:
            self._client.violate(ReasonCode.QUOTA_EXCEEDED, reason, CloseReason.STORAGE_FAILURE)
        else:
            self._dropped(reason)

    def _refuse(self, qos: int, packet_id: int, code: ReasonCode, detail: str) -> None:
        session, answers = self._session, self._answers
        if qos == 2 and packet_id in session.received:
            answers.give(encoder.encode_pubrec(self._version, packet_id), EVER)
            return
        self._dropped(detail)
        if not qos:
            return
        mark = answers.mark()
        if qos == 2:
            # The message is kept nowhere; only that it came is.
            session.received.add(packet_id)
            if session.store is not None:
                session.store.remember_received(session.key, packet_id, None)
        encode = encoder.encode_puback if qos == 1 else encoder.encode_pubrec
        answers.give(encode(self._version, packet_id), mark, qos & 1)
