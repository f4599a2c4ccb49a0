"""Consumer: hands the messages of a stream to who asked for them, and knows what of them is acknowledged."""

import msgspec
import trio

from gateway.dataplane.port import Port
from gateway.runtime.turns import TURN_SECONDS
from gateway.storage.streams.cursor import Cursor
from gateway.streams.acknowledgements import Acknowledgements
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import ConsumerState, StoredState, Sweep
from gateway.streams.message_headers import MESSAGE_SIZE, status, with_fields
from gateway.streams.pull_requests import PullRequests
from gateway.streams.push import Push
from gateway.streams.reading import Reader
from gateway.streams.roles import Consumed, Home, Share
from gateway.streams.runs import Run
from gateway.streams.selection import Selection
from gateway.streams.times import SECOND
from protocols.message import Message, make_message
from protocols.nats.stream_replies import make_reply

# What lies between two looks at what is over.
SHORTEST_PAUSE = 0.01
FOREVER = float("inf")
# Messages between two looks at the clock.
IN_A_ROW = 256


class Note(msgspec.Struct):
    """What the storage keeps with a consumer's cursor."""

    config: ConsumerConfig
    created: int
    state: StoredState


class Consumer:
    """One consumer of a stream. `cursor` is where it is kept on the disk, None where it is not. `pending_count` is how
    many messages are still to come.
    """

    def __init__(
        self, stream: Consumed, config: ConsumerConfig, created: int, state: ConsumerState, cursor: Cursor | None
    ) -> None:
        self.stream: Consumed = stream
        self.home: Home = stream.home
        self.config = config
        self.created = created
        self.state = state
        self.name = config.durable_name or config.name
        self.path = f"{stream.name}.{self.name}".encode()
        self.selection = Selection(config.filters, stream.config.kept_subjects)
        self.reader = Reader(self)
        self.pulls = PullRequests(self)
        self.push = Push(self) if not config.is_pull else None
        self.is_closed = False
        self.pause_until = config.pause_ns
        self.last_active = trio.current_time()
        self._cursor = cursor
        self._lead = b"$JS.ACK.%b." % self.path
        self._run = Run(self._lead, state, self.reader.supply, config.headers_only)
        self._acks = Acknowledgements(self)
        # It is noted that there is something to be kept.
        self._is_noted = False
        self._scheduled = False
        self._is_ending = False
        # No pending message is to be delivered again before that; who looks for those that are.
        self._pending_at = FOREVER
        self._sweep: Sweep | None = None
        self._is_settling = False
        self._timer_at = FOREVER
        self._deadline: object = None
        if cursor is not None:
            cursor.describe = self._describe
            self._leave_keepsake()

    # Life.

    def open(self) -> None:
        """Deliver from now on."""
        self._acks.open()
        if self.push is not None:
            self.push.open()
        self.changed()
        self.kick()
        if self.state.pending:
            self._pending_at = 0.0
        self.set_timer()

    async def restore(self) -> None:
        """Know again what was on its way when the gateway ended."""
        if self.stream.config.is_queue:
            await self._acks.look_up_pending()

    def close(self, reason: str) -> None:
        """It is deleted."""
        if self.is_closed:
            return
        self.is_closed = True
        self._acks.close()
        if self.push is not None:
            self.push.close()
        self.home.runtime.turns.begin(lambda: self.pulls.end_some(f"409 {reason}"))
        self.home.runtime.deadlines.cancel(self._deadline)  # type: ignore[arg-type]
        if self._cursor is not None:
            self.stream.stored.remove_cursor(self._cursor.name)

    def configure(self, config: ConsumerConfig) -> None:
        """Be like that from now on."""
        filters_changed = self.config.filters != config.filters
        self.config = config
        self._run.headers_only = config.headers_only
        self._acks.configure()
        self._leave_keepsake()
        self.pause_until = config.pause_ns
        if filters_changed:
            self.stream_changed()
        if self.push is not None:
            self.push.close()
            self.push = Push(self)
            self.push.open()
        self.changed()
        self.kick()
        self.set_timer()

    def hold_back(self, config: ConsumerConfig, sequence: int) -> None:
        """Be like that, and begin again with a sequence, but send nothing before `configure`: who reads another stream
        with it has to be told first where it begins.
        """
        assert self.push is not None, "who reads another stream with it is sent its messages"
        self.push.close()
        self.push.is_bound = False
        filters_changed = self.config.filters != config.filters
        self.config = config
        if filters_changed:
            self.stream_changed()
        self.reset(sequence)

    def stream_changed(self) -> None:
        """Which messages there may be has become another, or which of them are wanted."""
        self.selection = Selection(self.config.filters, self.stream.config.kept_subjects)
        self.reader.forget()

    def pause(self, until: int) -> None:
        """Deliver nothing before a time, in nanoseconds of unix time; 0 to go on."""
        self.pause_until = until
        self.changed()
        self.kick()
        self.set_timer()

    def reset(self, sequence: int) -> None:
        """Begin again with a sequence, as if nothing had been delivered."""
        self.state.begin_with(sequence)
        self.reader.forget()
        self.changed()
        self.kick()

    @property
    def is_paused(self) -> bool:
        return self.pause_until > self.stream.stored.store.wall_ns()

    @property
    def is_active(self) -> bool:
        """Whether somebody waits for messages."""
        return self.push.is_bound if self.push is not None else bool(self.pulls)

    def changed(self) -> None:
        """What is to be kept of it has become another."""
        if self._cursor is not None and not self.is_closed and not self._is_noted:
            self._is_noted = True
            self._cursor.changed()

    def _describe(self) -> str:
        assert self._cursor is not None
        self._is_noted = False
        self._cursor.floor = max(self.state.floor[1], 0)
        return msgspec.json.encode(Note(self.config, self.created, self.state.stored())).decode()

    def _leave_keepsake(self) -> None:
        """What is left of it where its row is damaged: then it begins anew."""
        if self._cursor is not None:
            note = Note(self.config, self.created, StoredState())
            self._cursor.keepsake = msgspec.json.encode(note).decode()

    # Delivery.

    def kick(self) -> None:
        """There may be something to deliver."""
        if not self._scheduled and not self.is_closed:
            self._scheduled = True
            self.home.runtime.turns.begin(self._deliver_some)

    def ask(self, payload: bytes, reply: bytes, asker: Port) -> None:
        """A client asks for messages."""
        if self.push is not None:
            self.home.answer(reply, b"", asker, status("409 Consumer is push based"))
            return
        now = self.last_active = trio.current_time()
        self.reader.refresh()
        over_at = self.pulls.ask(payload, reply, asker, now)
        if over_at is not None:
            self.wake_by(over_at)
            self.kick()

    def available(self) -> int:
        """How many messages could be delivered, again or for the first time."""
        return self.reader.ahead + len(self.state.again)

    def _deliver_some(self) -> bool:
        """Deliver for a turn; whether there is more to do."""
        clock = self.home.runtime.turns.clock
        until = clock() + TURN_SECONDS
        self.reader.refresh()
        while self._may_deliver():
            if not (self._deliver_again() or self._deliver_new()):
                if self.reader.has_more:
                    return True
                if not self.reader.is_reading and self.pulls.exhausted():
                    return True
                break
            if clock() > until:
                return True
        self._scheduled = False
        return False

    def _may_deliver(self) -> bool:
        if self.is_closed or self.is_paused:
            return False
        return self.push.is_ready() if self.push is not None else bool(self.pulls)

    def _room_for_new(self) -> int:
        """How many more messages may be on their way."""
        most = self.config.max_ack_pending
        return max(most - len(self.state.pending), 0) if self.config.acknowledges and most > 0 else IN_A_ROW

    def _share(self, next_ns: int) -> Share | None:
        """What may go out now to whose turn it is; the next message came at that time. None where it is nobody's."""
        return self.push.share(next_ns) if self.push is not None else self.pulls.share(trio.current_time())

    def _note_share(self, messages: int, size: int, now: float) -> None:
        """So much of a share was taken."""
        self.last_active = now
        self.state.delivered_ns = self.stream.stored.store.wall_ns()
        self.changed()
        if self.push is not None:
            self.push.sent(size, now)
        else:
            self.pulls.served(messages, size, now)

    def _note_gone(self) -> None:
        """Nobody was there for a share."""
        if self.push is not None:
            self.push.gone()
        else:
            self.pulls.gone()

    def _deliver_new(self) -> bool:
        """Hand out some messages for the first time; False where none can be now."""
        room = self._room_for_new()
        if not room or not self.reader.look():
            return False
        share = self._share(self.reader.supply.time_ns)
        if share is None:
            return False
        run = self._run
        run.field = self.pulls.priorities.field
        count = run.fill(min(share.messages, room, IN_A_ROW), share.room, share.whole, self.reader.ahead)
        if not count:
            if run.next_size:
                self.pulls.too_large()
            return bool(run.next_size)
        taken = self.home.deliver_run(run.messages, share.subject, share.asker)
        now = trio.current_time()
        deadline = now + self.patience(1) if self.config.acknowledges else FOREVER
        run.settle(taken, deadline, self.config.acknowledges)
        self.reader.delivered(taken)
        if taken:
            self._note_share(taken, run.size, now)
            self.expect_by(deadline)
            if self.stream.config.is_queue and not self.config.acknowledges:
                for sequence, subject, size in run.what_was(taken):
                    self.stream.acknowledged(sequence, subject, size)
        if taken < count:
            self.reader.forget()
            self._note_gone()
        return True

    def _deliver_again(self) -> bool:
        """Hand out a message once more; False where there is none."""
        message = self.reader.next_again()
        if message is None:
            return False
        state, sequence = self.state, message.sequence
        header, payload = message.header, message.payload
        if self.config.headers_only:
            header, payload = with_fields(header, (MESSAGE_SIZE, b"%d" % len(payload))), b""
        count, left = state.next_count(sequence), self.reader.ahead
        reply = make_reply(self._lead, count, sequence, state.number + 1, message.time_ns, left)
        size = len(message.subject) + len(reply) + len(header) + len(payload)
        share = self._share(0)
        if share is None:
            self.reader.put_back(message)
            return False
        if share.whole and size > share.room:
            self.reader.put_back(message)
            self.pulls.too_large()
            return True
        field = self.pulls.priorities.field
        if field is not None:
            header = with_fields(header, field)
        again = make_message(message.subject, payload, reply, header)
        if not self.home.deliver_run([again], share.subject, share.asker):
            self.reader.put_back(message)
            self._note_gone()
            return True
        now = trio.current_time()
        deadline = now + self.patience(count)
        state.deliver_again(sequence, deadline, message.subject, message.size)
        self._note_share(1, size, now)
        self.expect_by(deadline)
        return True

    def patience(self, count: int) -> float:
        """How many seconds are left to acknowledge the n-th delivery."""
        if self.config.is_confirmed_by_flow:
            return FOREVER
        backoff = self.config.backoff
        wait = backoff[min(count, len(backoff)) - 1] if backoff else self.config.ack_wait
        return wait / SECOND

    def hear(self, message: Message, source: Port) -> None:
        """Take what was said about one of its messages."""
        self._acks.hear(message, source)

    def acknowledge_through(self, sequence: int) -> None:
        """All messages up to one have arrived."""
        self._acks.acknowledge_through(sequence)

    # What is over.

    def wants(self, sequence: int, subject: bytes) -> bool:
        """Whether a message is still to be acknowledged here."""
        if not self.selection.wants(subject):
            return False
        return sequence >= self.state.next or sequence in self.state.pending

    def redeliver(self, sequence: int) -> None:
        """Deliver a pending message again, once there is a turn, unless that was done as often as it may be."""
        state, most = self.state, self.config.max_deliver
        count = state.deliveries.get(sequence, 1)
        if 0 < most <= count:
            self.tell("max_deliver", "MAX_DELIVERIES", stream_seq=sequence, deliveries=count)
            state.settle(sequence)
            self.changed()
        elif sequence not in state.again:
            state.again[sequence] = None

    def tell(self, kind: str, subject: str, **fields: object) -> None:
        """Publish an advisory about this consumer."""
        where = {"stream": self.stream.name, "consumer": self.name}
        self.home.tell(kind, f"CONSUMER.{subject}.{self.stream.name}.{self.name}", **where, **fields)

    def measure(self, **fields: object) -> None:
        """Publish how long an acknowledgement took."""
        where = {"stream": self.stream.name, "consumer": self.name}
        self.home.measure("consumer_ack", f"CONSUMER.ACK.{self.stream.name}.{self.name}", **where, **fields)

    def removed(self, sequence: int) -> None:
        """A message has gone from the stream; 0: some have."""
        state = self.state
        if sequence >= state.next or not sequence:
            self.reader.doubt()
        elif sequence in state.pending and not self.stream.stored.is_there(sequence):
            state.settle(sequence)
            self.changed()

    def purged(self) -> None:
        """Everything in front of the stream's first message has gone."""
        self.reader.doubt()
        if not self._is_settling:
            self._is_settling = True
            self.home.runtime.turns.begin(self._settle_gone)

    def _settle_gone(self) -> bool:
        """What has gone from the front of the stream is not to be acknowledged; some of it in a turn. Whether there is
        more.
        """
        clock = self.home.runtime.turns.clock
        until = clock() + TURN_SECONDS
        first, state = self.stream.stored.first, self.state
        while not self.is_closed:
            gone = state.front(first, IN_A_ROW)
            for sequence in gone:
                state.settle(sequence)
            if len(gone) < IN_A_ROW:
                break
            if clock() > until:
                return True
        self._is_settling = False
        self.changed()
        self.kick()
        return False

    # Time.

    def heartbeat(self) -> bytes:
        """The header that says that there is nothing to say."""
        number, sequence = self.state.delivered
        return status("100 Idle Heartbeat", ("Nats-Last-Consumer", number), ("Nats-Last-Stream", max(sequence, 0)))

    def set_timer(self) -> None:
        """Look at what is over when the next thing is."""
        if self.is_closed:
            return
        when = min(self.pulls.next_at(), self._pending_at, self._inactive_at())
        if self.push is not None:
            when = min(when, self.push.next_at())
        if self.pause_until:
            left = (self.pause_until - self.stream.stored.store.wall_ns()) / SECOND
            when = min(when, trio.current_time() + max(left, 0.0))
        self.wake_by(when)

    def expect_by(self, when: float) -> None:
        """A pending message is to be delivered again then, unless it is acknowledged."""
        self._pending_at = min(self._pending_at, when)
        self.wake_by(when)

    def wake_by(self, when: float) -> None:
        """Look at what is over at that time at the latest."""
        if when >= self._timer_at or self.is_closed:
            return
        deadlines = self.home.runtime.deadlines
        deadlines.cancel(self._deadline)  # type: ignore[arg-type]
        self._timer_at = max(when, trio.current_time() + SHORTEST_PAUSE)
        self._deadline = deadlines.call_at(self._timer_at, self._time_is_over)

    def _inactive_at(self) -> float:
        threshold = self.config.inactive_threshold / SECOND
        if not threshold:
            return FOREVER
        return (trio.current_time() if self.is_active else self.last_active) + threshold

    def _time_is_over(self, now: float) -> None:
        self._timer_at = FOREVER
        if self.is_closed:
            return
        if self.is_active:
            self.last_active = now
        elif self._inactive_at() <= now:
            self.home.forget_consumer(self.stream.name, self.name)
            return
        if not self._is_ending:
            self._is_ending = True
            self.home.runtime.turns.begin(self._end_requests)
        if self._pending_at <= now and self._sweep is None:
            self._pending_at = FOREVER
            self._sweep = Sweep(self.state, now)
            self.home.runtime.turns.begin(self._look_for_due)
        if self.pause_until and not self.is_paused:
            self.pause_until = 0
            self.changed()
        if self.push is not None:
            self.push.tick(now)
        self.kick()
        self.set_timer()

    def _look_for_due(self) -> bool:
        """Deliver again what nobody acknowledged in time, for a turn; whether there is more to look at."""
        clock = self.home.runtime.turns.clock
        until = clock() + TURN_SECONDS
        sweep = self._sweep
        assert sweep is not None
        while not self.is_closed and not sweep.is_over:
            for sequence in sweep.look(self.state, IN_A_ROW):
                self.redeliver(sequence)
            if clock() > until and not sweep.is_over:
                return True
        self._sweep = None
        self.expect_by(sweep.next_at)
        self.kick()
        return False

    def _end_requests(self) -> bool:
        """End requests whose time is over, for a turn; whether there are more."""
        clock = self.home.runtime.turns.clock
        until = clock() + TURN_SECONDS
        more = True
        while more and not self.is_closed:
            more = self.pulls.expire(trio.current_time())
            if clock() > until:
                break
        self._is_ending = more and not self.is_closed
        if not more:
            self.set_timer()
        return self._is_ending
