"""Cursor: how far somebody has come in a stream, kept on the disk under a name."""

from array import array
from bisect import bisect_right
from collections.abc import Callable

from gateway.storage.damage import DamagedError
from gateway.storage.streams.byte_order import little_endian

# What is acknowledged behind the floor is kept as runs of sequences, two numbers each: who acknowledges every other
# message for ever needs memory for ever.
MOST_RUNS = 65_536
NUMBER = "q"


class Cursor:
    """Everything up to `floor` is acknowledged, and behind it what `is_acknowledged` tells.

    A change goes to the disk with the next commit (`Commits.when_durable` tells when), one row for all changes until
    then. `note` is the owner's, kept with it; `set_note` changes it. One that was not to be read from the disk is as if
    nothing had been acknowledged.
    """

    def __init__(self, name: str, floor: int, changed: Callable[["Cursor"], None], note: str = "") -> None:
        self.name = name
        self.floor = floor
        self.note = note
        # Where it is set, what it returns is the note that goes to the disk: for what changes far more often than that.
        self.describe: Callable[[], str] | None = None
        # What it is kept by besides, for where damage costs its row; it says nothing of how far it has come.
        self.keepsake = ""
        self.closed = False
        self._changed = changed
        # The runs behind the floor: first and last sequence of each, in order, none touching the next.
        self._begins: list[int] = []
        self._ends: list[int] = []

    @property
    def runs(self) -> int:
        return len(self._begins)

    def is_acknowledged(self, sequence: int) -> bool:
        if sequence <= self.floor:
            return True
        at = bisect_right(self._begins, sequence) - 1
        return at >= 0 and sequence <= self._ends[at]

    def acknowledge(self, sequence: int) -> bool:
        """One message. False where too many gaps are open (MOST_RUNS): then it is not acknowledged."""
        return self.acknowledge_run(sequence, sequence)

    def acknowledge_run(self, first: int, last: int) -> bool:
        """Messages that follow one another."""
        if last <= self.floor:
            return True
        begins, ends = self._begins, self._ends
        at = bisect_right(begins, first)
        if at and ends[at - 1] >= first - 1:
            at -= 1
            first = begins[at]
        behind = bisect_right(begins, last + 1)
        if at < behind:
            last = max(last, ends[behind - 1])
        if first > self.floor + 1:
            if at == behind and len(begins) >= MOST_RUNS:
                return False
            begins[at:behind] = [first]
            ends[at:behind] = [last]
        else:
            self.floor = last
            del begins[:behind], ends[:behind]
        self._changed(self)
        return True

    def acknowledge_through(self, sequence: int) -> None:
        """All up to a message."""
        self.acknowledge_run(self.floor + 1, sequence)

    def changed(self) -> None:
        """The owner's `describe` would say something else than before."""
        self._changed(self)

    def stored_note(self) -> str:
        """The note as it goes to the disk."""
        if self.describe is not None:
            self.note = self.describe()
        return self.note

    def set_note(self, note: str) -> None:
        self.note = note
        self._changed(self)

    def rewind(self, floor: int) -> None:
        """Begin again behind a sequence, as if nothing behind it had been acknowledged."""
        self.floor = floor
        self._begins.clear()
        self._ends.clear()
        self._changed(self)

    def runs_bytes(self) -> bytes:
        """The runs as they are stored: the first of each, then the last of each, as int64, little-endian."""
        numbers = array(NUMBER, self._begins + self._ends)
        return little_endian(numbers).tobytes()

    def load_runs(self, stored: bytes) -> None:
        """Raises DamagedError."""
        numbers = little_endian(array(NUMBER, stored)).tolist()
        half = len(numbers) // 2
        begins, ends = numbers[:half], numbers[half:]
        before = self.floor
        for begin, end in zip(begins, ends, strict=True):
            if not before + 1 < begin <= end:
                raise DamagedError(f"cursor {self.name!r}: its runs are out of order")
            before = end
        self._begins, self._ends = begins, ends
