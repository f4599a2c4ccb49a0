"""StoredStream: the part of a stream that commits deal with: what it has, what is on its way, how that is written."""

import secrets
from bisect import bisect_right
from collections.abc import Callable
from typing import Protocol

from gateway.storage.streams import chunk as chunks
from gateway.storage.streams.appending import Appending
from gateway.storage.streams.changes import Changes, Drop
from gateway.storage.streams.chunk import key_of, stored_chunk
from gateway.storage.streams.commits import Commits, call
from gateway.storage.streams.contents import Contents
from gateway.storage.streams.cursor import Cursor
from gateway.storage.streams.deletions import Deletions
from gateway.storage.streams.departed_ids import DepartedIds
from gateway.storage.streams.folding import FOLDED_AT_ONCE, Fold
from gateway.storage.streams.incoming import Incoming
from gateway.storage.streams.keepsakes import Keepsake, Keepsakes
from gateway.storage.streams.limits import Limits, encode_limits
from gateway.storage.streams.looking_up import LookUp
from gateway.storage.streams.reading import Reading
from gateway.storage.streams.row_seal import sealed
from gateway.storage.streams.subject_states import SubjectStates
from gateway.storage.streams.summaries import FORGET, SUMMARISED_AT_ONCE, Summarising
from gateway.storage.streams.tail import Tail

WRITE_STREAM = "INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
WRITE_CURSOR = "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?, ?, ?)"
WRITE_EPOCH = "INSERT OR REPLACE INTO epoch VALUES (?, ?, ?)"
REMOVE_CURSOR = "DELETE FROM cursor WHERE stream = ? AND name = ?"
REMOVE_CHUNK = "DELETE FROM chunk WHERE key = ?"
REMOVE_GONE = "DELETE FROM gone WHERE key = ?"
REMOVE_EPOCHS = "DELETE FROM epoch WHERE stream = ? AND first < ?"
# What SQLite holds as a positive number.
EPOCH_BITS = 63
# What may be gone from the middle, in bytes, before chunks are written anew without it.
MOST_WASTED = 1 << 20
# So many chunks of which every message was deleted by itself are dropped together, where none of them is in the way.
HOLLOW_AT_ONCE = 16
# So many times as many chunks as are folded at once are looked at behind a commit.
MOST_LOOKS = 16


class Surroundings(Protocol):
    """What a stream is told by its store."""

    commits: Commits
    reading: Reading

    def wall_ns(self) -> int:
        """Nanoseconds of unix time, as good as is known."""

    def age(self) -> float:
        """Seconds that only go forward, over all runs of the gateway."""

    def tail_bytes(self) -> int:
        """How much of its newest messages a stream may keep in memory."""

    def report_damage(self, stream: "StoredStream", chunk: int, messages: int) -> None:
        """A chunk cannot be read, and so many messages are lost with it."""


