"""Frames: the messages of a chunk, cut out of its bytes one by one when their turn comes (hot)."""

try:
    import cython
except ImportError:
    from protocols import form as cython

from gateway.storage.streams.chunk import HEAD, ChunkRow, StoredChunk, first_of
from protocols.scanning import cut, read_little

OFFSET_BYTES = 4
TIME_BYTES, SUBJECT_SIZE_BYTES, HEADER_SIZE_BYTES = 8, 2, 4
HEAD_BYTES = HEAD.size


class Frames:
    """Those of a chunk whose checksum fits, from a sequence on. `go_on` has the fields tell of the next one; its
    header and payload are there once `cut` was called.
    """

    __slots__ = (
        "_begin",
        "_body",
        "_count",
        "_end",
        "_number",
        "_offsets",
        "_start",
        "header",
        "payload",
        "sequence",
        "subject",
        "time_ns",
    )

    def __init__(self, chunk: StoredChunk | ChunkRow, first: int) -> None:
        self._begin = first_of(chunk.key)
        self._body = chunk.body
        self._offsets = chunk.offsets
        self._count = chunk.messages
        # The next frame, where the one that is told of begins behind its head, and where it ends.
        self._number = self._start = self._end = 0
        self.sequence = self.time_ns = 0
        self.subject = self.header = self.payload = b""
        low, high = 0, self._count
        if len(self._offsets) == OFFSET_BYTES * high:  # None is missing between them.
            low = high = min(max(first - self._begin, 0), high)
        while low < high:
            middle = (low + high) // 2
            if sequence_of(self._begin, self._offsets, self._count, middle) < first:
                low = middle + 1
            else:
                high = middle
        self._number = low
        if self._number:
            self._end = read_little(self._offsets, OFFSET_BYTES * (self._number - 1), OFFSET_BYTES)

    def go_on(self) -> bool:
        """Have the next one; False at the end."""
        number = self._number
        if number >= self._count:
            return False
        body, at = self._body, self._end
        self._number = number + 1
        self._start = at
        self._end = read_little(self._offsets, OFFSET_BYTES * number, OFFSET_BYTES)
        self.sequence = sequence_of(self._begin, self._offsets, self._count, number)
        self.time_ns = read_little(body, at, TIME_BYTES)
        subject_size = read_little(body, at + TIME_BYTES, SUBJECT_SIZE_BYTES)
        at += HEAD_BYTES
        self.subject = cut(body, at, at + subject_size) if cython.compiled else body[at : at + subject_size]
        return True

    def cut(self) -> None:
        """Have the header and the payload of the one that is told of."""
        body, at = self._body, self._start
        header_size = read_little(body, at + TIME_BYTES + SUBJECT_SIZE_BYTES, HEADER_SIZE_BYTES)
        at += HEAD_BYTES + len(self.subject)
        self.header = cut(body, at, at + header_size) if header_size else b""
        self.payload = cut(body, at + header_size, self._end)


def sequence_of(begin: int, offsets: bytes, count: int, number: int) -> int:
    """The sequence of one of so many messages of a chunk that begins with that one."""
    if len(offsets) == OFFSET_BYTES * count:
        return begin + number
    return begin + read_little(offsets, OFFSET_BYTES * (count + number), OFFSET_BYTES)
