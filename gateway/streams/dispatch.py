"""Dispatch: hands the messages of a consumer to whose turn it is, as long as there are messages and somebody waits."""

from typing import Protocol

import trio

from gateway.runtime.turns import TURN_SECONDS
from gateway.streams.consumer_state import FOREVER
from gateway.streams.consumer_timer import IN_A_ROW, Timed
from gateway.streams.message_headers import MESSAGE_SIZE, with_fields
from gateway.streams.reading import Reader
from gateway.streams.roles import Share
from gateway.streams.runs import Run
from protocols.message import make_message
from protocols.nats.stream_replies import make_reply


class Dispatched(Timed, Protocol):
    """A consumer, as who hands its messages out sees it."""

    reader: Reader


class Dispatch:
    """`begin` has it look, for a turn at once and for others as long as there is more to do."""

    def __init__(self, consumer: Dispatched) -> None:
        self._consumer = consumer
        self._state = consumer.state
        self._reader = consumer.reader
        self._pulls = consumer.pulls
        self._turns = consumer.home.runtime.turns
        self._lead = b"$JS.ACK.%b." % consumer.path
        self._run = Run(self._lead, consumer.state, consumer.reader.supply, consumer.config.headers_only)
        self._is_scheduled = False

    def begin(self) -> None:
        """There may be something to deliver."""
        if not self._is_scheduled and not self._consumer.is_closed:
            self._is_scheduled = True
            self._turns.begin(self._deliver_some)

    def configure(self) -> None:
        """The consumer is configured otherwise."""
        self._run.headers_only = self._consumer.config.headers_only

    def _deliver_some(self) -> bool:
        """Deliver for a turn; whether there is more to do."""
        clock = self._turns.clock
        until = clock() + TURN_SECONDS
        reader = self._reader
        reader.refresh()
        while self._may_deliver():
            if not (self._deliver_again() or self._deliver_new()):
                if reader.has_more:
                    return True
                if not reader.is_reading and self._pulls.exhausted():
                    return True
                break
            if clock() > until:
                return True
        self._is_scheduled = False
        return False

    def _may_deliver(self) -> bool:
        consumer = self._consumer
        if consumer.is_closed or consumer.is_paused:
            return False
        return consumer.push.is_ready() if consumer.push is not None else bool(self._pulls)

    def _room_for_new(self) -> int:
        """How many more messages may be on their way."""
        config = self._consumer.config
        most = config.max_ack_pending
        return max(most - len(self._state.pending), 0) if config.acknowledges and most > 0 else IN_A_ROW

    def _share(self, next_ns: int) -> Share | None:
        """What may go out now to whose turn it is; the next message came at that time. None where it is nobody's."""
        push = self._consumer.push
        return push.share(next_ns) if push is not None else self._pulls.share(trio.current_time())

    def _note_share(self, messages: int, size: int, now: float) -> None:
        """So much of a share was taken."""
        consumer = self._consumer
        consumer.last_active = now
        self._state.delivered_ns = consumer.stream.stored.store.wall_ns()
        consumer.changed()
        if consumer.push is not None:
            consumer.push.sent(size, now)
        else:
            self._pulls.served(messages, size, now)

    def _note_gone(self) -> None:
        """Nobody was there for a share."""
        push = self._consumer.push
        if push is not None:
            push.gone()
        else:
            self._pulls.gone()

    def _deliver_new(self) -> bool:
        """Hand out some messages for the first time; False where none can be now."""
        room = self._room_for_new()
        consumer, reader = self._consumer, self._reader
        if not room or not reader.look():
            return False
        share = self._share(reader.supply.time_ns)
        if share is None:
            return False
        run = self._run
        run.field = self._pulls.priorities.field
        count = run.fill(min(share.messages, room, IN_A_ROW), share.room, share.whole, reader.ahead)
        if not count:
            if run.next_size:
                self._pulls.too_large()
            return bool(run.next_size)
        taken = consumer.home.deliver_run(run.messages, share.subject, share.asker)
        now = trio.current_time()
        acknowledges = consumer.config.acknowledges
        deadline = now + consumer.patience(1) if acknowledges else FOREVER
        run.settle(taken, deadline, acknowledges)
        reader.delivered(taken)
        if taken:
            self._note_share(taken, run.size, now)
            consumer.timer.expect_by(deadline)
            if consumer.stream.config.is_queue and not acknowledges:
                for sequence, subject, size in run.what_was(taken):
                    consumer.stream.retention.acknowledged(sequence, subject, size)
        if taken < count:
            reader.forget()
            self._note_gone()
        return True

    def _deliver_again(self) -> bool:
        """Hand out a message once more; False where there is none."""
        consumer, reader = self._consumer, self._reader
        message = reader.next_again()
        if message is None:
            return False
        state, sequence = self._state, message.sequence
        header, payload = message.header, message.payload
        if consumer.config.headers_only:
            header, payload = with_fields(header, (MESSAGE_SIZE, b"%d" % len(payload))), b""
        count, left = state.next_count(sequence), reader.ahead
        reply = make_reply(self._lead, count, sequence, state.number + 1, message.time_ns, left)
        size = len(message.subject) + len(reply) + len(header) + len(payload)
        share = self._share(0)
        if share is None:
            reader.put_back(message)
            return False
        if share.whole and size > share.room:
            reader.put_back(message)
            self._pulls.too_large()
            return True
        field = self._pulls.priorities.field
        if field is not None:
            header = with_fields(header, field)
        again = make_message(message.subject, payload, reply, header)
        if not consumer.home.deliver_run([again], share.subject, share.asker):
            reader.put_back(message)
            self._note_gone()
            return True
        now = trio.current_time()
        deadline = now + consumer.patience(count)
        state.deliver_again(sequence, deadline, message.subject, message.size)
        self._note_share(1, size, now)
        consumer.timer.expect_by(deadline)
        return True
