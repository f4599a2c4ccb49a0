"""Reading: reads stored messages in a thread of its own, with a connection of its own: no reader waits for a commit."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from gateway.errors import StorageError
from gateway.storage.database import BUSY_SECONDS, Database
from gateway.storage.streams.chunk import StoredChunk
from gateway.storage.streams.commits import Action, call, nothing
from gateway.storage.streams.lately_read import LatelyRead
from gateway.storage.streams.reads import ChunkRead, KeysRead, LastRead, Read, SliceRead
from gateway.storage.streams.stored_message import Slice, StoredMessage
from gateway.storage.worker import Wake, Worker

# How many reads are under way at once, of all who read: what each gives is bounded (reads.py), so all of it is.
MOST_READS = 16
# How many chunks are fetched at once.
MOST_FETCHED = 64
STOP_SECONDS = 1.0


class Reading:
    """Between `start` and `stop` reads are done in the thread; before and behind that, at once and in the caller's.

    `lock` is held while the connection is used: without a file there is but one, which the writer has, too.
    """

    def __init__(self, database: Database, lock: threading.Lock, lately_bytes: int) -> None:
        self._database = database
        self._lock = lock
        self._connection: sqlite3.Connection | None = None
        self._thread: Worker[Read] | None = None
        self._turns = trio.Semaphore(MOST_READS)
        self.lately = LatelyRead(lately_bytes)
        # Chunks that are asked for, and by whom; whether some are being read.
        self._wanted: dict[int, list[Callable[[], None]]] = {}
        self._is_fetching = False
        self._after: Action = nothing
        self._soon: Wake = call

    def start(self, wake: Wake, after: Action, soon: Wake | None = None) -> None:
        """Read in the thread from now on; see StreamStore.start."""
        self._thread = Worker(wake, "streams-reading")
        self._after = after
        self._soon = soon or wake

    def stop(self) -> bool:
        """False where a disk hangs: then the connection stays open."""
        thread, self._thread = self._thread, None
        self._soon = call
        if thread is not None and not thread.end(STOP_SECONDS):
            return False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return True

    async def slice(
        self,
        stream: int,
        first: int,
        last: int,
        max_messages: int,
        max_bytes: int,
        wanted: Callable[[bytes], bool] | None,
    ) -> tuple[Slice, list[int]]:
        """Messages of a stream from one sequence to another, and the first sequences of chunks that are damaged. Raises
        StorageError.
        """
        read = SliceRead(self.connected, stream, first, last, max_messages, max_bytes, wanted)
        await self._do(read)
        return Slice(read.messages, read.next), read.damaged

    async def chunks(
        self, stream: int, first: int, last: int, max_bytes: int
    ) -> tuple[list[StoredChunk], int, list[int]]:
        """Whole chunks of a stream with messages from one sequence to another, at least one where there is one; where
        to go on; and what is damaged. Raises StorageError.
        """
        read = ChunkRead(self.connected, stream, first, last, max_bytes)
        await self._do(read)
        return read.found, read.next, read.damaged

    async def last_of(
        self, stream: int, subject: bytes, first: int, last: int
    ) -> tuple[StoredMessage | None, int, list[int]]:
        """The last message of a subject between two sequences, if it is among the last chunks; in front of which one to
        go on looking; and what is damaged. Raises StorageError.
        """
        read = LastRead(self.connected, stream, subject, first, last)
        await self._do(read)
        return read.found, read.behind, read.damaged

    def fetch(self, key: int, over: Callable[[], None]) -> None:
        """Read a chunk, together with others that are asked for meanwhile, and call `over` once that is done: then it
        is among the `lately` read, unless it is not there, or damaged, or could not be read.
        """
        self._wanted.setdefault(key, []).append(over)
        if not self._is_fetching:
            self._is_fetching = True
            self._soon(self._fetch)

    def _fetch(self) -> None:
        read = KeysRead(self.connected, list(self._wanted)[:MOST_FETCHED])
        if self._thread is None:
            read.run()
            self._fetched(read)
        else:
            thread = self._thread
            thread.do(read, lambda: self._fetched_by(thread, read))

    def _fetched_by(self, thread: "Worker[Read]", read: KeysRead) -> None:
        thread.finished.popleft()
        if not thread.finished:
            thread.rest()
        self._fetched(read)

    def _fetched(self, read: KeysRead) -> None:
        for chunk in read.found:
            self.lately.add(chunk)
        waiting = [over for key in read.keys for over in self._wanted.pop(key)]
        for over in waiting:
            call(over)
        self._after()
        self._is_fetching = bool(self._wanted)
        if self._is_fetching:
            self._fetch()

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """The connection to read with, for one at a time. Raises sqlite3.Error."""
        with self._lock:
            yield self._connect()

    def _connect(self) -> sqlite3.Connection:
        path = self._database.path
        if path is None:
            return self._database.connection
        if self._connection is None:
            uri = f"{path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(
                uri, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
            )
        return self._connection

    async def _do(self, read: Read) -> None:
        async with self._turns:
            thread = self._thread
            if thread is None:
                read.run()
            else:
                over = trio.Event()
                thread.do(read, Taken(thread, over))
                await over.wait()
        if read.error is not None:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()  # Where the disk was away, it is of no more use.
            raise StorageError(f"data-directory: cannot read {self._database.path}: {read.error}")


class Taken:
    """Called when a read is over."""

    def __init__(self, thread: "Worker[Read]", over: trio.Event) -> None:
        self._thread = thread
        self._over = over

    def __call__(self) -> None:
        self._thread.finished.popleft()
        if not self._thread.finished:
            self._thread.rest()
        self._over.set()
