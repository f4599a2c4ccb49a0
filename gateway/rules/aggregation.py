"""Aggregation: what becomes of the values of one subject within a window of time (hot)."""

from typing import Any

from gateway.rules.errors import MessageError
from gateway.rules.functions import is_number, kind_of

FUNCTIONS = ("mean", "min", "max", "sum", "count", "first", "last")
# These take anything that is short.
OF_ANYTHING = frozenset(("count", "first", "last"))
LONGEST_TEXT = 256
# A name may not be longer, nor an integer larger: both are kept.
MOST_INTEGER = 1 << 63
# What a sum and what belongs to it take, for a name; what its first and last texts take; and a character of the name.
SUMS_BYTES, TEXTS_BYTES, CHARACTER_BYTES = 400, 2200, 4
# Values of one window that have names of their own.
MOST_NAMES = 64


class Sums:
    """Of the values of one window that have one name."""

    __slots__ = ("count", "first", "has_text", "last", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.has_text = False
        self.total: Any = 0
        self.minimum: Any = None
        self.maximum: Any = None
        self.first: Any = None
        self.last: Any = None

    def add(self, value: Any) -> None:
        if not self.count:
            self.first = value
        self.last = value
        if is_number(value):
            self.total += value
            if self.minimum is None or value < self.minimum:
                self.minimum = value
            if self.maximum is None or value > self.maximum:
                self.maximum = value
        self.count += 1

    def result(self, name: str) -> Any:
        if name == "mean":
            return self.total / self.count
        if name == "min":
            return self.minimum
        if name == "max":
            return self.maximum
        if name == "sum":
            return self.total
        if name == "count":
            return self.count
        return self.first if name == "first" else self.last


class Window:
    """The window of one subject. `end` is when it ends, `bytes` about what it takes."""

    __slots__ = ("_sums", "bytes", "end")

    def __init__(self, end: float) -> None:
        self.end = end
        self.bytes = 0
        self._sums: dict[str, Sums] = {}

    def add(self, value: Any, numbers: bool) -> None:
        """Take a value, or the values of an object by their names; all of them or, where one does not fit, none.

        `numbers`: only those. Raises MessageError.
        """
        values = value if type(value) is dict else {"": value}
        for name, one in values.items():
            check(name, one, numbers)
        if len(values.keys() | self._sums.keys()) > MOST_NAMES:
            raise MessageError("too-large", f"there are more than {MOST_NAMES} names: pick some by fields")
        for name, one in values.items():
            sums = self._sums.get(name)
            if sums is None:
                sums = self._sums[name] = Sums()
                self.bytes += SUMS_BYTES + CHARACTER_BYTES * len(name)
            if type(one) is str and not sums.has_text:
                sums.has_text = True
                self.bytes += TEXTS_BYTES
            sums.add(one)

    def result(self, functions: tuple[str, ...]) -> Any:
        """What is handed on at its end. Raises MessageError."""
        try:
            found = {name: self._told(sums, functions) for name, sums in self._sums.items()}
        except OverflowError:
            raise MessageError("too-large", "the sum is too large") from None
        return found[""] if found.keys() == {""} else found

    def _told(self, sums: Sums, functions: tuple[str, ...]) -> Any:
        if len(functions) == 1:
            return sums.result(functions[0])
        return {name: sums.result(name) for name in functions}


def check(name: str, value: Any, numbers: bool) -> None:
    if len(name) > LONGEST_TEXT:
        raise MessageError("too-large", f"a name of {len(name)} characters")
    what = name or "the value"
    if type(value) is int and not -MOST_INTEGER <= value < MOST_INTEGER:
        raise MessageError("too-large", f"{what} is larger than numbers of 64 bits")
    if is_number(value):
        return
    if numbers:
        raise MessageError("not-a-number", f"{what} is {kind_of(value)}: a window takes numbers")
    if isinstance(value, dict | list) or (type(value) is str and len(value) > LONGEST_TEXT):
        raise MessageError("too-large", f"{what} is {kind_of(value)}: a window takes numbers and short texts")
