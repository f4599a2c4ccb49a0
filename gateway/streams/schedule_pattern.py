"""When a schedule is due: `@at TIME`, `@every SPAN`, `@daily` and its like, or a pattern of cron."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from gateway.streams import errors
from gateway.streams.cron import Cron
from gateway.streams.errors import ApiError
from gateway.streams.times import SECOND, parse_duration, parse_time

AT, EVERY = "@at ", "@every "
NAMED = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
LONGEST_ZONE = 64


def zone_of(name: bytes | None) -> tzinfo | None:
    """None where none is named. Raises ApiError."""
    if name is None:
        return None
    if not name or len(name) > LONGEST_ZONE:
        raise ApiError(errors.SCHEDULE_ZONE)
    try:
        return ZoneInfo(name.decode())
    except (KeyError, ValueError, OSError):
        raise ApiError(errors.SCHEDULE_ZONE) from None


def next_time(pattern: str, zone: tzinfo | None, after_ns: int, now_ns: int) -> tuple[int, bool]:
    """When a schedule is due behind a time, in nanoseconds of unix time, and whether it is again after that. One that
    was due more than once is due once. Raises ApiError.
    """
    try:
        if pattern.startswith((AT, EVERY)) and zone is not None:
            raise ValueError("a span of time, and a time, have no zone")
        if pattern.startswith(AT):
            return parse_time(pattern[len(AT) :]), False
        if pattern.startswith(EVERY):
            return _next_of_span(parse_duration(pattern[len(EVERY) :]), after_ns, now_ns), True
        cron = Cron(NAMED.get(pattern, pattern))
        found = _next_of_cron(cron, zone, after_ns)
        return (found if found >= now_ns else _next_of_cron(cron, zone, _rounded(now_ns))), True
    except (ValueError, OverflowError):
        raise ApiError(errors.SCHEDULE_PATTERN) from None


def _next_of_span(span: int, after_ns: int, now_ns: int) -> int:
    if span < SECOND:
        raise ValueError("less than a second")
    found = _rounded(after_ns) + span
    return found if found >= now_ns else _rounded(now_ns) + span


def _next_of_cron(cron: Cron, zone: tzinfo | None, after_ns: int) -> int:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=after_ns // SECOND)
    return int(cron.after(moment.astimezone(zone or UTC)).timestamp()) * SECOND


def _rounded(nanoseconds: int) -> int:
    return (nanoseconds + SECOND // 2) // SECOND * SECOND
