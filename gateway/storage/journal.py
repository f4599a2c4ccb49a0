"""Journal: takes changes as they come and brings them to the disk, many with one commit, in one thread at a time."""

import logging
import sqlite3
import time
from collections.abc import Callable
from functools import partial

import trio

from gateway.storage.batch import Batch
from gateway.storage.damage import is_damage
from gateway.storage.database import Database
from gateway.storage.queue_pages import PageRequest, read_pages
from gateway.storage.stored_session import QueuedMessage

log = logging.getLogger("leafgate.storage")

# How long to wait before what could not be written is tried again: twice as long each time, up to the second.
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 1.0
# While a batch is written, how long the trio thread may keep the interpreter's lock to itself, and then leaves it free.
HOLD_SECONDS = 0.001
GIVE_WAY_SECONDS = 0.0001
# Pages are read between commits. More at a time, and those who wait for a commit would wait for them.
PAGES_AT_ONCE = 32
REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the database cannot be written to",
    sqlite3.SQLITE_BUSY: "another program holds the database",
}
DAMAGED = "the database is damaged; it is set aside at the next start"

# After these the open file may be of no use when its disk is back.
WORTH_REOPENING = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


class Journal:
    """`run` is the task that writes. Everything else is called from the trio thread and never waits.

    Changes go into `batch`, and `note` is called behind them. While a batch is written the next one collects; what
    could not be written is kept and tried again together with what came since, so a fault loses nothing.
    `changes` counts what was noted. `fault` says why nothing can be written now.
    """

    def __init__(self, database: Database, max_pending_bytes: int = 64 << 20) -> None:
        self.database = database
        self.max_pending_bytes = max_pending_bytes
        self.batch = Batch()
        self.changes = 0
        self.fault: str | None = None
        self.faults = 0
        self.commits = 0
        self.rows = 0
        # Called with messages whose place in a queue went with its session (see Batch.write).
        self.freed: Callable[[list[int]], None] | None = None
        self._writing: Batch | None = None
        self._writing_bytes = 0
        self._requests: list[PageRequest] = []
        self._stale = False
        self._wake = trio.Event()
        self._attempted = trio.Event()

    @property
    def pending_bytes(self) -> int:
        """About how much memory the changes take that are not on the disk yet."""
        return self._writing_bytes + self.batch.size()

    def has_room(self) -> bool:
        """Whether more may be stored. What frees room, and what a session is, is noted all the same."""
        return self.pending_bytes < self.max_pending_bytes

    def note(self) -> None:
        """Something was added to `batch`."""
        self.changes += 1
        self._wake.set()

    def when_durable(self, action: Callable[[], None]) -> None:
        """Call `action` once everything noted so far is on the disk; at once when it is."""
        if self.batch.actions or not self.batch.is_empty():  # Behind those who wait already.
            self.batch.actions.append(action)
        elif self._writing is not None:
            self._writing.actions.append(action)
        else:
            action()

    def ask(self, request: PageRequest) -> None:
        """Read from the database once everything noted so far is there."""
        self._requests.append(request)
        self._wake.set()

    async def drain(self) -> None:
        """Wait until everything noted is on the disk, or a further attempt has failed."""
        while self._writing is not None or not self.batch.is_empty():
            await self._attempted.wait()
            if self.fault is not None:
                return

    async def run(self, after: Callable[[], None]) -> None:
        """Write what is noted until cancelled; `after` is called behind each round of actions."""
        pause = FIRST_RETRY_SECONDS
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            error = await self._write()
            after()
            if error is None:
                pause = FIRST_RETRY_SECONDS
                continue
            if is_damage(error):
                self.database.suspect()
                self._attempted.set()
                await trio.sleep_forever()
            await trio.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY_SECONDS)
            self._wake.set()

    def statistics(self) -> dict[str, object]:
        return {
            "fault": self.fault,
            "faults": self.faults,
            "commits": self.commits,
            "rows": self.rows,
            "pending_bytes": self.pending_bytes,
        }

    async def _write(self) -> Exception | None:
        """Write the batch and read pages; returns why that failed, if so."""
        batch, self.batch = self.batch, Batch()
        requests = self._requests[:PAGES_AT_ONCE]
        self._writing, self._writing_bytes = batch, batch.size()
        rows = batch.rows()
        attempt = Attempt(self.database, batch, requests, self._stale)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(give_way)
                await trio.to_thread.run_sync(attempt.run)
                nursery.cancel_scope.cancel()
        finally:
            self._settle(attempt)
        self._judge(attempt.error)
        if attempt.written:
            self.commits += rows > 0
            self.rows += rows
            if attempt.freed and self.freed is not None:
                self.freed(attempt.freed)
            for action in batch.actions:
                call(action)
        for request, page in zip(requests, attempt.pages, strict=False):
            call(partial(request.action, page))
        return attempt.error

    def _settle(self, attempt: "Attempt") -> None:
        """Keep what was not done for the next attempt."""
        self._writing, self._writing_bytes = None, 0
        if not attempt.written:
            attempt.batch.absorb(self.batch)
            self.batch = attempt.batch
        del self._requests[: len(attempt.pages)]
        if self._requests:
            self._wake.set()
        attempted, self._attempted = self._attempted, trio.Event()
        attempted.set()

    def _judge(self, error: Exception | None) -> None:
        """Set or clear the fault, with a line in the log when it begins and when it ends."""
        if error is None:
            self._stale = False
            if self.fault is not None:
                log.warning("event=storage-recovered reason=%r pending_bytes=%d", self.fault, self.pending_bytes)
                self.fault = None
            return
        self._stale = self._stale or code_of(error) in WORTH_REOPENING
        reason = reason_of(error)
        if self.fault is None:
            self.faults += 1
            expected = isinstance(error, sqlite3.Error) or is_damage(error)
            log.error(
                "event=storage-fault reason=%r error=%r pending_bytes=%d",
                reason,
                str(error),
                self.pending_bytes,
                exc_info=None if expected else error,
            )
        self.fault = reason


