"""Batch: the changes that go to the disk with one commit, and the one statement that writes them.

The interpreter's lock is released and taken again at every step of a statement, and beside a busy thread each taking
costs up to 5 ms. So a batch is one row that is inserted into a temporary view; the view's trigger takes the tables'
changes out of it. A statement outside a transaction is a transaction of its own: that one step is also the commit.
Where a table gets very many rows, a step for a hundred of them costs little, and less than to take them apart in SQL.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, TypeAlias

import msgspec

from gateway.storage.damage import reading
from gateway.storage.schema import OF_SESSION, SESSION, TABLES, Table

Key: TypeAlias = Any
Row: TypeAlias = tuple[Any, ...]

# What a row or the key of one to remove is counted with, besides the bytes that it holds.
ROW_BYTES = 200

# More than this goes to the disk with several transactions: SQLite takes no value of a gigabyte.
MOST_AT_ONCE = 8 << 20
# What no retry and no other disk would make of use.
UNWRITABLE = (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)

# The queue of sessions that end.
QUEUED = """SELECT json_group_array(json_array(queue.session, sequence, message))
    FROM json_each(?1) AS ended CROSS JOIN queue ON queue.session = ended.value"""
WRITE = f"INSERT INTO batch VALUES ({', '.join('?' * (2 * len(TABLES) + 2))})"  # noqa: S608 -- of names of our own

# So many rows of a table are inserted by one statement of their own, where there are so many.
ROWS_AT_ONCE = 128
MANY = {
    table: f"INSERT OR REPLACE INTO {table.name} VALUES "  # noqa: S608 -- as above
    + ", ".join([f"({', '.join('?' * table.columns)})"] * ROWS_AT_ONCE)
    for table in TABLES
}

_encoder = msgspec.json.Encoder()
ENDED = ((SESSION.name, "key"), *((table.name, "session") for table in OF_SESSION))

_decoder = msgspec.json.Decoder(list[tuple[int, int, int]])


class Changes:
    """What happens to one table: first `removed`, the keys to remove, then `added`, the rows to insert or replace.

    `memory` counts what they take.
    """

    __slots__ = ("added", "blobs", "memory", "removed", "table")

    def __init__(self, table: Table, memory: "Memory") -> None:
        self.table = table
        self.blobs = table.blobs
        self.added: dict[Key, Row] = {}
        self.removed: set[Key] = set()
        self.memory = memory

    def put(self, key: Key, row: Row) -> None:
        """Insert a row, or replace the one of that key."""
        old = self.added.get(key)
        if old is not None:
            self.memory.bytes -= self._size(old)
        self.added[key] = row
        size = ROW_BYTES
        for position in self.blobs:
            blob = row[position]
            if blob is not None:
                size += len(blob)
        self.memory.bytes += size

    def remove(self, key: Key) -> None:
        """Remove a row that the table may hold from an earlier batch."""
        old = self.added.pop(key, None)
        if old is not None:
            self.memory.bytes -= self._size(old)
        if key not in self.removed:
            self.removed.add(key)
            self.memory.bytes += ROW_BYTES

    def take_back(self, key: Key) -> None:
        """Remove a row that was put once: where that was in this batch, it is never written."""
        old = self.added.pop(key, None)
        if old is not None:
            self.memory.bytes -= self._size(old)
        else:
            self.remove(key)

    def absorb(self, later: "Changes") -> None:
        """Add changes that were made after these, of which nobody knows whether the disk holds them."""
        known = len(self.removed)
        self.removed.update(self.added, later.removed)
        self.memory.bytes += ROW_BYTES * (len(self.removed) - known)
        for key in later.removed:
            old = self.added.pop(key, None)
            if old is not None:
                self.memory.bytes -= self._size(old)
        for key, row in later.added.items():
            self.put(key, row)

    def drop(self, ended: set[int]) -> list[Row]:
        """Forget the rows that belong to sessions that end with this batch; returns them."""
        keys = [key for key, row in self.added.items() if row[0] in ended]
        dropped = [self.added.pop(key) for key in keys]
        for row in dropped:
            self.memory.bytes -= self._size(row)
        return dropped

    def _size(self, row: Row) -> int:
        size = ROW_BYTES
        for position in self.blobs:
            blob = row[position]
            if blob is not None:
                size += len(blob)
        return size


class Memory:
    """About how many bytes of memory something takes."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Batch:
    """`ended` are the keys of sessions to remove with everything under them. `actions` are called once it is written,
    or what stands beside them where a part of it never can be.

    A batch is changed by the trio thread until it is taken for writing, and by the writing thread from then on.
    """

    __slots__ = (
        "_freed",
        "actions",
        "ended",
        "memory",
        "message",
        "meta",
        "published",
        "queue",
        "received",
        "retained",
        "session",
        "subscription",
        "unwritable",
    )

    def __init__(self) -> None:
        self.memory = Memory()
        (
            self.session,
            self.subscription,
            self.message,
            self.queue,
            self.retained,
            self.received,
            self.meta,
            self.published,
        ) = (Changes(table, self.memory) for table in TABLES)
        self.ended: set[int] = set()
        self.actions: list[tuple[Callable[[], None], Callable[[], None] | None]] = []
        # What was set apart, in words.
        self.unwritable: list[str] = []
        self._freed: list[int] = []

    def tables(self) -> tuple[Changes, ...]:
        """The changes in the order of `TABLES`."""
        return (
            self.session,
            self.subscription,
            self.message,
            self.queue,
            self.retained,
            self.received,
            self.meta,
            self.published,
        )

    def size(self) -> int:
        """About how many bytes of memory the changes take."""
        return self.memory.bytes + ROW_BYTES * len(self.ended)

    def rows(self) -> int:
        return sum(len(changes.added) + len(changes.removed) for changes in self.tables()) + len(self.ended)

    def is_empty(self) -> bool:
        return not self.ended and not any(changes.added or changes.removed for changes in self.tables())

    def absorb(self, later: "Batch") -> None:
        """Add a later batch to this one, which could not be written."""
        for changes, others in zip(self.tables(), later.tables(), strict=True):
            changes.absorb(others)
        self.ended |= later.ended
        self.actions += later.actions
        self._freed += later._freed

    def write(self, connection: sqlite3.Connection, most_at_once: int = 0) -> list[int]:
        """Write everything, in one transaction where it is not more than `most_at_once` bytes (0: very many); returns
        the messages that ended sessions had queued, one entry for each place in a queue. Raises sqlite3.Error and
        DamagedError; then some of it may be written, and all is to be written again.

        Several transactions come in an order in which none promises what only a later one keeps. A row that can never
        be written is set apart: `unwritable` tells of it, and the others are written.
        """
        self.unwritable = []
        most_at_once = most_at_once or MOST_AT_ONCE
        freed = self._end_sessions(connection) if self.ended else []
        if self.is_empty():
            return freed
        if self.memory.bytes <= most_at_once:
            try:
                self._insert(connection)
                return freed
            except Exception as error:
                if not is_unwritable(error):
                    raise
        for part in self._parts(most_at_once):
            self._write_part(connection, part)
        return freed

    def write_removals(self, connection: sqlite3.Connection) -> None:
        """Write what makes room, and nothing else; all is to be written behind it. Raises sqlite3.Error."""
        part = Batch()
        if self.ended:
            self._freed = self._end_sessions(connection)
            part.ended = self.ended
        for changes in self.tables():
            for key in changes.removed:
                if key not in changes.added:
                    part.of(changes.table).remove(key)
        if not part.is_empty():
            part._insert(connection)

    def _parts(self, most_at_once: int) -> Iterator["Batch"]:
        """The batch in pieces of a size that is good for the disk."""
        part = Batch()
        part.ended = self.ended
        for changes in self.tables():
            table = changes.table
            # What is replaced anyway must not be gone in between.
            for key in changes.removed:
                if key not in changes.added:
                    part.of(table).remove(key)
            for key, row in changes.added.items():
                if part.memory.bytes > most_at_once:
                    yield part
                    part = Batch()
                part.of(table).put(key, row)
        if not part.is_empty():
            yield part

    def _write_part(self, connection: sqlite3.Connection, part: "Batch") -> None:
        """Write a part; where a row in it cannot be written, all but that one."""
        try:
            part._insert(connection)
        except Exception as error:
            if not is_unwritable(error):
                raise
            halves = part.halves()
            if halves is None:
                self.unwritable.append(f"{part}: {error}")
                return
            for half in halves:
                self._write_part(connection, half)

    def halves(self) -> "tuple[Batch, Batch] | None":
        """Two batches with the changes of this one; None where it is but one."""
        changes: list[tuple[Table, Key, Row | None]] = [
            (one.table, key, None) for one in self.tables() for key in one.removed
        ]
        changes += [(one.table, key, row) for one in self.tables() for key, row in one.added.items()]
        if len(changes) + len(self.ended) <= 1:
            return None
        first, second = Batch(), Batch()
        first.ended = self.ended
        middle = 0 if self.ended and len(changes) == 1 else len(changes) // 2
        for number, (table, key, row) in enumerate(changes):
            half = (first if number < middle else second).of(table)
            if row is None:
                half.remove(key)
            else:
                half.put(key, row)
        return first, second

    def of(self, table: Table) -> Changes:
        """The changes of a table."""
        changes: Changes = getattr(self, table.name)
        return changes

    def __str__(self) -> str:
        """The kinds of what is in it, without any content."""
        kinds = [one.table.name for one in self.tables() if one.added or one.removed]
        return f"{self.rows()} changes of {', '.join(kinds)} with {self.memory.bytes} bytes"

    def _end_sessions(self, connection: sqlite3.Connection) -> list[int]:
        self._freed += [row[2] for row in self.queue.drop(self.ended) if row[2]]
        for changes in (self.session, self.subscription, self.received):
            changes.drop(self.ended)
        with reading():
            found = _decoder.decode(connection.execute(QUEUED, (encode(self.ended),)).fetchone()[0])
        removed = self.queue.removed
        stored = [message for *key, message in found if message and tuple(key) not in removed]
        return self._freed + stored

    def _insert(self, connection: sqlite3.Connection) -> None:
        """Write it in one transaction. Raises what SQLite raises; then nothing of it is written."""
        many = [changes for changes in self.tables() if len(changes.added) >= ROWS_AT_ONCE]
        if not many:
            connection.execute(WRITE, self._values())
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # First this, for it removes what is replaced.
            connection.execute(WRITE, self._values())
            for changes in many:
                rows = iter(changes.added.values())
                for _ in range(len(changes.added) // ROWS_AT_ONCE):
                    some = chain.from_iterable(islice(rows, ROWS_AT_ONCE))
                    connection.execute(MANY[changes.table], tuple(some))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _values(self) -> list[str | bytes | None]:
        """What the view takes: everything but the rows that are inserted by themselves."""
        content: list[bytes] = []
        texts: list[str | None] = [encode(self.ended) if self.ended else None]
        position = 1  # Of the next blob within the content, counted as SQL counts.
        for changes in self.tables():
            table = changes.table
            key_size = len(table.keys)
            keys = ((key,) for key in changes.removed) if key_size == 1 else changes.removed
            added: Iterable[Row] = changes.added.values()
            if len(changes.added) >= ROWS_AT_ONCE:
                added = islice(added, len(changes.added) // ROWS_AT_ONCE * ROWS_AT_ONCE, None)
            for rows, columns in ((keys, key_size), (added, table.columns)):
                blobs = tuple(index for index in table.blobs if index < columns)
                encoded, position = encode_rows(rows, blobs, content, position)
                texts.append(encoded)
        return [*texts, b"".join(content)]


def is_unwritable(error: Exception) -> bool:
    """Whether it is for what is written, whatever the disk is like."""
    if isinstance(error, sqlite3.Error):
        # Python's own refusals have no code: a value that is too long for a parameter, say.
        code = getattr(error, "sqlite_errorcode", None)
        return isinstance(error, sqlite3.DataError) if code is None else code & 0xFF in UNWRITABLE
    return isinstance(error, (OverflowError, TypeError, ValueError))


def encode(value: object) -> str:
    """JSON as text: SQLite takes no other."""
    return _encoder.encode(value).decode()


def encode_rows(
    rows: Iterable[Row], blobs: tuple[int, ...], content: list[bytes], position: int
) -> tuple[str | None, int]:
    """Rows as a JSON array, None for no rows. Their blobs go to `content`, whose end is `position`; in the row stands
    the position of each instead, and behind the row their sizes. Returns the new end too.
    """
    if not blobs:
        plain = list(rows)
        return (encode(plain) if plain else None), position
    encoded = []
    for row in rows:
        fields = list(row)
        for index in blobs:
            blob = fields[index]
            if blob is None:
                fields.append(None)
            else:
                fields[index] = position
                fields.append(len(blob))
                content.append(blob)
                position += len(blob)
        encoded.append(fields)
    return (encode(encoded) if encoded else None), position


def prepare(connection: sqlite3.Connection) -> None:
    """Make the view and the trigger that `Batch.write` needs; they belong to the connection, not to the file."""
    names = ["ended"]
    # Before anything is added: a new session may have the client id of one that ended.
    steps = [_removal(name, (key,), "value", "ended") for name, key in ENDED]
    for table in TABLES:
        removed, added = f"{table.name}_removed", f"{table.name}_added"
        names += (removed, added)
        steps.append(_removal(table.name, table.keys, fields(table, len(table.keys)), removed))
        steps.append(_addition(table, added))
    columns = ", ".join(f"NULL AS {name}" for name in (*names, "content"))
    connection.execute(f"CREATE TEMP VIEW batch AS SELECT {columns}")
    connection.execute(f"CREATE TEMP TRIGGER written INSTEAD OF INSERT ON batch BEGIN {'; '.join(steps)}; END")


def _addition(table: Table, column: str) -> str:
    values = fields(table, table.columns)
    return f"INSERT OR REPLACE INTO {table.name} SELECT {values} FROM json_each(new.{column})"  # noqa: S608 -- as above


def _removal(table: str, keys: tuple[str, ...], values: str, column: str) -> str:
    chosen = f"SELECT {values} FROM json_each(new.{column})"  # noqa: S608 -- as above
    return f"DELETE FROM {table} WHERE ({', '.join(keys)}) IN ({chosen})"  # noqa: S608 -- as above


def fields(table: Table, columns: int) -> str:
    """What takes the first columns of a table out of what `encode_rows` made."""
    chosen = []
    size_at = columns
    for position in range(columns):
        field = f"json_extract(value, '$[{position}]')"
        if position in table.blobs:
            field = f"substr(new.content, {field}, json_extract(value, '$[{size_at}]'))"
            size_at += 1
        chosen.append(field)
    return ", ".join(chosen)
