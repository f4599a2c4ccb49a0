"""Flat JSON: objects of nothing but short numbers, words and plain texts, as devices mostly send them, read and written
without anything made of what nobody wants (hot).

Whatever else there may be in JSON, be it wrong, is not looked at: it is said that this is not flat, and msgspec has to
do it. What is flat is read and written as msgspec does. Compiled, `text` is a view of the bytes without bounds: each
function looks at `end` before it looks at a byte.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.scanning import begins_at, copy_into, cut_buffer, write_number

QUOTE, BACKSLASH, COMMA, COLON, OPEN, CLOSE, MINUS, POINT = 0x22, 0x5C, 0x2C, 0x3A, 0x7B, 0x7D, 0x2D, 0x2E
LOWER_E, UPPER_E, ZERO, NINE, BLANK, ASCII_END = 0x65, 0x45, 0x30, 0x39, 0x20, 0x80
TAB, LF, CR = 0x09, 0x0A, 0x0D
TRUE, FALSE, NULL = b"true", b"false", b"null"
# Every decimal of so many digits is another float; a whole number of the others has 64 bits.
MOST_DIGITS, MOST_WHOLE = 15, 18
SCALES = [10.0**digits for digits in range(MOST_DIGITS + 1)]
# Names that are expected where they stood last, and the longest of them.
MOST_EXPECTED, LONGEST_EXPECTED = 64, 64
# Where an object is put together; a longer one is not flat. A number takes less than the second.
scratch = bytearray(4096)
LONGEST_NUMBER = 40
# Floats between these are written as decimals, without an exponent; so many places behind the point are tried.
LEAST_DECIMAL, MOST_DECIMAL, LARGEST_FLOAT = 1e-3, 1e15, 1.7976931348623157e308
MOST_PLACES = 6
# From here on no float has a fraction: what is below has none any more once this is added.
WHOLE_FROM = float(1 << 52)


class FlatReader:
    """Finds fields by their names, each of which has its place in what is found."""

    __slots__ = ("_at", "_expected", "_places", "_where")

    def __init__(self, places: dict[bytes, int]) -> None:
        self._places = places
        # The names that stood there last, and their places: most objects are like the one before.
        self._expected: list[bytes] = []
        self._where: list[int] = []
        # Where the number ends that was read last.
        self._at = 0

    def read(self, data: bytes, found: list[Any]) -> bool:
        """Put fields at their places. False for what is not flat: then it is not told what was put where."""
        text, end = data, len(data)
        at = behind_blanks(data, 0)
        if at == end or text[at] != OPEN:
            return False
        at = behind_blanks(data, at + 1)
        if at < end and text[at] == CLOSE:
            return behind_blanks(data, at + 1) == end
        nth = 0
        while at < end and text[at] == QUOTE:
            begin = at + 1
            at = end_of_text(data, begin)
            if at < 0:
                return False
            place = self._place_of(data, begin, at, nth)
            nth += 1
            at += 1
            if at < end and text[at] != COLON:
                at = behind_blanks(data, at)
            if at == end or text[at] != COLON:
                return False
            at += 1
            if at < end and text[at] <= BLANK:
                at = behind_blanks(data, at)
            if at == end:
                return False
            byte = text[at]
            value: Any
            if byte == QUOTE:
                begin = at + 1
                at = end_of_text(data, begin)
                if at < 0:
                    return False
                if place >= 0:
                    found[place] = text[begin:at].decode("ascii")
                at += 1
            elif byte == MINUS or ZERO <= byte <= NINE:
                value = self._number(data, at)
                if value is None:
                    return False
                at = self._at
                if place >= 0:
                    found[place] = value
            else:
                value = None
                if begins_at(data, at, end, TRUE):
                    value = True
                    at += 4
                elif begins_at(data, at, end, FALSE):
                    value = False
                    at += 5
                elif begins_at(data, at, end, NULL):
                    at += 4
                else:
                    return False
                if place >= 0:
                    found[place] = value
            if at < end and text[at] <= BLANK:
                at = behind_blanks(data, at)
            if at < end and text[at] == CLOSE:
                return behind_blanks(data, at + 1) == end
            if at == end or text[at] != COMMA:
                return False
            at += 1
            if at < end and text[at] <= BLANK:
                at = behind_blanks(data, at)
        return False

    def _place_of(self, data: bytes, begin: int, end: int, nth: int) -> int:
        """The place of the field whose name stands there, the nth of its object; -1 for none."""
        text, size = data, end - begin
        if nth < len(self._expected):
            expected = self._expected[nth]
            model = expected
            if len(expected) == size:
                i = 0
                while i < size and text[begin + i] == model[i]:
                    i += 1
                if i == size:
                    return self._where[nth]
        name = data[begin:end]
        place = self._places.get(name, -1)
        if size <= LONGEST_EXPECTED:
            if nth < len(self._expected):
                self._expected[nth] = name
                self._where[nth] = place
            elif nth == len(self._expected) and nth < MOST_EXPECTED:
                self._expected.append(name)
                self._where.append(place)
        return place

    def _number(self, data: bytes, at: int) -> Any:
        """The number that begins there, which ends at `_at`; None for one that is not short."""
        text, end = data, len(data)
        negative = text[at] == MINUS
        if negative:
            at += 1
        begin = at
        number = 0
        while at < end and ZERO <= text[at] <= NINE:
            number = number * 10 + (text[at] - ZERO)
            at += 1
            if at - begin > MOST_WHOLE:
                return None
        digits = at - begin
        if not digits or (digits > 1 and text[begin] == ZERO):
            return None
        places = 0
        if at < end and text[at] == POINT:
            at += 1
            while at < end and ZERO <= text[at] <= NINE:
                number = number * 10 + (text[at] - ZERO)
                at += 1
                places += 1
                if digits + places > MOST_DIGITS:
                    return None
            if not places:
                return None
        if at < end and (text[at] == LOWER_E or text[at] == UPPER_E):
            return None
        self._at = at
        if places:
            # Both are exact, so this is the float next to the decimal.
            fraction = number / SCALES[places]
            return -fraction if negative else fraction
        if negative:
            return -number if number else None
        return number


class FlatWriter:
    """Writes objects whose fields have these names."""

    __slots__ = ("_encode", "_leads")

    def __init__(self, names: Iterable[str]) -> None:
        self._encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
        self._leads = [b",%b:" % self._encode(name) for name in names]
        if self._leads:
            self._leads[0] = b"{" + self._leads[0][1:]

    def write(self, values: list[Any]) -> bytes | None:
        """The object with these values, one for each name; None for what is not flat, or where there are no names."""
        at, room = 0, len(scratch)
        for nth, value in enumerate(values):
            lead = self._leads[nth]
            if at + len(lead) + LONGEST_NUMBER > room:
                return None
            copy_into(scratch, at, lead)
            at += len(lead)
            if type(value) is float:
                at = self._write_float(value, at)
            elif type(value) is int:
                at = write_whole(value, at)
            elif type(value) is str:
                at = write_text(value, at)
            else:
                word = TRUE if value is True else FALSE if value is False else NULL if value is None else b""
                if not word:
                    return None
                copy_into(scratch, at, word)
                at += len(word)
            if at < 0:
                return None
        if not at or at == room:
            return None
        scratch[at] = CLOSE
        return cut_buffer(scratch, at + 1)

    def _write_float(self, value: float, at: int) -> int:
        """Where it ends; -1 for one that is not finite."""
        size = value if value >= 0.0 else -value
        if not size <= LARGEST_FLOAT:
            return -1
        if LEAST_DECIMAL <= size < MOST_DECIMAL:
            end = write_decimal(value, size, at)
            if end:
                return end
        digits = self._encode(value)
        if len(digits) > LONGEST_NUMBER:
            return -1
        copy_into(scratch, at, digits)
        return at + len(digits)


def behind_blanks(data: bytes, at: int) -> int:
    """Where something stands that is no white space, or the end."""
    text, end = data, len(data)
    while at < end and text[at] <= BLANK and (text[at] == BLANK or text[at] in (TAB, LF, CR)):
        at += 1
    return at


def end_of_text(data: bytes, at: int) -> int:
    """Where the quote stands that ends a text; -1 where there is none, or anything but plain ASCII in front of it."""
    text, end = data, len(data)
    while at < end:
        byte = text[at]
        if byte == QUOTE:
            return at
        if byte < BLANK or byte == BACKSLASH or byte >= ASCII_END:
            return -1
        at += 1
    return -1


def write_text(value: str, at: int) -> int:
    """Where it ends in the scratch; -1 where something in it is to be escaped, or it is too long."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        return -1
    text, size = data, len(data)
    if at + size + LONGEST_NUMBER > len(scratch):
        return -1
    i = 0
    while i < size:
        byte = text[i]
        if byte < BLANK or byte in (QUOTE, BACKSLASH):
            return -1
        i += 1
    scratch[at] = QUOTE
    copy_into(scratch, at + 1, data)
    scratch[at + 1 + size] = QUOTE
    return at + size + 2


