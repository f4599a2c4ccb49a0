"""Acknowledgement: what a payload says of a delivered message."""

import msgspec

from gateway.streams.times import parse_duration
from protocols import foreign_json
from protocols.foreign_json import Int64

ACK, OK, NAK, PROGRESS, TERM, NEXT = b"+ACK", b"+OK", b"-NAK", b"+WPI", b"+TERM", b"+NXT"


class Refusal(msgspec.Struct):
    """What may be said with -NAK."""

    delay: Int64 = 0


def delay_of(text: bytes) -> int:
    """How many nanoseconds a refused message is to wait, as JSON or as a span of time; 0 for none."""
    words = text.strip()
    try:
        if words.startswith(b"{"):
            return max(foreign_json.decode(words, Refusal).delay, 0)
        return parse_duration(words.decode("utf-8", "replace")) if words else 0
    except (msgspec.DecodeError, ValueError):
        return 0
