"""Busy poll: while batches follow each other closely, keep the event loop from going to sleep between them.

Waking a sleeping process costs more than handling a small message does. A request and its reply through the gateway
take two wake-ups; not sleeping for some microseconds saves both, and costs less processor time than they do.
"""

# Batches closer together than this are worth waiting for awake: sleeping and waking up take about as long.
CLOSE_SECONDS = 120e-6
# How many of them in a row it takes to begin, so that a single pair of messages changes nothing.
BEGIN_AFTER = 8


class BusyPoll:
    """Rounds are told to it through `batch`; while `is_awake` the loop polls instead of waiting."""

    __slots__ = ("_awake", "_close", "_last")

    def __init__(self) -> None:
        self._last = 0.0
        self._close = 0
        self._awake = False

    def batch(self, now: float) -> None:
        """A round has been served at `now` (trio's clock)."""
        if now - self._last > CLOSE_SECONDS:
            self._close = 0
        elif not self._awake:
            self._close += 1
            self._awake = self._close > BEGIN_AFTER
        self._last = now

    def is_awake(self, now: float) -> bool:
        if self._awake and now - self._last >= CLOSE_SECONDS:
            self._awake = False
            self._close = 0
        return self._awake
