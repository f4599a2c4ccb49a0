"""Commits: brings what changes in the streams to the disk, all of it with one commit, in a thread of its own."""

import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from gateway.storage.attempt import room_for_changes
from gateway.storage.damage import is_damage
from gateway.storage.database import Database
from gateway.storage.disk_health import LOOK_SECONDS, DiskHealth
from gateway.storage.streams.backlog import Backlog
from gateway.storage.streams.changes import Changes
from gateway.storage.streams.limits import NO_LIMIT, Refusal, RefusedError
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.worker import Wake, Worker

log = logging.getLogger("leafgate.storage")

# How long to wait before what could not be written is tried again: twice as long each time, up to the second.
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 1.0
STOP_SECONDS = 1.0
# Changes that nobody waits for, cursors that move most of all, may wait for others to share their commit.
LEISURE_SECONDS = 0.02
# How often it is measured how much of the disk is used, and how often it is told that something was refused.
MEASURE_SECONDS = 1.0
REPORT_SECONDS = 60.0
MOST_PENDING_BYTES = 32 << 20
# How long one thread computes while the other waits for the interpreter's lock (Journal).
SWITCH_SECONDS = 0.0005

Action = Callable[[], None]


class Source(Protocol):
    """Who has something to write."""

    def collect(self, changes: Changes) -> None:
        """Put what has changed since the last time into `changes`."""

    def settle(self, changes: Changes) -> None:
        """What was collected is on the disk."""


