"""Consumer: hands the messages of a stream to who asked for them, and knows what of them is acknowledged."""

import msgspec
import trio

from gateway.dataplane.port import Port
from gateway.runtime.turns import TURN_SECONDS
from gateway.storage.streams.cursor import Cursor
from gateway.streams.acknowledgements import Acknowledgements
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import FOREVER, ConsumerState, StoredState
from gateway.streams.consumer_timer import IN_A_ROW, ConsumerTimer
from gateway.streams.dispatch import Dispatch
from gateway.streams.message_headers import status
from gateway.streams.pull_requests import PullRequests
from gateway.streams.push import Push
from gateway.streams.reading import Reader
from gateway.streams.roles import Consumed, Home
from gateway.streams.selection import Selection
from gateway.streams.times import SECOND
from protocols.message import Message


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
        self.timer = ConsumerTimer(self)
        self.push = Push(self) if not config.is_pull else None
        self.is_closed = False
        self.pause_until = config.pause_ns
        self.last_active = trio.current_time()
        self._cursor = cursor
        self._dispatch = Dispatch(self)
        self._acks = Acknowledgements(self)
        # It is noted that there is something to be kept.
        self._is_noted = False
        self._is_settling = False
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
            self.timer.expect_by(0.0)
        self.timer.set()

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
        self.timer.close()
        if self._cursor is not None:
            self.stream.stored.remove_cursor(self._cursor.name)

    def configure(self, config: ConsumerConfig) -> None:
        """Be like that from now on."""
        filters_changed = self.config.filters != config.filters
        self.config = config
        self._dispatch.configure()
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
        self.timer.set()

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
        self.timer.set()

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
        self._dispatch.begin()

    def ask(self, payload: bytes, reply: bytes, asker: Port) -> None:
        """A client asks for messages."""
        if self.push is not None:
            self.home.answer(reply, b"", asker, status("409 Consumer is push based"))
            return
        now = self.last_active = trio.current_time()
        self.reader.refresh()
        over_at = self.pulls.ask(payload, reply, asker, now)
        if over_at is not None:
            self.timer.wake_by(over_at)
            self.kick()

    def available(self) -> int:
        """How many messages could be delivered, again or for the first time."""
        return self.reader.ahead + len(self.state.again)

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

    def heartbeat(self) -> bytes:
        """The header that says that there is nothing to say."""
        number, sequence = self.state.delivered
        return status("100 Idle Heartbeat", ("Nats-Last-Consumer", number), ("Nats-Last-Stream", max(sequence, 0)))
