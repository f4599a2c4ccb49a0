"""The headers that say something about a message to its stream, and those that are put in front of one."""

from gateway.streams.errors import INVALID_TTL, ApiError
from gateway.streams.times import CENTURY, SECOND, parse_duration

VERSION = b"NATS/1.0\r\n"
END = b"\r\n\r\n"
MARK = b"Nats-"

MESSAGE_ID = b"Nats-Msg-Id"
EXPECTED_STREAM = b"Nats-Expected-Stream"
EXPECTED_LAST = b"Nats-Expected-Last-Sequence"
EXPECTED_LAST_OF_SUBJECT = b"Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = b"Nats-Expected-Last-Subject-Sequence-Subject"
EXPECTED_LAST_ID = b"Nats-Expected-Last-Msg-Id"
ROLLUP = b"Nats-Rollup"
TTL = b"Nats-TTL"
INCREMENT = b"Nats-Incr"
COUNTER_SOURCES = b"Nats-Counter-Sources"
SCHEDULE = b"Nats-Schedule"
SCHEDULE_ZONE = b"Nats-Schedule-Time-Zone"
SCHEDULE_TTL = b"Nats-Schedule-TTL"
SCHEDULE_ROLLUP = b"Nats-Schedule-Rollup"
SCHEDULE_TARGET = b"Nats-Schedule-Target"
SCHEDULE_SOURCE = b"Nats-Schedule-Source"
SCHEDULE_NEXT = b"Nats-Schedule-Next"
SCHEDULER = b"Nats-Scheduler"
PURGE = b"purge"
BATCH_ID = b"Nats-Batch-Id"
BATCH_SEQUENCE = b"Nats-Batch-Sequence"
BATCH_COMMIT = b"Nats-Batch-Commit"
MARKER_REASON = b"Nats-Marker-Reason"
MESSAGE_SIZE = b"Nats-Msg-Size"
PIN = b"Nats-Pin-Id"

NEVER = -1
# What a block without fields is split into: the version, and what is around the two ends of lines.
EMPTY_LINES = 3

IDENTITY = b"Nats-Stream-Identity"
API_LEVEL = b"Nats-Required-Api-Level"
SOURCE = b"Nats-Stream-Source"
LAST_CONSUMER = b"Nats-Last-Consumer"
LAST_STREAM = b"Nats-Last-Stream"
STALLED = b"Nats-Consumer-Stalled"
# What a copy of a message does not have: it was expected once, and was one of a batch.
NOT_COPIED = (b"Nats-Expected-", b"Nats-Batch-")


def nats_fields(header: bytes) -> dict[bytes, bytes]:
    """The fields whose names begin with `Nats-`, as nats-server spells them; the first of each name."""
    fields: dict[bytes, bytes] = {}
    for line in header.split(b"\r\n"):
        if line.startswith(MARK):
            name, colon, value = line.partition(b":")
            if colon and name not in fields:
                fields[name] = value.strip(b" \t")
    return fields


def with_fields(header: bytes, *fields: tuple[bytes, bytes]) -> bytes:
    """A header block with more fields behind those it has."""
    begin = header[:-2] if header else VERSION
    return begin + b"".join([b"%b: %b\r\n" % field for field in fields]) + b"\r\n"


def status(text: str, *fields: tuple[str, object]) -> bytes:
    """A header block that is a status, such as `408 Request Timeout`."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"NATS/1.0 {text}\r\n{lines}\r\n".encode()


def lifetime_ns(value: bytes) -> int:
    """What Nats-TTL says: nanoseconds, NEVER for ever, 0 for what the stream says. Raises ApiError."""
    text = value.decode("utf-8", "replace")
    if text.lower() == "never":
        return NEVER
    try:
        nanoseconds = (
            int(text) * SECOND if text.isascii() and text.isdigit() and len(text) < 12 else parse_duration(text)
        )
    except ValueError:
        raise ApiError(INVALID_TTL) from None
    if nanoseconds < SECOND and nanoseconds != 0:
        raise ApiError(INVALID_TTL)
    return min(nanoseconds, CENTURY)


def number(value: bytes | None) -> int | None:
    """The sequence that a field names; None where there is none, or no such field."""
    return int(value) if value and value.isdigit() and len(value) < 20 else None


def without_fields(header: bytes, *leads: bytes) -> bytes:
    """A header block without the fields whose names begin so; b"" where nothing is left."""
    if not any(b"\r\n" + lead in header for lead in leads):
        return header
    lines = [line for line in header.split(b"\r\n") if not line.startswith(leads)]
    return b"\r\n".join(lines) if len(lines) > EMPTY_LINES else b""


def with_field(header: bytes, name: bytes, value: bytes) -> bytes:
    """A header block in which a field has a value, whether it was there before or not."""
    return with_fields(without_fields(header, name + b":"), (name, value))
