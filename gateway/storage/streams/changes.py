"""Changes: what one commit brings to the disk, of all streams."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from gateway.storage.attempt import Attempt
from gateway.storage.damage import DamagedError
from gateway.storage.database import Database
from gateway.storage.streams.chunk import LAST_SEQUENCE, ChunkRow, StoredChunk, decode, first_of, key_of
from gateway.storage.streams.folding import Fold, Folded, fold_chunks
from gateway.storage.streams.summaries import Summarising, forget_summaries, write_summary

# So many rows of chunks are inserted by one statement: each statement is a step for which the interpreter's lock is let
# go and taken again, and that costs much beside a busy loop.
ROWS_AT_ONCE = 64
# What one commit removes of what has been dropped; the next ones go on.
DROPPED_AT_ONCE = 64

INSERT = "INSERT OR REPLACE INTO chunk VALUES "
ONE_ROW = f"({', '.join('?' * len(ChunkRow._fields))})"
OLD = "SELECT key, last FROM chunk WHERE key BETWEEN ? AND ? AND last < ? ORDER BY key LIMIT ?"
CONTENT = "SELECT key, last, messages, crc, offsets, body FROM chunk WHERE key = ?"
BITS = "SELECT key, bits FROM gone WHERE key BETWEEN ? AND ?"

StreamRow: TypeAlias = tuple[int, str, str | None, int, int, int, str, str]


class Drop(NamedTuple):
    """The chunks of a stream in front of a sequence are to go; `subjects`: it is to be told what was in them."""

    stream: int
    first: int
    subjects: bool


class Dropped(NamedTuple):
    """`more` is to be dropped still. `subjects` counts what there was of each."""

    drop: Drop
    more: bool
    subjects: Counter[bytes]


class Changes(Attempt):
    """Filled while changes are collected; then it is for the writing thread. `rows` are new chunks.

    What that finds: `dropped` and `folded` are what became of the `drops` and, unless the disk is full, of the `folds`;
    `seconds` is what writing took, `stored` the size of the rows in bytes, and `used_bytes`, where it is to `measure`
    that, what the database takes.
    """

    def __init__(self, database: Database, lock: threading.Lock) -> None:
        super().__init__(database, False, False)
        self._lock = lock
        self.rows: list[ChunkRow] = []
        self.statements: list[tuple[str, Sequence[Any]]] = []
        self.drops: list[Drop] = []
        self.folds: list[Fold] = []
        self.summarising: list[Summarising] = []
        self.dropped: list[Dropped] = []
        self.folded: list[Folded] = []
        self.seconds = 0.0
        self.stored = 0
        self.used_bytes: int | None = None
        self.measure = False

    def is_empty(self) -> bool:
        return not (self.rows or self.statements or self.drops or self.folds or self.summarising)

    def change(self, statement: str, values: Sequence[Any]) -> None:
        """Have a statement executed with the commit: one that does no harm when it is executed twice."""
        self.statements.append((statement, values))

    def write(self, connection: sqlite3.Connection) -> None:
        rows = self.rows
        self.stored = sum([len(row.body) + len(row.offsets) for row in rows])
        started = time.monotonic()
        with self._lock:
            if self.statements or self.drops or self.folds or self.summarising or len(rows) > ROWS_AT_ONCE:
                self._write_transaction(connection, rows)
            elif rows:
                insert(connection, rows)  # A transaction of its own: one step.
            self.seconds = time.monotonic() - started
            if self.measure:
                self.used_bytes = used(connection)

    def read(self, connection: sqlite3.Connection) -> None:
        """Those who read have a connection of their own."""

    def _write_transaction(self, connection: sqlite3.Connection, rows: list[ChunkRow]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for begin in range(0, len(rows), ROWS_AT_ONCE):
                insert(connection, rows[begin : begin + ROWS_AT_ONCE])
            for statement, values in self.statements:
                connection.execute(statement, values)
            # Folding needs room before it gives any back.
            self.folded = [] if self.full else [fold_chunks(connection, one) for one in self.folds]
            if not self.full:
                for summarising in self.summarising:
                    write_summary(connection, summarising)
            self.dropped = [drop_chunks(connection, one) for one in self.drops]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def insert(connection: sqlite3.Connection, rows: list[ChunkRow]) -> None:
    values: list[Any] = []
    for row in rows:
        values += row
    connection.execute(INSERT + ", ".join([ONE_ROW] * len(rows)), values)


def drop_chunks(connection: sqlite3.Connection, drop: Drop) -> Dropped:
    """Remove some of the chunks that lie in front of a sequence."""
    low, high = key_of(drop.stream, 0), key_of(drop.stream, min(drop.first, LAST_SEQUENCE))
    old: list[tuple[int, int]] = connection.execute(OLD, (low, high, drop.first, DROPPED_AT_ONCE)).fetchall()
    if not old:
        return Dropped(drop, False, Counter())
    span = old[0][0], old[-1][0]
    subjects = subjects_in(connection, old) if drop.subjects else Counter()
    connection.execute("DELETE FROM chunk WHERE key BETWEEN ? AND ?", span)
    forget_summaries(connection, *span)
    connection.execute("DELETE FROM gone WHERE key BETWEEN ? AND ?", span)
    return Dropped(drop, len(old) == DROPPED_AT_ONCE, subjects)


def subjects_in(connection: sqlite3.Connection, chunks: list[tuple[int, int]]) -> Counter[bytes]:
    """How many messages of each subject some chunks hold, without those that are gone already; of each chunk the key
    and the last sequence.
    """
    found: Counter[bytes] = Counter()
    span = chunks[0][0], chunks[-1][0]
    gone = {key: int.from_bytes(bits, "little") for key, bits in connection.execute(BITS, span)}
    for key, last in chunks:
        bits = gone.get(key, 0)
        begin = first_of(key)
        if bits.bit_count() > last - begin:
            continue  # All of it is gone, and nothing is to be read.
        try:
            messages = decode(StoredChunk(*connection.execute(CONTENT, (key,)).fetchone()))
        except DamagedError:
            continue  # It was never counted, or is not any more.
        found.update(message.subject for message in messages if not bits >> (message.sequence - begin) & 1)
    return found


def used(connection: sqlite3.Connection) -> int:
    """How many bytes of its file a database uses."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    used_bytes: int = (pages - free) * size
    return used_bytes
