"""Run: messages of a stream on their way to the disk, already as the chunks that they are going to be (hot).

Nothing is made for a message but the pieces of its frame, and no more is left to do where it is written.
"""

from array import array
from bisect import bisect_right
from itertools import accumulate

from gateway.storage.streams.byte_order import little_endian
from gateway.storage.streams.chunk import (
    OFFSET,
    OFFSET_BYTES,
    ChunkRow,
    Room,
    make_row,
    message_at,
    pack_head,
    unpack_head,
)
from gateway.storage.streams.stored_message import StoredMessage

# Of a message the pieces of its frame.
PIECES = 4


class Run:
    """Messages of the stream with that number, in the order of their sequences. `count` of them take `size` bytes, as a
    stream counts them. They are cut into chunks as they come: `rows` has all but those that make no whole one yet.
    """

    __slots__ = (
        "_begin",
        "_begins",
        "_chunk_size",
        "_last_ns",
        "_most_bytes",
        "_most_messages",
        "_pieces",
        "_sizes",
        "_stream",
        "count",
        "rows",
        "size",
    )

    def __init__(self, stream: int, room: Room) -> None:
        self.count = 0
        self.size = 0
        self.rows: list[ChunkRow] = []
        # The first sequences of the rows. Of what makes no whole one yet the first sequence, and the frames.
        self._begins: list[int] = []
        self._begin = 0
        self._pieces: list[bytes] = []
        self._sizes: list[int] = []
        self._chunk_size = 0
        self._last_ns = 0
        self._stream = stream
        self._most_messages, self._most_bytes = room

    @property
    def first(self) -> int:
        return self._begins[0] if self._begins else self._begin

    @property
    def last(self) -> int:
        if self._sizes:
            return self._begin + len(self._sizes) - 1
        return self.rows[-1].last if self.rows else 0

    def takes(self, sequence: int, size: int) -> bool:
        """Whether a message of that size may be added; else what there is makes a whole chunk, and is to be `cut`."""
        held = len(self._sizes)
        if not held:
            return True
        if held == self._most_messages or self._chunk_size + size > self._most_bytes:
            return False
        return sequence == self._begin + held

    def add(self, sequence: int, time_ns: int, subject: bytes, header: bytes, payload: bytes, size: int) -> None:
        """Put one more behind the others; `size` is StoredMessage.size."""
        if not self._sizes:
            self._begin = sequence
        pieces = self._pieces
        pieces.append(pack_head(time_ns, len(subject), len(header)))
        pieces.append(subject)
        pieces.append(header)
        pieces.append(payload)
        self._sizes.append(size - OFFSET_BYTES)
        self._last_ns = time_ns
        self._chunk_size += size
        self.size += size
        self.count += 1

    def cut(self, aged: int) -> None:
        """Make a chunk of what is there, at a time of the age clock (milliseconds)."""
        count = len(self._sizes)
        if not count:
            return
        first, last = self._begin, self._begin + count - 1
        offsets = little_endian(array(OFFSET, accumulate(self._sizes))).tobytes()
        body = b"".join(self._pieces)
        self.rows.append(make_row(self._stream, first, last, count, aged, self._last_ns, offsets, body))
        self._begins.append(first)
        self._pieces = []
        self._sizes = []
        self._chunk_size = 0

    def next(self, sequence: int) -> int:
        """The sequence of the first message from that one on; 0 where there is none."""
        if self._sizes and sequence >= self._begin:
            return sequence if sequence < self._begin + len(self._sizes) else 0
        number = bisect_right(self._begins, sequence)
        if number and sequence <= self.rows[number - 1].last:
            return sequence
        if number < len(self._begins):
            return self._begins[number]
        return self._begin if self._sizes else 0

    def get(self, sequence: int) -> StoredMessage:
        """The message that has a sequence; it must be there."""
        if self._sizes and sequence >= self._begin:
            at, pieces = PIECES * (sequence - self._begin), self._pieces
            (time_ns, _, _) = unpack_head(pieces[at])
            return StoredMessage(sequence, time_ns, pieces[at + 1], pieces[at + 2], pieces[at + 3])
        number = bisect_right(self._begins, sequence) - 1
        return message_at(self.rows[number], sequence - self._begins[number])
