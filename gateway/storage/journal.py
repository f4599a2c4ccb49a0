"""Journal: takes changes as they come and brings them to the disk, many with one commit, in a thread of its own."""

import logging
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeAlias

from gateway.storage.batch import ROW_BYTES, Batch
from gateway.storage.damage import is_damage
from gateway.storage.database import Database
from gateway.storage.durability import TOO_SLOW, Durability
from gateway.storage.file_watch import LostFileError
from gateway.storage.queue_pages import PageRequest, read_pages
from gateway.storage.stored_session import QueuedMessage
from protocols.message import Message

log = logging.getLogger("leafgate.storage")

# How often it is told that there is no room.
REPORT_SECONDS = 60.0
# How long to wait before what could not be written is tried again: twice as long each time, up to the second.
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 1.0
# How long the writing thread may go on when it is told to end: a disk that hangs must not hold up the end for ever.
STOP_SECONDS = 1.0
# While a batch is written, how long the loop may keep the interpreter's lock to itself, and then leaves it free.
HOLD_SECONDS = 0.001
GIVE_WAY_SECONDS = 0.0001
# How long one thread computes while the other waits for the lock. Python's own 5 ms would hold up everybody whenever a
# batch is made ready for the disk, and the batch at each of its steps.
SWITCH_SECONDS = 0.0005
# Changes that nobody waits for, places that leave a queue most of all, may wait for others to share their commit.
LEISURE_SECONDS = 0.02
# Messages that are acknowledged at once need never be written: so long a commit waits for that, and how many commits
# do not wait after one that waited in vain.
PATIENCE_SECONDS = 0.0002
IMPATIENT_FOR = 64
# How often the file is looked at for room to give back, and the free pages that it keeps.
TIDY_SECONDS = 10.0
FREE_PAGES = 1024
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

Wake: TypeAlias = Callable[[Callable[[], None]], None]
# What the thread is told: an attempt to make or how long to pause, and the call to make then. None ends it.
Order: TypeAlias = "tuple[Attempt | None, float, Callable[[], None]] | None"


