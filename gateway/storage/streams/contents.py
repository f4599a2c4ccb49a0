"""Contents: what a stream has on the disk: its chunks, where it begins, and what was deleted from the middle (hot)."""

from array import array
from bisect import bisect_left, bisect_right

from gateway.storage.streams.chunk import (
    HEADER_BEGIN,
    MOST_SPAN,
    OFFSET_BYTES,
    ChunkRow,
    Room,
    first_of,
    missing,
)
from gateway.storage.streams.directory import ChunkDirectory, ChunkEntry
from gateway.storage.streams.folding import Fold, Folded
from gateway.storage.streams.holes import Hole, Holes
from gateway.storage.streams.stored_message import StoredMessage, sequence_of


class Contents:
    """`first`: everything in front of this sequence is gone. `messages` counts those that are there.

    Chunks that lie in front of `first`, or of which every message is gone, are forgotten here at once; on the disk they
    go later: `passed` says that there are some in front, `hollow` counts those there of which every message was deleted
    by itself, as puts do, and `emptied` are the first sequences of others. `departed` are holes of chunks that went
    from the front, which the disk does not know of. These, `holes` and `first` have to be written as well.
    """

    __slots__ = (
        "_late",
        "departed",
        "directory",
        "emptied",
        "first",
        "gapless",
        "holes",
        "hollow",
        "messages",
        "passed",
    )

    def __init__(self, first: int) -> None:
        self.first = first
        self.messages = 0
        self.passed = False
        self.hollow = 0
        self.emptied: list[int] = []
        # Everything from `first` on is there.
        self.gapless = True
        self.departed: dict[int, Hole] = {}
        # What was deleted since a fold began, or was handed over: sequences and sizes. That does not leave it out.
        self._late: list[tuple[int, int]] | None = None
        self.directory = ChunkDirectory()
        self.holes = Holes()

    @property
    def size(self) -> int:
        """In bytes; a chunk is counted whole until all of it is gone, but for what was deleted from it."""
        return self.directory.size

    def add(self, row: ChunkRow) -> None:
        """A chunk behind all others."""
        self.holes.put(first_of(row.key), Hole(missing(row.messages, row.offsets), 0))
        self.load(entry_of(row, 0, 0))

    def load(self, entry: ChunkEntry) -> None:
        """A chunk behind all others, of which the holes are known."""
        directory = self.directory
        behind = directory.entry(len(directory) - 1).last + 1 if len(directory) else entry.first
        if entry.first != behind or entry.live <= entry.last - entry.first:
            self.gapless = False
        if entry.last < self.first or not entry.live:
            self.passed = self.passed or entry.last < self.first
            if entry.last >= self.first:
                self._empty(entry.first)
            return
        directory.add(entry)
        self.messages += entry.live - self._live_before(entry, self.first)
        if len(directory) == 1:
            self._settle_front()

    def load_many(self, columns: "list[array[int]]") -> None:
        """Chunks behind all others, of which nothing is gone and nothing lies in front of `first`."""
        directory = self.directory
        firsts, lasts, lives = columns[:3]
        behind = directory.entry(len(directory) - 1).last + 1 if len(directory) else firsts[0]
        count = sum(lives)
        if firsts[0] != behind or count != lasts[-1] - firsts[0] + 1:
            self.gapless = False
        directory.extend(columns)
        self.messages += count

    def is_there(self, sequence: int) -> bool:
        number = self.directory.find_known(sequence)
        if sequence < self.first or not self.directory.holds(number, sequence):
            return False
        first = self.directory.first(number)
        return not self.holes.is_gone(first, sequence - first)

    def those_there(self, messages: list[StoredMessage]) -> list[StoredMessage]:
        """What of some messages that were read is there still."""
        if self.gapless:
            return messages[bisect_left(messages, self.first, key=sequence_of) :]
        return [message for message in messages if self.is_there(message.sequence)]

    def count_from(self, sequence: int) -> int:
        """How many messages there are from a sequence on."""
        if sequence <= self.first:
            return self.messages
        directory = self.directory
        number = directory.find(sequence)
        if number >= len(directory):
            return 0
        return directory.live_from(number) - self._live_before(directory.entry(number), sequence)

    def oldest(self) -> int | None:
        """The sequence of the first message that is there."""
        if not len(self.directory):
            return None
        entry = self.directory.entry(0)
        sequence = max(self.first, entry.first)
        while self.holes.is_gone(entry.first, sequence - entry.first):
            sequence += 1
        return sequence

    def move_first(self, first: int) -> int:
        """Everything in front of a sequence is gone; returns how many messages that are."""
        if first <= self.first:
            return 0
        directory = self.directory
        number = directory.find(first)
        passed = 0
        for entry in map(directory.entry, range(number)):
            passed += entry.live - self._live_before(entry, self.first)
            self._depart(entry.first)
        if number < len(directory):
            entry = directory.entry(number)
            passed += self._live_before(entry, first) - self._live_before(entry, self.first)
        if number:
            directory.drop(0, number)
            self.passed = True
        self.first = first
        self.messages -= passed
        self._settle_front()
        return passed

    def delete(self, sequence: int, size: int) -> bool:
        """Delete one message, with what it is counted with; False where it is not there."""
        directory = self.directory
        number = directory.find_known(sequence)
        if sequence < self.first or not directory.holds(number, sequence):
            return False
        first = directory.first(number)
        chunk: int = first
        if not self.holes.add(chunk, sequence - first, size):
            return False
        self.gapless = False
        if self._late is not None:
            self._late.append((sequence, size))
        directory.remove(number, size)
        self.messages -= 1
        if number == 0:
            self._settle_front()
        elif not directory.live_of(number):
            directory.drop(number, number + 1)
            self._empty(chunk)
        return True

    def lose(self, chunk: int) -> int:
        """A chunk cannot be read: forget it; returns how many messages that are. Its row stays until its turn comes."""
        number = self.directory.find(chunk)
        if not self.directory.holds(number, chunk) or self.directory.first(number) != chunk:
            return 0
        self.gapless = False
        entry = self.directory.entry(number)
        lost = entry.live - self._live_before(entry, self.first)
        self.directory.drop(number, number + 1)
        self.holes.drop(chunk)
        self.messages -= lost
        self.passed = True
        return lost

    def begin_fold(self, stream: int, begin: int, end: int, room: Room) -> Fold:
        """Chunks from one number up to another are to be folded with the next commit, into such with so much room;
        `end_fold` tells of it.
        """
        self._late = []
        firsts = [self.directory.first(number) for number in range(begin, end)]
        gone = {first: self.holes.bits(first) for first in firsts}
        return Fold(stream, firsts[0], firsts[-1], gone, room)

    def hand_over_fold(self, fold: Fold) -> None:
        """A fold is on its way to the disk: it leaves out what was deleted since it began, too."""
        late, self._late = self._late or [], []
        firsts = [*fold.gone]
        for sequence, _ in late:
            number = bisect_right(firsts, sequence) - 1
            if number >= 0 and sequence - firsts[number] < MOST_SPAN:
                fold.gone[firsts[number]] |= 1 << (sequence - firsts[number])

    def end_fold(self, folded: Folded | None) -> None:
        """Put the rows of a fold in the place of the chunks that it had; None where there was no room to fold."""
        late, self._late = self._late or [], None
        if folded is None or folded.damaged:
            return
        directory = self.directory
        begin, end = directory.find(folded.fold.first), directory.end(folded.fold.last)
        for number in range(begin, end):
            self.holes.drop(directory.first(number))
        entries = []
        for row in folded.rows:
            first = first_of(row.key)
            bits = missing(row.messages, row.offsets)
            # What the fold has left out already is missing.
            gone = [one for one in late if first <= one[0] <= row.last and not bits >> (one[0] - first) & 1]
            gone_size = sum(size for _, size in gone)
            for sequence, _ in gone:
                bits |= 1 << (sequence - first)
            hole = Hole(bits, gone_size)
            if row.last < self.first:
                self.passed = True
                if gone:
                    self.departed[first] = hole
            elif len(gone) == row.messages:
                self._empty(first)
            else:
                self.holes.put(first, hole)
                if gone:
                    self.holes.changed.add(first)
                entries.append(entry_of(row, len(gone), gone_size))
        directory.replace(begin, end, entries)
        self._settle_front()

    def front(self) -> ChunkEntry | None:
        """The oldest chunk."""
        return self.directory.entry(0) if len(self.directory) else None

    def _settle_front(self) -> None:
        """Pass by chunks at the front of which nothing is left."""
        directory = self.directory
        while len(directory):
            first, last = directory.first(0), directory.last(0)
            if directory.live_of(0) > self._live_in(first, last, self.first):
                return
            self.first = max(self.first, last + 1)
            self._depart(first)
            directory.drop(0, 1)
            self.hollow += 1

    def _live_before(self, entry: ChunkEntry, first: int) -> int:
        """How many messages of a chunk lie in front of a sequence and are not deleted."""
        return self._live_in(entry.first, entry.last, first)

    def _live_in(self, first: int, last: int, before: int) -> int:
        """The same of the chunk from one sequence to another."""
        end = min(before, last + 1)
        if end <= first:
            return 0
        return end - first - self.holes.count(first, 0, end - first)

    def _depart(self, chunk: int) -> None:
        """A chunk at the front goes. What was deleted from it is to be written all the same: who counts what goes with
        it must not count that.
        """
        hole = self.holes.get(chunk)
        if hole is not None and (chunk in self.holes.changed or chunk in self.holes.behind):
            self.departed[chunk] = hole
        self.holes.drop(chunk)

    def _empty(self, chunk: int) -> None:
        self.holes.drop(chunk)
        self.emptied.append(chunk)


def entry_of(row: ChunkRow, gone: int, gone_size: int) -> ChunkEntry:
    """What is known of a chunk in which so many messages, and bytes, are gone."""
    size = len(row.body) + OFFSET_BYTES * row.messages - gone_size
    headed = int(HEADER_BEGIN in row.body)
    return ChunkEntry(first_of(row.key), row.last, row.messages - gone, size, row.aged, row.last_ns, headed)
