"""Deletions: brings to the disk what was deleted one by one from the chunks of a stream.

Each chunk that misses messages has a bitmap in the table `gone`. Where one commit deletes from many chunks, as puts of
keys far from each other do, it brings a single row with all of that instead: sequences and sizes in turn (int64 each,
little-endian). Once there are many of those, the bitmaps are brought up to date a few at a time, and the rows go.
"""

from array import array
from collections.abc import Iterable

from gateway.storage.streams.byte_order import little_endian
from gateway.storage.streams.changes import Changes
from gateway.storage.streams.chunk import key_of
from gateway.storage.streams.contents import Contents
from gateway.storage.streams.holes import NUMBER, Hole
from gateway.storage.streams.row_seal import sealed

WRITE_GONE = "INSERT OR REPLACE INTO gone VALUES (?, ?, ?, ?)"
WRITE = "INSERT OR REPLACE INTO deletion VALUES (?, ?, ?)"
REMOVE = "DELETE FROM deletion WHERE key BETWEEN ? AND ?"
# A commit that deletes from no more chunks writes their bitmaps at once.
FEW_CHUNKS = 4
# Bitmaps are brought up to date, so many with one commit, once there are so many deletions in rows, and on average so
# many for each chunk.
BITMAPS_AT_ONCE = 128
MOST_DELETIONS = 65536
DELETIONS_OF_CHUNK = 4


class Deletions:
    """Those of one stream."""

    def __init__(self, stream: int, contents: Contents) -> None:
        self._stream = stream
        self._contents = contents
        # How many deletions are in rows, and the number of the newest row.
        self._count = 0
        self._number = 0
        # The chunks whose bitmaps are brought up to date; behind that the rows up to a number may go.
        self._catching_up: list[int] = []
        self._passed = 0

    @property
    def has_more(self) -> bool:
        """Whether bitmaps are to be written still."""
        return bool(self._catching_up)

    def found(self, number: int, count: int) -> None:
        """So many deletions are in rows at the start, and the newest has this number."""
        self._number, self._count = number, count

    def collect(self, changes: Changes) -> None:
        """Put what was deleted since the last time into `changes`."""
        holes = self._contents.holes
        for chunk, hole in self._contents.departed.items():
            self._write(changes, chunk, hole)
        self._contents.departed.clear()
        if len(holes.changed) <= FEW_CHUNKS:
            self._write_all(changes, holes.changed)
            holes.bitmaps_written()
        else:
            self._number += 1
            self._count += len(holes.deleted) // 2
            deleted = little_endian(array(NUMBER, holes.deleted)).tobytes()
            changes.change(WRITE, sealed(key_of(self._stream, self._number), deleted))
            holes.deletions_written()
        most = max(MOST_DELETIONS, DELETIONS_OF_CHUNK * len(self._contents.directory))
        if self._count >= most and not self._catching_up:
            self._catching_up = holes.take_behind()
            self._passed, self._count = self._number, 0
        if self._catching_up:
            self._write_all(changes, self._catching_up[-BITMAPS_AT_ONCE:])
            del self._catching_up[-BITMAPS_AT_ONCE:]
            if not self._catching_up:
                changes.change(REMOVE, (key_of(self._stream, 0), key_of(self._stream, self._passed)))

    def _write_all(self, changes: Changes, chunks: Iterable[int]) -> None:
        for chunk in chunks:
            hole = self._contents.holes.get(chunk)
            if hole is not None:
                self._write(changes, chunk, hole)

    def _write(self, changes: Changes, chunk: int, hole: Hole) -> None:
        changes.change(WRITE_GONE, sealed(key_of(self._stream, chunk), hole.stored(), hole.size))
