"""Folding: many small chunks become a few large ones, where messages came one by one. What is gone is left out."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from gateway.storage.damage import is_damage
from gateway.storage.streams import chunk as chunks
from gateway.storage.streams.chunk import (
    HEAD,
    ChunkRow,
    Room,
    checksum,
    encode_ends,
    first_of,
    key_of,
    make_row,
    places,
)
from gateway.storage.streams.summaries import forget_summaries

# So many small chunks are folded in one go.
FOLDED_AT_ONCE = 64

ROWS = "SELECT * FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key"


class Piece(NamedTuple):
    """Messages as they stand in a chunk, one behind the other: their sequences, where the frame of each ends, and the
    frames.
    """

    sequences: Sequence[int]
    ends: Sequence[int]
    content: bytes


class Fold(NamedTuple):
    """The chunks of a stream from one first sequence to another; `gone` are bitmaps of what is not there any more. What
    they become has so much `room`.
    """

    stream: int
    first: int
    last: int
    gone: dict[int, int]
    room: Room


class Folded(NamedTuple):
    """The rows in the place of those that were folded; a `damaged` chunk keeps all of them from being folded."""

    fold: Fold
    rows: list[ChunkRow]
    damaged: list[int]


def fold_chunks(connection: sqlite3.Connection, fold: Fold) -> Folded:
    """Within a transaction. Raises sqlite3.Error."""
    span = key_of(fold.stream, fold.first), key_of(fold.stream, fold.last)
    damaged: list[int] = []
    pieces: list[Piece] = []
    aged = 0
    for row in read_rows(connection, fold, damaged):
        if checksum(row.key, row.last, row.messages, row.offsets, row.body) != row.crc:
            damaged.append(first_of(row.key))
        elif not damaged:
            aged = max(aged, row.aged)
            pieces += pieces_of(row, fold.gone.get(first_of(row.key), 0), fold.room)
    if damaged:
        return Folded(fold, [], damaged)
    rows = [encode_pieces(fold.stream, part, aged) for part in parts(pieces, fold.room)]
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


def pieces_of(row: ChunkRow, gone: int, room: Room) -> Iterator[Piece]:
    """The messages of a sound row that are not gone: all together, where none is and they fit into one chunk again."""
    first = first_of(row.key)
    ends, distances = places(row.messages, row.offsets)
    if not gone and distances is None and row.messages <= room.messages and len(row.body) <= room.size:
        yield Piece(range(first, first + row.messages), ends, row.body)
        return
    start = 0
    for number, end in enumerate(ends):
        distance = number if distances is None else distances[number]
        if not gone >> distance & 1:
            yield Piece((first + distance,), (end - start,), row.body[start:end])
        start = end


def parts(pieces: list[Piece], room: Room) -> Iterator[list[Piece]]:
    """Messages in lists that make a chunk each."""
    begin = messages = size = 0
    for number, piece in enumerate(pieces):
        messages += len(piece.ends)
        size += len(piece.content)
        if number > begin and (
            messages > room.messages
            or size > room.size
            or piece.sequences[-1] - pieces[begin].sequences[0] >= chunks.MOST_SPAN
        ):
            yield pieces[begin:number]
            begin, messages, size = number, len(piece.ends), len(piece.content)
    if begin < len(pieces):
        yield pieces[begin:]


def encode_pieces(stream: int, pieces: list[Piece], aged: int) -> ChunkRow:
    sequences: list[int] = []
    ends: list[int] = []
    size = 0
    for piece in pieces:
        sequences += piece.sequences
        ends += [size + end for end in piece.ends]
        size += len(piece.content)
    body = b"".join([piece.content for piece in pieces])
    last_ns = HEAD.unpack_from(body, ends[-2] if len(ends) > 1 else 0)[0]
    offsets = encode_ends(sequences, ends)
    return make_row(stream, sequences[0], sequences[-1], len(ends), aged, last_ns, offsets, body)
