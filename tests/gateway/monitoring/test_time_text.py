"""Times as nats-server's monitoring writes them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.monitoring.time_text import nanoseconds, round_trip, timestamp, uptime


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 50, tzinfo=UTC), "2026-01-02T03:04:50Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC), "2026-01-02T03:04:05.12Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 7, tzinfo=UTC), "2026-01-02T03:04:05.000007Z"),
        (datetime(2026, 1, 2, 1, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T23:04:05Z"),
    ],
)
def test_timestamp_is_in_utc_without_zeros_at_its_end(moment, text):
    assert timestamp(moment) == text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=3, milliseconds=999), "3s"),
        (timedelta(seconds=60), "1m0s"),
        (timedelta(hours=1, minutes=2, seconds=3), "1h2m3s"),
        (timedelta(days=1, hours=2), "1d2h0m0s"),
        (timedelta(days=366, seconds=5), "1y1d0h0m5s"),
    ],
)
def test_uptime_starts_with_the_largest_unit(span, text):
    assert uptime(span) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0µs"), (0.0003964, "396µs"), (0.00125, "1.25ms"), (0.123456, "123.456ms"), (2.5, "2.5s")],
)
def test_round_trip_has_the_unit_that_fits(seconds, text):
    assert round_trip(seconds) == text


def test_intervals_are_whole_nanoseconds():
    assert nanoseconds(120.0) == 120_000_000_000
    assert nanoseconds(0.1) == 100_000_000
