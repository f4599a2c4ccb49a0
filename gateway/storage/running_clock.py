"""RunningClock: the clock by which sessions, messages, retained messages and wills expire. It counts the time that the
gateway runs, over all its runs, and takes no notice of a wall clock that is set.

Time that the gateway was switched off counts where the wall clock can be believed at both ends: the kernel says that it
is synchronised, or the operator that it is always right (a machine with a battery-backed clock). Else nothing expires
meanwhile. What was acknowledged may so end late, and never early.
"""

import sqlite3
import time
from collections.abc import Callable

from gateway.storage.journal import Journal

# How much of a run a crash may leave uncounted.
SAVE_SECONDS = 60.0
# Rows of the table `meta`: the clock's time, and unix time then, empty where that could not be believed.
CLOCK, UNIX = "clock", "clock-unix"
SAVED = "SELECT name, value FROM meta WHERE name IN (?, ?)"
# In a file that knows no such clock yet times are unix times, and this is the last one when something is known to have
# happened.
LAST_KNOWN = "SELECT max(ended_at) FROM session"

# https://man7.org/linux/man-pages/man2/adjtimex.2.html: without modes it changes nothing and returns the clock's state.
TIME_ERROR = 5
ROOM_FOR_TIMEX = 512


def is_synchronised() -> bool:
    """Whether the kernel's clock is kept right by somebody."""
    import ctypes  # Of use to nobody else, and it takes memory.

    try:
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(ROOM_FOR_TIMEX))
    except (OSError, AttributeError):
        return False
    return 0 <= state < TIME_ERROR


class RunningClock:
    """`now` gives seconds; the first run begins with unix time, so that they look like it. Without a journal nothing is
    saved.

    `believe` tells whether the wall clock is right; `wall` and `monotonic` are for tests.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        believe: Callable[[], bool] = is_synchronised,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._believe = believe
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()
        self._saved_at = -SAVE_SECONDS
        # The clock and unix time when the last run was last saved, while the time since then is not counted.
        self._uncounted: tuple[float, float] | None = None

    def now(self) -> float:
        return self._monotonic() + self._ahead

    def load(self) -> None:
        """Go on from where the last run was; to be called once, before anything else. Raises sqlite3.Error."""
        assert self._journal is not None
        connection = self._journal.database.connection
        saved = dict(connection.execute(SAVED, (CLOCK, UNIX)))
        before = number(saved.get(CLOCK))
        if before is None:
            self._begin(connection)
            return
        self._ahead = before - self._monotonic()
        unix = number(saved.get(UNIX))
        if unix is not None:
            self._uncounted = before, unix
        self._catch_up()

    def tick(self) -> None:
        """Save the time now and then; to be called every few seconds."""
        if self._monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Save the time; to be called at an orderly end, too."""
        self._catch_up()
        journal = self._journal
        if journal is None:
            return
        self._saved_at = self._monotonic()
        believed = self._uncounted is None and self._believe()
        for name, value in ((CLOCK, f"{self.now():.3f}"), (UNIX, f"{self._wall():.3f}" if believed else "")):
            journal.batch.meta.put(name, (name, value))
        journal.note()

    def _begin(self, connection: sqlite3.Connection) -> None:
        (last,) = connection.execute(LAST_KNOWN).fetchone()
        if last and not self._believe():
            self._ahead = min(last, self._wall()) - self._monotonic()

    def _catch_up(self) -> None:
        """Count the time switched off, as soon as the wall clock tells how long that was."""
        if self._uncounted is not None and self._believe():
            before, unix = self._uncounted
            self._uncounted = None
            # What the clock has counted since the start is part of the time since then.
            self._ahead += max(self._wall() - unix - (self.now() - before), 0.0)


def number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
