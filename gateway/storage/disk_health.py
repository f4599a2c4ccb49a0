"""DiskHealth: what keeps a database from being written, as the last attempts have shown; the log tells when that begins
and when it ends.
"""

import logging
import sqlite3

from gateway.storage.damage import is_damage
from gateway.storage.durability import TOO_SLOW, Durability
from gateway.storage.file_watch import LostFileError

log = logging.getLogger("leafgate.storage")

REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the database cannot be written to",
    sqlite3.SQLITE_BUSY: "another program holds the database",
}
DAMAGED = "the database is damaged; it is set aside at the next start"

# While there is less room than what waits might need, it is looked for this often, also when there is nothing to write:
# who is refused because of it notes nothing, so no commit would ever find that there is room again.
LOOK_SECONDS = 1.0

# After these the open file may be of no use when its disk is back.
WORTH_REOPENING = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


class DiskHealth(Durability):
    """Of one database file, of that name. `fault` says why nothing can be written now, `faults` counts."""

    def __init__(self, file_name: str) -> None:
        self.fault: str | None = None
        self.faults = 0
        # The disk has room for nothing but what makes room.
        self.full = False
        # The database has to be opened anew before anything else.
        self.stale = False
        self._file_name = file_name

    @property
    def pending_bytes(self) -> int:
        """About how much memory the changes take that are not on the disk yet."""
        raise NotImplementedError

    def obstacle(self) -> str | None:
        if self.fault or self.full:
            return self.fault or REASONS[sqlite3.SQLITE_FULL]
        return None if self.has_room() else self.shortage()

    def shortage(self) -> str:
        """What there is too little of where more waits than may."""
        return TOO_SLOW

    def judge(self, error: Exception | None) -> None:
        """An attempt has ended so: set or clear the fault."""
        if error is None:
            self.stale = False
            if self.fault is not None:
                log.warning(
                    "event=storage-recovered file=%s reason=%r pending_bytes=%d",
                    self._file_name,
                    self.fault,
                    self.pending_bytes,
                )
                self.fault = None
            return
        self.stale = self.stale or code_of(error) in WORTH_REOPENING
        reason = reason_of(error)
        if self.fault is None:
            self.faults += 1
            expected = isinstance(error, (sqlite3.Error, LostFileError)) or is_damage(error)
            log.error(
                "event=storage-fault file=%s reason=%r error=%r pending_bytes=%d",
                self._file_name,
                reason,
                str(error),
                self.pending_bytes,
                exc_info=None if expected else error,
            )
        self.fault = reason

    def note_full(self, full: bool) -> None:
        if full and not self.full:
            log.error(
                "event=disk-full file=%s reason=%r",
                self._file_name,
                "what makes room is written still, and nothing else",
            )
        elif self.full and not full:
            log.warning("event=disk-has-room file=%s", self._file_name)
        self.full = full


def code_of(error: Exception) -> int:
    """SQLite's primary result code; 0 when it is no error of SQLite's."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def reason_of(error: Exception) -> str:
    """What to tell people about an error."""
    if is_damage(error):
        return DAMAGED
    if isinstance(error, LostFileError):
        return str(error)
    if not isinstance(error, sqlite3.Error):
        return "unexpected error, see the log"
    reason = REASONS.get(code_of(error))
    return reason or f"{error} ({getattr(error, 'sqlite_errorname', 'unknown')})"