class Journal(Durability):
    """Between `start` and `stop` a thread writes. All is called from the loop's thread; nothing but `stop` waits.

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
        # The disk has room for nothing but what makes room.
        self.full = False
        self.commits = 0
        self.rows = 0
        # Changes that could never be written.
        self.set_apart = 0
        # Messages for which there was no room, and when the log may tell of them again.
        self.refused = 0
        self._silent_until = 0.0
        # Called with messages whose place in a queue went with its session (see Batch.write).
        self.freed: Callable[[list[int]], None] | None = None
        self._writing: Batch | None = None
        self._writing_bytes = 0
        self._requests: list[PageRequest] = []
        self._stale = False
        # No further attempt is made.
        self._damaged = False
        self._thread: Writer | None = None
        self._after: Callable[[], None] = nothing
        # Whether `_begin` is called anyway: it is on its way, or what is being written has to end first.
        self._awake = False
        self._pause = FIRST_RETRY_SECONDS
        # Whether the batch waits for something that somebody waits for; whether it has waited to become smaller, the
        # rows that it had before, and how many batches shall not.
        self._at_leisure = False
        self._rows_before = 0
        self._impatient = 0
        self._attempted: list[Callable[[], None]] = []
        # Until when a busy loop keeps the interpreter's lock; 0.0 while nothing is written.
        self._held_until = 0.0
        self._switch_seconds = 0.0

    @property
    def pending_bytes(self) -> int:
        """About how much memory the changes take that are not on the disk yet."""
        return self._writing_bytes + self.batch.size()

    def mark(self) -> int:
        return self.changes

    def awaited(self) -> object | None:
        if self.batch.actions or not self.batch.is_empty():  # Behind those who wait already.
            return self.batch
        return self._writing

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        if self.batch.actions or not self.batch.is_empty():
            self.batch.actions.append((action, refused))
            if self._at_leisure:
                self._hurry()
        elif self._writing is not None:
            self._writing.actions.append((action, refused))
        else:
            action()

    def has_room(self) -> bool:
        if self.full:
            return False
        batch = self.batch
        return self._writing_bytes + batch.memory.bytes + ROW_BYTES * len(batch.ended) < self.max_pending_bytes

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0) -> bool:
        size = places * ROW_BYTES
        copies = (places > 0) + retained
        if copies:
            size += copies * (ROW_BYTES + len(message.subject) + len(message.reply) + message.size)
        pending = self.pending_bytes + before * size
        # One that needs more than all there is has its turn when nothing else waits.
        crowded = pending > 0 and pending + size > self.max_pending_bytes
        message.refused = size > 0 and (self.full or crowded)
        if message.refused:
            self.refused += 1
            self._report_refusal(pending)
        return not message.refused

    def obstacle(self) -> str | None:
        if self.fault or self.full:
            return self.fault or REASONS[sqlite3.SQLITE_FULL]
        return None if self.has_room() else TOO_SLOW

    def _report_refusal(self, pending: int) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + REPORT_SECONDS
            reason = self.obstacle() or TOO_SLOW
            log.warning("event=not-stored reason=%r pending_bytes=%d total=%d", reason, pending, self.refused)

    def note(self) -> None:
        """Something was added to `batch`."""
        self.changes += 1
        if not self._awake:
            self._rouse()

    def ask(self, request: PageRequest) -> None:
        """Read from the database once everything noted so far is there."""
        self._requests.append(request)
        if not self._awake or self._at_leisure:
            self._hurry()

    def when_attempted(self, action: Callable[[], None]) -> None:
        """Call `action` once everything noted so far is on the disk, or a further attempt to write it has failed."""
        if self._writing is None and (self.batch.is_empty() or self._damaged):
            action()
        else:
            self._attempted.append(action)
            if self._at_leisure:
                self._hurry()

    def start(self, wake: Wake, after: Callable[[], None]) -> None:
        """Write what is noted from now on. `wake` has a call made in the loop's thread soon and may be called by any
        thread; `after` is called behind each round of actions.
        """
        self._after = after
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread = Writer(wake)
        if not self.batch.is_empty() or self.batch.actions or self._requests:
            self._rouse()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Write no more. False when a disk hangs and the thread with it: then the database must not be touched again,
        and nothing but `os._exit` is sure to end the process.
        """
        thread = self._thread
        if thread is None:
            return self._writing is None
        self._thread = None
        sys.setswitchinterval(self._switch_seconds)
        ended = thread.end(seconds)
        if ended and thread.finished:
            self._settle(thread.finished.popleft())
        self._awake = self._writing is not None
        return ended

    def give_way(self) -> None:
        """Let the writing thread have the interpreter's lock at short intervals; to be called in each round of a loop.

        A busy loop lets go of the lock at every system call, but only for microseconds, and each time the waiting
        thread begins its wait anew: it was seen to wait for seconds.
        """
        if self._held_until and time.monotonic() > self._held_until:
            time.sleep(GIVE_WAY_SECONDS)
            self._held_until = time.monotonic() + HOLD_SECONDS

    def statistics(self) -> dict[str, object]:
        return {
            "fault": self.fault,
            "faults": self.faults,
            "commits": self.commits,
            "rows": self.rows,
            "set_apart": self.set_apart,
            "refused": self.refused,
            "pending_bytes": self.pending_bytes,
        }

    def _rouse(self) -> None:
        """Have the batch written soon: with all that this round of the loop brings."""
        if self._thread is not None:
            self._awake = True
            self._thread.wake(self._begin)

    def _hurry(self) -> None:
        """Somebody waits for the batch now."""
        self._at_leisure = False
        self._rouse()

    def _begin(self) -> None:
        """See what is to be written, and when."""
        thread = self._thread
        if thread is None or self._writing is not None or self._rows_before:
            return
        batch = self.batch
        if batch.is_empty() and not self._requests:
            self._awake = False
            self._complete(batch)
        elif not (batch.actions or self._requests or self._attempted):
            self._at_leisure = True
            thread.pause(LEISURE_SECONDS, self._write)
        elif self._impatient or self._requests or not batch.queue.added:
            self._impatient = max(self._impatient - 1, 0)
            self._write()
        else:
            self._rows_before = batch.rows()
            thread.pause(PATIENCE_SECONDS, self._write_rest)

    def _complete(self, batch: Batch) -> None:
        """Nothing is left to write of a batch."""
        if batch.actions:
            actions, batch.actions = batch.actions, []
            for action, _ in actions:
                call(action)
            self._after()
        self._tell_attempted()

    def _write_rest(self) -> None:
        """Write what the batch has become while it waited."""
        before, self._rows_before = self._rows_before, 0
        if not before:
            return  # It was written meanwhile.
        if self.batch.rows() > before // 2:
            self._impatient = IMPATIENT_FOR
        if self.batch.is_empty():
            self._begin()
        else:
            self._write()

    def _write(self) -> None:
        """Hand the batch to the writing thread, with pages to read."""
        thread = self._thread
        self._at_leisure = False
        self._rows_before = 0
        if thread is None or self._writing is not None:
            return
        batch, self.batch = self.batch, Batch()
        requests = self._requests[:PAGES_AT_ONCE]
        self._writing, self._writing_bytes = batch, batch.size()
        self._held_until = time.monotonic() + HOLD_SECONDS
        thread.attempt(Attempt(self.database, batch, requests, self._stale, self.full), partial(self._finish, thread))

    def _finish(self, thread: "Writer") -> None:
        """An attempt is over: tell who waited for it, and begin the next one."""
        if thread is not self._thread:
            return
        attempt = thread.finished.popleft()
        self._settle(attempt)
        self._judge(attempt.error)
        if attempt.written:
            self._note_full(attempt.full)
            rows = attempt.rows
            self.commits += rows > 0
            self.rows += rows
            if attempt.freed and self.freed is not None:
                self.freed(attempt.freed)
            self._tell_set_apart(attempt.batch.unwritable)
            for action, refused in attempt.batch.actions:
                call(refused if attempt.batch.unwritable and refused is not None else action)
        for request, page in zip(attempt.requests, attempt.pages, strict=False):
            call(partial(request.action, page))
        self._tell_attempted()
        self._after()
        if attempt.error is None:
            self._pause = FIRST_RETRY_SECONDS
            self._begin()
        elif is_damage(attempt.error):
            self._damaged = True
            self.database.suspect()
        else:
            thread.pause(self._pause, self._begin)
            self._pause = min(self._pause * 2, LONGEST_RETRY_SECONDS)

    def _note_full(self, full: bool) -> None:
        if full and not self.full:
            log.error("event=disk-full reason=%r", "what makes room is written still, and nothing else")
        elif self.full and not full:
            log.warning("event=disk-has-room")
        self.full = full

    def _tell_set_apart(self, unwritable: list[str]) -> None:
        self.set_apart += len(unwritable)
        for what in unwritable:
            log.error("event=change-set-apart what=%r reason=%r", what, "it can never be written")

    def _tell_attempted(self) -> None:
        if self.fault is not None or self.batch.is_empty():
            attempted, self._attempted = self._attempted, []
            for action in attempted:
                call(action)

    def _settle(self, attempt: "Attempt") -> None:
        """Keep what was not done for the next attempt."""
        self._writing, self._writing_bytes = None, 0
        self._held_until = 0.0
        if not attempt.written:
            attempt.batch.absorb(self.batch)
            self.batch = attempt.batch
        del self._requests[: len(attempt.pages)]

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
            expected = isinstance(error, (sqlite3.Error, LostFileError)) or is_damage(error)
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

    def __init__(self, database: Database, batch: Batch, requests: list[PageRequest], stale: bool, full: bool) -> None:
        self.database = database
        self.batch = batch
        self.rows = batch.rows()
        self.requests = requests
        self.stale = stale
        self.written = False
        self.freed: list[int] = []
        self.pages: list[list[QueuedMessage]] = []
        self.error: Exception | None = None
        # Whether the disk has room for nothing but what makes room; whether the file can become smaller still.
        self.full = full
        self.shrinking = False

    def run(self) -> None:
        try:
            if self.stale:
                self.database.revive()
            self.database.look_at_files()
            try:
                self.freed = self.batch.write(self.database.connection)
            except sqlite3.Error as error:
                if code_of(error) != sqlite3.SQLITE_FULL or not self.database.make_room():
                    raise
                self.full = True
                self.freed = self.batch.write(self.database.connection)
            self.database.look_at_files()
            self.written = True
            self._tidy()
            self.pages = read_pages(self.database.connection, self.requests)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the changes are kept and the gateway goes on
            self.error = error

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
        if self.full and database.reserve is not None and database.reserve.take():
            self.full = False


