"""Streams of S2: frames with a checksum each, as klauspost/compress writes them; what snappy writes is read, too.

A frame is its type (one byte), its size (three bytes, little-endian), and content. Frames with content begin with the
masked CRC-32C of what they stand for; type 0 holds a block, type 1 the bytes as they are.
"""

import struct

from protocols.s2.block import CorruptError, decode_block
from protocols.s2.crc32c import crc32c

MAGICS = (b"S2sTwO", b"sNaPpY")
BEGIN = b"\xff\x06\x00\x00" + MAGICS[0]
COMPRESSED, PLAIN, IDENTIFIER, FIRST_SKIPPED = 0x00, 0x01, 0xFF, 0x80
HEAD, CHECKSUM = struct.Struct("<I"), struct.Struct("<I")
MOST_BLOCK = 4 << 20
# What is written in one frame.
FRAME_BYTES = 64 << 10
MASK = 0xA282EAD8


def masked_checksum(data: bytes) -> int:
    value = crc32c(data)
    return (((value >> 15) | (value << 17 & 0xFFFFFFFF)) + MASK) & 0xFFFFFFFF


def encode_frames(data: bytes) -> bytes:
    """Frames with these bytes, none of them compressed; a stream has BEGIN in front of its first one."""
    frames = []
    for start in range(0, len(data), FRAME_BYTES):
        part = data[start : start + FRAME_BYTES]
        frames.append(HEAD.pack(PLAIN | len(part) + CHECKSUM.size << 8))
        frames.append(CHECKSUM.pack(masked_checksum(part)))
        frames.append(part)
    return b"".join(frames)


class StreamReader:
    """Reads a stream piece by piece. What is not read yet is at most a frame, some more than 4 MiB."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._has_begun = False

    def feed(self, data: bytes) -> bytes:
        """What the frames stand for that are whole with this. Raises CorruptError."""
        self._rest += data
        rest, found, at = self._rest, [], 0
        while len(rest) - at >= HEAD.size:
            (head,) = HEAD.unpack_from(rest, at)
            kind, size = head & 0xFF, head >> 8
            if size > MOST_BLOCK + MOST_BLOCK // 4:
                raise CorruptError(f"a frame of {size} bytes is too large")
            end = at + HEAD.size + size
            if len(rest) < end:
                break
            found.append(self._frame(kind, bytes(rest[at + HEAD.size : end])))
            at = end
        del rest[:at]
        return b"".join(found)

    def finish(self) -> None:
        """There is no more. Raises CorruptError where a frame is cut short."""
        if self._rest:
            raise CorruptError("a frame is cut short")

    def _frame(self, kind: int, content: bytes) -> bytes:
        if kind == IDENTIFIER:
            if content not in MAGICS:
                raise CorruptError("the stream is none of S2")
            self._has_begun = True
            return b""
        if not self._has_begun:
            raise CorruptError("the stream is none of S2")
        if kind >= FIRST_SKIPPED:
            return b""
        if kind not in (COMPRESSED, PLAIN) or len(content) < CHECKSUM.size:
            raise CorruptError(f"a frame of type {kind} is not known")
        (checksum,) = CHECKSUM.unpack_from(content)
        data = content[CHECKSUM.size :]
        if kind == COMPRESSED:
            data = decode_block(data, MOST_BLOCK)
        if masked_checksum(data) != checksum:
            raise CorruptError("the checksum of a frame does not fit")
        return data