class StoredStream(Appending):
    """Stream tells what its users see of it."""

    def __init__(
        self,
        store: Surroundings,
        identifier: int,
        account: str,
        name: str,
        limits: Limits,
        note: str = "",
    ) -> None:
        subjects = SubjectStates(limits.is_exact) if limits.knows_subjects else None
        self._room = chunks.room_of(limits.is_exact)
        incoming = Incoming(identifier, store.age, self._room)
        super().__init__(store.commits.backlog, Contents(1), incoming, subjects, store.wall_ns)
        self.commits = store.commits
        self.id = identifier
        self.account = account
        self.name = name
        self.limits = limits
        self.note = note
        self.committed = 0
        self.lost = 0
        self.cursors: dict[str, Cursor] = {}
        self.keepsakes = Keepsakes(identifier)
        self.departed = DepartedIds(identifier)
        self.deletions = Deletions(identifier, self.contents)
        self.listeners: list[Callable[[], None]] = []
        self.tail = Tail()
        self.look_up = LookUp(identifier, self, self.contents, self.tail, store.reading.lately)
        self.store = store
        # From which sequence on which epoch holds, and whether that is written.
        self._epochs: list[tuple[int, int]] = []
        self._epochs_changed = False
        # The chunks that are to be folded with the next commit; up to where they were looked at for that, and folded.
        self._fold: Fold | None = None
        self._looked_at = 0
        self._folded_to = 0
        # The chunks of which a summary is to be written with the next commit, and up to where there are summaries;
        # chunks that turned out to be damaged.
        self._summarising: Summarising | None = None
        self._summarised_to = 0
        self._unreadable: list[int] = []
        # Whether it is loaded still, and nothing may be noted in the store; whether there is something to be noted.
        self._stands_apart = self._has_news = False
        self._changed_cursors: dict[str, Cursor] = {}
        self._removed_cursors: set[str] = set()

    @property
    def first(self) -> int:
        return self.contents.first

    @property
    def size(self) -> int:
        return self.contents.size + self.incoming.size

    @property
    def messages(self) -> int:
        return self.contents.messages + self.incoming.messages

    # Cursors.

    def cursor(self, name: str, floor: int | None = None) -> Cursor:
        """The cursor of that name; a new one begins behind `floor`, or with what is there."""
        found = self.cursors.get(name)
        if found is None:
            found = Cursor(name, self.first - 1 if floor is None else floor, self._cursor_changed)
            self.cursors[name] = found
            self._cursor_changed(found)
        return found

    def remove_cursor(self, name: str) -> None:
        cursor = self.cursors.pop(name, None)
        if cursor is not None:
            cursor.closed = True
            self._changed_cursors.pop(name, None)
            self._removed_cursors.add(name)
            self.touch(False)

    def load_cursor(self, name: str, floor: int, runs: bytes, note: str) -> None:
        """A cursor as it is on the disk. Raises DamagedError, and then there is none."""
        cursor = Cursor(name, min(floor, self.last), self._cursor_changed, note)
        cursor.load_runs(runs)
        self.cursors[name] = cursor

    def _cursor_changed(self, cursor: Cursor) -> None:
        if not cursor.closed:
            self._changed_cursors[cursor.name] = cursor
            self.touch(False)

    def drop_acknowledged(self) -> None:
        if not self.limits.keep_acknowledged and self.cursors:
            floor = min(cursor.floor for cursor in self.cursors.values())
            if floor >= self.first:
                self.move_first(min(floor, self.committed) + 1)

    # Ids.

    def epoch_of(self, sequence: int) -> int:
        """A random number: each run of the gateway that appends to the stream begins an epoch. Stream sequences are
        used again where a backup is brought back or a disk has lost something; epoch and sequence together never are.
        """
        at = bisect_right(self._epochs, sequence, key=epoch_begin) - 1
        return self._epochs[max(at, 0)][1] if self._epochs else 0

    def message_id(self, sequence: int) -> bytes:
        """An id that is unique for ever, of letters, digits and `-`."""
        return b"%x-%d" % (self.epoch_of(sequence), sequence)

    def load_epochs(self, epochs: list[tuple[int, int]]) -> None:
        """Epochs as they are on the disk."""
        self._epochs = epochs

    def begin_epoch(self, sequence: int) -> None:
        self.has_epoch = True
        self._epochs.append((sequence, secrets.randbits(EPOCH_BITS)))
        self._epochs_changed = True

    # What goes.

    def close(self) -> None:
        """The stream is removed: it takes and gives nothing any more."""
        self.closed = True
        self.ease = 0
        self.commits.forget(self)
        self.move_first(self.last + 1)
        self.tail.clear()
        self.store.reading.lately.forget(self.id)

    def lose(self, chunk: int) -> None:
        """A chunk turned out to be damaged: it is not there any more."""
        lost = self.contents.lose(chunk)
        if lost:
            self._unreadable.append(chunk)
            self.touch(False)
            self.report_lost(chunk, lost)

    def report_lost(self, chunk: int, messages: int) -> None:
        """So many messages cannot be read any more."""
        self.lost += messages
        self.store.report_damage(self, chunk, messages)

    def move_first(self, first: int) -> int:
        """Everything in front of a sequence is gone; returns how many messages that were."""
        if first <= self.first:
            return 0
        gone = self.contents.move_first(first)
        while 0 < (oldest := self.incoming.oldest()) < first:
            message = self.incoming.get(oldest)
            self.incoming.delete(oldest, message.size)
            if self.subjects is not None and not self.incoming.is_being_written(oldest):
                self.subjects.remove(message.subject, oldest)
            gone += 1
        while len(self._epochs) > 1 and self._epochs[1][0] <= self.first:
            del self._epochs[0]
            self._epochs_changed = True
        self.row_changed = True
        self.touch(False)
        return gone

    def stand_apart(self) -> None:
        """Note nothing in the store before `settle_in`: another thread loads the stream."""
        self._stands_apart = True

    def settle_in(self) -> None:
        """Be one of the store's."""
        self._stands_apart = False
        if self._has_news:
            self._has_news = False
            self.touch(False)

    # Commits.

    def collect(self, changes: Changes) -> None:
        self.noted = False
        self.drop_acknowledged()
        rows = self.incoming.take(self.last)
        changes.rows += rows
        # Where messages come, each commit would drop one or two. Until then what is gone from them is on the disk, and
        # not that the stream begins behind them.
        if self.contents.hollow >= (HOLLOW_AT_ONCE if rows else 1):
            self.contents.passed = self.row_changed = True
        if not rows and self.incoming.writing_size:
            self.row_changed = True  # No chunk has the last number.
        self._collect_rows(changes)

    def settle(self, changes: Changes) -> None:
        incoming = self.incoming
        self.backlog.bytes -= incoming.writing_size
        rows, deleted = incoming.settle()
        self.committed = max(self.committed, incoming.writing_last)
        if self._fold in changes.folds:
            folded = next((one for one in changes.folded if one.fold is self._fold), None)
            self._fold = None
            self.contents.end_fold(folded)
            if folded is not None:
                self._summarised_to = min(self._summarised_to, folded.fold.first - 1)
            for chunk in folded.damaged if folded is not None else ():
                self.lose(chunk)
        for row in rows:
            self.contents.add(row)
        for sequence, deleted_size in deleted:
            self.contents.delete(sequence, deleted_size)
        if rows:
            passed = self.tail.add(rows, self.store.tail_bytes())
            if self.limits.is_exact:  # Of what was written last most is read.
                for row in passed:
                    self.store.reading.lately.add(stored_chunk(row))
        for dropped in changes.dropped:
            if dropped.drop.stream == self.id:
                self.contents.passed = self.contents.passed or dropped.more
                if self.subjects is not None:
                    for subject, count in dropped.subjects.items():
                        self.subjects.forget(subject, count, self.first)
        self._plan_fold()
        self._plan_summary()
        if self._has_changed():
            self.touch(False)
        if rows:
            for listener in [*self.listeners]:
                call(listener)

    def _collect_rows(self, changes: Changes) -> None:
        contents = self.contents
        if self.row_changed:
            limits = encode_limits(self.limits)
            row = (self.id, self.account, self.name, self.first, self.last, self.last_ns, limits, self.note)
            changes.change(WRITE_STREAM, sealed(*row))
            self.keepsakes.keep(changes, Keepsake(self.account, self.name, limits, self.note))
            self.row_changed = False
        if self._epochs_changed:
            changes.change(WRITE_EPOCH, (self.id, *self._epochs[-1]))
            changes.change(REMOVE_EPOCHS, (self.id, self._epochs[0][0]))
            self._epochs_changed = False
        self.deletions.collect(changes)
        for chunk in contents.emptied:
            if contents.directory.begins_with(chunk):
                continue  # One was folded that begins there.
            changes.change(REMOVE_CHUNK, (key_of(self.id, chunk),))
            self._forget_summary(changes, chunk)
            changes.change(REMOVE_GONE, (key_of(self.id, chunk),))
        contents.emptied.clear()
        for chunk in self._unreadable:
            self._forget_summary(changes, chunk)
        self._unreadable.clear()
        for name in self._removed_cursors:
            changes.change(REMOVE_CURSOR, (self.id, name))
            self.keepsakes.remove(changes, name)
        self._removed_cursors.clear()
        for cursor in self._changed_cursors.values():
            note = cursor.stored_note()
            changes.change(WRITE_CURSOR, sealed(self.id, cursor.name, cursor.floor, cursor.runs_bytes(), note))
            if cursor.keepsake:
                self.keepsakes.keep(changes, Keepsake("", "", "", cursor.keepsake), cursor.name)
        self._changed_cursors.clear()
        self.departed.collect(changes)
        if self._fold is not None:
            contents.hand_over_fold(self._fold)
            changes.folds.append(self._fold)
        elif self._summarising is not None:
            changes.summarising.append(self._summarising)
            self._summarising = None
        if contents.passed:
            changes.drops.append(Drop(self.id, min(self.first, self.committed + 1), self.subjects is not None))
            contents.passed = False
            contents.hollow = 0

    def _has_changed(self) -> bool:
        contents = self.contents
        planned = self._fold or self._summarising or self._unreadable or self.deletions.has_more
        passed = contents.passed or contents.hollow >= HOLLOW_AT_ONCE
        return bool(planned or self.row_changed or passed or contents.holes.changed or contents.emptied)

    def _plan_fold(self) -> None:
        """See whether chunks that came since the last look are small, or more than half of all is gone."""
        directory, holes = self.contents.directory, self.contents.holes
        for _ in range(MOST_LOOKS):
            if self._fold is not None:
                return
            begin = directory.find(self._looked_at + 1)
            if begin + FOLDED_AT_ONCE > len(directory):
                if holes.size > directory.size and holes.size > MOST_WASTED:
                    self._looked_at = self.first - 1  # From the begin once more.
                return
            self._look_at(begin)

    def _look_at(self, begin: int) -> None:
        """See whether the chunks from a number on are to be folded."""
        directory, holes, room = self.contents.directory, self.contents.holes, self._room
        entries = [directory.entry(begin + number) for number in range(FOLDED_AT_ONCE)]
        self._looked_at = entries[-1].last
        wasted = sum([holes.size_of(entry.first) for entry in entries])
        live, size = sum(entry.live for entry in entries), sum(entry.size for entry in entries)
        small = live * 2 <= FOLDED_AT_ONCE * room.messages and size * 2 <= FOLDED_AT_ONCE * room.size
        if not small or (entries[0].first < self._folded_to and wasted < size):
            return
        # A chunk ages as a whole.
        if self.limits.max_age and entries[-1].aged - entries[0].aged > self.limits.max_age * 1000 / FOLDED_AT_ONCE:
            return
        self._folded_to = max(self._folded_to, self._looked_at + 1)
        self._fold = self.contents.begin_fold(self.id, begin, begin + FOLDED_AT_ONCE, room)

    def _plan_summary(self) -> None:
        """See whether there are enough chunks without a summary that will not be folded any more."""
        directory = self.contents.directory
        begin = directory.find(self._summarised_to + 1)
        end = begin + SUMMARISED_AT_ONCE
        if self.limits.is_exact or self.commits.database.path is None or end > len(directory):
            return
        if self._fold is None and self._summarising is None and directory.entry(end - 1).last <= self._looked_at:
            first, last = directory.first(begin), directory.entry(end - 1)
            self._summarised_to = last.last
            self._summarising = Summarising(self.id, first, last.first, self.subjects is not None)

    def _forget_summary(self, changes: Changes, chunk: int) -> None:
        key = key_of(self.id, chunk)
        changes.change(FORGET, (key_of(self.id, 0), key, key))

    def summarised(self, last: int) -> None:
        """There is a summary of what comes up to a sequence."""
        self._summarised_to = max(self._summarised_to, last)

    def touch(self, urgent: bool) -> None:
        if self._stands_apart:
            self._has_news = True
            return
        self.noted = self.noted or urgent
        if not self.closed:
            self.commits.note(self, urgent)


def epoch_begin(epoch: tuple[int, int]) -> int:
    return epoch[0]
