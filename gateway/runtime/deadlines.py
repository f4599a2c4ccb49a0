"""Deadlines: one task keeps the time for everybody who has something to do later."""

import heapq
import logging
import math
import time
from collections.abc import Callable

import trio

from gateway.runtime.turns import TURN_SECONDS

log = logging.getLogger("leafgate.deadlines")

# Cancelled entries stay in the heap until their time; it is built anew when most of it is such entries.
REBUILD_AT = 1024


class Deadline:
    """A call to make at a time; it can be moved and cancelled."""

    __slots__ = ("action", "when")

    def __init__(self, when: float, action: Callable[[float], None] | None) -> None:
        self.when = when
        self.action = action

    def __lt__(self, other: "Deadline") -> bool:
        return self.when < other.when


class Deadlines:
    """Deadlines in trio's clock. Whoever drives the gateway makes the calls: `run` as a task inside trio, or a loop
    that asks `next_at` and calls `call_due`. `clock` tells how long the calls take.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._heap: list[Deadline] = []
        self._cancelled = 0
        self._sleep: trio.CancelScope | None = None

    def call_at(self, when: float, action: Callable[[float], None]) -> Deadline:
        """Call `action(now)` once it is `when`."""
        deadline = Deadline(when, action)
        heapq.heappush(self._heap, deadline)
        if self._sleep is not None and when < self._sleep.deadline:
            self._sleep.deadline = when
        return deadline

    def cancel(self, deadline: Deadline | None) -> None:
        if deadline is None or deadline.action is None:
            return
        deadline.action = None
        self._cancelled += 1
        if self._cancelled > REBUILD_AT and self._cancelled * 2 > len(self._heap):
            self._heap = [kept for kept in self._heap if kept.action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_at(self) -> float:
        """When the next call may be due; infinity when there is none."""
        return self._heap[0].when if self._heap else math.inf

    def call_due(self, now: float) -> None:
        """Make the calls that are due, for a turn: thousands of them may be. Then `next_at` tells of the rest."""
        until = self._clock() + TURN_SECONDS
        while self._heap and self._heap[0].when <= now:
            deadline = heapq.heappop(self._heap)
            action, deadline.action = deadline.action, None
            if action is None:
                self._cancelled -= 1
            else:
                attempt(action, now)
                if self._clock() > until:
                    break

    async def run(self, after: Callable[[], None]) -> None:
        """Make the calls as they fall due, and `after` behind each round of them."""
        while True:
            with trio.CancelScope(deadline=self.next_at()) as self._sleep:
                await trio.sleep_forever()
            self.call_due(trio.current_time())
            after()
            await trio.lowlevel.checkpoint()


def attempt(action: Callable[[float], None], now: float) -> None:
    """A fault in one session must not stop the time of all the others."""
    try:
        action(now)
    except Exception:
        log.exception("event=deadline-failed")
