"""Ordered work: what several owners want done, of each one thing after the other, in turns where that is long."""

import logging
from collections import deque
from collections.abc import Hashable

from gateway.dataplane.outbox import Switch
from gateway.runtime.turns import TURN_SECONDS, Step, Turns

log = logging.getLogger("leafgate.turns")

# What may wait, all together. Beyond that an owner's work is done at once: memory ends sooner than patience.
MOST_WAITING_BYTES = 16 << 20


class Piece:
    """A step to take until it says that nothing is left, and the connection whose batch it came from, which is read no
    more until then; None where that was no connection's.
    """

    __slots__ = ("publisher", "size", "step")

    def __init__(self, step: Step, size: int, publisher: object) -> None:
        self.step = step
        self.size = size
        self.publisher = publisher


class OrderedWork:
    """Of each owner the work is done in the order in which it came; owners have their turn one after the other, so that
    nobody waits for all that somebody else has begun.
    """

    __slots__ = ("_bytes", "_is_queued", "_most_bytes", "_switch", "_turns", "waiting")

    def __init__(self, turns: Turns, switch: Switch) -> None:
        self._turns = turns
        self._switch = switch
        self._bytes = 0
        self._most_bytes = MOST_WAITING_BYTES
        self._is_queued = False
        # By owner; the one that has waited longest is the first.
        self.waiting: dict[Hashable, deque[Piece]] = {}

    def begin(self, owner: Hashable, size: int, step: Step) -> None:
        """Take the first step at once, unless something of the same owner's waits, and the others in turns to come.
        `size` is about how many bytes are held until it is over.
        """
        begun = owner not in self.waiting
        if begun and not step():
            return
        publisher = self._switch.publisher
        piece = Piece(step, size, publisher)
        own = self.waiting.setdefault(owner, deque())
        if begun:  # Before what its first step has led to.
            own.appendleft(piece)
        else:
            own.append(piece)
        self._bytes += size
        if publisher is not None:
            publisher.pause()  # type: ignore[attr-defined]
        if self._bytes > self._most_bytes:
            self._finish(owner)
        elif not self._is_queued:
            self._is_queued = True
            self._turns.add(self._take)

    def hurry(self) -> None:
        """Do all that waits, and whatever else begins, at once: nobody is left who would wait for a turn."""
        self._most_bytes = -1
        while self.waiting:
            self._finish(next(iter(self.waiting)))

    def _take(self) -> bool:
        """Go on, for a turn; whether some work is left."""
        clock = self._turns.clock
        until = clock() + TURN_SECONDS
        while self.waiting:
            owner, own = next(iter(self.waiting.items()))
            piece = own[0]
            while more := self._attempt(piece):
                if clock() > until:
                    break
            if not more:
                self._end(own, piece)
            del self.waiting[owner]
            if own:
                self.waiting[owner] = own
            if clock() > until:
                break
        self._is_queued = bool(self.waiting)
        return self._is_queued

    def _finish(self, owner: Hashable) -> None:
        """Do all that waits of an owner's."""
        own = self.waiting[owner]
        while own:
            piece = own[0]
            while self._attempt(piece):
                pass
            self._end(own, piece)
        del self.waiting[owner]

    def _attempt(self, piece: Piece) -> bool:
        """Take a step; a fault in it must not stop the work of all the others."""
        try:
            return piece.step()
        except Exception:
            log.exception("event=turn-failed")
            return False

    def _end(self, own: deque[Piece], piece: Piece) -> None:
        own.remove(piece)
        self._bytes -= piece.size
        if piece.publisher is not None:
            piece.publisher.resume()  # type: ignore[attr-defined]
