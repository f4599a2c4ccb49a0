"""Incoming: the messages of a stream that are not on the disk yet (hot)."""

from bisect import bisect_left
from collections.abc import Callable, Collection

from gateway.storage.streams.chunk import ChunkRow, Room, encode, first_of, messages_in
from gateway.storage.streams.run import Run
from gateway.storage.streams.stored_message import StoredMessage


class Incoming:
    """Those that wait for the next commit, and those that are being written. `messages` and `size` (bytes) are of what
    was not deleted meanwhile. `writing_size` is what is being written, deleted or not, and `writing_last` the newest
    sequence that was given out when that began. `age` gives seconds. Their chunks have so much `room`.
    """

    __slots__ = (
        "_age",
        "_deleted",
        "_live",
        "_live_size",
        "_oldest",
        "_room",
        "_rows",
        "_stream",
        "_waiting",
        "_waiting_from",
        "_writing",
        "_writing_from",
        "messages",
        "size",
        "writing_last",
        "writing_size",
    )

    def __init__(self, stream: int, age: Callable[[], float], room: Room) -> None:
        self.messages = 0
        self.size = 0
        self.writing_size = 0
        self.writing_last = 0
        self._stream = stream
        self._room = room
        self._age = age
        self._waiting = Run(stream, room)
        self._writing = Run(stream, room)
        # The first sequences that came into them.
        self._waiting_from = self._writing_from = 0
        # What is being written but for what was deleted before: as rows, in messages and in bytes.
        self._rows: list[ChunkRow] = []
        self._live = self._live_size = 0
        # The sizes of what was deleted, by sequence; and in front of which sequence all was.
        self._deleted: dict[int, int] = {}
        self._oldest = 0

    def add(self, sequence: int, time_ns: int, subject: bytes, header: bytes, payload: bytes, size: int) -> None:
        """Put a message behind all others; `size` is StoredMessage.size."""
        if not self._waiting.count:
            self._waiting_from = sequence
        elif not self._waiting.takes(sequence, size):
            self._waiting.cut(int(self._age() * 1000))
        self._waiting.add(sequence, time_ns, subject, header, payload, size)
        self.size += size
        self.messages += 1

    def holds(self, sequence: int) -> bool:
        """Whether a message is here and not deleted."""
        if sequence < (self._writing_from if self._writing.count else self._waiting_from):
            return False  # As most are that make room for another.
        if sequence in self._deleted:
            return False
        return self._writing.next(sequence) == sequence or self._waiting.next(sequence) == sequence

    def get(self, sequence: int) -> StoredMessage:
        """A message that is here."""
        run = self._writing if self.is_being_written(sequence) else self._waiting
        return run.get(sequence)

    def delete(self, sequence: int, size: int) -> None:
        """Delete a message that is here, of that size."""
        self._deleted[sequence] = size
        self.size -= size
        self.messages -= 1

    def is_being_written(self, sequence: int) -> bool:
        return self._writing.count > 0 and sequence <= self._writing.last

    def oldest(self) -> int:
        """The sequence of the first message that is not deleted; 0 where there is none."""
        for run in (self._writing, self._waiting):
            sequence = run.next(max(self._oldest, run.first))
            while sequence and sequence in self._deleted:
                sequence = run.next(sequence + 1)
            if sequence:
                self._oldest = sequence
                return sequence
        return 0

    def take(self, last: int) -> list[ChunkRow]:
        """Begin to write what waits; returns that, but for what is deleted. `last` is the last number given out."""
        run = self._writing = self._waiting
        self._writing_from = self._waiting_from
        self._waiting = Run(self._stream, self._room)
        run.cut(int(self._age() * 1000))
        self.writing_size, self.writing_last = run.size, last
        self._rows = without(run.rows, self._deleted, self._stream) if self._deleted else run.rows
        self._live = run.count - len(self._deleted)
        self._live_size = run.size - sum(self._deleted.values())
        self._deleted = {}
        return self._rows

    def settle(self) -> tuple[list[ChunkRow], list[tuple[int, int]]]:
        """What was being written is on the disk: returns that, and what of it was deleted meanwhile, by sequence and
        size.
        """
        deleted: list[tuple[int, int]] = []
        if self._deleted:
            deleted = [one for one in self._deleted.items() if self.is_being_written(one[0])]
            for sequence, _ in deleted:
                del self._deleted[sequence]
        rows, self._rows = self._rows, []
        self._writing = Run(self._stream, self._room)
        self.messages -= self._live - len(deleted)
        self.size -= self._live_size - sum([size for _, size in deleted])
        self.writing_size = 0
        return rows, deleted


def without(rows: list[ChunkRow], gone: Collection[int], stream: int) -> list[ChunkRow]:
    """Rows that have everything of others but what has one of the sequences."""
    left: list[ChunkRow] = []
    ordered = sorted(gone)
    for row in rows:
        at = bisect_left(ordered, first_of(row.key))
        if at == len(ordered) or ordered[at] > row.last:
            left.append(row)
            continue
        messages = [message for message in messages_in(row) if message.sequence not in gone]
        if messages:
            left.append(encode(stream, messages, row.aged))
    return left
