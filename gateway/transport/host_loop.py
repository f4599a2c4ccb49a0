"""Host loop: the daemon's event loop. It waits for the reader's sockets and for deadlines itself; trio is its guest
and runs when one of its tasks has something to do, as the monitoring's, an uplink's dialling, a serial port's.

Waking a task of trio's costs more than handling a small message does, and most messages wake none here.
"""

import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import outcome
import trio

from gateway.dataplane.outbox import Outbox
from gateway.runtime.deadlines import Deadlines
from gateway.transport.reader import Reader

LONGEST_WAIT_SECONDS = 3600.0
# Calls from other threads and from trio, made before sockets have their turn again.
CALLS_A_ROUND = 64


class HostLoop:
    """`run` runs an async function as `trio.run` does. `flush` is called behind each round of deadlines and calls,
    `before_wait`, if set, before each look at the sockets.
    """

    introduced = True
    heavy = False

    def __init__(self, reader: Reader, deadlines: Deadlines, flush: Callable[[], None]) -> None:
        self._reader = reader
        self._deadlines = deadlines
        self._flush = flush
        # Appending and popping are atomic: other threads append, too.
        self._calls: deque[Callable[[], object]] = deque()
        self.before_wait: Callable[[], None] | None = None
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._outcome: outcome.Outcome[Any] | None = None

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        self._reader.add(self._wakeup, self)
        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=self.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=self._calls.append,
            done_callback=self._done,
        )
        try:
            while self._outcome is None:
                self._round()
        finally:
            self._reader.remove(self._wakeup)
            os.close(self._wakeup)
        return self._outcome.unwrap()

    def call_soon(self, call: Callable[[], object]) -> None:
        """Make a call behind what the loop is just doing; for its own thread."""
        self._calls.append(call)

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        """Make a call in the loop's thread, soon; from any thread."""
        self._calls.append(call)
        os.eventfd_write(self._wakeup, 1)

    def _round(self) -> None:
        reader = self._reader
        if self._calls or reader.is_busy:
            timeout = 0.0
        else:
            timeout = min(max(self._deadlines.next_at() - trio.current_time(), 0.0), LONGEST_WAIT_SECONDS)
        if self.before_wait is not None:
            self.before_wait()
        reader.poll(timeout)
        now = trio.current_time()
        if self._deadlines.next_at() <= now:
            self._deadlines.call_due(now)
            self._flush()
        if self._calls:
            for _ in range(min(len(self._calls), CALLS_A_ROUND)):
                self._calls.popleft()()
            self._flush()

    # What the reader asks of the descriptor that other threads wake the loop with (gateway.transport.reader.Readable).

    def read_ready(self) -> int:
        os.eventfd_read(self._wakeup)
        return 0

    def batch_done(self, size: int, begun: float, now: float) -> None:
        """A wake-up is no batch."""

    def write_ready(self) -> None:
        """Nothing waits for room."""

    def hold(self, congested: Outbox) -> None:
        """Nothing is published by waking up."""

    def pause(self) -> None:
        """Nor is anything sent."""

    def resume(self) -> None:
        """It was never paused."""

    def _done(self, result: outcome.Outcome[Any]) -> None:
        self._outcome = result
