"""Acknowledging: what an MQTT peer says of the messages that it was sent, and what it is answered."""

from collections.abc import Callable

from gateway.mqtt.answers import Answers
from gateway.mqtt.session import MqttSession
from protocols.mqtt import encoder, packets
from protocols.mqtt.acknowledgements import PUBREL, encode_acknowledgements
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.reason_codes import ReasonCode


class Acknowledging:
    """The messages of one session on one connection. `misplaced` parts with a peer that acknowledges in the wrong way
    what was sent with this packet identifier.
    """

    __slots__ = ("_answers", "_misplaced", "_session", "_version")

    def __init__(self, version: int, session: MqttSession, answers: Answers, misplaced: Callable[[int], None]) -> None:
        self._version = version
        self._session = session
        self._answers = answers
        self._misplaced = misplaced

    def finish(self, packet_ids: list[int], qos: int) -> None:
        """The peer is done with messages: PUBACK, or PUBCOMP behind PUBREC and PUBREL [MQTT-4.3.3-3]."""
        outgoing = self._session.outgoing
        place = outgoing.first_refused(packet_ids, qos, True)
        outgoing.acknowledge_all(packet_ids if place < 0 else packet_ids[:place], qos)
        if place < 0:
            self._session.acknowledged()
        else:
            self._misplaced(packet_ids[place])

    def take_pubrec(self, packet: packets.Pubrec) -> None:
        """The peer has a QoS 2 message, or will not have it."""
        session = self._session
        if packet.reason_code < ReasonCode.UNSPECIFIED_ERROR:
            self.take_pubrecs([packet.packet_id])
        elif session.outgoing.first_refused([packet.packet_id], 2, False) == 0:
            self._misplaced(packet.packet_id)
        else:  # 4.3.3: that is the end of the message
            session.outgoing.acknowledge(packet.packet_id, 2)
            session.acknowledged()

    def take_pubrecs(self, packet_ids: list[int]) -> None:
        """The peer has QoS 2 messages."""
        place = self._session.outgoing.first_refused(packet_ids, 2, False)
        if place < 0:
            self._release(packet_ids)
            return
        if place:
            self._release(packet_ids[:place])
        self._misplaced(packet_ids[place])

    def _release(self, packet_ids: list[int]) -> None:
        mark = self._answers.mark()
        unknown = self._session.outgoing.release_all(packet_ids)
        if unknown and self._version == MQTT_5_0:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            answers = [encoder.encode_pubrel(MQTT_5_0, one, code if one in unknown else 0) for one in packet_ids]
            self._answers.give(b"".join(answers), mark)
        else:
            self._answers.give(encode_acknowledgements(PUBREL, packet_ids), mark)
