"""Times as the API writes them: RFC 3339 in UTC with as many decimals as are needed, and nanoseconds of unix time."""

from datetime import datetime
from time import gmtime

SECOND = 1_000_000_000
# Longer than anybody writes either of them. What is read of them is copied piece by piece.
LONGEST_TEXT = 64
# What 64 bits hold, which is until 2262: what is later is as late as that. A span ends before, whenever it begins.
LATEST_NS = (1 << 63) - 1
CENTURY = 100 * 366 * 86_400 * SECOND
# What Go's zero time looks like.
NO_TIME = "0001-01-01T00:00:00Z"


def time_text(nanoseconds: int) -> str:
    """0 is no time."""
    if not nanoseconds:
        return NO_TIME
    seconds, rest = divmod(nanoseconds, SECOND)
    year, month, day, hour, minute, second = gmtime(seconds)[:6]
    text = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else text + "Z"


def parse_time(text: str) -> int:
    """Nanoseconds of a time in RFC 3339; 0 for Go's zero time. Raises ValueError."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a time of {len(text)} characters")
    if text.startswith("0001-01-01T00:00:00"):
        return 0
    head, point, rest = text.partition(".")
    digits = ""
    zone = rest
    if point:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        zone = rest[len(digits) :]
        if not digits or not zone:
            raise ValueError(f"{text!r} is no time")
    moment = datetime.fromisoformat(head + zone.replace("Z", "+00:00") if point else head)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    found = int(moment.timestamp()) * SECOND + int(digits[:9].ljust(9, "0") or 0)
    return min(max(found, -LATEST_NS), LATEST_NS)


GO_UNITS = (("h", 3600 * SECOND), ("m", 60 * SECOND))


def duration_text(nanoseconds: int) -> str:
    """A span of time as Go writes it: 1h2m3.5s, 5ms."""
    if not nanoseconds:
        return "0s"
    if nanoseconds < SECOND:
        for unit, size in (("ms", 1_000_000), ("µs", 1000)):
            if nanoseconds >= size:
                return f"{nanoseconds / size:.9f}".rstrip("0").rstrip(".") + unit
        return f"{nanoseconds}ns"
    text = ""
    for unit, size in GO_UNITS:
        count, nanoseconds = divmod(nanoseconds, size)
        if count or text:
            text += f"{count}{unit}"
    return text + f"{nanoseconds / SECOND:.9f}".rstrip("0").rstrip(".") + "s"


def parse_duration(text: str) -> int:
    """Nanoseconds of a span of time as Go writes it, a century at most. Raises ValueError."""
    units = {"ns": 1, "us": 1000, "µs": 1000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
    total, rest = 0.0, text
    if not text or len(text) > LONGEST_TEXT:
        raise ValueError(f"a span of time of {len(text)} characters")
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµmsh"))]
        rest = rest[len(unit) :]
        if unit not in units or len(number) > 20:
            raise ValueError(f"{text!r} is no span of time")
        total += float(number) * units[unit]
    return min(int(total), CENTURY)
