"""Busy poll: while batches follow each other closely, keep the event loop from going to sleep between them.

Waking a sleeping process costs more than handling a small message does. A request and its reply through the gateway
take two wake-ups; not sleeping for some microseconds saves both, and costs less processor time than they do.
"""

import trio

# Batches closer together than this are worth waiting for awake: sleeping and waking up take about as long.
CLOSE_SECONDS = 120e-6
# How many of them in a row it takes to begin, so that a single pair of messages changes nothing.
BEGIN_AFTER = 8


class BusyPoll:
    """`run` is the task that keeps the loop awake; sessions' batches are told to it through `batch`."""

    __slots__ = ("_awake", "_close", "_idle", "_last")

    def __init__(self) -> None:
        self._last = 0.0
        self._close = 0
        self._awake = False
        self._idle = trio.Event()

    def batch(self, now: float) -> None:
        """A batch has been handled at `now` (trio's clock)."""
        if now - self._last > CLOSE_SECONDS:
            self._close = 0
        elif not self._awake:
            self._close += 1
            if self._close > BEGIN_AFTER:
                self._awake = True
                self._idle.set()
        self._last = now

    async def run(self) -> None:
        """Run until cancelled. Gives every other task its turn each time round."""
        while True:
            await self._idle.wait()
            while trio.current_time() - self._last < CLOSE_SECONDS:
                await trio.lowlevel.checkpoint()
            self._awake = False
            self._close = 0
            self._idle = trio.Event()
