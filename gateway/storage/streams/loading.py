"""Loading: what a database holds of its streams, as it is found at the start."""

import logging
import sqlite3
from functools import partial
from typing import Any, NamedTuple

import msgspec

from gateway.storage.damage import DamagedError, read_row, reading
from gateway.storage.streams.chunk import (
    HEADER_BEGIN,
    LAST_SEQUENCE,
    OFFSET_BYTES,
    StoredChunk,
    decode,
    first_of,
    key_of,
    missing,
)
from gateway.storage.streams.directory import ChunkEntry
from gateway.storage.streams.found_deletions import NOTHING, Gone, load_gone
from gateway.storage.streams.holes import Hole
from gateway.storage.streams.keepsakes import Keepsakes
from gateway.storage.streams.limits import Limits, decode_limits
from gateway.storage.streams.row_seal import is_sealed
from gateway.storage.streams.stored_message import StoredMessage
from gateway.storage.streams.stored_stream import Surroundings
from gateway.storage.streams.stream import Stream
from gateway.storage.streams.summaries import Summary, add_subjects, count_subjects, load_summaries

log = logging.getLogger("leafgate.storage")

# Those without a name were removed; chunks of them may be left.
STREAMS = """SELECT id, account, name, first, last, last_ns, limits, note, seal
    FROM stream WHERE name IS NOT NULL ORDER BY id"""
CHUNKS = """SELECT key, last, messages, aged, last_ns, length(body)
    FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key"""
WHOLE = "SELECT key, last, messages, crc, offsets, body FROM chunk WHERE key = ?"
OFFSETS = "SELECT offsets FROM chunk WHERE key = ?"
ENDS = (
    "SELECT key FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
    "SELECT last FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
)
CURSORS = "SELECT stream, name, floor, runs, note, seal FROM cursor WHERE stream = ?"
# The place of a chunk's time among the columns of a summary.
LAST_NS = ChunkEntry._fields.index("last_ns")
EPOCHS = "SELECT first, epoch FROM epoch WHERE stream = ? ORDER BY first"


class FoundStream(NamedTuple):
    """What is known of a stream before its chunks were looked at. `whole`: its row is as it was written."""

    id: int
    account: str
    name: str
    note: str
    limits: Limits
    first: int
    last: int
    last_ns: int
    whole: bool
    keepsakes: Keepsakes


def find_streams(connection: sqlite3.Connection) -> list[FoundStream]:
    """All streams. Raises sqlite3.Error and DamagedError where the database as a whole cannot be read."""
    with reading():
        return [found_stream(connection, *row) for row in connection.execute(STREAMS).fetchall()]


def found_stream(
    connection: sqlite3.Connection,
    identifier: int,
    account: str,
    name: str,
    first: int,
    last: int,
    last_ns: int,
    limits: str,
    note: str,
    seal: int,
) -> FoundStream:
    """What a stream is whose row is damaged its keepsake knows."""
    whole = is_sealed((identifier, account, name, first, last, last_ns, limits, note, seal))
    keepsakes = Keepsakes(identifier)
    keepsakes.load(connection)
    kept = keepsakes.get()
    if not whole and kept is not None:
        account, name, limits, note = kept
    try:
        known = decode_limits(limits)
    except msgspec.MsgspecError:
        known = Limits()
    return FoundStream(identifier, account, name, note, known, first, last, last_ns, whole, keepsakes)


def most_messages(connection: sqlite3.Connection, found: FoundStream) -> int:
    """How many messages a stream has at most. Raises sqlite3.Error and DamagedError."""
    places = key_of(found.id, 0), key_of(found.id, LAST_SEQUENCE)
    with reading():
        first, last = (connection.execute(statement, places).fetchone() for statement in ENDS)
        return int(last[0]) - first_of(first[0]) + 1 if first is not None and last is not None else 0


def load_stream(connection: sqlite3.Connection, store: Surroundings, found: FoundStream) -> Stream:
    """A stream with what it holds. A chunk that is damaged is left out and reported; where the stream's own row is,
    everything that its chunks hold is taken, as far as that tells. Raises sqlite3.Error and DamagedError where the
    database as a whole cannot be read.

    This may be done in another thread than the loop's: nothing is noted in the store before `Stream.settle_in`.
    """
    with reading():
        return _load_stream(connection, store, found)


def _load_stream(connection: sqlite3.Connection, store: Surroundings, found: FoundStream) -> Stream:
    identifier = found.id
    stream = Stream(store, identifier, found.account, found.name, found.limits, found.note)
    stream.stand_apart()
    stream.keepsakes = found.keepsakes
    if found.whole:
        stream.contents.first = found.first
        stream.last, stream.last_ns = found.last, found.last_ns
    else:
        report(stream, "stream", "everything that is there of it is taken, also what was deleted last")
        stream.touch(False)
    load_chunks(connection, stream)
    stream.committed = stream.last = max(stream.last, stream.first - 1)
    for row in connection.execute(CURSORS, (identifier,)):
        load_cursor(stream, row)
    stream.departed.load(connection)
    stream.load_epochs(connection.execute(EPOCHS, (identifier,)).fetchall())
    return stream


