"""Push: a consumer that sends its messages to a subject by itself, as fast as the other side can hear."""

from collections.abc import Callable

import trio

from gateway.dataplane.port import Port, Receiver
from gateway.runtime.identity import new_token
from gateway.streams.ack_receivers import FlowReceiver
from gateway.streams.message_headers import LAST_CONSUMER, LAST_STREAM, nats_fields, number, status
from gateway.streams.roles import Delivering, Share
from gateway.streams.times import SECOND
from gateway.transport.connection import Connection
from protocols.message import Message, make_message

# How much may be on its way to a client with flow control: it begins with the first and doubles up to the second.
FIRST_WINDOW = 2 << 20
MOST_WINDOW = 32 << 20
# What is sent without it before the others at the switch have their turn.
BYTES_AT_ONCE = 256 << 10
# And in a row, before somebody looks at the clock.
MESSAGES_AT_ONCE = 256
FOREVER = float("inf")


class PositionReceiver(Receiver):
    """As a FlowReceiver, where the answer says to where the client has everything."""

    __slots__ = ("_answered",)

    def __init__(self, path: bytes, answered: Callable[[bytes, bytes], None]) -> None:
        super().__init__(Port(None), b"$JS.FC.%b.*" % path, b"")
        self._answered = answered

    def deliver(self, message: Message, source: Port) -> bool:
        self._answered(message.subject, message.header() if message.header_size else b"")
        return True


