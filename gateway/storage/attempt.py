"""Attempt: one go at writing to a database and reading from it, in the writing thread."""

import sqlite3
import sys
import time
from abc import ABC, abstractmethod

from gateway.storage.database import Database
from gateway.storage.disk_health import code_of

# How often the file is looked at for room to give back, and the free pages that it keeps.
TIDY_SECONDS = 10.0
FREE_PAGES = 1024
# A row may change a page of the log for each of its few bytes: so small a part of the reserve is written at once where
# the disk is full.
PART_SHARE = 64
# What waits has to fit on the disk, in the log and in the file.
COPIES = 2


class Attempt(ABC):
    """`run` never raises: `error` tells why it failed, `written` whether all was written before that.

    `full`: the disk has room for nothing but what makes room. `stale`: the database is to be opened anew first.
    `shrinking`: the file can become smaller still. `room` is what more may wait for the disk then.
    """

    def __init__(self, database: Database, stale: bool, full: bool) -> None:
        self.database = database
        self.stale = stale
        self.full = full
        self.written = False
        # How long it took until all was on the disk.
        self.seconds = 0.0
        self.shrinking = False
        self.room = sys.maxsize
        self.error: Exception | None = None

    @abstractmethod
    def write(self, connection: sqlite3.Connection) -> None:
        """Write everything. Raises sqlite3.Error and DamagedError; then all is to be written again."""

    def write_removals(self, connection: sqlite3.Connection) -> None:
        """Write what makes room and stands for itself, where there is such. Raises as `write` does."""
        return

    @abstractmethod
    def read(self, connection: sqlite3.Connection) -> None:
        """Read what is asked for, once all is written. Raises sqlite3.Error and DamagedError."""

    def run(self) -> None:
        try:
            if self.stale:
                self.database.revive()
            self.database.look_at_files()
            begun = time.perf_counter()
            self._write_with_reserve()
            self.seconds = time.perf_counter() - begun
            self.database.look_at_files()
            self.written = True
            self._tidy()
            self.read(self.database.connection)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the changes are kept and the gateway goes on
            self.error = error
        self.room = room_for_changes(self.database)

    def _write_with_reserve(self) -> None:
        """Write everything. Where the disk is full, the reserve goes for what makes room, and then for all of it."""
        database = self.database
        try:
            self.write(database.connection)
        except sqlite3.Error as error:
            if code_of(error) != sqlite3.SQLITE_FULL or database.reserve is None:
                raise
            database.make_room()
            self.full = True
            self.write_removals(database.connection)
            self.write(database.connection)

    def _tidy(self) -> None:
        """Give room back to the disk, all of it where that is full."""
        database = self.database
        now = time.monotonic()
        if not self.full and now < database.tidied_at + TIDY_SECONDS:
            return
        database.tidied_at = now
        self.shrinking = database.shrink(0 if self.full else FREE_PAGES)
        if self.shrinking:
            database.tidied_at = -TIDY_SECONDS
        if database.reserve is not None and database.reserve.take():
            self.full = False


def room_for_changes(database: Database) -> int:
    """How many bytes of changes may wait so that the disk has room for them, its reserve included."""
    try:
        room = database.room()
    except OSError:  # The next commit will tell.
        room = None
    return sys.maxsize if room is None else room // COPIES
