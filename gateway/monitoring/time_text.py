"""Points in time and spans as the text that nats-server's monitoring uses."""

from datetime import UTC, datetime, timedelta

SPANS = (("y", 365 * 86_400), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with as many digits of the second as are needed."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def uptime(span: timedelta) -> str:
    """Whole seconds from the largest unit that is not zero down: `3s`, `1h0m3s`, `1d2h0m0s`."""
    seconds = max(int(span.total_seconds()), 0)
    text = ""
    for unit, length in SPANS:
        count, seconds = divmod(seconds, length)
        if count or text or unit == "s":
            text += f"{count}{unit}"
    return text


def round_trip(seconds: float) -> str:
    """A short span with the unit that fits: `396µs`, `1.25ms`, `2.5s`."""
    microseconds = round(seconds * 1e6)
    if microseconds < 1000:
        return f"{microseconds}µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:g}ms"
    return f"{microseconds / 1_000_000:g}s"


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