def load_chunks(connection: sqlite3.Connection, stream: Stream) -> None:
    """By summaries, as far as there are any, and else chunk by chunk."""
    low, high = key_of(stream.id, 0), key_of(stream.id, LAST_SEQUENCE)
    gone = load_gone(connection, stream, partial(report, stream, consequence="what was deleted is back"))
    for summary in load_summaries(connection, stream.id):
        load_rows(connection, stream, low, summary.key - 1, gone)
        if not load_summary(connection, stream, summary, gone):
            load_rows(connection, stream, summary.key, summary.last, gone)
        low = summary.last + 1
    load_rows(connection, stream, low, high, gone)


def load_summary(connection: sqlite3.Connection, stream: Stream, summary: Summary, gone: dict[int, Gone]) -> bool:
    """False where each of the chunks has to be looked at."""
    columns = summary.columns()
    firsts, lasts, lives = columns[:3]
    if sum(lives) != sum(lasts) - sum(firsts) + len(firsts):
        return False  # Some sequences are missing, and which tells the chunk alone.
    with_gone = [first for first in firsts if key_of(stream.id, first) in gone] if gone else []
    if stream.subjects is not None:
        if summary.subjects is None:
            return False
        try:
            deleted = [one for first in with_gone for one in gone_from(connection, key_of(stream.id, first), gone)]
        except DamagedError:
            return False
        add_subjects(stream.subjects, summary.subjects)
        for message in deleted:
            stream.subjects.remove(message.subject, message.sequence)
    if with_gone or firsts[0] < stream.first:
        for entry in map(ChunkEntry, *columns):
            bits, size = gone.get(key_of(stream.id, entry.first), NOTHING)
            stream.contents.holes.put(entry.first, Hole(bits, size))
            left = entry._replace(live=entry.live - bits.bit_count(), size=entry.size - size)
            stream.contents.load(left)
    else:
        stream.contents.load_many(columns)
    stream.last, stream.last_ns = max(stream.last, lasts[-1]), max(stream.last_ns, columns[LAST_NS][-1])
    stream.summarised(lasts[-1])
    return True


def gone_from(connection: sqlite3.Connection, key: int, gone: dict[int, Gone]) -> list[StoredMessage]:
    """The messages that were deleted from a chunk. Raises DamagedError."""
    messages = decode(StoredChunk(*read_row(connection, WHOLE, key)))
    bits, _ = gone[key]
    return [message for message in messages if bits >> (message.sequence - first_of(key)) & 1]


def load_rows(connection: sqlite3.Connection, stream: Stream, low: int, high: int, gone: dict[int, Gone]) -> None:
    """Chunks from one key to another."""
    for key, last, messages, aged, last_ns, size in connection.execute(CHUNKS, (low, high)).fetchall():
        first = first_of(key)
        stream.last, stream.last_ns = max(stream.last, last), max(stream.last_ns, last_ns)
        bits, deleted_size = gone.get(key, NOTHING)
        headed = 1
        try:
            if last - first >= messages:
                bits |= missing(messages, read_row(connection, OFFSETS, key)[0])
            live = last - first + 1 - bits.bit_count()
            size += OFFSET_BYTES * messages - deleted_size
            stream.contents.holes.put(first, Hole(bits, deleted_size))
            if stream.subjects is not None:
                headed = load_subjects(connection, stream, key, bits)
        except DamagedError:
            stream.report_lost(first, messages)
            continue
        stream.contents.load(ChunkEntry(first, last, live, size, aged, last_ns, headed))


def load_cursor(stream: Stream, row: tuple[Any, ...]) -> None:
    """A cursor that is damaged begins anew: messages come twice by that, and none is passed over."""
    _, name, floor, runs, note, _ = row
    try:
        if not is_sealed(row):
            raise DamagedError("its row is not as it was written")
        stream.load_cursor(name, floor, runs, note)
    except DamagedError:
        report(stream, f"cursor {name}", "it begins anew with the first message")
        kept = stream.keepsakes.get(name)
        stream.cursor(name).set_note(note if kept is None else kept.note)


def report(stream: Stream, what: str, consequence: str) -> None:
    log.error(
        "event=row-damaged account=%s stream=%s what=%r reason=%r", stream.account, stream.name, what, consequence
    )


def load_subjects(connection: sqlite3.Connection, stream: Stream, key: int, bits: int) -> int:
    """Count the messages of a chunk by subject; returns ChunkEntry.headed. What lies in front of the stream's first
    message is counted, too: it is taken off when the chunk goes. Raises DamagedError, and then nothing is counted.
    """
    assert stream.subjects is not None
    row = StoredChunk(*read_row(connection, WHOLE, key))
    count_subjects(row, bits, stream.subjects)
    return int(HEADER_BEGIN in row.body)
