"""Salvage: takes what can still be read out of a database that was set aside, row by row, into the new one."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.storage.streams.chunk import LAST_SEQUENCE, ChunkRow, checksum, first_of, key_of
from gateway.storage.streams.page_scan import scan
from gateway.storage.streams.row_seal import is_sealed
from gateway.storage.streams.schema import SOUND

log = logging.getLogger("leafgate.storage")

# So many chunks go into the new database with one commit.
CHUNKS_AT_ONCE = 64
# How many streams there are taken to be where that is not to be read.
MOST_GUESSED = 100
# How many columns a stream's row has, and the place of its last sequence among them.
STREAM_COLUMNS, LAST_AT = 9, 4
CHUNKS = "SELECT * FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key"
ORDERS = ("", " DESC")
INSERT = """INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    last = excluded.last, messages = excluded.messages, aged = excluded.aged, last_ns = excluded.last_ns,
    crc = excluded.crc, offsets = excluded.offsets, body = excluded.body WHERE excluded.last > last"""
# A stream whose own row is lost; its chunks tell its number.
NAMELESS = """INSERT INTO stream SELECT id, '$G', 'recovered-' || id, 1, 0, 0, '{}', '', 0 FROM (
    SELECT DISTINCT key >> 48 AS id FROM chunk) WHERE id NOT IN (SELECT id FROM stream)"""


def salvage(broken: Path, connection: sqlite3.Connection) -> int:
    """Returns how many chunks were found. Raises sqlite3.Error for the new database."""
    whole = False
    try:
        uri = f"{broken.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, isolation_level=None, uri=True)) as source:
            for table in SOUND:
                copy_table(source, connection, table)
            whole = copy_chunks(source, connection)
    except sqlite3.DatabaseError as error:
        log.warning("event=cannot-open-damaged path=%s reason=%r", broken, str(error))
    if not whole:
        copy_pages(broken, connection)
    connection.execute(NAMELESS)
    count: int = connection.execute("SELECT count(*) FROM chunk").fetchone()[0]
    log.warning("event=salvaged path=%s chunks=%d", broken, count)
    return count


def copy_table(source: sqlite3.Connection, connection: sqlite3.Connection, table: str) -> None:
    """The rows of a small table that make sense: from its begin up to damage, and from its end."""
    found: dict[tuple[Any, ...], None] = {}
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    kinds = [f"typeof({name}) IN ('{kind.lower()}', 'null')" for _, name, kind, *_ in columns]
    keys = [name for _, name, *_, is_key in columns if is_key]
    sound = " AND ".join([SOUND[table], *kinds])
    for order in ORDERS:
        by = ", ".join(f"{key}{order}" for key in keys)
        try:
            for row in source.execute(f"SELECT * FROM {table} WHERE {sound} ORDER BY {by}"):  # noqa: S608 -- our names
                found[row] = None
        except sqlite3.DatabaseError:
            continue  # What came in front of it is found.
    places = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", list(found))  # noqa: S608 -- as above


def copy_chunks(source: sqlite3.Connection, connection: sqlite3.Connection) -> bool:
    """The chunks that their table's tree leads to; False where damage hides some."""
    chunks = SoundChunks(source)
    batch: list[ChunkRow] = []
    for row in chunks:
        batch.append(row)
        if len(batch) == CHUNKS_AT_ONCE:
            insert(connection, batch)
    insert(connection, batch)
    return chunks.whole


def copy_pages(broken: Path, connection: sqlite3.Connection) -> None:
    """What stands in the pages although nothing leads to it. Chunks that were folded may be among it: one that begins
    within another is left out, for that has the same.
    """
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    streams: dict[int, tuple[Any, ...]] = {}
    batch: list[ChunkRow] = []
    try:
        for row_id, values in scan(broken, page_size):
            columns = values[1:]  # The first is the row id.
            if len(columns) == len(ChunkRow._fields) - 1:
                row = ChunkRow(row_id, *columns)
                if is_sound(row):
                    batch.append(row)
            elif len(columns) == STREAM_COLUMNS - 1 and is_sealed((row_id, *columns)):
                # The newest of those that were ever written.
                known = streams.get(row_id)
                streams[row_id] = max(known or (row_id, *columns), (row_id, *columns), key=last_of)
            if len(batch) == CHUNKS_AT_ONCE:
                insert(connection, batch)
    except OSError as error:
        log.error("event=salvage-ended path=%s reason=%r", broken, str(error))
    insert(connection, batch)
    connection.executemany("INSERT OR IGNORE INTO stream VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", streams.values())
    drop_covered(connection)


def last_of(row: tuple[Any, ...]) -> int:
    """The last sequence in a stream's row."""
    last: int = row[LAST_AT]
    return last


def insert(connection: sqlite3.Connection, batch: list[ChunkRow]) -> None:
    """Write chunks, and empty the batch. Of two with the same key the larger one stays."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, batch)
    connection.execute("COMMIT")
    batch.clear()


def drop_covered(connection: sqlite3.Connection) -> None:
    covered, end = [], -1
    for key, last in connection.execute("SELECT key, last FROM chunk ORDER BY key"):
        if key <= end:
            covered.append((key,))
        else:
            end = key - first_of(key) + last
    connection.executemany("DELETE FROM chunk WHERE key = ?", covered)


class SoundChunks:
    """Chunks that are as they were written. `whole`, once all were given: no damage hides any."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self._source = source
        self.whole = True

    def __iter__(self) -> Iterator[ChunkRow]:
        for stream in self._streams():
            low, high = key_of(stream, 0), key_of(stream, LAST_SEQUENCE)
            for order in ORDERS:
                try:
                    for found in self._source.execute(f"{CHUNKS}{order}", (low, high)):
                        row = ChunkRow(*found)
                        if is_sound(row):
                            yield row
                    break
                except sqlite3.DatabaseError:
                    self.whole = False  # From the other end, then.

    def _streams(self) -> list[int]:
        try:
            return [number for (number,) in self._source.execute("SELECT id FROM stream ORDER BY id")]
        except sqlite3.DatabaseError:
            self.whole = False
            return list(range(1, MOST_GUESSED + 1))


def is_sound(row: ChunkRow) -> bool:
    try:
        return checksum(row.key, row.last, row.messages, row.offsets, row.body) == row.crc
    except Exception:  # noqa: BLE001 -- what is of another type than was written
        return False
