"""When schedules are due."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.streams.cron import Cron
from gateway.streams.errors import ApiError
from gateway.streams.schedule_pattern import next_time, zone_of
from gateway.streams.times import SECOND, parse_time, time_text

BEGIN = "2026-11-29T16:30:10Z"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("* * * * * *", "2026-11-29T16:30:11Z"),
        ("? ? ? ? ? ?", "2026-11-29T16:30:11Z"),
        ("0 * * * * *", "2026-11-29T16:31:00Z"),
        ("5/10 * * * * *", "2026-11-29T16:30:15Z"),
        ("0 0,30 * * * *", "2026-11-29T17:00:00Z"),
        ("0 0 9-17/4 * * *", "2026-11-29T17:00:00Z"),
        ("0 0 0 * * *", "2026-11-30T00:00:00Z"),
        ("0 0 0 1 * *", "2026-12-01T00:00:00Z"),
        ("0 0 0 1 JAN *", "2027-01-01T00:00:00Z"),
        ("0 0 0 29 feb *", "2028-02-29T00:00:00Z"),
        ("0 0 0 * * MON-wed", "2026-11-30T00:00:00Z"),
        # Either of the two days is enough, where neither is everything.
        ("0 0 0 15 * 6", "2026-12-05T00:00:00Z"),
        ("0 0 0 15 * *", "2026-12-15T00:00:00Z"),
    ],
)
def test_the_next_time_of_a_pattern(pattern: str, expected: str) -> None:
    found = Cron(pattern).after(datetime.fromisoformat(BEGIN.replace("Z", "+00:00")))
    assert found == datetime.fromisoformat(expected.replace("Z", "+00:00"))


FIELDS = "60 * * * * *|* * 24 * * *|* * * 0 * *|* * * * 13 *|* * * * * 7|x * * * * *|-1 * * * * *|5-1 * * * * *"
NO_PATTERNS = f"|* * * * *|* * * * * * *|1-2-3 * * * * *|*/0 * * * * *|*/x * * * * *|{FIELDS}"


@pytest.mark.parametrize("pattern", NO_PATTERNS.split("|"))
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Cron(pattern)


def test_what_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="no time"):
        Cron("0 0 0 30 2 *").after(datetime(2026, 1, 1, tzinfo=UTC))


def test_an_hour_that_is_not_there_is_passed_over() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    found = Cron("0 30 2 * * *").after(datetime(2026, 3, 28, 12, tzinfo=berlin))
    assert found == datetime(2026, 3, 30, 2, 30, tzinfo=berlin)


@pytest.mark.parametrize(
    ("pattern", "expected", "repeats"),
    [
        ("@at 2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z", False),
        ("@at 2020-01-01T00:00:00+01:00", "2019-12-31T23:00:00Z", False),
        ("@every 90s", "2026-11-29T16:31:40Z", True),
        ("@hourly", "2026-11-29T17:00:00Z", True),
        ("@daily", "2026-11-30T00:00:00Z", True),
        ("@weekly", "2026-12-06T00:00:00Z", True),
        ("@monthly", "2026-12-01T00:00:00Z", True),
        ("@yearly", "2027-01-01T00:00:00Z", True),
    ],
)
def test_schedules_have_short_forms(pattern: str, expected: str, repeats: bool) -> None:
    now = parse_time(BEGIN)
    assert next_time(pattern, None, now, now) == (parse_time(expected), repeats)


def test_one_that_was_due_often_is_due_once() -> None:
    now = parse_time(BEGIN)
    for pattern in ("@every 1s", "* * * * * *"):
        at, _ = next_time(pattern, None, now - 3600 * SECOND, now)
        assert time_text(at) == "2026-11-29T16:30:11Z"


def test_a_zone_moves_the_hours() -> None:
    now = parse_time(BEGIN)
    at, _ = next_time("0 0 12 * * *", zone_of(b"America/New_York"), now, now)
    assert time_text(at) == "2026-11-29T17:00:00Z"


@pytest.mark.parametrize("pattern", ["@at soon", "@every", "@every 10ms", "@every x", "@never", "nonsense"])
def test_what_is_no_schedule_is_refused(pattern: str) -> None:
    with pytest.raises(ApiError, match="pattern"):
        next_time(pattern, None, 0, 0)


@pytest.mark.parametrize("zone", [b"", b"Nowhere/Atall", b"../../etc/passwd", b"/etc/localtime", b"\xff", b"x" * 100])
def test_what_is_no_zone_is_refused(zone: bytes) -> None:
    with pytest.raises(ApiError, match="zone"):
        zone_of(zone)
