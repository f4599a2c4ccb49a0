"""Moments as the wall clock has them: a label for people and for other systems, by which nothing runs."""

import time
from datetime import UTC, datetime, timedelta

import trio


def moment(clock: float) -> datetime:
    """When a moment of trio's clock was, or will be, as far as the wall clock is right now."""
    return datetime.now(UTC) - timedelta(seconds=trio.current_time() - clock)


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
