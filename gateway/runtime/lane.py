"""Lane: short work of many peers that has one place in the turns, all together."""

import logging
from collections import deque
from collections.abc import Callable

from gateway.runtime.turns import Turns

log = logging.getLogger("leafgate.turns")


class Lane:
    """However much is waiting here, what others left for their turn waits for one piece of it, and not for all. Of each
    address one piece has its turn, then the next address: who sends many at once is in his own way.
    """

    __slots__ = ("_is_queued", "_turns", "_waiting")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._is_queued = False
        # By address; the one that has waited longest is the first.
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def add(self, address: str, work: Callable[[], None]) -> None:
        """Do a piece of work, which must not take longer than one turn, in a turn to come."""
        self._waiting.setdefault(address, deque()).append(work)
        if not self._is_queued:
            self._is_queued = True
            self._turns.add(self._take)

    def _take(self) -> bool:
        address = next(iter(self._waiting))
        own = self._waiting.pop(address)
        work = own.popleft()
        if own:
            self._waiting[address] = own
        try:
            work()
        except Exception:
            log.exception("event=turn-failed")
        self._is_queued = bool(self._waiting)
        return self._is_queued
