"""Chunks: what one end of the forward protocol says to the other, in any of its four modes. They are read piece by
piece: what is in one may be much more than it is itself.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from protocols.fluent.scanning import NotMessagePackError, Scanner, array_size, raw_bytes
from protocols.fluent.values import as_text, decode, decode_raw, encode, read_time

# How zlib is told that a stream is of gzip.
GZIP_WINDOW = 31
# What is decompressed in one go.
PIECE_BYTES = 1 << 16
# So many pieces are read at most for the next events.
MOST_PIECES = 4
# A chunk's id, and a tag.
LONGEST_ID, LONGEST_TAG = 1024, 1024
# Of gzip, in what is written.
LEVEL = 1
TIME_OF_EVENT, TIME_OF_NUMBER = b"\x92\xd7\x00", b"\x92\xce"


class Event(NamedTuple):
    """`time_ns` is None where the sender said none that is one."""

    time_ns: int | None
    record: dict[object, object]


class BadChunkError(ValueError):
    """What came is none, in words for the log."""


class Option(NamedTuple):
    """What stands behind the events; what else is there is for others."""

    chunk: bytes | None = None
    compressed: bytes = b""


@dataclass(slots=True)
class Chunk:
    """Events of one `tag`, in `stream` one behind the other. `id` is what is to be acknowledged, if anything is.

    `unreadable` counts those that are none.
    """

    tag: bytes
    stream: Iterator[bytes]
    id: bytes | None
    most: int
    unreadable: int = 0
    is_over: bool = False
    _data: bytearray = field(default_factory=bytearray)
    _at: int = 0
    _scanner: Scanner | None = None

    def take(self, count: int) -> list[Event]:
        """The next events, at most so many and no more than is read in one go; maybe none. `is_over` is said without
        any, behind the last. Raises BadChunkError where what comes is no event.
        """
        try:
            return self._take(count)
        except (NotMessagePackError, zlib.error) as error:
            raise BadChunkError(f"a chunk that cannot be read: {error}") from None

    def _take(self, count: int) -> list[Event]:
        scanner = self._scanner
        if scanner is None:
            scanner = self._scanner = Scanner(self.most)
        data, at = self._data, self._at
        found: list[Event] = []
        looked, pulled = 0, 0
        while looked < count:
            end = scanner.end(data, at) if at < len(data) else -1
            if end < 0:
                del data[:at]
                at = 0
                piece = next(self.stream, None) if pulled < MOST_PIECES else b""
                if piece is None:
                    if data:
                        raise BadChunkError("a chunk whose last event is cut short")
                    self.is_over = not looked
                if pulled == MOST_PIECES or piece is None:
                    break
                data += piece
                pulled += 1
                continue
            event = read_event(bytes(data[at:end]))
            if event is None:
                self.unreadable += 1
            else:
                found.append(event)
            at = end
            looked += 1
        self._at = at
        return found


def read_event(data: bytes) -> Event | None:
    """An event that is whole; None where it is none."""
    if data.startswith(TIME_OF_EVENT) and len(data) > 11:
        time_end = 11
    elif data.startswith(TIME_OF_NUMBER):
        time_end = 6
    else:
        count, first = array_size(data)
        if count < 2:
            return None
        time_end = Scanner(len(data)).end(data, first)
    begin = 1 if data[0] < 0xDC else array_size(data)[1]
    time = data[begin:time_end]
    inner, at = array_size(time)
    if inner > 0:  # Fluent Bit has more to say of an event than its time, if it is let.
        time = time[at:]
        time = time[: Scanner(len(time)).end(time, 0)]
    try:
        record = decode(data[time_end:])
    except NotMessagePackError:
        return None
    return Event(read_time(time), record) if isinstance(record, dict) else None


def read_chunk(data: bytes, most: int) -> Chunk | None:
    """What a value is that is whole; None for a sign of life. Raises BadChunkError. In the chunk may be `most` bytes,
    once they are not compressed any more.
    """
    try:
        return _read_chunk(data, most)
    except NotMessagePackError as error:
        raise BadChunkError(f"a chunk that cannot be read: {error}") from None


def _read_chunk(data: bytes, most: int) -> Chunk | None:
    if data == b"\xc0":
        return None
    count, at = array_size(data)
    if count < 0:
        raise BadChunkError("a value that is no chunk")
    if not count:
        return None
    content = raw_bytes(data, at)
    if count < 2 or content is None or content[1] - content[0] > LONGEST_TAG:
        raise BadChunkError("a chunk without a tag")
    begin, at = content
    tag = data[begin:at]
    packed = raw_bytes(data, at)
    if packed is not None:
        option = read_option(data[packed[1] :]) if count > 2 else Option()
        return Chunk(tag, unpacked(data[packed[0] : packed[1]], option, most), option.chunk, most)
    entries, first = array_size(data, at)
    end = Scanner(len(data)).end(data, at)
    if entries >= 0:
        option = read_option(data[end:]) if count > 2 else Option()
        if not tag and not entries and option.chunk is None:
            return None
        return Chunk(tag, pieces(data[first:end]), option.chunk, most)
    if count < 3:
        raise BadChunkError("a chunk without a record")
    behind = Scanner(len(data)).end(data, end)
    option = read_option(data[behind:]) if count > 3 else Option()
    return Chunk(tag, iter((b"\x92" + data[at:behind],)), option.chunk, most)


def read_option(data: bytes) -> Option:
    found = decode_raw(data[: Scanner(len(data)).end(data, 0)])
    if found is None:
        return Option()
    if not isinstance(found, dict):
        raise BadChunkError("an option that is none")
    chunk, compressed = found.get("chunk"), found.get("compressed") or b""
    if not isinstance(chunk, bytes | None) or (chunk is not None and len(chunk) > LONGEST_ID):
        raise BadChunkError("a chunk with an id that is none, or is too long")
    if not isinstance(compressed, bytes):
        raise BadChunkError("an option that is none")
    return Option(chunk, compressed)


def unpacked(data: bytes, option: Option, most: int) -> Iterator[bytes]:
    """What is in a chunk, in pieces."""
    way = option.compressed
    if way in (b"", b"text"):
        return pieces(data)
    if way != b"gzip":
        raise BadChunkError(f"a chunk compressed by {as_text(way)[:16]}; set gzip or nothing where it is sent")
    return decompressed(data, most)


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


def decompressed(data: bytes, most: int) -> Iterator[bytes]:
    """Several streams of gzip may stand one behind the other."""
    size = 0
    while data:
        stream = zlib.decompressobj(GZIP_WINDOW)
        while not stream.eof:
            piece = stream.decompress(data, PIECE_BYTES)
            data = stream.unconsumed_tail or stream.unused_data
            size += len(piece)
            if size > most:
                raise BadChunkError(f"a chunk of more than {most} bytes once it is decompressed")
            if not piece and not data and not stream.eof:
                raise BadChunkError("a chunk whose compression is cut short")
            yield piece


def encode_chunk(tag: str, events: list[bytes], chunk: str, compress: bool) -> bytes:
    """Events, as protocols.fluent.values.encode_event has them, to be acknowledged by the id `chunk`."""
    stream = b"".join(events)
    option: dict[str, object] = {"size": len(events), "chunk": chunk}
    if compress:
        option["compressed"] = "gzip"
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_WINDOW)
        stream = packer.compress(stream) + packer.flush()
    return encode([tag, stream, option])


def encode_acknowledgement(chunk: bytes) -> bytes:
    return encode({"ack": chunk.decode("utf-8", "backslashreplace")})
