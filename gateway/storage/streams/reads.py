"""Reads: what is read from the disk for those who read a stream, each a bounded piece of work for its thread."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeAlias

from gateway.storage.damage import DamagedError, is_damage
from gateway.storage.streams.chunk import StoredChunk, decode, first_of, is_whole, key_of
from gateway.storage.streams.stored_message import StoredMessage, total_size

# What one read looks at, at most: so many chunks, and so many bytes of them.
CHUNKS_AT_ONCE = 64
BYTES_AT_ONCE = 2 << 20

COLUMNS = "key, last, messages, crc, offsets, body"
BEGIN = "SELECT max(key) FROM chunk WHERE key BETWEEN ? AND ?"
ROWS = f"SELECT {COLUMNS} FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?"  # noqa: S608 -- names of our own
KEYS = "SELECT key FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?"
KEYS_BACK = "SELECT key FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?"
ROW = f"SELECT {COLUMNS} FROM chunk WHERE key = ?"  # noqa: S608 -- as above
ROWS_OF = f"SELECT {COLUMNS} FROM chunk WHERE key IN "  # noqa: S608 -- as above

Connected: TypeAlias = Callable[[], AbstractContextManager[sqlite3.Connection]]


class Read(ABC):
    """`run` never raises: `error` tells why it failed. `damaged` are the first sequences of unreadable chunks."""

    # Whether several statements must see what one commit has left.
    is_joint = True

    def __init__(self, connected: Connected, stream: int) -> None:
        self._connected = connected
        self.stream = stream
        self.damaged: list[int] = []
        self.error: Exception | None = None

    @abstractmethod
    def read(self, connection: sqlite3.Connection) -> None:
        """All of it sees what one commit has left, whatever is folded meanwhile. Raises sqlite3.Error."""

    def run(self) -> None:
        try:
            with self._connected() as connection:
                if not self.is_joint:
                    self.read(connection)
                    return
                connection.execute("BEGIN")
                try:
                    self.read(connection)
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 -- the reader is told, whatever it is
            self.error = error

    def decode(self, chunk: StoredChunk, first: int, wanted: Callable[[bytes], bool] | None) -> list[StoredMessage]:
        try:
            return decode(chunk, first, wanted)
        except DamagedError:
            self.damaged.append(first_of(chunk.key))
            return []

    def row(self, connection: sqlite3.Connection, key: int) -> StoredChunk | None:
        """One chunk by its key; None where it is gone or damaged."""
        try:
            found = connection.execute(ROW, (key,)).fetchone()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self.damaged.append(first_of(key))
            return None
        return StoredChunk(*found) if found else None


class OrderedRead(Read):
    """What there is of a stream from one sequence to another. `next` is where the next read goes on."""

    def __init__(self, connected: Connected, stream: int, first: int, last: int) -> None:
        super().__init__(connected, stream)
        self._first = first
        self._last = last
        self.next = first

    def chunks(self, connection: sqlite3.Connection) -> Iterator[StoredChunk]:
        """The next chunks; at their end `next` is behind all that there is to read, unless there may be more."""
        low, high = key_of(self.stream, self._first), key_of(self.stream, self._last)
        (begin,) = connection.execute(BEGIN, (key_of(self.stream, 0), low)).fetchone()
        low = low if begin is None else begin
        count = 0
        try:
            for row in connection.execute(ROWS, (low, high, CHUNKS_AT_ONCE)):
                count += 1
                low = row[0] + 1
                yield StoredChunk(*row)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            keys = [key for (key,) in connection.execute(KEYS, (low, high, CHUNKS_AT_ONCE - count))]
            for key in keys:
                count += 1
                chunk = self.row(connection, key)
                if chunk is not None:
                    yield chunk
                else:
                    self.next = max(self.next, first_of(key) + 1)
        if count < CHUNKS_AT_ONCE:
            self.next = self._last + 1


class SliceRead(OrderedRead):
    """Messages in order."""

    def __init__(
        self,
        connected: Connected,
        stream: int,
        first: int,
        last: int,
        max_messages: int,
        max_bytes: int,
        wanted: Callable[[bytes], bool] | None,
    ) -> None:
        super().__init__(connected, stream, first, last)
        self._max_messages = max_messages
        self._max_bytes = min(max_bytes, BYTES_AT_ONCE)
        self._wanted = wanted
        self._size = 0
        self.messages: list[StoredMessage] = []

    def read(self, connection: sqlite3.Connection) -> None:
        looked_at = 0
        for chunk in self.chunks(connection):
            messages = self.decode(chunk, self._first, self._wanted)
            if not self._add(messages):
                return
            looked_at += len(chunk.body)
            self.next = max(self.next, chunk.last + 1)
            if looked_at > BYTES_AT_ONCE:
                return

    def _add(self, messages: list[StoredMessage]) -> bool:
        """Whether all of them belong to the slice; `next` is the first that does not."""
        size = total_size(messages)
        fits = len(self.messages) + len(messages) <= self._max_messages and self._size + size <= self._max_bytes
        if fits and messages and messages[-1].sequence <= self._last:
            self.messages += messages
            self._size += size
            return True
        for message in messages:
            self._size += message.size
            full = len(self.messages) >= self._max_messages or (self.messages and self._size > self._max_bytes)
            if full or message.sequence > self._last:
                self.next = message.sequence
                return False
            self.messages.append(message)
        return True


class ChunkRead(OrderedRead):
    """Whole chunks in order, the first of which may begin in front of the first sequence: `found`."""

    def __init__(self, connected: Connected, stream: int, first: int, last: int, max_bytes: int) -> None:
        super().__init__(connected, stream, first, last)
        self._max_bytes = min(max_bytes, BYTES_AT_ONCE)
        self.found: list[StoredChunk] = []

    def read(self, connection: sqlite3.Connection) -> None:
        size = 0
        for chunk in self.chunks(connection):
            if not is_whole(chunk):
                self.damaged.append(first_of(chunk.key))
            elif chunk.last >= self._first:
                self.found.append(chunk)
                size += len(chunk.body)
            self.next = max(self.next, chunk.last + 1)
            if size >= self._max_bytes:
                return


class KeysRead(Read):
    """Some chunks by their keys. `found` are those that are there and whole.

    One statement reads all of them: each is a step for which the interpreter's lock is let go and taken again.
    """

    is_joint = False

    def __init__(self, connected: Connected, keys: list[int]) -> None:
        super().__init__(connected, 0)
        self.keys = keys
        self.found: list[StoredChunk] = []

    def read(self, connection: sqlite3.Connection) -> None:
        places = ", ".join("?" * len(self.keys))
        chunks: list[StoredChunk | None]
        try:
            chunks = [StoredChunk(*row) for row in connection.execute(f"{ROWS_OF}({places})", self.keys).fetchall()]
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            chunks = [self.row(connection, key) for key in self.keys]
        self.found = [chunk for chunk in chunks if chunk is not None and is_whole(chunk)]


class LastRead(Read):
    """The last message of a subject, from the end on. Where it is not `found`, in front of `behind` may be one."""

    def __init__(self, connected: Connected, stream: int, subject: bytes, first: int, last: int) -> None:
        super().__init__(connected, stream)
        self._subject = subject
        self._first = first
        self._last = last
        self.found: StoredMessage | None = None
        self.behind = first

    def read(self, connection: sqlite3.Connection) -> None:
        low, high = key_of(self.stream, 0), key_of(self.stream, self._last)
        keys = [key for (key,) in connection.execute(KEYS_BACK, (low, high, CHUNKS_AT_ONCE))]
        looked_at = 0
        for key in keys:
            chunk = self.row(connection, key)
            if chunk is not None:
                found = self.decode(chunk, self._first, self._subject.__eq__)
                found = [message for message in found if message.sequence <= self._last]
                if found:
                    self.found = found[-1]
                    return
                looked_at += len(chunk.body)
            if first_of(key) <= self._first:
                return
            self.behind = first_of(key)
            if looked_at > BYTES_AT_ONCE:
                return
        if len(keys) < CHUNKS_AT_ONCE:
            self.behind = self._first
