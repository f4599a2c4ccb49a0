"""Loader: loads large streams in a thread of its own, with a connection of its own, while everything else goes on."""

import sqlite3
from typing import TYPE_CHECKING

import trio

from gateway.errors import StorageError
from gateway.storage.damage import DamagedError, is_damage
from gateway.storage.database import BUSY_SECONDS, Database
from gateway.storage.streams.loading import FoundStream, load_stream
from gateway.storage.worker import Wake, Worker

if TYPE_CHECKING:
    from gateway.storage.streams.stored_stream import Surroundings
    from gateway.storage.streams.stream import Stream

STOP_SECONDS = 1.0


class Loading:
    """One stream that is loaded; then it is the `stream`, or there is an `error`."""

    def __init__(self, loader: "Loader", store: "Surroundings", found: FoundStream) -> None:
        self._loader = loader
        self._store = store
        self._found = found
        self.stream: Stream | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.stream = load_stream(self._loader.connect(), self._store, self._found)
        except (sqlite3.Error, DamagedError) as error:
            self.error = error


class Loader:
    """Between `start` and `stop` streams are loaded, one behind the other. All but `connect` is called from the loop's
    thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._thread: Worker[Loading] | None = None
        self._wake: Wake | None = None

    def start(self, wake: Wake) -> None:
        self._wake = wake

    async def load(self, store: "Surroundings", found: FoundStream) -> "Stream":
        """Raises StorageError; where the database is damaged it is marked, so that the next start mends it."""
        loading = Loading(self, store, found)
        assert self._wake is not None, "nothing is loaded before the start"
        if self._thread is None:
            self._thread = Worker(self._wake, "streams-loading")
        thread, over = self._thread, trio.Event()

        def done() -> None:
            thread.finished.popleft()
            if not thread.finished:
                thread.rest()
            over.set()

        thread.do(loading, done)
        await over.wait()
        if loading.stream is not None:
            return loading.stream
        if is_damage(loading.error):
            self._database.suspect()
        raise StorageError(f"data-directory: cannot read {self._database.path}: {loading.error}")

    def give_way(self) -> None:
        """Let the thread have the interpreter's lock at short intervals (Worker)."""
        if self._thread is not None:
            self._thread.give_way()

    def connect(self) -> sqlite3.Connection:
        """The connection to load with, in the thread. Raises sqlite3.Error."""
        path = self._database.path
        assert path is not None, "what is in memory only is not loaded"
        if self._connection is None:
            uri = f"{path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(
                uri, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
            )
        return self._connection

    def stop(self) -> bool:
        """Load no more; what is being loaded is given up. False where a disk hangs: then the connection stays open."""
        thread, self._thread = self._thread, None
        if self._connection is not None:
            self._connection.set_progress_handler(give_up, 1)
        if thread is not None and not thread.end(STOP_SECONDS):
            return False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return True


def give_up() -> int:
    """What SQLite asks before each step."""
    return 1
