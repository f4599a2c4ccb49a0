"""Damage that is done to the database of streams while the gateway is down, and what the gateway says of it.

A bit is flipped in a row. What that costs the gateway must name (`event=chunk-damaged`, `event=row-damaged`); only what
it has named is excused, so that a loss of anything else is a loss.
"""

import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.storage.damage import DamagedError
from gateway.storage.streams.chunk import StoredChunk, decode, first_of, key_of
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.streams.stored_message import StoredMessage

LOG_NAME = f"{FILE_NAME}-wal"
NAMED = re.compile(r"event=chunk-damaged account=\S+ stream=(\S+) first=(\d+) messages=\d+")
NAMED_ROW = re.compile(r"event=row-damaged account=\S+ stream=(\S+) what=('[^']*'|\S+)")
CHUNKS = "SELECT key, last, messages, crc, offsets, body FROM chunk ORDER BY key"
STREAMS = "SELECT id, name FROM stream WHERE name IS NOT NULL"
# Half a frame of the log: its head is 24 bytes, and a page 4096.
FRAME_HEAD, MOST_TORN = 24, 2000


class Lost(NamedTuple):
    """A message that the gateway has named as lost."""

    stream: str
    message: StoredMessage


class ChunkDamage:
    """What was in the chunks when damage was done is known by their streams' names and their first sequences."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE_NAME
        self._chunks: dict[tuple[str, int], list[StoredMessage]] = {}

    def flip_chunk(self, chance: random.Random) -> bool:
        """Flip a bit in the body of a chunk; False where there is none. The gateway is down."""
        with self._opened() as connection:
            rows = connection.execute(CHUNKS).fetchall()
            if not rows:
                return False
            key, _, _, _, _, body = chance.choice(rows)
            self._chunks |= read_chunks(rows, dict(connection.execute(STREAMS).fetchall()))
            connection.execute("UPDATE chunk SET body = ? WHERE key = ?", (flipped(body, chance), key))
        return True

    def flip_floor(self, chance: random.Random) -> bool:
        """Flip a bit in how far somebody has acknowledged: nothing may be passed over by that. The gateway is down."""
        with self._opened() as connection:
            done = connection.execute("UPDATE cursor SET floor = floor + ?", (1 << chance.randrange(24),))
            return done.rowcount > 0

    def flip_row(self, table: str, column: str, chance: random.Random) -> bool:
        """Flip a bit in a row of a small table; False where there is none. The gateway is down."""
        with self._opened() as connection:
            keys = [name for _, name, *_, is_key in connection.execute(f"PRAGMA table_info({table})") if is_key]
            rows = connection.execute(f"SELECT {column}, {', '.join(keys)} FROM {table}").fetchall()
            rows = [row for row in rows if row[0]]
            if not rows:
                return False
            value, *key = chance.choice(rows)
            data = flipped(value.encode() if isinstance(value, str) else value, chance)
            new = data.decode("latin-1") if isinstance(value, str) else data
            where = " AND ".join(f"{name} = ?" for name in keys)
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (new, *key))
        return True

    def tear_log(self, chance: random.Random) -> bool:
        """Append to the log what a write leaves that was torn, behind what was synced; False where there is no log."""
        log = self._file.with_name(LOG_NAME)
        if not log.exists() or log.stat().st_size < 2 * MOST_TORN:
            return False
        content = log.read_bytes()
        torn = bytearray(content[-4096 - FRAME_HEAD :][: chance.randrange(FRAME_HEAD, MOST_TORN)])
        torn[chance.randrange(len(torn))] ^= 0xFF
        with log.open("ab") as end:
            end.write(torn)
        return True

    def named(self, log: str) -> list[Lost]:
        """What the gateway's log names as lost."""
        return [
            Lost(stream, message)
            for stream, first in NAMED.findall(log)
            for message in self._chunks.get((stream, int(first)), [])
        ]

    def _opened(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self._file, isolation_level=None))


def named_rows(log: str) -> list[tuple[str, str]]:
    """The rows of small tables that the gateway's log names as damaged: stream, and what of it."""
    return [(stream, what.strip("'")) for stream, what in NAMED_ROW.findall(log)]


def read_chunks(
    rows: list[tuple[int, int, int, int, bytes, bytes]], names: dict[int, str]
) -> dict[tuple[str, int], list[StoredMessage]]:
    """The messages in each chunk; in one that was damaged before nobody reads any."""
    found = {}
    for row in rows:
        first = first_of(row[0])
        name = next((name for number, name in names.items() if key_of(number, first) == row[0]), None)
        if name is None:
            continue
        try:
            found[name, first] = decode(StoredChunk(*row))
        except DamagedError:
            continue
    return found


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)