class Attempt:
    """One go at writing a batch and reading pages; `run` runs in the writing thread and never raises."""

    def __init__(self, database: Database, batch: Batch, requests: list[PageRequest], stale: bool) -> None:
        self.database = database
        self.batch = batch
        self.requests = requests
        self.stale = stale
        self.written = False
        self.freed: list[int] = []
        self.pages: list[list[QueuedMessage]] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            if self.stale:
                self.database.revive()
            self.freed = self.batch.write(self.database.connection)
            self.written = True
            self.pages = read_pages(self.database.connection, self.requests)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the changes are kept and the gateway goes on
            self.error = error


async def give_way() -> None:
    """Let the writing thread have the interpreter's lock at short intervals.

    A busy trio thread lets go of it at every system call, but only for microseconds, and each time the waiting thread
    begins its wait anew: it was seen to wait for seconds.
    """
    while True:
        await trio.sleep(HOLD_SECONDS)
        time.sleep(GIVE_WAY_SECONDS)  # noqa: ASYNC251 -- long enough for another thread to wake up


def code_of(error: Exception) -> int:
    """SQLite's primary result code; 0 when it is no error of SQLite's."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def reason_of(error: Exception) -> str:
    """What to tell people about an error."""
    if is_damage(error):
        return DAMAGED
    if not isinstance(error, sqlite3.Error):
        return "unexpected error, see the log"
    reason = REASONS.get(code_of(error))
    return reason or f"{error} ({getattr(error, 'sqlite_errorname', 'unknown')})"


def call(action: Callable[[], None]) -> None:
    """A fault in one session must not stop the storage of all the others."""
    try:
        action()
    except Exception:
        log.exception("event=storage-action-failed")
