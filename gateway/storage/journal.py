"""Journal: takes changes as they come and brings them to the disk, many with one commit, in a thread of its own."""

import logging
import sqlite3
import sys
import time
from collections.abc import Callable
from functools import partial

from gateway.runtime.histogram import Histogram
from gateway.storage.attempt import PART_SHARE, Attempt, room_for_changes
from gateway.storage.batch import MOST_AT_ONCE, ROW_BYTES, Batch
from gateway.storage.damage import is_damage
from gateway.storage.database import FILE_NAME, Database
from gateway.storage.disk_health import LOOK_SECONDS, REASONS, DiskHealth
from gateway.storage.durability import TOO_SLOW
from gateway.storage.queue_pages import PageRequest, read_pages
from gateway.storage.stored_session import QueuedMessage
from gateway.storage.worker import Wake, Worker
from protocols.message import Message

log = logging.getLogger("leafgate.storage")

# How often it is told that there is no room.
REPORT_SECONDS = 60.0
# How long to wait before what could not be written is tried again: twice as long each time, up to the second.
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 1.0
# How long the writing thread may go on when it is told to end: a disk that hangs must not hold up the end for ever.
STOP_SECONDS = 1.0
# How long one thread computes while the other waits for the lock. Python's own 5 ms would hold up everybody whenever a
# batch is made ready for the disk, and the batch at each of its steps.
SWITCH_SECONDS = 0.0005
# Changes that nobody waits for, places that leave a queue most of all, may wait for others to share their commit.
LEISURE_SECONDS = 0.02
# Messages that are acknowledged at once need never be written: so long a commit waits for that, and how many commits
# do not wait after one that waited in vain.
PATIENCE_SECONDS = 0.0002
IMPATIENT_FOR = 64
# Pages are read between commits. More at a time, and those who wait for a commit would wait for them.
PAGES_AT_ONCE = 32
# What may wait for the disk, about.
MOST_PENDING_BYTES = 64 << 20
# On a full disk so much of the reserve may go to what comes along with what makes room.
FEE_SHARE = 4


