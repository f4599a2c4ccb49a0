"""Removal: a stream that was removed, of which chunks are left on the disk: they go in steps."""

import sqlite3

from gateway.storage.streams.changes import Changes, Drop
from gateway.storage.streams.chunk import LAST_SEQUENCE
from gateway.storage.streams.commits import Commits

REMOVED = "SELECT id FROM stream WHERE name IS NULL"
FORGET = (
    "UPDATE stream SET name = NULL, note = '' WHERE id = ?",
    "DELETE FROM cursor WHERE stream = ?",
    "DELETE FROM epoch WHERE stream = ?",
    "DELETE FROM keepsake WHERE stream = ?",
    "DELETE FROM departed WHERE key >> 48 = ?",
    "DELETE FROM deletion WHERE key >> 48 = ?",
)
END = "DELETE FROM stream WHERE id = ?"


class Removal:
    """A source of changes until nothing is left of the stream; then it goes out of `removals`."""

    def __init__(self, commits: Commits, identifier: int, removals: "list[Removal]") -> None:
        self.id = identifier
        self._commits = commits
        self._removals = removals
        self._empty = False
        commits.note(self, False)

    def collect(self, changes: Changes) -> None:
        if self._empty:
            changes.change(END, (self.id,))
        else:
            for statement in FORGET:
                changes.change(statement, (self.id,))
            changes.drops.append(Drop(self.id, LAST_SEQUENCE, False))

    def settle(self, changes: Changes) -> None:
        if self._empty:
            self._removals.remove(self)
            return
        self._empty = not any(dropped.more for dropped in changes.dropped if dropped.drop.stream == self.id)
        self._commits.note(self, False)


def load_removals(connection: sqlite3.Connection, commits: Commits) -> list[Removal]:
    """Those that an earlier run has not finished. Raises sqlite3.Error."""
    removals: list[Removal] = []
    for (identifier,) in connection.execute(REMOVED).fetchall():
        removals.append(Removal(commits, identifier, removals))
    return removals
