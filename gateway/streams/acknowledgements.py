"""Acknowledgements: what clients say of the messages that a consumer has delivered to them."""

import trio

from gateway.dataplane.port import Port
from gateway.streams.ack_receivers import AckReceiver
from gateway.streams.consumer_state import Pending
from gateway.streams.roles import Delivering
from gateway.streams.sampling import tell_some
from gateway.streams.times import SECOND
from protocols.message import Message
from protocols.nats.stream_replies import Delivery

# What is looked at in one go where pending messages are looked up.
MESSAGES_AT_ONCE, BYTES_AT_ONCE = 512, 256 << 10


class Acknowledgements:
    """Those of one consumer, on reply subjects of both versions. All of a batch are followed by new messages, and kept,
    at once.
    """

    def __init__(self, consumer: Delivering) -> None:
        self._consumer = consumer
        self._home = consumer.home
        path, home = consumer.path, consumer.home
        second = f"{home.domain or '_'}.{home.hash}".encode()
        subjects = b"$JS.ACK.%b.*.*.*.*.*" % path, b"$JS.ACK.%b.%b.*.*.*.*.>" % (second, path)
        self._receivers = [AckReceiver(subject, self, consumer.state) for subject in subjects]
        self._has_news = self._is_sampled = False

    def open(self) -> None:
        """Hear them, where there is anything to acknowledge."""
        self.configure()
        config = self._consumer.config
        for receiver in self._receivers if config.acknowledges and not config.is_confirmed_by_flow else ():
            self._home.subscribe(receiver)

    def configure(self) -> None:
        """Take them as the configuration says."""
        config, stream = self._consumer.config, self._consumer.stream.config
        self._is_sampled = config.ack_policy == "explicit" and bool(config.sample_freq)
        for receiver in self._receivers:
            receiver.is_simple = config.ack_policy == "explicit" and not stream.is_queue and not self._is_sampled

    def close(self) -> None:
        for receiver in self._receivers:
            self._home.unsubscribe(receiver)

    def hear(self, message: Message, source: Port) -> None:
        """Take what came before it was open."""
        receiver = self._receivers[0]
        if receiver.slot >= 0:
            receiver.deliver(message, source)

    # What the receivers tell.

    def ask(self, payload: bytes, reply: bytes, asker: Port) -> None:
        self._consumer.ask(payload, reply, asker)

    def acknowledge_through(self, sequence: int) -> None:
        """All messages up to one have arrived."""
        settled = self._consumer.state.settle_through(sequence)
        for one, pending in settled:
            self._through_with(one, pending)
        if settled:
            self.acknowledged_some()

    def acknowledge(self, delivery: Delivery) -> None:
        if self._consumer.config.ack_policy == "all":
            self.acknowledge_through(delivery.sequence)
            return
        one = self._consumer.state.settle(delivery.sequence)
        if one is None:
            return
        if self._is_sampled:
            tell_some(self._consumer, delivery, one.deadline, trio.current_time())
        self._through_with(delivery.sequence, one)
        self.acknowledged_some()

    def acknowledged_some(self) -> None:
        """The consumer's state knows already that messages were acknowledged."""
        if not self._has_news:
            self._has_news = True
            self._note()
            self._home.runtime.turns.add(self._follow)

    def _note(self) -> None:
        consumer = self._consumer
        consumer.last_active = trio.current_time()
        consumer.state.acknowledged_ns = consumer.stream.stored.store.wall_ns()
        consumer.changed()

    def _follow(self) -> bool:
        self._has_news = False
        for receiver in self._receivers:
            receiver.has_news = False
        if not self._consumer.is_closed:
            self._note()  # A commit may have begun in between.
            if self._consumer.is_active:
                self._consumer.kick()
        return False

    def confirm(self, reply: bytes, asker: Port) -> None:
        """Tell who acknowledged, once that is on the disk."""
        if self._has_news:
            self._consumer.changed()
        self._consumer.stream.promises.promise(reply, asker, b"")

    def refuse(self, delivery: Delivery, delay: int) -> None:
        """It is to be delivered again, after so many nanoseconds."""
        consumer = self._consumer
        pending = consumer.state.pending.get(delivery.sequence)
        if pending is None:
            return
        consumer.tell("nak", "MSG_NAKED", **facts(delivery))
        if delay:
            pending.deadline = trio.current_time() + delay / SECOND
            consumer.timer.expect_by(pending.deadline)
            return
        consumer.redeliver(delivery.sequence)
        consumer.kick()

    def extend(self, delivery: Delivery) -> None:
        """Somebody still works on it."""
        consumer = self._consumer
        consumer.last_active = now = trio.current_time()
        pending = consumer.state.pending.get(delivery.sequence)
        if pending is not None:
            pending.deadline = now + consumer.patience(delivery.deliveries)
            consumer.timer.expect_by(pending.deadline)

    def terminate(self, delivery: Delivery, reason: str) -> None:
        """It is not to be delivered any more, though nobody is through with it."""
        consumer = self._consumer
        pending = consumer.state.settle(delivery.sequence)
        if pending is None:
            return
        consumer.tell("terminated", "MSG_TERMINATED", **facts(delivery) | ({"reason": reason} if reason else {}))
        self._through_with(delivery.sequence, pending)
        consumer.changed()
        consumer.kick()

    def _through_with(self, sequence: int, pending: Pending) -> None:
        stream = self._consumer.stream
        if not stream.config.is_queue:
            return
        if pending.size:
            stream.retention.acknowledged(sequence, pending.subject, pending.size)
        else:
            self._home.spawn(lambda: self._look_up(sequence))

    async def look_up_pending(self) -> None:
        """What was on its way when the gateway ended is known by its number only. Of a queue it has to be known whole
        before it is acknowledged: else a commit between the acknowledgement and the look at the message would let it
        stay for ever.
        """
        stored, pending = self._consumer.stream.stored, self._consumer.state.pending
        following = 0
        for sequence in sorted(pending):
            if sequence < following:
                continue
            found, following = await stored.read(sequence, MESSAGES_AT_ONCE, BYTES_AT_ONCE)
            for message in found:
                one = pending.get(message.sequence)
                if one is not None:
                    one.subject, one.size = message.subject, message.size

    async def _look_up(self, sequence: int) -> None:
        """One that could not be looked up when the gateway started."""
        stream = self._consumer.stream
        message = await stream.stored.get(sequence)
        if message is not None:
            stream.retention.acknowledged(sequence, message.subject, message.size)


def facts(delivery: Delivery) -> dict[str, object]:
    """What advisories tell of it."""
    return {"consumer_seq": delivery.number, "stream_seq": delivery.sequence, "deliveries": delivery.deliveries}
