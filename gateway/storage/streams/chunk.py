"""Chunks: some messages that follow one another in a stream, as the bytes of one row.

The body is a frame for each message: time (int64 nanoseconds), size of the subject (uint16), size of the header
(uint32), all little-endian, subject, header, payload. The offsets are the end of each frame in the body (uint32 each)
and, where sequences are missing between the messages, behind those the distance of each one's sequence from the first
(uint32 each). The checksum is CRC-32 of key (int64), last sequence (int64), count (uint32), offsets and body. (hot)
"""

import struct
import zlib
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from gateway.storage.damage import DamagedError
from gateway.storage.streams.byte_order import little_endian
from gateway.storage.streams.stored_message import StoredMessage, stored_message

# How much one chunk holds at most; a message that is larger has one of its own. What is read in order costs a step for
# each, what is looked for alone to read a chunk: the second pair is for streams in which that is usual, whose chunks
# are to be one page of the file each.
MOST_MESSAGES = 128
MOST_BYTES = 32 << 10
FEW_MESSAGES = 64
FEW_BYTES = 4000
# A chunk whose messages lie far apart would need large bitmaps of what is missing.
MOST_SPAN = 4096
# The key of a row: the stream's number above its first sequence.
SEQUENCE_BITS = 48
LAST_SEQUENCE = (1 << SEQUENCE_BITS) - 1

HEAD = struct.Struct("<qHI")
HEAD_BYTES = HEAD.size
pack_head, unpack_head = HEAD.pack, HEAD.unpack_from
OFFSET = "I"
OFFSET_BYTES = 4
# What each header block begins with; where no body has it, no message has a header.
HEADER_BEGIN = b"NATS/1.0"
PLACE = struct.Struct("<qqI")


class ChunkRow(NamedTuple):
    """A row of the table `chunk`, in the order of its columns.

    `last` is the last sequence, `aged` the milliseconds of the age clock when it was written, `last_ns` the time of the
    last message.
    """

    key: int
    last: int
    messages: int
    aged: int
    last_ns: int
    crc: int
    offsets: bytes
    body: bytes


class StoredChunk(NamedTuple):
    """What `decode` needs of a row."""

    key: int
    last: int
    messages: int
    crc: int
    offsets: bytes
    body: bytes


class Room(NamedTuple):
    """How many messages, and how many bytes, a chunk holds at most."""

    messages: int
    size: int


def room_of(alone: bool) -> Room:
    """That of a stream, of which messages are looked for `alone` or not."""
    if alone:
        return Room(min(FEW_MESSAGES, MOST_MESSAGES), min(FEW_BYTES, MOST_BYTES))
    return Room(MOST_MESSAGES, MOST_BYTES)


def key_of(stream: int, sequence: int) -> int:
    return stream << SEQUENCE_BITS | sequence


def first_of(key: int) -> int:
    return key & LAST_SEQUENCE


def encode(stream: int, messages: Sequence[StoredMessage], aged: int) -> ChunkRow:
    """The row of some messages, at least one; their sequences rise."""
    pieces: list[bytes] = []
    sizes: list[int] = []
    for _, time_ns, subject, header, payload in messages:
        pieces += (pack_head(time_ns, len(subject), len(header)), subject, header, payload)
        sizes.append(HEAD_BYTES + len(subject) + len(header) + len(payload))
    offsets = encode_places([message.sequence for message in messages], sizes)
    first, last, last_ns = messages[0].sequence, messages[-1].sequence, messages[-1].time_ns
    return make_row(stream, first, last, len(messages), aged, last_ns, offsets, b"".join(pieces))


def make_row(
    stream: int, first: int, last: int, count: int, aged: int, last_ns: int, offsets: bytes, body: bytes
) -> ChunkRow:
    """The row of so many messages, from their frames and where those end."""
    key = key_of(stream, first)
    return ChunkRow(key, last, count, aged, last_ns, checksum(key, last, count, offsets, body), offsets, body)


def decode(row: StoredChunk, first: int = 0, wanted: Callable[[bytes], bool] | None = None) -> list[StoredMessage]:
    """The messages of a row, from the sequence `first` on, with subjects that are `wanted`. Raises DamagedError."""
    if not is_whole(row):
        raise DamagedError(f"the checksum of chunk {row.key} does not fit")
    # From here on it is what was written once.
    return messages_in(row, first, wanted)


def messages_in(
    row: StoredChunk | ChunkRow, first: int = 0, wanted: Callable[[bytes], bool] | None = None
) -> list[StoredMessage]:
    """The same of a row that is known to be sound."""
    body = row.body
    begin = first_of(row.key)
    ends, distances = places(row.messages, row.offsets)
    found: list[StoredMessage] = []
    start = 0
    for number, end in enumerate(ends):
        sequence = begin + (number if distances is None else distances[number])
        if sequence >= first:
            time_ns, subject_size, header_size = unpack_head(body, start)
            at = start + HEAD_BYTES
            behind_subject = at + subject_size
            subject = body[at:behind_subject]
            if wanted is None or wanted(subject):
                behind_header = behind_subject + header_size
                header = body[behind_subject:behind_header]
                found.append(stored_message(sequence, time_ns, subject, header, body[behind_header:end]))
        start = end
    return found


def is_whole(chunk: StoredChunk | ChunkRow) -> bool:
    """Whether its checksum fits."""
    return checksum(chunk.key, chunk.last, chunk.messages, chunk.offsets, chunk.body) == chunk.crc


def message_at(row: ChunkRow, number: int) -> StoredMessage:
    """The message at a place, from 0, of a sound row in which no sequence is missing."""
    ends, _ = places(row.messages, row.offsets)
    body, start = row.body, ends[number - 1] if number else 0
    time_ns, subject_size, header_size = unpack_head(body, start)
    at = start + HEAD_BYTES
    behind_subject = at + subject_size
    behind_header = behind_subject + header_size
    sequence = first_of(row.key) + number
    subject, header = body[at:behind_subject], body[behind_subject:behind_header]
    return StoredMessage(sequence, time_ns, subject, header, body[behind_header : ends[number]])


def stored_chunk(row: ChunkRow) -> StoredChunk:
    """What `decode` needs of it."""
    return StoredChunk(row.key, row.last, row.messages, row.crc, row.offsets, row.body)


def encode_places(sequences: list[int], sizes: list[int]) -> bytes:
    """The offsets of frames of these sizes."""
    return encode_ends(sequences, [*accumulate(sizes)])


def encode_ends(sequences: list[int], ends: list[int]) -> bytes:
    """The offsets of frames that end there."""
    numbers = array(OFFSET, ends)
    first = sequences[0]
    if sequences[-1] - first >= len(sequences):
        numbers.extend([sequence - first for sequence in sequences])
    return little_endian(numbers).tobytes()


def places(count: int, offsets: bytes) -> "tuple[array[int], array[int] | None]":
    """The ends of the frames, and the distances of the sequences where some are missing."""
    numbers = little_endian(array(OFFSET, offsets))
    return (numbers, None) if count == len(numbers) else (numbers[:count], numbers[count:])


def missing(count: int, offsets: bytes) -> int:
    """A bitmap of the sequences between the first and the last of a chunk that have no message; bit 0 is the first."""
    _, distances = places(count, offsets)
    if distances is None:
        return 0
    there = 0
    for distance in distances:
        there |= 1 << distance
    return ((1 << (distances[-1] + 1)) - 1) & ~there


def checksum(key: int, last: int, count: int, offsets: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(offsets, zlib.crc32(PLACE.pack(key, last, count))))
