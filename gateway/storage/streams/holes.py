"""Holes: which messages of a stream's chunks are gone, a bitmap for each chunk that misses any (hot)."""

from typing import NamedTuple


class Hole(NamedTuple):
    """Bit n of `bits` stands for the sequence n behind the chunk's first; `size` is what was deleted, in bytes."""

    bits: int
    size: int


NONE = Hole(0, 0)


class Holes:
    """By the first sequence of their chunks. `changed` are those that the disk does not know of yet."""

    __slots__ = ("_of", "changed", "size")

    def __init__(self) -> None:
        self._of: dict[int, Hole] = {}
        # Of everything that was deleted, in bytes.
        self.size = 0
        self.changed: set[int] = set()

    def get(self, chunk: int) -> Hole:
        return self._of.get(chunk, NONE)

    def put(self, chunk: int, hole: Hole) -> None:
        """As the disk knows it, or as the chunk itself tells."""
        if hole.bits:
            self._of[chunk] = hole
            self.size += hole.size

    def is_gone(self, chunk: int, sequence: int) -> bool:
        hole = self._of.get(chunk)
        return hole is not None and hole[0] >> (sequence - chunk) & 1 == 1

    def add(self, chunk: int, sequence: int, size: int) -> None:
        """A message is deleted that was there."""
        bits, before = self._of.get(chunk, NONE)
        # As a call of the class, which takes longer.
        self._of[chunk] = tuple.__new__(Hole, (bits | 1 << (sequence - chunk), before + size))
        self.size += size
        self.changed.add(chunk)

    def count(self, chunk: int, first: int, end: int) -> int:
        """How many are gone from one sequence up to another."""
        hole = self._of.get(chunk)
        if hole is None or end <= first:
            return 0
        mask = (1 << (end - first)) - 1
        return (hole[0] >> (first - chunk) & mask).bit_count()

    def drop(self, chunk: int) -> None:
        hole = self._of.pop(chunk, None)
        if hole is not None:
            self.size -= hole.size
        self.changed.discard(chunk)
