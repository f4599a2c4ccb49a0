"""Acknowledgement: what a payload says of a delivered message."""

import json

from gateway.streams.times import parse_duration

ACK, OK, NAK, PROGRESS, TERM, NEXT = b"+ACK", b"+OK", b"-NAK", b"+WPI", b"+TERM", b"+NXT"


def delay_of(text: bytes) -> int:
    """How many nanoseconds a refused message is to wait, as JSON or as a span of time; 0 for none."""
    words = text.strip().decode("utf-8", "replace")
    try:
        if words.startswith("{"):
            delay = json.loads(words).get("delay", 0)
            return max(delay, 0) if isinstance(delay, int) else 0
        return parse_duration(words) if words else 0
    except ValueError:
        return 0
