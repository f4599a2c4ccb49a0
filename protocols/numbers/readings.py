"""Readings: what numbers a payload holds: one where it is a number, those of its fields where it is JSON (hot)."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

# A field's name is its path: names and places in lists, with dots between them. Its name is "" where the payload itself
# is the number.
Reading = tuple[str, float]
DOT = "."
# Of a payload whose fields are not named: how deep they are looked for, and how many are taken.
DEEPEST, MOST_FIELDS = 8, 256
# A number is not longer than this; what is longer is text that nobody has to look at.
LONGEST_NUMBER = 64
WORDS = {b"true": 1.0, b"false": 0.0, b"on": 1.0, b"off": 0.0}
JSON_BEGINS = b"{["
UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
# Numbers below these are a time in seconds, milliseconds, microseconds; above them it is nanoseconds.
SECONDS_BELOW, MILLISECONDS_BELOW, MICROSECONDS_BELOW = 1e11, 1e14, 1e17
SECOND, MILLISECOND, MICROSECOND = 1_000_000_000, 1_000_000, 1000


class Readings:
    """Reads payloads: those `fields`, or all that are numbers where none are named. `time_field` is where JSON says
    when it was: in seconds, milliseconds, microseconds, nanoseconds, or as a text by ISO 8601.
    """

    __slots__ = ("_paths", "_time_path")

    def __init__(self, fields: Sequence[str] = (), time_field: str = "") -> None:
        self._paths = [(field, field.split(DOT)) for field in fields]
        self._time_path = time_field.split(DOT) if time_field else None

    def read(self, payload: bytes) -> tuple[list[Reading], int | None]:
        """The numbers, and when that was (nanoseconds since 1970) where the payload says it. No number, no reading:
        text, what is infinite, JSON without any.
        """
        if payload and payload[0] in JSON_BEGINS:
            try:
                value = msgspec.json.decode(payload)
            except UNREADABLE:
                return [], None
            return self.read_value(value)
        number = plain_number(payload)
        if number is None:
            return [], None
        return [("", number)], None

    def read_value(self, value: object) -> tuple[list[Reading], int | None]:
        """The same of what JSON stands for."""
        if self._paths:
            found = [
                (name, number) for name, path in self._paths if (number := as_number(at_path(value, path))) is not None
            ]
        else:
            found = []
            for reading in all_numbers(value, "", DEEPEST, self._time_path):
                found.append(reading)
                if len(found) == MOST_FIELDS:
                    break
        time_path = self._time_path
        return found, None if time_path is None else as_time(at_path(value, time_path))


def plain_number(payload: bytes) -> float | None:
    """The number that a payload is, as text; None where it is none that is finite."""
    if len(payload) > LONGEST_NUMBER:
        return None
    try:
        number = float(payload)
    except ValueError:
        return WORDS.get(payload.strip().lower())
    return number if math.isfinite(number) and b"_" not in payload else None


def as_number(value: object) -> float | None:
    """The number that a value of JSON is, be it in a text; None where it is none that is finite."""
    if isinstance(value, float | int):  # True and False, too.
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return plain_number(value.encode()) if isinstance(value, str) else None


def at_path(value: object, path: Sequence[str]) -> object:
    """What stands there; None where nothing does."""
    for name in path:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isascii() and name.isdigit() and len(name) < 10:
            index = int(name)
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def all_numbers(value: object, name: str, depth: int, without: Sequence[str] | None) -> Iterator[Reading]:
    """Every number that there is, but not texts that look like one, nor the time."""
    if isinstance(value, bool | int | float):
        number = as_number(value)
        if number is not None and name:
            yield name, number
        return
    if not depth or not isinstance(value, dict | list):
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in pairs:
        inner = f"{name}{DOT}{key}" if name else str(key)
        if without is None or inner != DOT.join(without):
            yield from all_numbers(one, inner, depth - 1, without)


def as_time(value: object) -> int | None:
    """Nanoseconds since 1970; None where it is no time."""
    if isinstance(value, str):
        number = plain_number(value.encode())
        if number is None:
            return _written_time(value)
        value = number
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 63:
        return None
    for below, unit in ((SECONDS_BELOW, SECOND), (MILLISECONDS_BELOW, MILLISECOND), (MICROSECONDS_BELOW, MICROSECOND)):
        if value < below:
            return int(value * unit)
    return int(value)


def _written_time(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = int(aware.timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * SECOND + moment.microsecond * MICROSECOND if seconds >= 0 else None
