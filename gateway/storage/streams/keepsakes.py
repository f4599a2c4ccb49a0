"""Keepsakes: a second copy of what a stream or a cursor is, for where damage costs its row: what was configured is in
no chunk, and a stream without it could not be served.
"""

import sqlite3
from typing import NamedTuple

from gateway.storage.streams.changes import Changes
from gateway.storage.streams.row_seal import is_sealed, sealed

WRITE = "INSERT OR REPLACE INTO keepsake VALUES (?, ?, ?, ?, ?, ?, ?)"
REMOVE = "DELETE FROM keepsake WHERE stream = ? AND cursor = ?"
STORED = "SELECT stream, cursor, account, name, limits, note, seal FROM keepsake WHERE stream = ?"
# What a stream's own copy has in the place of a cursor's name.
STREAM = ""


class Keepsake(NamedTuple):
    """Of a cursor only `note` says something: what its owner gave for that (Cursor.keepsake)."""

    account: str
    name: str
    limits: str
    note: str


class Keepsakes:
    """Those of one stream, by the name of the cursor. It is written what differs from that which is there."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._kept: dict[str, Keepsake] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Those that are as they were written. Raises sqlite3.Error."""
        for row in connection.execute(STORED, (self._stream,)):
            if is_sealed(row):
                self._kept[row[1]] = Keepsake(*row[2:6])

    def get(self, cursor: str = STREAM) -> Keepsake | None:
        return self._kept.get(cursor)

    def keep(self, changes: Changes, keepsake: Keepsake, cursor: str = STREAM) -> None:
        if self._kept.get(cursor) != keepsake:
            self._kept[cursor] = keepsake
            changes.change(WRITE, sealed(self._stream, cursor, *keepsake))

    def remove(self, changes: Changes, cursor: str) -> None:
        if self._kept.pop(cursor, None) is not None:
            changes.change(REMOVE, (self._stream, cursor))
