"""Turns: work that would take too long at once is done in slices, one in each round of the reader's.

What a peer, a deadline or a question of monitoring's leads to may be much: whoever finds that it takes longer than
TURN_SECONDS leaves the rest here, and everybody else has a turn before the next slice.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from heapq import merge
from typing import Any, TypeVar

import trio

log = logging.getLogger("leafgate.turns")

# How long anybody goes on before others have their turn.
TURN_SECONDS = 0.001

# So many messages are decoded in one go, or fewer of what takes longer to read.
DECODED_AT_ONCE = 4096

# How often a task asks whether its turn is over between two looks at the clock.
STEPS_IN_A_ROW = 16

# What is put in order at once.
RUN = 512

Sortable = TypeVar("Sortable", bound=Any)
Result = TypeVar("Result")

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


async def in_order(items: list[Sortable], turns: Turns) -> list[Sortable]:
    """Items in their order; very many of them are put in order in turns."""
    turn = OwnTurn(turns)
    runs: list[list[Sortable]] = []
    for start in range(0, len(items), RUN):
        runs.append(sorted(items[start : start + RUN]))
        await turn.pause()
    found: list[Sortable] = []
    for item in merge(*runs):
        found.append(item)
        if turn.is_over():
            await turn.next()
    return found


async def in_turns(steps: Generator[None, None, Result], turns: Turns) -> Result:
    """What a generator returns, whose steps are small ones; many of them are taken in turns."""
    turn = OwnTurn(turns)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if turn.is_over():
            await turn.next()


class OwnTurn:
    """The turns of one task, whose work is made of small steps: behind each it asks whether its turn `is_over`, and
    awaits the `next` one. The first begins with this.
    """

    __slots__ = ("_left", "_turns", "_until")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._begin()

    def _begin(self) -> None:
        self._left = STEPS_IN_A_ROW
        self._until = self._turns.clock() + TURN_SECONDS

    def is_over(self) -> bool:
        self._left -= 1
        if self._left:
            return False
        self._left = STEPS_IN_A_ROW
        return self._turns.clock() > self._until

    async def pause(self) -> None:
        """Await the next turn, where this one is over: to be called behind a step that is no small one."""
        if self._turns.clock() > self._until:
            await self.next()

    async def next(self) -> None:
        await self._turns.turn()
        self._begin()
