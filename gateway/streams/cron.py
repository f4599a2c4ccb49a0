"""Cron: the times of a pattern with six fields (second, minute, hour, day, month, day of the week), as nats-server
understands them: lists, ranges, steps, `*` or `?`, names of months and days; Sunday is 0.

Where neither of the two days is everything, either is enough.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# What comes later than that never comes.
MOST_YEARS = 5
LONGEST_PATTERN = 1024
FIELDS = 6


class Bounds(NamedTuple):
    """What a field may be, and its names."""

    least: int
    most: int
    names: dict[str, int]


class Field(NamedTuple):
    """What a field says; `is_everything` where it says nothing."""

    values: frozenset[int]
    is_everything: bool


BOUNDS = (
    Bounds(0, 59, {}),
    Bounds(0, 59, {}),
    Bounds(0, 23, {}),
    Bounds(1, 31, {}),
    Bounds(1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    Bounds(0, 6, {name: number for number, name in enumerate(DAYS)}),
)


class Cron:
    """A pattern. Raises ValueError."""

    def __init__(self, pattern: str) -> None:
        fields = pattern.split()
        if len(fields) != FIELDS or len(pattern) > LONGEST_PATTERN:
            raise ValueError(f"{pattern!r} has not six fields")
        read = [parse_field(text, bounds) for text, bounds in zip(fields, BOUNDS, strict=True)]
        self._second, self._minute, self._hour, self._day, self._month, self._weekday = read

    def after(self, moment: datetime) -> datetime:
        """The next time behind a moment, in its zone. Raises ValueError where there is none within five years."""
        zone = moment.tzinfo
        begin = moment.replace(microsecond=0, tzinfo=None) + timedelta(seconds=1)
        last = begin.year + MOST_YEARS
        at = begin
        while True:
            at = self._next_day(at, last)
            found = self._time_of_day(at, zone, moment)
            if found is not None:
                return found
            at = at.replace(hour=0, minute=0, second=0) + timedelta(days=1)

    def _next_day(self, at: datetime, last: int) -> datetime:
        """The first day from a time on that fits; a later one begins at midnight."""
        while at.month not in self._month.values or not self._fits(at):
            if at.year > last:
                raise ValueError("the pattern has no time within five years")
            if at.month not in self._month.values:
                at = first_of_next_month(at)
            else:
                at = at.replace(hour=0, minute=0, second=0) + timedelta(days=1)
        if at.year > last:
            raise ValueError("the pattern has no time within five years")
        return at

    def _fits(self, at: datetime) -> bool:
        day = at.day in self._day.values
        weekday = (at.weekday() + 1) % 7 in self._weekday.values
        if self._day.is_everything or self._weekday.is_everything:
            return day and weekday
        return day or weekday

    def _time_of_day(self, at: datetime, zone: tzinfo | None, moment: datetime) -> datetime | None:
        """The first time of a day, from `at` on, that exists there and is later than a moment."""
        for hour in sorted(one for one in self._hour.values if one >= at.hour):
            for minute in sorted(self._minute.values):
                if (hour, minute) < (at.hour, at.minute):
                    continue
                seconds = self._second.values
                if (hour, minute) == (at.hour, at.minute):
                    seconds = frozenset(one for one in seconds if one >= at.second)
                if not seconds:
                    continue
                found = at.replace(hour=hour, minute=minute, second=min(seconds), tzinfo=zone)
                there = found.astimezone(UTC)
                # In spring an hour is not there, in autumn one is there twice.
                is_there = there.astimezone(zone).replace(tzinfo=None) == found.replace(tzinfo=None)
                if is_there and there > moment.astimezone(UTC):
                    return found
        return None


def first_of_next_month(at: datetime) -> datetime:
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return datetime(year, month, 1)  # noqa: DTZ001 - the zone is put to it once the time is found


def parse_field(text: str, bounds: Bounds) -> Field:
    """Raises ValueError."""
    values: set[int] = set()
    is_everything = False
    for expression in filter(None, text.split(",")):
        more, everything = parse_range(expression, bounds)
        values.update(more)
        is_everything = is_everything or everything
    return Field(frozenset(values), is_everything)


def parse_range(text: str, bounds: Bounds) -> tuple[range, bool]:
    """`*`, `?`, a number, or two of them with `-`; perhaps with a step behind `/`. Raises ValueError."""
    head, slash, step_text = text.partition("/")
    low, hyphen, high = head.partition("-")
    everything = low in ("*", "?")
    if everything:
        begin, end = bounds.least, bounds.most
    else:
        begin = parse_number(low, bounds.names)
        end = parse_number(high, bounds.names) if hyphen else begin
    step = 1
    if slash:
        step = parse_number(step_text, {})
        if not hyphen:
            end = bounds.most
        everything = everything and step <= 1
    if not bounds.least <= begin <= end <= bounds.most or step < 1:
        raise ValueError(f"{text!r} is out of range")
    return range(begin, end + 1, step), everything


def parse_number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{text!r} is no number")
    return int(text)
