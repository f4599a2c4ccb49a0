"""The database file: who may open it, which version it has, and what happens when it is damaged."""

import fcntl
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gateway.errors import DirectoryError, StorageError
from gateway.storage.batch import prepare
from gateway.storage.damage import (
    HEADER_SIZE,
    SMALL_TABLES,
    SOUND,
    DamagedError,
    check,
    check_header,
    is_damage,
    reading,
    version_of,
)
from gateway.storage.file_watch import FileWatch
from gateway.storage.log_damage import MOST_UNFINISHED, commits_behind
from gateway.storage.reserve import FILE_NAME as RESERVE_NAME
from gateway.storage.reserve import Reserve
from gateway.storage.schema import MIGRATIONS

log = logging.getLogger("leafgate.storage")

FILE_NAME = "leafgate.db"
LOCK_NAME = "leafgate.lock"
# Behind the file's name: says that damage was seen while the gateway ran. The next start looks at the whole file,
# whatever its size.
SUSPECT_SUFFIX = ".suspect"
# What belongs to a database file.
SUFFIXES = ("", "-wal", "-shm")

# A look at the whole file takes seconds for each 100 MB on an SD card: in a larger one only the small tables are looked
# at. Loading reads the keys of the others anyway.
MOST_CHECKED_BYTES = 64 << 20

# The log is copied into the file when it has so many pages (16 MiB): each page that changed is written once then, and
# two syncs are paid.
CHECKPOINT_PAGES = 4096
PAGE_CACHE_KIB = 8192
# Free pages that leave the file in one go: some tens of milliseconds, in which no commit begins.
SHRINK_PAGES = 2048
# A file that was made before files could become smaller is written anew for that, where it does not hold more than this
# and it does not take longer.
MOST_REWRITTEN_BYTES = 64 << 20
REWRITE_SECONDS = 10.0
# Steps of SQLite's machine between two looks at the clock.
STEPS = 100
# Another program, a shell that looks into the file say, may hold it for so long.
BUSY_SECONDS = 0.5


class Layout(NamedTuple):
    """What kind of database a file is.

    `prepare` makes what belongs to a connection. `sound` are the values that readers of each table rely on, and
    `small_tables` those that are looked at where the file is too large to look at the whole of it (damage.check).
    `has_lock`: who opens it takes the directory.
    """

    file_name: str
    reserve_name: str
    migrations: tuple[tuple[str, ...], ...]
    prepare: Callable[[sqlite3.Connection], None]
    sound: Mapping[str, str]
    small_tables: Sequence[str]
    has_lock: bool


SESSIONS = Layout(FILE_NAME, RESERVE_NAME, MIGRATIONS, prepare, SOUND, SMALL_TABLES, True)


