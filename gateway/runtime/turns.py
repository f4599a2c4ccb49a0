"""Turns: work that would take too long at once is done in slices, one in each round of the reader's.

What a peer, a deadline or a question of monitoring's leads to may be much: whoever finds that it takes longer than
TURN_SECONDS leaves the rest here, and everybody else has a turn before the next slice.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

import trio

log = logging.getLogger("leafgate.turns")

# How long anybody goes on before others have their turn.
TURN_SECONDS = 0.002

# Does some of the work, for about TURN_SECONDS; says whether some is left.
Step = Callable[[], bool]


def ignore(waiting: bool) -> None:
    """Nobody waits in an epoll."""


class Turns:
    """A queue of work that was left. `take` is the reader's; `signal`, set by it, hears when there is work and when
    there is none any more. `clock` counts seconds from anywhere.
    """

    __slots__ = ("_callers", "_calling", "_told", "_waiting", "clock", "signal")

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.perf_counter
        self.signal: Callable[[bool], None] = ignore
        self._waiting: deque[Step] = deque()
        self._told = False
        # The tasks that wait for their turn, and whether one is being called.
        self._callers: deque[trio.Event] = deque()
        self._calling = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, step: Step) -> None:
        """Do this in turns to come, until it says that nothing is left."""
        self._waiting.append(step)
        self._tell()

    def begin(self, step: Step) -> None:
        """Do a first slice of this at once, and the others in turns to come."""
        if step():
            self.add(step)

    def take(self) -> None:
        """Do one slice of what has waited longest."""
        if not self._waiting:
            return
        step = self._waiting.popleft()
        more = False
        try:
            more = step()
        except Exception:
            log.exception("event=turn-failed")
        if more:
            self._waiting.append(step)
        self._tell()

    def _tell(self) -> None:
        waiting = bool(self._waiting)
        if waiting is not self._told:
            self._told = waiting
            self.signal(waiting)

    async def turn(self) -> None:
        """Return when the calling task has its turn, of TURN_SECONDS. One task is called at a time: until it has come,
        which may take some rounds, no other one is.
        """
        called = trio.Event()
        self._callers.append(called)
        if not self._calling:
            self._calling = True
            self.add(self._call)
        try:
            await called.wait()
        finally:
            if called in self._callers:
                self._callers.remove(called)
            elif self._callers:
                self.add(self._call)
            else:
                self._calling = False

    def _call(self) -> bool:
        if self._callers:
            self._callers.popleft().set()
        else:
            self._calling = False
        return False
