"""Frames as a client writes them, right and wrong, for the tests of this room."""

import struct
import zlib
from itertools import pairwise

KEY = b"\x01\x02\x03\x04"


def frame(payload: bytes, first: int = 0x82, mask: bytes | None = KEY, length: int | None = None) -> bytes:
    """A client's frame; `length` lies about the size of the payload."""
    size = len(payload) if length is None else length
    flag = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    return head + (mask or b"") + (masked(payload, mask) if mask else payload)


def masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    pad = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size)


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces, some of them perhaps empty."""
    edges = sorted(place % (len(stream) + 1) for place in places)
    return [stream[start:stop] for start, stop in pairwise([0, *edges, len(stream)])]


# Streams that end with a violation, the close code that it brings, and the words where peers may know them.
VIOLATIONS = {
    "unmasked": (frame(b"x", mask=None), 1002, "mask bit missing"),
    "reserved bit 2": (frame(b"x", 0xA2), 1002, None),
    "compressed without agreement": (frame(deflate(b"x"), 0xC2), 1002, None),
    "reserved opcode": (frame(b"x", 0x83), 1002, None),
    "reserved control opcode": (frame(b"x", 0x8B), 1002, None),
    "fragmented ping": (frame(b"x", 0x09), 1002, None),
    "long ping": (frame(bytes(126), 0x89), 1002, None),
    "reserved bit on a ping": (frame(b"x", 0xA9), 1002, None),
    "long close": (frame(b"\x03\xe8" + b"a" * 124, 0x88), 1002, None),
    "continuation of nothing": (frame(b"x", 0x80), 1002, None),
    "continuation behind a whole message": (frame(b"x") + frame(b"y", 0x00), 1002, None),
    "message inside a message": (frame(b"x", 0x02) + frame(b"y", 0x82), 1002, None),
    "text inside a message": (frame(b"x", 0x02) + frame(b"p", 0x89) + frame(b"y", 0x81), 1002, None),
    "length with the highest bit": (b"\x82\xff" + b"\xff" * 8, 1002, None),
    "length not the shortest": (b"\x82\xfe\x00\x01" + KEY, 1002, None),
    "long length not the shortest": (b"\x82\xff" + bytes(6) + b"\xff\xff" + KEY, 1002, None),
    "close code 1004": (frame(b"\x03\xec", 0x88), 1002, None),
    "close code 1005": (frame(b"\x03\xed", 0x88), 1002, None),
    "close code 999": (frame(b"\x03\xe7", 0x88), 1002, None),
    "close code 5000": (frame(b"\x13\x88", 0x88), 1002, None),
    "close of one byte": (frame(b"\x03", 0x88), 1002, None),
    "close reason no UTF-8": (frame(b"\x03\xe8\xff", 0x88), 1007, None),
    "text no UTF-8": (frame(b"\xff", 0x81), 1007, None),
    "text cut inside a character": (frame("é".encode()[:1], 0x81), 1007, None),
    "text with a surrogate": (frame(b"\xed\xa0\x80", 0x81), 1007, None),
    "text wrong in its second fragment": (frame(b"\xc3", 0x01) + frame(b"\x28", 0x80), 1007, None),
}
