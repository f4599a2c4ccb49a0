"""DepartedIds: the ids of messages that were deleted while repeats of them may still come, which no chunk tells.

They come to the disk with the commit that deletes their messages, a row for all of it: sequence and time of the age
clock (int64 each, nanoseconds), size (uint16) and id of each, little-endian.
"""

import logging
import sqlite3
import struct
from collections import deque
from typing import NamedTuple

from gateway.storage.streams.changes import Changes
from gateway.storage.streams.chunk import LAST_SEQUENCE, key_of
from gateway.storage.streams.row_seal import is_sealed, sealed

log = logging.getLogger("leafgate.storage")

WRITE = "INSERT OR REPLACE INTO departed VALUES (?, ?, ?)"
REMOVE = "DELETE FROM departed WHERE key BETWEEN ? AND ?"
STORED = "SELECT key, ids, seal FROM departed WHERE key BETWEEN ? AND ? ORDER BY key"
HEAD = struct.Struct("<qqH")
LONGEST = 0xFFFF


class DepartedId(NamedTuple):
    """What a message had that is not there any more; `aged` is when it was taken, in nanoseconds of the age clock."""

    sequence: int
    aged: int
    identifier: bytes


class DepartedIds:
    """Those of one stream. What is noted goes with the next commit."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._new: list[DepartedId] = []
        # The rows on the disk: number, and when the newest of its messages was taken. Up to which number they may go.
        self._rows: deque[tuple[int, int]] = deque()
        self._number = 0
        self._passed = 0
        self._found: list[DepartedId] = []

    def load(self, connection: sqlite3.Connection) -> None:
        """A row that is damaged is passed over. Raises sqlite3.Error."""
        first = key_of(self._stream, 0)
        for row in connection.execute(STORED, (first, key_of(self._stream, LAST_SEQUENCE))):
            self._number = row[0] - first
            if is_sealed(row):
                ids = decode(row[1])
                self._rows.append((self._number, max(one.aged for one in ids)))
                self._found += ids
            else:
                self._rows.append((self._number, 0))
                log.error(
                    "event=row-damaged what='ids of stream %d' reason=%r",
                    self._stream,
                    "a repeat of their messages may be taken once more",
                )

    def take(self) -> list[DepartedId]:
        """What was found at the start, in the order in which the messages came; once."""
        found, self._found = sorted(self._found), []
        return found

    def note(self, one: DepartedId) -> None:
        """A message is deleted."""
        if len(one.identifier) <= LONGEST:
            self._new.append(one)

    def expire(self, oldest: int) -> bool:
        """No repeat is to come of what was taken in front of a time; whether a row goes by that."""
        passed = self._passed
        while self._rows and self._rows[0][1] < oldest:
            self._passed = self._rows.popleft()[0]
        return self._passed != passed

    def collect(self, changes: Changes) -> None:
        if self._new:
            self._number += 1
            self._rows.append((self._number, max(one.aged for one in self._new)))
            changes.change(WRITE, sealed(key_of(self._stream, self._number), encode(self._new)))
            self._new = []
        if self._passed:
            changes.change(REMOVE, (key_of(self._stream, 0), key_of(self._stream, self._passed)))
            self._passed = 0


def encode(ids: list[DepartedId]) -> bytes:
    pieces: list[bytes] = []
    for sequence, aged, identifier in ids:
        pieces += (HEAD.pack(sequence, aged, len(identifier)), identifier)
    return b"".join(pieces)


def decode(text: bytes) -> list[DepartedId]:
    """What `encode` has made."""
    found: list[DepartedId] = []
    at = 0
    while at < len(text):
        sequence, aged, size = HEAD.unpack_from(text, at)
        at += HEAD.size
        found.append(DepartedId(sequence, aged, text[at : at + size]))
        at += size
    return found
