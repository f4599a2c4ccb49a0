"""Folding: many small chunks become a few large ones, where messages came one by one. What is gone is left out."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gateway.storage.damage import is_damage
from gateway.storage.streams import chunk as chunks
from gateway.storage.streams.chunk import HEAD, ChunkRow, checksum, encode_places, first_of, key_of, places
from gateway.storage.streams.summaries import forget_summaries

# So many small chunks are folded in one go.
FOLDED_AT_ONCE = 64

ROWS = "SELECT * FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key"


class Frame(NamedTuple):
    """A message as it stands in a chunk."""

    sequence: int
    content: bytes


class Fold(NamedTuple):
    """The chunks of a stream from one first sequence to another; `gone` are bitmaps of what is not there any more."""

    stream: int
    first: int
    last: int
    gone: dict[int, int]


class Folded(NamedTuple):
    """The rows in the place of those that were folded; a `damaged` chunk keeps all of them from being folded."""

    fold: Fold
    rows: list[ChunkRow]
    damaged: list[int]


def fold_chunks(connection: sqlite3.Connection, fold: Fold) -> Folded:
    """Within a transaction. Raises sqlite3.Error."""
    span = key_of(fold.stream, fold.first), key_of(fold.stream, fold.last)
    damaged: list[int] = []
    frames: list[Frame] = []
    aged = 0
    for row in read_rows(connection, fold, damaged):
        if checksum(row.key, row.last, row.messages, row.offsets, row.body) != row.crc:
            damaged.append(first_of(row.key))
        elif not damaged:
            aged = max(aged, row.aged)
            frames += frames_of(row, fold.gone.get(first_of(row.key), 0))
    if damaged:
        return Folded(fold, [], damaged)
    rows = [encode_frames(fold.stream, part, aged) for part in parts(frames)]
    connection.execute("DELETE FROM chunk WHERE key BETWEEN ? AND ?", span)
    connection.execute("DELETE FROM gone WHERE key BETWEEN ? AND ?", span)
    forget_summaries(connection, *span)
    for row in rows:
        connection.execute("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return Folded(fold, rows, [])


def read_rows(connection: sqlite3.Connection, fold: Fold, damaged: list[int]) -> Iterator[ChunkRow]:
    last = fold.first
    try:
        span = key_of(fold.stream, fold.first), key_of(fold.stream, fold.last)
        found: Iterable[Any] = connection.execute(ROWS, span)
        for values in found:
            row = ChunkRow(*values)
            last = first_of(row.key)
            yield row
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        damaged.append(last)


def frames_of(row: ChunkRow, gone: int) -> Iterator[Frame]:
    """The messages of a sound row that are not gone."""
    first = first_of(row.key)
    ends, distances = places(row.messages, row.offsets)
    start = 0
    for number, end in enumerate(ends):
        distance = number if distances is None else distances[number]
        if not gone >> distance & 1:
            yield Frame(first + distance, row.body[start:end])
        start = end


def parts(frames: list[Frame]) -> Iterator[list[Frame]]:
    """Messages in pieces that make a chunk each."""
    begin = size = 0
    for number, frame in enumerate(frames):
        size += len(frame.content)
        if number > begin and (
            number - begin == chunks.MOST_MESSAGES
            or size > chunks.MOST_BYTES
            or frame.sequence - frames[begin].sequence >= chunks.MOST_SPAN
        ):
            yield frames[begin:number]
            begin, size = number, len(frame.content)
    if begin < len(frames):
        yield frames[begin:]


def encode_frames(stream: int, frames: list[Frame], aged: int) -> ChunkRow:
    offsets = encode_places([frame.sequence for frame in frames], [len(frame.content) for frame in frames])
    key, last, count = key_of(stream, frames[0].sequence), frames[-1].sequence, len(frames)
    body = b"".join([frame.content for frame in frames])
    last_ns = HEAD.unpack_from(frames[-1].content)[0]
    return ChunkRow(key, last, count, aged, last_ns, checksum(key, last, count, offsets, body), offsets, body)
