"""Times and spans of time as Go writes them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.streams.message_headers import lifetime_ns
from gateway.streams.times import CENTURY, LATEST_NS, NO_TIME, duration_text, parse_duration, parse_time, time_text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, NO_TIME),
        (1_767_225_600_000_000_000, "2026-01-01T00:00:00Z"),
        (1_767_225_600_120_000_000, "2026-01-01T00:00:00.12Z"),
        (1_767_225_600_000_000_001, "2026-01-01T00:00:00.000000001Z"),
    ],
)
def test_a_time_has_as_many_decimals_as_it_needs(nanoseconds: int, text: str) -> None:
    assert time_text(nanoseconds) == text
    assert parse_time(text) == nanoseconds


@given(st.integers(1, 4_000_000_000_000_000_000))
def test_a_time_is_read_as_it_was_written(nanoseconds: int) -> None:
    assert parse_time(time_text(nanoseconds)) == nanoseconds


def test_a_time_may_have_another_zone() -> None:
    assert parse_time("2026-01-01T02:00:00.5+02:00") == parse_time("2026-01-01T00:00:00.5Z")


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (5, "5ns"),
        (1_500_000, "1.5ms"),
        (2_000_000_000, "2s"),
        (3_723_500_000_000, "1h2m3.5s"),
        (3_600_000_000_000, "1h0m0s"),
    ],
)
def test_a_span_of_time_is_written_as_go_does(nanoseconds: int, text: str) -> None:
    assert duration_text(nanoseconds) == text
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5x", "1.2.3s", "-5s"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1s" * 500_000, "9" * 500_000, "2026-01-01T00:00:00." + "0" * 500_000 + "Z"])
@pytest.mark.parametrize("parse", [parse_duration, parse_time])
def test_what_is_longer_than_anybody_writes_is_not_even_read(parse: Callable[[str], int], text: str) -> None:
    with pytest.raises(ValueError, match=r"^a (span of )?time of \d+ characters$"):
        parse(text)


@pytest.mark.parametrize("text", ["99999999999999999999h", "9223372037s", "9" * 20 + "s" + "9" * 20 + "s"])
def test_no_span_of_time_is_longer_than_numbers_of_64_bits_can_bear(text: str) -> None:
    assert parse_duration(text) == lifetime_ns(text.encode()) == CENTURY
    assert CENTURY + parse_time("2100-01-01T00:00:00Z") < LATEST_NS


@pytest.mark.parametrize("seconds", ["99999999999", "9223372037"])
def test_no_life_is_longer_either(seconds: str) -> None:
    assert lifetime_ns(seconds.encode()) == CENTURY


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-23:59", "0001-01-01T01:00:00Z"])
def test_every_time_has_a_number_of_64_bits(text: str) -> None:
    assert abs(parse_time(text)) == LATEST_NS
    assert parse_time(time_text(parse_time(text))) == parse_time(text) or text.startswith("0001")
