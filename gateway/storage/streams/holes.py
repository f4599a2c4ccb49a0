"""Holes: which messages of a stream's chunks are gone, a bitmap for each chunk that misses any (hot)."""

from array import array

# What `deleted` has.
NUMBER = "q"
# What a bitmap has room for at first, in bytes.
FEW = 8


class Hole:
    """Bit n of `bits` stands for the sequence n behind the chunk's first; `size` is what was deleted, in bytes."""

    __slots__ = ("_map", "size")

    def __init__(self, bits: int, size: int) -> None:
        self.size = size
        self._map = bytearray(bits.to_bytes(max((bits.bit_length() + 7) // 8, FEW), "little"))

    @property
    def bits(self) -> int:
        return int.from_bytes(self._map, "little")

    def stored(self) -> bytes:
        """The bitmap as the disk has it."""
        return bytes(self._map.rstrip(b"\0"))

    def has(self, number: int) -> bool:
        """Whether a bit is set."""
        return number >> 3 < len(self._map) and self._map[number >> 3] >> (number & 7) & 1 == 1

    def add(self, number: int, size: int) -> None:
        """Set one that is not."""
        bits = self._map
        if number >> 3 >= len(bits):
            bits.extend(bytes((number >> 3) + 1 - len(bits)))
        bits[number >> 3] |= 1 << (number & 7)
        self.size += size


class Holes:
    """By the first sequence of their chunks. `changed` are those that the disk does not know of yet; `deleted` is what
    they became so by, sequences and sizes in turn. `behind` are those of which the disk knows by its deletions alone
    (deletions.py).
    """

    __slots__ = ("_of", "behind", "changed", "deleted", "size")

    def __init__(self) -> None:
        self._of: dict[int, Hole] = {}
        # Of everything that was deleted, in bytes.
        self.size = 0
        self.changed: set[int] = set()
        self.deleted = array(NUMBER)
        self.behind: set[int] = set()

    def get(self, chunk: int) -> Hole | None:
        """None where nothing is gone."""
        return self._of.get(chunk)

    def bits(self, chunk: int) -> int:
        hole = self._of.get(chunk)
        return 0 if hole is None else hole.bits

    def size_of(self, chunk: int) -> int:
        hole = self._of.get(chunk)
        return 0 if hole is None else hole.size

    def put(self, chunk: int, hole: Hole) -> None:
        """As the disk knows it, or as the chunk itself tells."""
        if hole.bits:
            self._of[chunk] = hole
            self.size += hole.size

    def is_gone(self, chunk: int, number: int) -> bool:
        """Whether the message is that has a sequence so far behind the chunk's first."""
        hole = self._of.get(chunk)
        return hole is not None and hole.has(number)

    def add(self, chunk: int, number: int, size: int) -> bool:
        """That message is deleted; False where it was before."""
        hole = self._of.get(chunk)
        if hole is None:
            hole = self._of[chunk] = Hole(0, 0)
        elif hole.has(number):
            return False
        hole.add(number, size)
        self.size += size
        self.changed.add(chunk)
        self.deleted.append(chunk + number)
        self.deleted.append(size)
        return True

    def count(self, chunk: int, begin: int, end: int) -> int:
        """How many are gone, from one so far behind the chunk's first up to another."""
        hole = self._of.get(chunk)
        if hole is None or end <= begin:
            return 0
        return (hole.bits >> begin & (1 << (end - begin)) - 1).bit_count()

    def drop(self, chunk: int) -> None:
        hole = self._of.pop(chunk, None)
        if hole is not None:
            self.size -= hole.size
        self.changed.discard(chunk)
        self.behind.discard(chunk)

    def bitmaps_written(self) -> None:
        """The bitmaps of those that have changed are on their way to the disk."""
        self.behind -= self.changed
        self._forget_changes()

    def deletions_written(self) -> None:
        """What was deleted is on its way to the disk."""
        self.behind |= self.changed
        self._forget_changes()

    def take_behind(self) -> list[int]:
        """Those that are `behind`, and are not any more."""
        behind, self.behind = [*self.behind], set()
        return behind

    def _forget_changes(self) -> None:
        self.changed.clear()
        del self.deleted[:]
