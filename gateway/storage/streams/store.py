"""StreamStore: the streams of a data directory, in a database of their own beside that of the sessions.

A large stream so never makes sessions slow, and a damaged one never costs them. Without a directory everything is in
memory, and gone with the process; all else is the same.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.errors import StorageError
from gateway.storage.damage import DamagedError, is_damage, reading
from gateway.storage.database import Database
from gateway.storage.streams.commits import MOST_PENDING_BYTES, STOP_SECONDS, Commits
from gateway.storage.streams.lately_read import MOST_BYTES
from gateway.storage.streams.limits import NO_LIMIT, Limits
from gateway.storage.streams.loader import Loader
from gateway.storage.streams.loading import FoundStream, find_streams, load_stream, most_messages
from gateway.storage.streams.reading import Reading
from gateway.storage.streams.removal import Removal, load_removals
from gateway.storage.streams.salvage import salvage
from gateway.storage.streams.schema import FILE_NAME, LAYOUT
from gateway.storage.streams.stored_identities import StoredIdentities
from gateway.storage.streams.stored_stream import StoredStream
from gateway.storage.streams.stream import Stream
from gateway.storage.worker import Wake

log = logging.getLogger("leafgate.storage")

# What streams without a directory may take together, where nothing else is said.
MEMORY_BYTES = 64 << 20
# The newest messages of all streams, kept for those who read along; and of one.
TAIL_BYTES = 16 << 20
MOST_TAIL_BYTES = 1 << 20
MOST_STREAMS = 32_767
# Streams that may be loaded later are so where those that are loaded at once have so many messages without them.
MOST_AT_ONCE = 100_000
# What the copy of a damaged log begins with, which is no database.
LOG_NAME = f"{FILE_NAME}-wal"


class StoreStatistics(NamedTuple):
    """Counted since the start, but for what there is now: streams with their messages and bytes, what the database uses
    and what waits for it. `commit_seconds` are those of the writing thread, `stored_bytes` what it has put into chunks.
    """

    streams: int
    messages: int
    size: int
    commits: int
    commit_seconds: float
    stored_bytes: int
    used_bytes: int
    pending_bytes: int
    refused: int
    faults: int
    damaged_chunks: int
    lost_messages: int
    obstacle: str | None


def not_one(name: str) -> bool:
    """All streams are loaded at once."""
    return False


class StreamStore:
    """`directory` is one that is locked already (Storage), or None. Raises StorageError.

    Large streams of which `may_wait` says so by their names are not loaded before somebody asks for them (`load`).
    `commit_interval`: seconds between two commits at least. `max_bytes` is what the database may take on the disk, or
    in memory; `lately_bytes` what is kept in memory of chunks in which single messages are looked for. `age_clock`
    gives seconds that only go forward, over all runs of the gateway (RunningClock.now): what ages does so by it.
    `wall_ns` gives unix time in nanoseconds, as good as is known: what messages are labelled with.
    """

    def __init__(
        self,
        directory: Path | None,
        age_clock: Callable[[], float] = time.time,
        wall_ns: Callable[[], int] = time.time_ns,
        commit_interval: float = 0.0,
        max_bytes: int = NO_LIMIT,
        max_pending_bytes: int = MOST_PENDING_BYTES,
        may_wait: Callable[[str], bool] = not_one,
        lately_bytes: int = MOST_BYTES,
    ) -> None:
        self.age = age_clock
        self.wall_ns = wall_ns
        # Chunks that could not be read since the start, and the messages in them.
        self.damaged_chunks = 0
        self.lost_messages = 0
        self._streams: dict[tuple[str, str], Stream] = {}
        self._may_wait = may_wait
        # Those that are not loaded yet.
        self._found: dict[tuple[str, str], FoundStream] = {}
        self._removals: list[Removal] = []
        self._last_id = 0
        self.database = Database(directory, LAYOUT)
        if directory is None:
            max_bytes = MEMORY_BYTES if max_bytes == NO_LIMIT else max_bytes
        try:
            self._open(commit_interval, max_pending_bytes, max_bytes, lately_bytes)
        except sqlite3.Error as error:
            self.database.close()
            raise StorageError(f"data-directory: cannot read {self.database.path}: {error}") from None

    def start(self, wake: Wake, after: Callable[[], None], soon: Wake | None = None) -> None:
        """Read and write in threads from now on. `wake` has a call made in the loop's thread soon and may be called by
        any thread, `soon`, where it is given, by that one alone; `after` is called behind each round of what waited for
        a commit, or for chunks to be read.
        """
        self.commits.start(wake, after, soon)
        self.reading.start(wake, after, soon)
        self._loader.start(wake)

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Read and write no more. False when a disk hangs: then nothing but `os._exit` is sure to end the process."""
        return bool(self.commits.stop(seconds) & self.reading.stop() & self._loader.stop())

    def close(self) -> bool:
        """Close everything behind what is being written. False when the disk hangs: then it stays open."""
        if not self.stop():
            return False
        self.database.close()
        return True

    def streams(self, account: str | None = None) -> list[Stream]:
        """All of an account, or all there are, in the order in which they were made."""
        return [stream for stream in self._streams.values() if account in (None, stream.account)]

    def get(self, account: str, name: str) -> Stream | None:
        return self._streams.get((account, name))

    def unloaded(self, account: str) -> list[FoundStream]:
        """Those of an account that are on the disk, and nowhere else so far."""
        return [found for found in self._found.values() if found.account == account]

    async def load(self, found: FoundStream) -> Stream:
        """Load a stream, in another thread. Raises StorageError, and then it stays where it is."""
        stream = await self._loader.load(self, found)
        del self._found[found.account, found.name]
        self._streams[found.account, found.name] = stream
        stream.settle_in()
        stream.enforce()
        if not self._found:
            self._loader.stop()
        return stream

    def give_way(self) -> None:
        """Let the threads have the interpreter's lock at short intervals (Worker)."""
        self.commits.give_way()
        self._loader.give_way()

    def create(self, account: str, name: str, limits: Limits | None = None, note: str = "") -> Stream:
        """Make a stream; there must be none of that name. It is on the disk with the next commit. Raises StorageError
        where there are too many.
        """
        assert (account, name) not in self._streams.keys() | self._found.keys(), "there is such a stream"
        if self._last_id >= MOST_STREAMS:
            self._last_id = 0
        taken = self._ids() | {removal.id for removal in self._removals}
        identifier = next((one for one in range(self._last_id + 1, MOST_STREAMS + 1) if one not in taken), None)
        if identifier is None:
            raise StorageError(f"streams: there are {len(taken)}, and there cannot be more")
        self._last_id = identifier
        stream = self._streams[account, name] = Stream(self, identifier, account, name, limits or Limits(), note)
        self.commits.note(stream, False)
        return stream

    def remove(self, stream: Stream) -> None:
        """Remove a stream with all that it holds. Its room on the disk is given back in steps."""
        if self._streams.pop((stream.account, stream.name), None) is not None:
            stream.close()
            self._removals.append(Removal(self.commits, stream.id, self._removals))

    def remove_unloaded(self, found: FoundStream) -> None:
        """The same of one that is not loaded."""
        if self._found.pop((found.account, found.name), None) is not None:
            self._removals.append(Removal(self.commits, found.id, self._removals))

    def tidy(self) -> None:
        """Let go what is too old; to be called about every second."""
        for stream in self._streams.values():
            stream.enforce()

    def obstacle(self) -> str | None:
        """Why no more may be stored, if so."""
        return self.commits.obstacle()

    def statistics(self) -> StoreStatistics:
        """What monitoring tells; for each stream `Stream.statistics`."""
        commits = self.commits
        return StoreStatistics(
            len(self._streams),
            sum(stream.messages for stream in self._streams.values()),
            sum(stream.size for stream in self._streams.values()),
            commits.commits,
            commits.commit_seconds,
            commits.stored_bytes,
            commits.used_bytes,
            commits.pending_bytes,
            commits.refused,
            commits.faults,
            self.damaged_chunks,
            self.lost_messages,
            self.obstacle(),
        )

    # What streams ask.

    def tail_bytes(self) -> int:
        return min(MOST_TAIL_BYTES, TAIL_BYTES // max(len(self._streams), 1))

    def report_damage(self, stream: StoredStream, chunk: int, messages: int) -> None:
        self.damaged_chunks += 1
        self.lost_messages += messages
        log.error(
            "event=chunk-damaged account=%s stream=%s first=%d messages=%d reason=%r",
            stream.account,
            stream.name,
            chunk,
            messages,
            "these messages cannot be read any more; the others of the stream are there",
        )

    def _open(self, commit_interval: float, max_pending_bytes: int, max_bytes: int, lately_bytes: int) -> None:
        self.commits = Commits(self.database, commit_interval, max_pending_bytes, max_bytes)
        lock = self.commits.lock if self.database.path is None else threading.Lock()
        self.reading = Reading(self.database, lock, lately_bytes)
        self._loader = Loader(self.database)
        broken = self.database.set_aside
        if broken is not None and not broken.name.startswith(LOG_NAME):
            salvage(broken, self.database.connection)
        try:
            self._load()
        except (sqlite3.Error, DamagedError) as error:
            if not is_damage(error):
                raise
            self.database.start_anew(str(error))
            assert self.database.set_aside is not None
            salvage(self.database.set_aside, self.database.connection)
            self._load()

    def _load(self) -> None:
        self._streams.clear()
        self._found.clear()
        self.identities = StoredIdentities(self.commits)
        with reading():
            self.identities.load(self.database.connection)
        self._load_at_once(find_streams(self.database.connection))
        self._removals = load_removals(self.database.connection, self.commits)
        self._last_id = max(self._ids(), default=0)
        for stream in self._streams.values():
            stream.settle_in()
            stream.enforce()

    def _ids(self) -> set[int]:
        return {stream.id for stream in self._streams.values()} | {found.id for found in self._found.values()}

    def _load_at_once(self, streams: list[FoundStream]) -> None:
        """What must be there from the first moment, and what costs next to nothing."""
        connection = self.database.connection
        sizes = {one.id: most_messages(connection, one) for one in streams if self._may_wait(one.name)}
        left = MOST_AT_ONCE
        for found in sorted(streams, key=lambda one: sizes.get(one.id, 0)):
            left -= sizes.get(found.id, 0)
            if left < 0 and found.id in sizes:
                self._found[found.account, found.name] = found
        for found in streams:
            if (found.account, found.name) not in self._found:
                stream = load_stream(connection, self, found)
                self._streams[found.account, found.name] = stream
