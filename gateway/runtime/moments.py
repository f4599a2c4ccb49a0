"""Moments of trio's clock as the wall clock has them: a label for people, by which nothing runs."""

from datetime import UTC, datetime, timedelta

import trio


def moment(clock: float) -> datetime:
    """When it was, or will be, as far as the wall clock is right now."""
    return datetime.now(UTC) - timedelta(seconds=trio.current_time() - clock)