class Journal(DiskHealth):
    """Between `start` and `stop` a thread writes. All is called from the loop's thread; nothing but `stop` waits.

    Changes go into `batch`, and `note` is called behind them. While a batch is written the next one collects; what
    could not be written is kept and tried again together with what came since, so a fault loses nothing.
    `changes` counts what was noted.
    """

    def __init__(self, database: Database, max_pending_bytes: int = MOST_PENDING_BYTES) -> None:
        super().__init__(FILE_NAME)
        self.database = database
        self.max_pending_bytes = max_pending_bytes
        self.batch = Batch()
        self.changes = 0
        self.commits = 0
        self.rows = 0
        # About how many bytes those were, and how long each commit took.
        self.written_bytes = 0
        self.commit_seconds = Histogram()
        # Changes that could never be written.
        self.set_apart = 0
        # What may wait for the disk beside `max_pending_bytes`: so much that it has room for it.
        self._room = room_for_changes(database)
        # What has come on the full disk along with what makes room.
        self._fees = 0
        # Messages for which there was no room, and when the log may tell of them again.
        self.refused = 0
        self._silent_until = 0.0
        # Called with messages whose place in a queue went with its session (see Batch.write).
        self.freed: Callable[[list[int]], None] | None = None
        self._writing: Batch | None = None
        self._writing_bytes = 0
        self._requests: list[PageRequest] = []
        # No further attempt is made.
        self._damaged = False
        self._thread: Worker[BatchAttempt] | None = None
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
        self._switch_seconds = 0.0

    @property
    def is_damaged(self) -> bool:
        """Whether nothing can be written before the next start, which sets the database aside."""
        return self._damaged

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
        pending = self._writing_bytes + batch.memory.bytes + ROW_BYTES * len(batch.ended)
        return pending < self.max_pending_bytes and pending < self._room

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0, makes_room: bool = False) -> bool:
        size = places * ROW_BYTES
        copies = (places > 0) + retained
        if copies:
            size += copies * (ROW_BYTES + len(message.subject) + len(message.reply) + message.size)
        pending = self.pending_bytes + before * size
        # One that needs more memory than all there is has its turn when nothing else waits.
        crowded = (pending > 0 and pending + size > self.max_pending_bytes) or pending + size > self._room
        if self.full and makes_room and self._fees + size <= self._most_fees():
            self._fees += size
            message.refused = False
        else:
            message.refused = size > 0 and (self.full or crowded)
        if message.refused:
            self.refused += 1
            self._report_refusal(pending)
        return not message.refused

    def shortage(self) -> str:
        return TOO_SLOW if self._room >= self.max_pending_bytes else REASONS[sqlite3.SQLITE_FULL]

    def _most_fees(self) -> int:
        reserve = self.database.reserve
        return reserve.bytes // FEE_SHARE if reserve is not None else 0

    def _report_refusal(self, pending: int) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + REPORT_SECONDS
            reason = self.obstacle() or self.shortage()
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
        self._thread = Worker(wake, "journal")
        if not self.batch.is_empty() or self.batch.actions or self._requests or self._is_short:
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
        """Let the writing thread have the interpreter's lock at short intervals (Worker)."""
        if self._thread is not None:
            self._thread.give_way()

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
            if self._is_short:
                thread.pause(LOOK_SECONDS, self._look)
        elif not (batch.actions or self._requests or self._attempted):
            self._at_leisure = True
            thread.pause(LEISURE_SECONDS, self._write)
        elif self._impatient or self._requests or not batch.queue.added:
            self._impatient = max(self._impatient - 1, 0)
            self._write()
        else:
            self._rows_before = batch.rows()
            thread.pause(PATIENCE_SECONDS, self._write_rest)

    @property
    def _is_short(self) -> bool:
        """Whether messages may be refused for want of room on the disk."""
        return self.full or self._room < self.max_pending_bytes

    def _look(self) -> None:
        """See whether there is room by now, with a commit of nothing."""
        if self.batch.is_empty() and not self._awake:
            self._write()

    def _complete(self, batch: Batch) -> None:
        """Nothing is left to write of a batch."""
        if batch.actions:
            # What an action changes waits for another commit than what was promised here.
            self.batch = Batch()
            for action, _ in batch.actions:
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
        attempt = BatchAttempt(self.database, self.stale, self.full, batch, requests)
        thread.do(attempt, partial(self._finish, thread))

    def _finish(self, thread: "Worker[BatchAttempt]") -> None:
        """An attempt is over: tell who waited for it, and begin the next one."""
        if thread is not self._thread:
            return
        attempt = thread.finished.popleft()
        thread.rest()
        size = self._writing_bytes
        self._settle(attempt)
        self.judge(attempt.error)
        self._room = attempt.room
        if attempt.written:
            self.note_full(attempt.full)
            self._fees = self._fees if self.full else 0
            rows = attempt.rows
            self.commits += rows > 0
            self.rows += rows
            if rows:
                self.written_bytes += size
                self.commit_seconds.observe(attempt.seconds)
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

    def _tell_set_apart(self, unwritable: list[str]) -> None:
        self.set_apart += len(unwritable)
        for what in unwritable:
            log.error("event=change-set-apart what=%r reason=%r", what, "it can never be written")

    def _tell_attempted(self) -> None:
        if self.fault is not None or self.batch.is_empty():
            attempted, self._attempted = self._attempted, []
            for action in attempted:
                call(action)

    def _settle(self, attempt: "BatchAttempt") -> None:
        """Keep what was not done for the next attempt."""
        self._writing, self._writing_bytes = None, 0
        if not attempt.written:
            attempt.batch.absorb(self.batch)
            self.batch = attempt.batch
        del self._requests[: len(attempt.pages)]


class BatchAttempt(Attempt):
    """An attempt to write a batch and to read pages. `freed` are the messages that ended sessions had queued."""

    def __init__(self, database: Database, stale: bool, full: bool, batch: Batch, requests: list[PageRequest]) -> None:
        super().__init__(database, stale, full)
        self.batch = batch
        self.rows = batch.rows()
        self.requests = requests
        self.freed: list[int] = []
        self.pages: list[list[QueuedMessage]] = []

    def write(self, connection: sqlite3.Connection) -> None:
        reserve = self.database.reserve
        most = min(reserve.bytes // PART_SHARE, MOST_AT_ONCE) if self.full and reserve is not None else 0
        self.freed = self.batch.write(connection, most)

    def write_removals(self, connection: sqlite3.Connection) -> None:
        self.batch.write_removals(connection)

    def read(self, connection: sqlite3.Connection) -> None:
        self.pages = read_pages(connection, self.requests)


def call(action: Callable[[], None]) -> None:
    """A fault in one session must not stop the storage of all the others."""
    try:
        action()
    except Exception:
        log.exception("event=storage-action-failed")


def nothing() -> None:
    """Nobody wants to know."""
