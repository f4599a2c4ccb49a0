"""Receivers of what comes back from clients: acknowledgements, and answers of flow control (hot)."""

from collections.abc import Callable

from gateway.dataplane.port import Port, Receiver
from gateway.streams.acknowledgement import ACK, NAK, NEXT, OK, PROGRESS, TERM, delay_of
from gateway.streams.consumer_state import ConsumerState
from gateway.streams.roles import Acknowledged
from protocols.message import Message
from protocols.nats.stream_replies import Delivery

# What an acknowledgement costs, in deliveries.
ACKNOWLEDGING = 8


class AckReceiver(Receiver):
    """Hears the acknowledgements of one consumer on one form of subjects. `is_simple`: of what is acknowledged nothing
    but the consumer's state has to know; then the consumer is told once of many, until it takes back `has_news`.
    """

    __slots__ = ("_consumer", "_delivery", "_state", "has_news", "is_simple")

    def __init__(self, subject: bytes, consumer: Acknowledged, state: ConsumerState) -> None:
        super().__init__(Port(None), subject, b"")
        self.dear = ACKNOWLEDGING
        self._consumer = consumer
        self._state = state
        self._delivery = Delivery()
        self.is_simple = False
        self.has_news = False

    def deliver(self, message: Message, source: Port) -> bool:
        delivery = self._delivery
        if not delivery.read(message.subject):
            return False
        payload = message.payload()
        if payload and payload not in (ACK, OK):
            self._take(delivery, payload, message, source)
            return True
        if not self.is_simple:
            self._consumer.acknowledge(delivery)
        elif self._state.settle(delivery.sequence) is not None and not self.has_news:
            self.has_news = True
            self._consumer.acknowledged_some()
        if message.reply:
            self._consumer.confirm(message.reply, source)
        return True

    def _take(self, delivery: Delivery, payload: bytes, message: Message, source: Port) -> None:
        """What is more than an acknowledgement, or something else."""
        consumer = self._consumer
        if payload.startswith(NEXT):
            consumer.acknowledge(delivery)
            if message.reply:
                consumer.ask(payload[len(NEXT) :], message.reply, source)
            return
        if payload.startswith(NAK):
            consumer.refuse(delivery, delay_of(payload[len(NAK) :]))
        elif payload.startswith(PROGRESS):
            consumer.extend(delivery)
        elif payload.startswith(TERM):
            consumer.terminate(delivery, payload[len(TERM) :].strip().decode("utf-8", "replace"))
        else:
            return
        if message.reply:
            consumer.confirm(message.reply, source)


class FlowReceiver(Receiver):
    """Hears that a client has come to where a push consumer asked how far it is."""

    __slots__ = ("_answered",)

    def __init__(self, path: bytes, answered: Callable[[bytes], None]) -> None:
        super().__init__(Port(None), b"$JS.FC.%b.*" % path, b"")
        self._answered = answered

    def deliver(self, message: Message, source: Port) -> bool:
        self._answered(message.subject)
        return True
