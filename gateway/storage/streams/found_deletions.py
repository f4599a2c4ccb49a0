"""What was deleted from the chunks of a stream, as the disk tells it at the start: by bitmaps, and by rows of deletions
(deletions.py).
"""

import sqlite3
from array import array
from collections.abc import Callable
from typing import NamedTuple

from gateway.storage.damage import DamagedError, read_row
from gateway.storage.streams.byte_order import little_endian
from gateway.storage.streams.chunk import LAST_SEQUENCE, first_of, key_of, missing
from gateway.storage.streams.holes import NUMBER
from gateway.storage.streams.row_seal import is_sealed
from gateway.storage.streams.stored_stream import StoredStream

GONE = "SELECT key, bits, size, seal FROM gone WHERE key BETWEEN ? AND ?"
DELETED = "SELECT key, deleted, seal FROM deletion WHERE key BETWEEN ? AND ? ORDER BY key"
CHUNK = "SELECT key, last, messages FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1"
OFFSETS = "SELECT offsets FROM chunk WHERE key = ?"


class Gone(NamedTuple):
    """A bitmap of what was deleted from a chunk, and the size of that in bytes."""

    bits: int
    size: int


NOTHING = Gone(0, 0)


def load_gone(connection: sqlite3.Connection, stream: StoredStream, report: Callable[[str], None]) -> dict[int, Gone]:
    """By the keys of the chunks. `report` is told of what is damaged, which is not gone then. Raises sqlite3.Error."""
    span = key_of(stream.id, 0), key_of(stream.id, LAST_SEQUENCE)
    gone: dict[int, Gone] = {}
    for row in connection.execute(GONE, span):
        if is_sealed(row):
            gone[row[0]] = Gone(int.from_bytes(row[1], "little"), row[2])
        else:
            report(f"what is gone from chunk {first_of(row[0])}")
    number = 0
    deleted: dict[int, int] = {}
    for row in connection.execute(DELETED, span):
        number = first_of(row[0])
        if is_sealed(row):
            numbers = little_endian(array(NUMBER, row[1]))
            deleted.update(zip(numbers[::2], numbers[1::2], strict=True))
        else:
            report("what was deleted with one commit")
    stream.deletions.found(number, len(deleted))
    behind = add_deletions(connection, stream.id, gone, deleted)
    stream.contents.holes.behind.update(behind)
    return gone


def add_deletions(
    connection: sqlite3.Connection, stream: int, gone: dict[int, Gone], deleted: dict[int, int]
) -> set[int]:
    """Add to the bitmaps what else was deleted, by sequence with the size of each. Returns the first sequences of the
    chunks that have it. Raises sqlite3.Error.
    """
    found: set[int] = set()
    rest = sorted(deleted, reverse=True)
    while rest:
        sequence = rest.pop()
        chunk = connection.execute(CHUNK, (key_of(stream, 0), key_of(stream, sequence))).fetchone()
        if chunk is None or chunk[1] < sequence:
            continue  # It has gone as a whole.
        key, last, messages = chunk
        first = first_of(key)
        bits, size = gone.get(key, NOTHING)
        # What a fold has left out is no part of the chunk any more.
        known = bits | left_out(connection, key, last, messages)
        rest.append(sequence)
        while rest and rest[-1] <= last:
            sequence = rest.pop()
            bit = 1 << sequence - first
            if not known & bit:
                bits |= bit
                size += deleted[sequence]
        gone[key] = Gone(bits, size)
        found.add(first)
    return found


def left_out(connection: sqlite3.Connection, key: int, last: int, messages: int) -> int:
    """The sequences between a chunk's first and last that it does not have, as a bitmap. Raises sqlite3.Error."""
    if last - first_of(key) < messages:
        return 0
    try:
        return missing(messages, read_row(connection, OFFSETS, key)[0])
    except DamagedError:
        return 0  # The chunk is lost, as whoever reads it finds.
