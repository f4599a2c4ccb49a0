"""Tail: the newest messages of a stream that are on the disk, kept in memory for those who read along."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import islice

from gateway.storage.streams.chunk import ChunkRow, first_of, messages_in
from gateway.storage.streams.stored_message import StoredMessage, sequence_of

# What a message takes in memory besides its bytes, once it was read.
OBJECT_BYTES = 300
# What is looked through for one message.
FEW_CHUNKS = 8


class TailRow:
    """A chunk, and its messages once somebody has asked for them."""

    __slots__ = ("_messages", "first", "row", "size")

    def __init__(self, row: ChunkRow, size: int) -> None:
        self.row = row
        self.first = first_of(row.key)
        self.size = size
        self._messages: list[StoredMessage] | None = None

    def messages(self) -> list[StoredMessage]:
        if self._messages is None:
            self._messages = messages_in(self.row)
        return self._messages


class Tail:
    """Chunks as they were committed; by their first sequences they are in `by_first`, always the same dict. `bytes` is
    about what they take in memory.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._rows: deque[TailRow] = deque()
        self.by_first: dict[int, ChunkRow] = {}

    @property
    def first(self) -> int | None:
        """From this sequence on every message is here."""
        return self._rows[0].first if self._rows else None

    def add(self, rows: Sequence[ChunkRow], most: int) -> list[ChunkRow]:
        """Put chunks behind the others; the oldest ones go where all take more than `most`: returns those."""
        gone: list[ChunkRow] = []
        for row in rows:
            size = len(row.body) + OBJECT_BYTES * row.messages
            added = TailRow(row, size)
            self._rows.append(added)
            self.by_first[added.first] = row
            self.bytes += size
        while self.bytes > most and self._rows:
            passed = self._rows.popleft()
            del self.by_first[passed.first]
            self.bytes -= passed.size
            gone.append(passed.row)
        return gone

    def clear(self) -> None:
        self._rows.clear()
        self.by_first.clear()
        self.bytes = 0

    def read(self, first: int, most: int) -> list[StoredMessage]:
        """Messages from a sequence on that is not in front of `first`; no more chunks than so many messages need."""
        found: list[StoredMessage] = []
        for row in islice(self._rows, self._find(first), None):
            messages = row.messages()
            if row.first >= first:
                found += messages
            else:
                found += messages[bisect_left(messages, first, key=sequence_of) :]
            if len(found) >= most:
                break
        return found

    def chunks(self, first: int, most_bytes: int) -> list[ChunkRow]:
        """Chunks from the one on that a sequence is in, which is not in front of `first`, or follows: so many bytes, or
        one.
        """
        found: list[ChunkRow] = []
        size = 0
        for row in islice(self._rows, self._find(first), None):
            if row.row.last < first:
                continue
            size += len(row.row.body)
            if found and size > most_bytes:
                break
            found.append(row.row)
        return found

    def newest_of(self, subject: bytes) -> StoredMessage | None:
        """The last message of a subject in the last few chunks."""
        for row in islice(reversed(self._rows), FEW_CHUNKS):
            for message in reversed(row.messages()):
                if message.subject == subject:
                    return message
        return None

    def _find(self, first: int) -> int:
        """Whoever reads along wants the newest: from the end to the chunk where to begin."""
        for number, row in enumerate(reversed(self._rows), 1):
            if row.first <= first:
                return len(self._rows) - number
        return 0