class Commits(DiskHealth):
    """Between `start` and `stop` a thread writes. All is called from the loop's thread; nothing but `stop` waits.

    What is noted while a commit is under way goes with the next one, in one transaction. What could not be written is
    kept and tried again, in front of what came since, so a fault loses nothing and changes no order. `interval` is the
    time in seconds that is between two commits at least: for a disk that every commit wears out.

    `max_pending_bytes` bounds what waits for the disk, `max_bytes` what the database takes on it.
    """

    def __init__(
        self,
        database: Database,
        interval: float = 0.0,
        max_pending_bytes: int = MOST_PENDING_BYTES,
        max_bytes: int = NO_LIMIT,
    ) -> None:
        super().__init__(FILE_NAME)
        self.database = database
        # Held while the database is written to.
        self.lock = threading.Lock()
        self.interval = interval
        self.max_pending_bytes = max_pending_bytes
        self.max_bytes = max_bytes
        self.backlog = Backlog()
        # Bytes that the database has on the disk.
        self.used_bytes = 0
        # What may wait so that the disk has room for it.
        self._disk_room = room_for_changes(database)
        self.commits = 0
        self.commit_seconds = 0.0
        self.stored_bytes = 0
        self.refused = 0
        self._silent_until = 0.0
        self._measured_at = -MEASURE_SECONDS
        # Whether something was written since.
        self._unmeasured = False
        # Those who have something to write, and those who wait for it.
        self._noted: dict[Source, None] = {}
        self._actions: list[tuple[Action, Action | None]] = []
        self._attempted: list[Action] = []
        # What is being written, of whom, and who waits for that.
        self._writing: Changes | None = None
        self._sources: list[Source] = []
        self._writing_actions: list[tuple[Action, Action | None]] = []
        self._damaged = False
        self._urgent = False
        self._awake = False
        self._at_leisure = False
        self._begun_at = -math.inf
        self._pause = FIRST_RETRY_SECONDS
        self._thread: Worker[Changes] | None = None
        self._after: Action = nothing
        self._soon: Wake = call_nothing
        self._switch_seconds = 0.0
        self._measure_room()

    @property
    def pending_bytes(self) -> int:
        return self.backlog.bytes

    def set_interval(self, seconds: float) -> None:
        """Let so many seconds be between two commits from now on; a wait that has begun is a new one."""
        if seconds != self.interval:
            self.interval = seconds
            self._rouse()

    # What those who answer peers ask (Durability).

    def mark(self) -> int:
        return self.backlog.changes

    def awaited(self) -> object | None:
        if self._noted or self._actions:
            return self._actions
        return self._writing

    def when_durable(self, action: Action, refused: Action | None = None) -> None:
        if self._noted or self._actions:
            self._actions.append((action, refused))
            self._hurry()
        elif self._writing is not None:
            self._writing_actions.append((action, refused))
        else:
            action()

    def has_room(self) -> bool:
        return not self.full and self.backlog.bytes < min(self.max_pending_bytes, self._disk_room)

    def refusal(self, size: int) -> Refusal | None:
        """Why a message of that size cannot be taken now."""
        if self.fault is not None:
            return Refusal.FAULT
        if self.full:
            return Refusal.FULL
        if self.backlog.bytes + size > self._disk_room:
            return Refusal.FULL
        # One that is larger than all there is has its turn when nothing else waits.
        if self.backlog.bytes and self.backlog.bytes + size > self.max_pending_bytes:
            return Refusal.TOO_SLOW
        if self.used_bytes + self.backlog.bytes + size > self.max_bytes:
            return Refusal.QUOTA
        return None

    def check(self, size: int) -> None:
        """Raises RefusedError where a message of that size cannot be taken now."""
        refusal = self.refusal(size)
        if refusal is not None:
            self.refused += 1
            now = time.monotonic()
            if now >= self._silent_until:
                self._silent_until = now + REPORT_SECONDS
                log.warning(
                    "event=not-stored file=%s reason=%r pending_bytes=%d total=%d",
                    FILE_NAME,
                    refusal.value,
                    self.backlog.bytes,
                    self.refused,
                )
            raise RefusedError(refusal)

    # What streams tell.

    def note(self, source: Source, urgent: bool) -> None:
        """A source has something to write; `urgent`: somebody will wait for it."""
        self.backlog.changes += 1
        if not self._noted:
            self.backlog.turn += 1
        self._noted[source] = None
        if urgent and not self._urgent:
            self._urgent = True
            self._hurry()
        elif not self._awake:
            self._rouse()

    def forget(self, source: Source) -> None:
        """A source has nothing to write any more."""
        self._noted.pop(source, None)

    def when_attempted(self, action: Action) -> None:
        """Call `action` once everything noted so far is on the disk, or a further attempt to write it has failed."""
        if self._writing is None and (not self._noted or self._damaged):
            action()
        else:
            self._attempted.append(action)
            self._rouse()  # It ends every pause.

    # The thread.

    def start(self, wake: Wake, after: Action, soon: Wake | None = None) -> None:
        """Write what is noted from now on. `wake` has a call made in the loop's thread soon and may be called by any
        thread, `soon` by that one alone; `after` is called behind each round of actions.
        """
        self._after = after
        self._soon = soon or wake
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_seconds, SWITCH_SECONDS))
        self._thread = Worker(wake, "streams")
        self._thread.when_idle(LOOK_SECONDS, self._look)
        if self._noted or self._actions or self._attempted or self._must_look:
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
            changes = thread.finished.popleft()
            if changes.written:
                self._settle(changes)
        return ended

    def give_way(self) -> None:
        """Let the writing thread have the interpreter's lock at short intervals (Worker)."""
        if self._thread is not None:
            self._thread.give_way()

    def _rouse(self) -> None:
        if self._thread is not None:
            self._awake = True
            self._soon(self._begin)

    def _hurry(self) -> None:
        """Somebody waits."""
        if self._at_leisure or not self._awake:
            self._at_leisure = False
            self._rouse()

    def _begin(self, behind_attempt: bool = False) -> None:
        """See what is to be written, and when. Behind an attempt the thread sees itself when it is time to look."""
        thread = self._thread
        if thread is None or self._writing is not None:
            return
        if not self._noted:
            self._awake = False
            self._complete()
            if self._must_look and not behind_attempt:
                thread.pause(LOOK_SECONDS, self._look)
            return
        waits = 0.0 if self._actions or self._urgent or self._attempted else LEISURE_SECONDS
        if self.interval and not self._attempted and self.backlog.bytes < self.max_pending_bytes // 2:
            waits = max(waits, self._begun_at + self.interval - time.monotonic())
        if waits > 0.0:
            self._at_leisure = not self.interval
            thread.pause(waits, self._write)
        else:
            self._write()

    @property
    def _must_look(self) -> bool:
        """Whether messages may be refused because of what is not so any more."""
        return self.full or self._disk_room < self.max_pending_bytes or self._unmeasured

    def _look(self) -> None:
        """See whether there is room by now, with a commit of nothing."""
        if self._must_look and not self._awake:
            self._write()

    def _write(self) -> None:
        """Collect what is to be written, and hand it to the thread."""
        if self._thread is None or self._writing is not None:
            return
        self._at_leisure = self._urgent = False
        changes = Changes(self.database, self.lock)
        self._sources = list(self._noted)
        self._noted.clear()
        self.backlog.turn += 1
        self._writing_actions, self._actions = self._actions, []
        for source in self._sources:
            source.collect(changes)
        self._writing = changes
        if self._sources:
            self._begun_at = time.monotonic()
        self._attempt(changes)

    def _attempt(self, changes: Changes) -> None:
        thread = self._thread
        if thread is None:
            return
        now = time.monotonic()
        changes.measure = now >= self._measured_at + MEASURE_SECONDS
        changes.stale, changes.full, changes.error = self.stale, self.full, None
        thread.do(changes, partial(self._finish, thread))

    def _finish(self, thread: "Worker[Changes]") -> None:
        """An attempt is over: tell who waited for it, and begin the next one."""
        if thread is not self._thread:
            return
        changes = thread.finished.popleft()
        thread.rest()
        self.judge(changes.error)
        self._disk_room = changes.room
        self._measure_room()
        if not changes.written:
            self._tell_attempted()
            self._after()
            if is_damage(changes.error):
                self._damaged = True
                self.database.suspect()
            else:
                thread.pause(self._pause, partial(self._attempt, changes))
                self._pause = min(self._pause * 2, LONGEST_RETRY_SECONDS)
            return
        self._pause = FIRST_RETRY_SECONDS
        self.note_full(changes.full)
        actions = self._settle(changes)
        self._measure_room()
        for action, _ in actions:
            call(action)
        if not self._noted:
            self._tell_attempted()
        self._after()
        self._begin(True)

    def _measure_room(self) -> None:
        free = max(self.max_bytes - self.used_bytes, 0)
        room = min(self.max_pending_bytes, self._disk_room, free)
        self.backlog.room = 0 if self.fault is not None or self.full else room

    def _settle(self, changes: Changes) -> list[tuple[Action, Action | None]]:
        """Everything is on the disk: returns who waited for it."""
        self._writing = None
        sources, self._sources = self._sources, []
        actions, self._writing_actions = self._writing_actions, []
        if not changes.is_empty():
            self.commits += 1
            self._unmeasured = True
        self.commit_seconds += changes.seconds
        self.stored_bytes += changes.stored
        self.used_bytes += changes.stored
        if changes.used_bytes is not None:
            self._measured_at = time.monotonic()
            self._unmeasured = False
            self.used_bytes = changes.used_bytes
        for source in sources:
            source.settle(changes)
        return actions

    def _complete(self) -> None:
        """Nothing is left to write."""
        actions, self._actions = self._actions, []
        for action, _ in actions:
            call(action)
        self._tell_attempted()
        if actions:
            self._after()

    def _tell_attempted(self) -> None:
        attempted, self._attempted = self._attempted, []
        for action in attempted:
            call(action)


def call(action: Action) -> None:
    """A fault of one who waits must not stop the storage of all the others."""
    try:
        action()
    except Exception:
        log.exception("event=storage-action-failed")


def nothing() -> None:
    """Nobody wants to know."""


def call_nothing(action: Action) -> None:
    """There is no loop yet."""