class Database:
    """A database of a data directory, open and of the newest version; nobody else opens it as long as it is.

    `directory` None keeps everything in memory. `set_aside` tells where a damaged file was put when this was opened.
    Raises StorageError when the directory cannot be used. `connection` is for one thread at a time.
    """

    def __init__(self, directory: Path | None, layout: Layout = SESSIONS) -> None:
        self.set_aside: Path | None = None
        self.path: Path | None = None
        self._layout = layout
        self._locks: list[int] = []
        self._watch: FileWatch | None = None
        self.reserve: Reserve | None = None
        # When the file was last looked at for room to give back (Attempt).
        self.tidied_at = 0.0
        if directory is None:
            self.connection = self._connect(":memory:")
            return
        if layout.has_lock:
            self._locks = take_directory(directory)
        self.path = directory / layout.file_name
        try:
            self.reserve = Reserve(directory, layout.reserve_name)
            self.connection = self._open()
        except BaseException:
            self._unlock()
            raise
        self._watch_files()
        self.reserve.take()

    def remember(self, name: str, value: str) -> str:
        """What was once remembered under a name; the value given, from now on, where that is nothing."""
        self.connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
        found: str = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0]
        return found

    def close(self) -> None:
        self.connection.close()
        self._unlock()

    def look_at_files(self) -> None:
        """See that they are still there; before a commit and behind it. Raises LostFileError and OSError."""
        if self._watch is not None:
            self._watch.look()

    def make_room(self) -> bool:
        """Give back the reserve, where there is one: what makes room is to be written with it."""
        return self.reserve is not None and self.reserve.release()

    def room(self) -> int | None:
        """How many bytes the disk has for what is to be written, with the reserve; None where there is no disk. Raises
        OSError.
        """
        if self.path is None or self.reserve is None:
            return None
        return self.reserve.free_bytes() + self.reserve.held_bytes()

    def shrink(self, most_free: int) -> bool:
        """Make the file smaller where it has more free pages than that, in a step that is bounded; whether there is
        more to do. Raises sqlite3.Error.
        """
        connection = self.connection
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if free <= most_free or self.path is None:
            return False
        # A script, because its steps are made with one hold of the interpreter's lock.
        step = min(free - most_free, SHRINK_PAGES)
        connection.executescript(f"PRAGMA incremental_vacuum({step}); PRAGMA wal_checkpoint(TRUNCATE)")
        left: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        self.look_at_files()
        return most_free < left < int(free)

    def revive(self) -> None:
        """Open the same file anew: where its disk was away, the open one is of no more use. Raises sqlite3.Error."""
        if self.path is not None:
            self.connection.close()
            self.connection = self._connect(str(self.path))
            self._watch_files()

    def start_anew(self, reason: str) -> None:
        """Move a damaged file out of the way and begin an empty one. Raises StorageError."""
        self.connection.close()
        self.connection = self._replace(reason)
        self._watch_files()

    def suspect(self) -> None:
        """Have the next start look at the whole file."""
        if self.path is not None:
            try:
                self.path.with_name(self.path.name + SUSPECT_SUFFIX).touch()
            except OSError as error:
                log.warning("event=cannot-mark-database reason=%r", error.strerror)

    def _watch_files(self) -> None:
        assert self.path is not None
        self._watch = FileWatch(self.path)
        self._watch.look()

    def _unlock(self) -> None:
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _open(self) -> sqlite3.Connection:
        """Open the file, and a new one where it is damaged."""
        assert self.path is not None
        if self.path.exists() and not self.path.stat().st_size:
            log.warning("event=database-empty path=%s reason=%r", self.path, "the file has no bytes; a new one begins")
        header = header_of(self.path)
        self._refuse_newer(version_of(header))
        suspect = self.path.with_name(self.path.name + SUSPECT_SUFFIX)
        try:
            check_header(header)
            connection = self._connect(str(self.path))
            try:
                self._keep_cut_log(connection)
                with closing(self._connect(":memory:")) as expected:
                    whole = suspect.exists() or self.path.stat().st_size <= MOST_CHECKED_BYTES
                    check(connection, expected, self._layout.sound, None if whole else self._layout.small_tables)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, DamagedError) as error:
            if not is_damage(error):
                raise StorageError(f"data-directory: cannot open {self.path}: {error}") from None
            connection = self._replace(str(error))
        suspect.unlink(missing_ok=True)
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0]:
            return connection
        rewritten = self._may_rewrite(connection)
        connection.close()
        if rewritten:
            self._rewrite()
        return self._connect(str(self.path))

    def _may_rewrite(self, connection: sqlite3.Connection) -> bool:
        """Whether a file that cannot become smaller can be written anew in a moment; where not, the log tells how."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        held = (pages - free) * size
        if held <= MOST_REWRITTEN_BYTES:
            return True
        self._tell_of_rewriting(f"it holds {held} bytes")
        return False

    def _rewrite(self) -> None:
        """Write the file anew, so that it can become smaller from now on; it is all done or nothing of it."""
        give_up = time.monotonic() + REWRITE_SECONDS
        try:
            with closing(sqlite3.connect(str(self.path), BUSY_SECONDS, isolation_level=None)) as connection:
                connection.set_progress_handler(lambda: time.monotonic() > give_up, STEPS)
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("VACUUM")
        except sqlite3.OperationalError as error:  # Too slow, or no room for a second copy.
            self._tell_of_rewriting(str(error))
        else:
            log.info("event=database-rewritten path=%s hint='it can become smaller from now on'", self.path)

    def _tell_of_rewriting(self, reason: str) -> None:
        statements = "PRAGMA auto_vacuum = INCREMENTAL; VACUUM"
        text = "event=database-cannot-shrink path=%s reason=%r hint='stop the gateway; sqlite3 %s \"%s\"'"
        log.warning(text, self.path, reason, self.path, statements)

    def _keep_cut_log(self, connection: sqlite3.Connection) -> None:
        """SQLite passes over what stands in its log behind a damaged place, and writes over it: keep a copy."""
        assert self.path is not None
        path = self.path.with_name(f"{self.path.name}-wal")
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        try:
            # The statement that tells how much of the log was taken copies that into the file, too.
            _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.OperationalError as error:
            log.warning("event=cannot-check-log path=%s reason=%r", path, str(error))  # A full disk, most likely.
            return
        try:
            lost = commits_behind(path, max(frames, 0), page_size)
            if lost <= MOST_UNFINISHED:
                return
            target = aside(path)
            shutil.copyfile(path, target)
        except OSError as error:
            log.error("event=cannot-copy-log path=%s reason=%r", path, reason_of(error))
            return
        self.set_aside = target
        log.error("event=log-damaged lost_commits=%d copied_to=%s", lost, target)

    def _connect(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(name, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            with reading():
                if not connection.execute("PRAGMA page_count").fetchone()[0]:  # It cannot be had later.
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = OFF")  # Debian's default would write what is deleted once more.
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
            pages = self.reserve.log_pages(CHECKPOINT_PAGES) if self.reserve is not None else CHECKPOINT_PAGES
            connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            self._migrate(connection)
            self._layout.prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        self._refuse_newer(version)
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise StorageError(f"data-directory: {self.path} is a database of another program")
        for number, statements in enumerate(self._layout.migrations[version:], version + 1):
            connection.execute("BEGIN IMMEDIATE")
            try:
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        if version < len(self._layout.migrations):
            # Older gateways look for the version in the file itself.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _refuse_newer(self, version: int) -> None:
        newest = len(self._layout.migrations)
        if version > newest:
            what = f"{self.path} was written by a newer leafgate (schema version {version}, this one knows {newest})"
            raise StorageError(f"data-directory: {what}")

    def _replace(self, reason: str) -> sqlite3.Connection:
        assert self.path is not None
        self.set_aside = move_aside(self.path)
        log.error("event=database-set-aside reason=%r moved_to=%s", reason, self.set_aside)
        try:
            return self._connect(str(self.path))
        except sqlite3.Error as error:
            raise StorageError(f"data-directory: cannot create {self.path}: {error}") from None


def take_directory(directory: Path) -> list[int]:
    """Make the directory where it is missing and lock it; returns the descriptors that hold the locks.

    The lock file tells who has it, also to older gateways. But a file can be removed while it is locked: the directory
    itself is locked, too.
    """
    locks: list[int] = []
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        locks.append(lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locks.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        lock_directory(locks[-1])
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        owner = os.pread(locks[0], 20, 0).decode("ascii", "replace").strip()
        who = f" (process {owner})" if owner else ""
        raise DirectoryError(f"data-directory: {directory} is in use by another gateway{who}") from None
    except OSError as error:
        raise DirectoryError(f"data-directory: cannot write to {directory}: {reason_of(error)}") from None
    else:
        kept, locks = locks, []
        return kept
    finally:
        for lock in locks:
            os.close(lock)


def lock_directory(descriptor: int) -> None:
    """Raises BlockingIOError when somebody else has the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        # Network file systems lock only what is open for writing.
        log.warning("event=cannot-lock-directory reason=%r", reason_of(error))


def aside(path: Path) -> Path:
    """Where a damaged file goes."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return path.with_name(f"{path.name}.broken-{stamp}")


def reason_of(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def header_of(path: Path) -> bytes:
    """The header of a file, read without SQLite, which would already change a file it opens; b"" without a file."""
    try:
        with path.open("rb") as file:
            return file.read(HEADER_SIZE)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StorageError(f"data-directory: cannot read {path}: {reason_of(error)}") from None


def move_aside(path: Path) -> Path:
    """Rename a database file and what belongs to it; returns its new name. Raises StorageError."""
    target = aside(path)
    try:
        for suffix in SUFFIXES:
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(target.with_name(target.name + suffix))
    except OSError as error:
        raise StorageError(f"data-directory: cannot move {path} away: {reason_of(error)}") from None
    return target
