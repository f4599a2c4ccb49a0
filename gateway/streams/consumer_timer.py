"""ConsumerTimer: looks at what of a consumer is over when the next thing is: requests, acknowledgements that did not
come, a pause, and the consumer itself where nobody uses it.
"""

from typing import Protocol

import trio

from gateway.runtime.deadlines import Deadline
from gateway.runtime.turns import TURN_SECONDS
from gateway.streams.consumer_state import FOREVER, Sweep
from gateway.streams.pull_requests import PullRequests
from gateway.streams.push import Push
from gateway.streams.roles import Delivering
from gateway.streams.times import SECOND

# What lies between two looks at what is over.
SHORTEST_PAUSE = 0.01
# Messages between two looks at the clock.
IN_A_ROW = 256


class Timed(Delivering, Protocol):
    """A consumer, as its timer sees it."""

    name: str
    pulls: PullRequests
    push: Push | None
    pause_until: int

    @property
    def is_paused(self) -> bool: ...


class ConsumerTimer:
    """It looks no more once the consumer is closed."""

    def __init__(self, consumer: Timed) -> None:
        self._consumer = consumer
        self._deadlines = consumer.home.runtime.deadlines
        self._turns = consumer.home.runtime.turns
        # No pending message is to be delivered again before that; who looks for those that are.
        self._pending_at = FOREVER
        self._sweep: Sweep | None = None
        self._is_ending = False
        self._next_at = FOREVER
        self._deadline: Deadline | None = None

    def close(self) -> None:
        self._deadlines.cancel(self._deadline)

    def set(self) -> None:
        """Look at what is over when the next thing is."""
        consumer = self._consumer
        if consumer.is_closed:
            return
        when = min(consumer.pulls.next_at(), self._pending_at, self._inactive_at())
        if consumer.push is not None:
            when = min(when, consumer.push.next_at())
        if consumer.pause_until:
            left = (consumer.pause_until - consumer.stream.stored.store.wall_ns()) / SECOND
            when = min(when, trio.current_time() + max(left, 0.0))
        self.wake_by(when)

    def expect_by(self, when: float) -> None:
        """A pending message is to be delivered again then, unless it is acknowledged."""
        self._pending_at = min(self._pending_at, when)
        self.wake_by(when)

    def wake_by(self, when: float) -> None:
        """Look at what is over at that time at the latest."""
        if when >= self._next_at or self._consumer.is_closed:
            return
        deadlines = self._deadlines
        deadlines.cancel(self._deadline)
        self._next_at = max(when, trio.current_time() + SHORTEST_PAUSE)
        self._deadline = deadlines.call_at(self._next_at, self._time_is_over)

    def _inactive_at(self) -> float:
        consumer = self._consumer
        threshold = consumer.config.inactive_threshold / SECOND
        if not threshold:
            return FOREVER
        return (trio.current_time() if consumer.is_active else consumer.last_active) + threshold

    def _time_is_over(self, now: float) -> None:
        self._next_at = FOREVER
        consumer = self._consumer
        if consumer.is_closed:
            return
        if consumer.is_active:
            consumer.last_active = now
        elif self._inactive_at() <= now:
            consumer.home.forget_consumer(consumer.stream.name, consumer.name)
            return
        if not self._is_ending:
            self._is_ending = True
            self._turns.begin(self._end_requests)
        if self._pending_at <= now and self._sweep is None:
            self._pending_at = FOREVER
            self._sweep = Sweep(consumer.state, now)
            self._turns.begin(self._look_for_due)
        if consumer.pause_until and not consumer.is_paused:
            consumer.pause_until = 0
            consumer.changed()
        if consumer.push is not None:
            consumer.push.tick(now)
        consumer.kick()
        self.set()

    def _look_for_due(self) -> bool:
        """Deliver again what nobody acknowledged in time, for a turn; whether there is more to look at."""
        clock = self._turns.clock
        until = clock() + TURN_SECONDS
        consumer, sweep = self._consumer, self._sweep
        assert sweep is not None
        while not consumer.is_closed and not sweep.is_over:
            for sequence in sweep.look(consumer.state, IN_A_ROW):
                consumer.redeliver(sequence)
            if clock() > until and not sweep.is_over:
                return True
        self._sweep = None
        self.expect_by(sweep.next_at)
        consumer.kick()
        return False

    def _end_requests(self) -> bool:
        """End requests whose time is over, for a turn; whether there are more."""
        clock = self._turns.clock
        until = clock() + TURN_SECONDS
        more = True
        consumer = self._consumer
        while more and not consumer.is_closed:
            more = consumer.pulls.expire(trio.current_time())
            if clock() > until:
                break
        self._is_ending = more and not consumer.is_closed
        if not more:
            self.set()
        return self._is_ending
