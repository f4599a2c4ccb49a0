"""Lifetimes: which message of a stream is let go when, where each has a time of its own."""

import heapq
from typing import NamedTuple

# What an entry takes in memory, and how many a stream may have: a message with one more is refused.
MOST_ENTRIES = 2_000_000


class Mortal(NamedTuple):
    """`until` is in nanoseconds of the clock by which the stream ages; `size` is the stored message's. `is_own`: the
    message said so itself.
    """

    until: int
    sequence: int
    size: int
    subject: bytes
    is_own: bool


class Lifetimes:
    """A heap of them. One whose message has gone otherwise stays until its time."""

    def __init__(self) -> None:
        self._heap: list[Mortal] = []

    def __len__(self) -> int:
        return len(self._heap)

    def has_room(self) -> bool:
        return len(self._heap) < MOST_ENTRIES

    def add(self, mortal: Mortal) -> None:
        heapq.heappush(self._heap, mortal)

    def next_at(self) -> int | None:
        """When the next one ends."""
        return self._heap[0].until if self._heap else None

    def take(self, now: int, most: int) -> list[Mortal]:
        """Those that are over, so many at most."""
        over: list[Mortal] = []
        while self._heap and self._heap[0].until <= now and len(over) < most:
            over.append(heapq.heappop(self._heap))
        return over

    def clear(self) -> None:
        self._heap.clear()
