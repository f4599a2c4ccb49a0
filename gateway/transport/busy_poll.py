"""Busy poll: while batches follow each other closely, keep the event loop from going to sleep between them.

Waking a sleeping process costs more than handling a small message does. A request and its reply through the gateway
take two wake-ups; not sleeping for some microseconds saves both, and costs less processor time than they do.

Whether the next batch comes soon is only guessed. Traffic that comes in short clumps looks alike and is waited for in
vain behind each of them, so a wait in vain soon after the last one makes the loop harder to convince.
"""

# Batches closer together than this are worth waiting for awake: sleeping and waking up take about as long.
CLOSE_SECONDS = 120e-6
# How many of them in a row it takes to begin, so that a single pair of messages changes nothing; and at most, where it
# was in vain again and again.
BEGIN_AFTER = 8
MOST_NEEDED = 512
# How many batches have to come while it is awake to pay for the one wait in vain that ends it.
PAYS = 32


class BusyPoll:
    """Rounds are told to it through `batch`; while `is_awake` the loop polls instead of waiting."""

    __slots__ = ("_awake", "_close", "_last", "_needed")

    def __init__(self) -> None:
        self._last = 0.0
        # Close batches in a row, and how many it takes.
        self._close = 0
        self._needed = BEGIN_AFTER
        self._awake = False

    def batch(self, now: float) -> None:
        """A round has been served at `now` (trio's clock)."""
        if now - self._last > CLOSE_SECONDS:
            self._sleep()
        else:
            self._close += 1
            self._awake = self._close > self._needed
        self._last = now

    def is_awake(self, now: float) -> bool:
        if self._awake and now - self._last >= CLOSE_SECONDS:
            self._sleep()
        return self._awake

    def _sleep(self) -> None:
        """The next batch was not close: judge by how many were."""
        if self._awake:
            was_worth_it = self._close - self._needed >= PAYS
            self._needed = BEGIN_AFTER if was_worth_it else min(2 * self._needed, MOST_NEEDED)
            self._awake = False
        self._close = 0