def write_whole(value: Any, at: int) -> int:
    """Where it ends; -1 for one of more than 64 bits."""
    try:
        number = whole_of(value)
    except OverflowError:
        return -1
    if number < 0:
        scratch[at] = MINUS
        at += 1
        number = -number
        if number < 0:  # There is one more below zero.
            return -1
    return write_number(scratch, at, number)


def whole_of(value: Any) -> int:
    """The number, where it is one of 64 bits. Raises OverflowError."""
    if not (cython.compiled or -(1 << 63) < value < 1 << 63):
        raise OverflowError
    return value  # type: ignore[no-any-return]


def write_decimal(value: float, size: float, at: int) -> int:
    """Write a float as the shortest decimal that stands for it; 0 where that has too many places.

    One of at most fifteen digits that is read as the float is the shortest: no other as short is.
    """
    scale = 1.0
    places = 0
    while places <= MOST_PLACES:
        product = size * scale
        if product >= MOST_DECIMAL:
            return 0
        whole = product + WHOLE_FROM - WHOLE_FROM
        if whole < MOST_DECIMAL and whole / scale == size:
            break
        places += 1
        scale *= 10.0
    else:
        return 0
    number = int(whole)
    divisor = int(scale)
    if value < 0.0:
        scratch[at] = MINUS
        at += 1
    at = write_number(scratch, at, number // divisor)
    scratch[at] = POINT
    rest = number % divisor
    while places > 1:
        divisor //= 10
        at += 1
        scratch[at] = ZERO + rest // divisor
        rest %= divisor
        places -= 1
    scratch[at + 1] = ZERO + rest
    return at + 2
