"""Summaries: what is known of many chunks that follow one another, in one row, so that a start looks into none of them
(hot).

A summary tells nothing but what its chunks' rows hold, and goes with the first of those that is changed or removed, in
the same transaction. Where there is none, or a damaged one, the chunks themselves are read.

`chunks` has the columns of ChunkEntry (int64 each, little-endian), one behind the other: `live` and `size` are those of
a chunk of which nothing was deleted. `subjects` has for each subject how many messages there are of it (uint32), the
sequences of the first and the last one (uint64 each), its size (uint16) and itself; NULL where they are not known.
"""

import sqlite3
import struct
import time
import zlib
from array import array
from typing import Any, NamedTuple

from gateway.storage.damage import DamagedError, is_damage
from gateway.storage.streams.byte_order import little_endian
from gateway.storage.streams.chunk import (
    HEAD,
    HEADER_BEGIN,
    LAST_SEQUENCE,
    OFFSET_BYTES,
    SEQUENCE_BITS,
    StoredChunk,
    first_of,
    is_whole,
    key_of,
    places,
    unpack_head,
)
from gateway.storage.streams.directory import COLUMNS, NUMBER, ChunkEntry
from gateway.storage.streams.subject_states import SubjectStates

# So many chunks make a summary: what is not in one is read at the start, about a hundred times as many bytes.
SUMMARISED_AT_ONCE = 512
# Subjects that take more than this share of the chunks are not written once more.
MOST_SHARE = 0.25

ROWS = "SELECT key, last, messages, crc, offsets, body, aged, last_ns FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key"
INSERT = "INSERT OR REPLACE INTO summary VALUES (?, ?, ?, ?, ?)"
# Those that tell of chunks of a stream from one key to another.
FORGET = "DELETE FROM summary WHERE key BETWEEN ? AND ? AND last >= ?"
SUMMARIES = "SELECT key, last, chunks, subjects, seal FROM summary WHERE key BETWEEN ? AND ? ORDER BY key"

HEAD_BYTES = HEAD.size
SUBJECT = struct.Struct("<IQQH")
SUBJECT_BYTES = SUBJECT.size
# So many subjects are taken before other threads may have the interpreter's lock.
IN_A_ROW = 2048
unpack_subject = SUBJECT.unpack_from
PLACE = struct.Struct("<qq")


class Summarising(NamedTuple):
    """The chunks of a stream from one first sequence to another; `subjects`: what is in them is to be known."""

    stream: int
    first: int
    last: int
    subjects: bool


class Summary(NamedTuple):
    """A row of the table, in the order of its columns. `key` and `last` are those of the first and the last chunk."""

    key: int
    last: int
    chunks: bytes
    subjects: bytes | None
    seal: int

    def columns(self) -> "list[array[int]]":
        """Those of ChunkEntry."""
        numbers = little_endian(array(NUMBER, self.chunks))
        count = len(numbers) // COLUMNS
        return [numbers[begin : begin + count] for begin in range(0, len(numbers), count)]


def write_summary(connection: sqlite3.Connection, one: Summarising) -> None:
    """Within a transaction. Where a chunk is damaged there is none. Raises sqlite3.Error."""
    states = SubjectStates(False) if one.subjects else None
    entries: list[ChunkEntry] = []
    size = 0
    for *row, aged, last_ns in connection.execute(ROWS, (key_of(one.stream, one.first), key_of(one.stream, one.last))):
        chunk = StoredChunk(*row)
        try:
            if states is not None:
                count_subjects(chunk, 0, states)
        except DamagedError:
            return
        headed = int(HEADER_BEGIN in chunk.body)
        first, stored = first_of(chunk.key), len(chunk.body) + OFFSET_BYTES * chunk.messages
        entries.append(ChunkEntry(first, chunk.last, chunk.messages, stored, aged, last_ns, headed))
        size += stored
    if not entries:
        return
    chunks = array(NUMBER)
    for column in zip(*entries, strict=True):
        chunks.extend(column)
    subjects = encode_subjects(states) if states is not None else None
    if subjects is not None and len(subjects) > size * MOST_SHARE:
        return
    key, last = key_of(one.stream, entries[0].first), key_of(one.stream, entries[-1].first)
    told = little_endian(chunks).tobytes()
    connection.execute(INSERT, (key, last, told, subjects, seal(key, last, told, subjects)))


def forget_summaries(connection: sqlite3.Connection, first: int, last: int) -> None:
    """Those that tell of chunks from one key to another, of one stream, which are changed. Raises sqlite3.Error."""
    connection.execute(FORGET, (key_of(first >> SEQUENCE_BITS, 0), last, first))


def count_subjects(chunk: StoredChunk, gone: int, states: SubjectStates) -> None:
    """Count the messages of a chunk by subject, but for those that a bitmap says are gone. Raises DamagedError, and
    then none of them are counted.
    """
    if not is_whole(chunk):
        raise DamagedError(f"the checksum of chunk {chunk.key} does not fit")
    body = chunk.body
    begin = first_of(chunk.key)
    ends, distances = places(chunk.messages, chunk.offsets)
    start = 0
    for number, end in enumerate(ends):
        distance = number if distances is None else distances[number]
        if not gone or not gone >> distance & 1:
            _, subject_size, _ = unpack_head(body, start)
            at = start + HEAD_BYTES
            states.add(body[at : at + subject_size], begin + distance, end - start + OFFSET_BYTES)
        start = end


def encode_subjects(states: SubjectStates) -> bytes:
    pieces: list[bytes] = []
    for subject in states:
        state = states.get(subject)
        assert state is not None
        pieces += (SUBJECT.pack(state.messages, state.first, state.last, len(subject)), subject)
    return b"".join(pieces)


def add_subjects(states: SubjectStates, subjects: bytes) -> None:
    """Count what `encode_subjects` has written, behind what is counted already."""
    at, end, count = 0, len(subjects), 0
    while at < end:
        count += 1
        if not count % IN_A_ROW:
            time.sleep(0)
        messages, first, last, size = unpack_subject(subjects, at)
        at += SUBJECT_BYTES
        states.merge(subjects[at : at + size], first, last, messages)
        at += size


def seal(key: int, last: int, chunks: bytes, subjects: bytes | None) -> int:
    """CRC-32 of everything."""
    found = zlib.crc32(chunks, zlib.crc32(PLACE.pack(key, last)))
    return found if subjects is None else zlib.crc32(subjects, found)


def load_summaries(connection: sqlite3.Connection, stream: int) -> list[Summary]:
    """Those of a stream that are as they were written, none of which tell of the same chunk. Raises sqlite3.Error where
    the disk is at fault.
    """
    found: list[Summary] = []
    try:
        for row in connection.execute(SUMMARIES, (key_of(stream, 0), key_of(stream, LAST_SEQUENCE))):
            if is_sound(row) and (not found or row[0] > found[-1].last):
                found.append(Summary(*row))
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
    return found


def is_sound(row: tuple[Any, ...]) -> bool:
    try:
        return bool(seal(*row[:-1]) == row[-1])
    except (TypeError, struct.error):
        return False  # Of another type than was written.
