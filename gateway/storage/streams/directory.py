"""ChunkDirectory: what is known in memory of the chunks of one stream, 56 bytes for each (hot)."""

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple

try:
    import cython
except ImportError:
    from protocols import form as cython

from gateway.storage.streams.chunk import LAST_SEQUENCE


class ChunkEntry(NamedTuple):
    """`live` counts the messages that were not deleted; `size` is theirs in bytes, with what was deleted meanwhile.
    `headed` is 0 where no message has a header, and else 1.
    """

    first: int
    last: int
    live: int
    size: int
    aged: int
    last_ns: int
    headed: int


# Of each chunk so many numbers, and what they are for an array.
COLUMNS = len(ChunkEntry._fields)
NUMBER = "q"


class ChunkDirectory:
    """Chunks in the order of their sequences, which do not overlap; `size` and `live` are the sums over all."""

    __slots__ = ("_aged", "_firsts", "_headed", "_last_ns", "_lasts", "_lives", "_sizes", "live", "size")

    def __init__(self) -> None:
        self.size = 0
        self.live = 0
        self._firsts = array(NUMBER)
        self._lasts = array(NUMBER)
        self._lives = array(NUMBER)
        self._sizes = array(NUMBER)
        self._aged = array(NUMBER)
        self._last_ns = array(NUMBER)
        self._headed = array(NUMBER)

    def __len__(self) -> int:
        return len(self._firsts)

    def entry(self, number: int) -> ChunkEntry:
        return ChunkEntry(
            self._firsts[number],
            self._lasts[number],
            self._lives[number],
            self._sizes[number],
            self._aged[number],
            self._last_ns[number],
            self._headed[number],
        )

    def first(self, number: int) -> int:
        return number_at(self._firsts, number)

    def last(self, number: int) -> int:
        return number_at(self._lasts, number)

    def live_of(self, number: int) -> int:
        """How many messages of a chunk were not deleted."""
        return number_at(self._lives, number)

    def add(self, entry: ChunkEntry) -> None:
        """Put a chunk behind all others."""
        for column, value in zip(self._columns(), entry, strict=True):
            column.append(value)
        self.live += entry.live
        self.size += entry.size

    def extend(self, columns: "list[array[int]]") -> None:
        """Put many behind all others: the columns of ChunkEntry."""
        for column, values in zip(self._columns(), columns, strict=True):
            column.extend(values)
        self.live += sum(columns[2])
        self.size += sum(columns[3])

    def find(self, sequence: int) -> int:
        """The number of the chunk that holds a sequence or, where none does, of the next one."""
        return self.find_known(min(sequence, LAST_SEQUENCE))  # Who asks may name any number.

    def find_known(self, sequence: int) -> int:
        """The same of a sequence that was given out."""
        return place_in(self._lasts, sequence)

    def holds(self, number: int, sequence: int) -> bool:
        return number < len(self._firsts) and number_at(self._firsts, number) <= sequence

    def end(self, first: int) -> int:
        """The number behind the last chunk that begins with a sequence or in front of it."""
        return bisect_right(self._firsts, first)

    def begins_with(self, sequence: int) -> bool:
        """Whether a chunk begins with a sequence."""
        number = self.find(sequence)
        return number < len(self._firsts) and self._firsts[number] == sequence

    def live_from(self, number: int) -> int:
        """How many messages the chunks from a number on have: counted from the end that is nearer."""
        if number * 2 < len(self._lives):
            return self.live - sum(self._lives[:number])
        return sum(self._lives[number:])

    def find_time(self, time_ns: int) -> int:
        """The number of the first chunk with a message that is not older."""
        return bisect_left(self._last_ns, time_ns)

    def find_age(self, aged: int) -> int:
        """The number of the first chunk that was written behind a time of the age clock."""
        return bisect_right(self._aged, aged)

    def find_headed(self, number: int) -> int:
        """The number of the first chunk from one on in which a message may have a header."""
        try:
            return self._headed.index(1, number)
        except ValueError:
            return len(self._headed)

    def remove(self, number: int, size: int) -> None:
        """One message of a chunk is deleted."""
        take_from(self._lives, number, 1)
        take_from(self._sizes, number, size)
        self.live -= 1
        self.size -= size

    def drop(self, begin: int, end: int) -> None:
        """Forget chunks from one number up to another."""
        self.live -= sum(self._lives[begin:end])
        self.size -= sum(self._sizes[begin:end])
        for column in self._columns():
            del column[begin:end]

    def replace(self, begin: int, end: int, entries: list[ChunkEntry]) -> None:
        """Put others in the place of some chunks."""
        self.drop(begin, end)
        for position, column in enumerate(self._columns()):
            column[begin:begin] = array(NUMBER, [entry[position] for entry in entries])
        self.live += sum(entry.live for entry in entries)
        self.size += sum(entry.size for entry in entries)

    def _columns(self) -> "tuple[array[int], ...]":
        return self._firsts, self._lasts, self._lives, self._sizes, self._aged, self._last_ns, self._headed


def number_at(numbers: "array[int]", index: int) -> int:
    if not cython.compiled:
        return numbers[index]
    if not 0 <= index < len(numbers):
        raise IndexError(index)
    return numbers.data.as_longlongs[index]  # type: ignore[attr-defined, no-any-return]


def take_from(numbers: "array[int]", index: int, size: int) -> None:
    if not cython.compiled:
        numbers[index] -= size
        return
    if not 0 <= index < len(numbers):
        raise IndexError(index)
    numbers.data.as_longlongs[index] -= size  # type: ignore[attr-defined]


def place_in(numbers: "array[int]", number: int) -> int:
    """The index of the first of these numbers, which rise, that is not below another."""
    if not cython.compiled:
        return bisect_left(numbers, number)
    low, high = 0, len(numbers)
    found = numbers.data.as_longlongs  # type: ignore[attr-defined]
    while low < high:
        middle = (low + high) // 2
        if found[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low
