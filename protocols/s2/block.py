"""Blocks of S2: what is in a frame of type 0, as snappy has it, with repeats of the last offset besides."""

LITERAL, COPY_1, COPY_2 = 0, 1, 2
# From this value on, the length of a literal stands in one to four bytes of its own.
LONG_LITERAL = 60
# Lengths of repeats that stand in one to three bytes of their own, and what is added to those.
REPEATS = {5: (1, 4), 6: (2, 1 << 8), 7: (3, 1 << 16)}
SHORTEST_COPY = 4


class CorruptError(ValueError):
    """The bytes are no S2."""


def uvarint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends. Raises CorruptError."""
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise CorruptError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise CorruptError("a number has no end")


def decode_block(data: bytes, most: int) -> bytes:
    """What a block stands for, `most` bytes at most. Raises CorruptError."""
    size, at = uvarint(data, 0)
    if size > most:
        raise CorruptError(f"a block of {size} bytes is too large")
    out = bytearray()
    end, offset = len(data), 0
    try:
        while at < end:
            tag = data[at]
            kind, value = tag & 3, tag >> 2
            if kind == LITERAL:
                at, length = _literal(data, at + 1, value)
                if at + length > end:
                    raise CorruptError("a literal is cut short")
                out += data[at : at + length]
                at += length
                continue
            if kind == COPY_1:
                near = (tag & 0xE0) << 3 | data[at + 1]
                at, length = at + 2, value & 7
                if near:
                    offset = near
                elif length in REPEATS:
                    width, more = REPEATS[length]
                    length = int.from_bytes(data[at : at + width], "little") + more
                    at += width
                length += SHORTEST_COPY
            else:
                width = 2 if kind == COPY_2 else 4
                length, offset = value + 1, int.from_bytes(data[at + 1 : at + 1 + width], "little")
                at += 1 + width
            if not 0 < offset <= len(out) or len(out) + length > size:
                raise CorruptError("a copy reaches too far")
            _copy(out, offset, length)
    except IndexError:
        raise CorruptError("a block is cut short") from None
    if len(out) != size:
        raise CorruptError("a block has another size than it says")
    return bytes(out)


def _literal(data: bytes, at: int, value: int) -> tuple[int, int]:
    """Where a literal begins, and how long it is."""
    if value < LONG_LITERAL:
        return at, value + 1
    width = value - LONG_LITERAL + 1
    return at + width, int.from_bytes(data[at : at + width], "little") + 1


def _copy(out: bytearray, offset: int, length: int) -> None:
    """Put behind it once more what stands so far in front of the end; that may be what is being put there."""
    start = len(out) - offset
    if offset >= length:
        out += out[start : start + length]
        return
    pattern = bytes(out[start:])
    out += (pattern * (length // offset + 1))[:length]