class Push:
    """`is_bound`: somebody listens."""

    def __init__(self, consumer: Delivering) -> None:
        config = consumer.config
        self._consumer = consumer
        self._home = consumer.home
        self._subject = config.deliver_subject.encode()
        self._group = config.deliver_group.encode()
        self._heartbeat = config.idle_heartbeat / SECOND
        self._flows = config.flow_control
        self._confirms = config.is_confirmed_by_flow
        self._answers: Receiver = (
            PositionReceiver(consumer.path, self._confirmed)
            if self._confirms
            else FlowReceiver(consumer.path, self._flow_answered)
        )
        self.is_bound = False
        self._spoke_at = trio.current_time()
        # With flow control: the window, what is on its way, the question that waits and what was sent before it.
        self._window = FIRST_WINDOW
        self._on_way = 0
        self._question = b""
        self._asked_for = 0
        # Nothing is sent before that.
        self._hold_until = 0.0
        self._last_ns = 0
        self._sent = 0
        self._is_relieved = True

    @property
    def address(self) -> tuple[bytes, bytes]:
        """Where it sends: subject and queue group."""
        return self._subject, self._group

    def open(self) -> None:
        if self._flows:
            self._home.subscribe(self._answers)
        self._home.watch(self._subject, self._interest_changed)
        self.is_bound = self._home.has_interest(self._subject, self._group)

    def close(self) -> None:
        self._home.unsubscribe(self._answers)
        self._home.unwatch(self._subject, self._interest_changed)

    def _interest_changed(self) -> None:
        bound = self._home.has_interest(self._subject, self._group)
        if bound is self.is_bound:
            return
        self.is_bound = bound
        if bound:
            self._forget_flow()
            self._consumer.kick()
        self._consumer.last_active = trio.current_time()
        self._consumer.timer.set()

    def _forget_flow(self) -> None:
        self._window, self._on_way, self._question = FIRST_WINDOW, 0, b""

    def is_ready(self) -> bool:
        """Whether a message may be sent now."""
        if not self.is_bound or not self._is_relieved:
            return False
        if self._flows and self._on_way >= self._window:
            return False
        return trio.current_time() >= self._hold_until

    def share(self, next_ns: int) -> Share:
        """What may be sent now, where `is_ready`; the next message came at that time."""
        config = self._consumer.config
        if self._is_early(next_ns):
            return Share(0, 0, False, self._subject, None)
        room = BYTES_AT_ONCE - self._sent
        if self._flows:
            room = min(room, self._window - self._on_way)
        alone = config.rate_limit_bps or config.replay_policy == "original"
        return Share(1 if alone else MESSAGES_AT_ONCE, room, False, self._subject, None)

    def sent(self, size: int, now: float) -> None:
        """A share of so many bytes was taken."""
        self._spoke_at = now
        rate = self._consumer.config.rate_limit_bps
        if rate:
            self._hold_until = max(self._hold_until, now) + size * 8 / rate
            self._consumer.timer.wake_by(self._hold_until)
        if self._flows:
            self._on_way += size
            if not self._question and (self._on_way > self._window // 2 or self._is_full()):
                self._ask()
        self._sent += size
        if self._sent >= BYTES_AT_ONCE:
            self._sent = 0
            self._wait_for_relief()

    def gone(self) -> None:
        """Nobody has taken what was to be sent."""
        self.is_bound = False
        self._consumer.timer.set()

    def _is_early(self, time_ns: int) -> bool:
        """Whether the original pace of the messages says that this one is not to come yet."""
        if self._consumer.config.replay_policy != "original":
            return False
        pause = (time_ns - self._last_ns) / SECOND if self._last_ns else 0.0
        self._last_ns = time_ns
        if pause <= 0:
            return False
        self._hold_until = trio.current_time() + pause
        self._consumer.timer.wake_by(self._hold_until)
        return True

    def _wait_for_relief(self) -> None:
        """Send what there is; where who listens takes it slowly, go on when he has."""
        self._home.flush()
        slow = [one.sink for one in self._home.runtime.switch.congested if isinstance(one.sink, Connection)]
        if slow:
            self._is_relieved = False
            self._home.spawn(lambda: self._be_relieved(slow))

    async def _be_relieved(self, slow: list[Connection]) -> None:
        try:
            for connection in slow:
                await connection.relieved()
        finally:
            self._is_relieved = True
            self._consumer.kick()

    # Flow control.

    def _ask(self) -> None:
        """Have the client say when it has come to here."""
        self._question = b"$JS.FC.%b.%b" % (self._consumer.path, new_token().encode())
        self._asked_for = self._on_way
        header = status("100 FlowControl Request")
        self._home.deliver(make_message(self._subject, b"", self._question, header), self._subject, None)

    def _is_full(self) -> bool:
        """Whether nothing goes out before what has gone is confirmed."""
        return self._confirms and len(self._consumer.state.pending) >= self._consumer.config.max_ack_pending

    def _confirmed(self, subject: bytes, header: bytes) -> None:
        """A client has come so far as its answer says, if that is a place where it can be."""
        fields = nats_fields(header)
        place, count = number(fields.get(LAST_STREAM)), number(fields.get(LAST_CONSUMER))
        state = self._consumer.state
        if subject == self._question and place and count and place < state.next and count <= state.number:
            self._consumer.acknowledge_through(place)
        self._flow_answered(subject)

    def _flow_answered(self, subject: bytes) -> None:
        if subject != self._question:
            return
        self._question = b""
        self._window = min(self._window * 2, MOST_WINDOW)
        self._on_way = max(self._on_way - self._asked_for, 0)
        self._consumer.kick()

    # Time.

    def next_at(self) -> float:
        when = self._spoke_at + self._heartbeat if self._heartbeat else FOREVER
        if self._hold_until > trio.current_time():
            when = min(when, self._hold_until)
        return when

    def tick(self, now: float) -> None:
        """Say something where nothing was said for too long."""
        if not self._heartbeat or now < self._spoke_at + self._heartbeat:
            return
        self._spoke_at = now
        if not self.is_bound:
            return
        header = self._consumer.heartbeat()
        if self._question:
            header = header[:-2] + b"Nats-Consumer-Stalled: %b\r\n\r\n" % self._question
        self._home.deliver(make_message(self._subject, b"", b"", header), self._subject, None)
        if not self._question and self._confirms and self._consumer.state.pending:
            self._ask()