class Writer:
    """The thread that makes attempts, one at a time. Each that is over is in `finished` when its call is made."""

    def __init__(self, wake: Wake) -> None:
        self.wake = wake
        self.finished: deque[Attempt] = deque()
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def attempt(self, attempt: Attempt, finished: Callable[[], None]) -> None:
        """Make an attempt, and `finished` be called in the loop's thread."""
        self._orders.put((attempt, 0.0, finished))

    def pause(self, seconds: float, over: Callable[[], None]) -> None:
        """Have `over` called in the loop's thread after so many seconds, unless something else is ordered before."""
        self._orders.put((None, seconds, over))

    def end(self, seconds: float) -> bool:
        """End the thread, behind what it does now; False when that takes longer."""
        self._orders.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        order = self._orders.get()
        while order is not None:
            attempt, seconds, over = order
            if attempt is not None:
                attempt.run()
                self.finished.append(attempt)
            else:
                try:
                    order = self._orders.get(timeout=seconds)
                except Empty:
                    pass
                else:
                    continue  # What is ordered during a pause takes its place.
            try:
                self.wake(over)
            except RuntimeError:
                return  # The loop has ended without a word.
            order = self._orders.get()


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


def call(action: Callable[[], None]) -> None:
    """A fault in one session must not stop the storage of all the others."""
    try:
        action()
    except Exception:
        log.exception("event=storage-action-failed")


def nothing() -> None:
    """Nobody wants to know."""
