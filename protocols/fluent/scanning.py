"""Where values of MessagePack end. A stream of them has no frames, and what comes may be cut anywhere.

No value is built here, and nothing is believed of a size: an array that says it has a million elements is as many bytes
at least, which are too many or have to come first.
"""

# By the first byte: how many bytes a value has that says no size of its own, and how many values follow it then.
_FIXED = [0] * 256
_FOLLOWING = [0] * 256
# Else: how many bytes its size takes, and what is in so many: bytes, values, or pairs of them.
_SIZE_BYTES = [0] * 256
_KIND = [0] * 256
BYTES, VALUES, PAIRS = 1, 2, 3
# The byte that stands for nothing.
NEVER_USED = 0xC1


def _fill() -> None:
    for first in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3):
        _FIXED[first] = 1
    for first in range(0x80, 0xA0):
        _FIXED[first] = 1
        _FOLLOWING[first] = (first & 15) * (2 if first < 0x90 else 1)
    for first in range(0xA0, 0xC0):
        _FIXED[first] = 1 + (first & 31)
    # Numbers of so many bytes, and extensions: one byte more for their type.
    for first, size in zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True):
        _FIXED[first] = 1 + size
    for power in range(5):
        _FIXED[0xD4 + power] = 2 + (1 << power)
    # bin, ext, str; array, map.
    for first, width, kind in (
        *((0xC4 + power, 1 << power, BYTES) for power in range(3)),
        *((0xC7 + power, 1 << power, BYTES) for power in range(3)),
        *((0xD9 + power, 1 << power, BYTES) for power in range(3)),
        *((0xDC + power, 2 << power, VALUES) for power in range(2)),
        *((0xDE + power, 2 << power, PAIRS) for power in range(2)),
    ):
        _SIZE_BYTES[first], _KIND[first] = width, kind


_fill()
EXTENSIONS = (0xC7, 0xC8, 0xC9)


class NotMessagePackError(ValueError):
    """The bytes are no MessagePack, or more of it than may be; in words for the log."""


class Scanner:
    """Finds the end of one value after the other in bytes that come in pieces; each byte is looked at once.

    `at` is how far the value that has begun is known, counted from its first byte.
    """

    __slots__ = ("_most", "_wanted", "at")

    def __init__(self, most: int) -> None:
        self._most = most
        self._wanted = 1
        self.at = 0

    def end(self, data: bytes | bytearray, start: int) -> int:
        """Where the value ends that begins at `start`, or -1 while it is not whole: then the same bytes and more come
        the next time. Raises NotMessagePackError.
        """
        fixed, following, most = _FIXED, _FOLLOWING, self._most
        at, wanted, size = start + self.at, self._wanted, len(data)
        while wanted:
            if at >= size:
                break
            first = data[at]
            step = fixed[first]
            if step:
                at += step
                wanted += following[first] - 1
                continue
            width = _SIZE_BYTES[first]
            if not width:
                raise NotMessagePackError("a byte that MessagePack does not have")
            if at + 1 + width > size:
                break
            count = int.from_bytes(data[at + 1 : at + 1 + width], "big")
            at += 1 + width
            wanted -= 1
            kind = _KIND[first]
            if kind == BYTES:
                at += count + (first in EXTENSIONS)
            else:
                wanted += count * (kind - 1)
            # Each value that is to come is a byte at least.
            if at - start + wanted > most:
                raise NotMessagePackError(f"a value of more than {most} bytes")
        if at - start + wanted > most:
            raise NotMessagePackError(f"a value of more than {most} bytes")
        if wanted or at > size:
            self.at, self._wanted = at - start, wanted
            return -1
        self.at, self._wanted = 0, 1
        return at


def array_size(data: bytes, at: int = 0) -> tuple[int, int]:
    """How many values an array has that begins there, and where the first one is; -1 where it is no array.

    For a value that is whole.
    """
    first = data[at]
    if 0x90 <= first < 0xA0:
        return first & 15, at + 1
    width = _SIZE_BYTES[first] if _KIND[first] == VALUES else 0
    return (int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else -1), at + 1 + width


def raw_bytes(data: bytes, at: int) -> tuple[int, int] | None:
    """From where to where the content of a str or bin is that begins there; None where it is something else.

    For a value that is whole.
    """
    first = data[at]
    if 0xA0 <= first < 0xC0:
        return at + 1, at + 1 + (first & 31)
    if _KIND[first] != BYTES or first in EXTENSIONS:
        return None
    begin = at + 1 + _SIZE_BYTES[first]
    return begin, begin + int.from_bytes(data[at + 1 : begin], "big")
