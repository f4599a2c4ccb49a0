"""Publishing: what the headers of a message demand of the stream that it goes to."""

from typing import NamedTuple

from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.counters import increment_of
from gateway.streams.errors import ApiError
from gateway.streams.roles import PublishedTo
from gateway.streams.schedule_check import check_schedule
from gateway.streams.staged import Staged
from protocols.subjects import is_literal, matches

ROLLUPS = (b"sub", b"all")
# A message that expects the last of a filter's subjects is refused where the stream has more.
MOST_SUBJECTS_LOOKED_AT = 256
# What a message that adds to a counter cannot demand.
NOT_COUNTED = (
    headers.ROLLUP,
    headers.EXPECTED_STREAM,
    headers.EXPECTED_LAST_ID,
    headers.EXPECTED_SUBJECT,
    headers.EXPECTED_LAST,
    headers.EXPECTED_LAST_OF_SUBJECT,
)
SCHEDULING = (headers.SCHEDULE, headers.SCHEDULE_ZONE, headers.SCHEDULE_NEXT, headers.SCHEDULER)


class Publication(NamedTuple):
    """`identifier` is b"" where there is none; `duplicate` the sequence of the message that had it before, or 0;
    `lifetime` in nanoseconds (message_headers.lifetime_ns); `rollup` what it says of others, or b"".
    """

    identifier: bytes
    duplicate: int
    lifetime: int
    rollup: bytes


def check_expectations(
    stream: PublishedTo, subject: bytes, fields: dict[bytes, bytes], payload_size: int, staged: Staged | None = None
) -> Publication:
    """Whether a message is expected, by its `Nats-` headers; `staged` is what its batch has brought before it. Raises
    ApiError.
    """
    stored = stream.stored
    if headers.BATCH_ID in fields and staged is None:
        raise ApiError(errors.ATOMIC_DISABLED)
    _check_increment(stream, fields, payload_size)
    expected_stream = fields.get(headers.EXPECTED_STREAM)
    if expected_stream and expected_stream != stream.name.encode():
        raise ApiError(errors.WRONG_STREAM)
    lifetime = _lifetime(stream, fields)
    _check_last_of_subject(stream, subject, fields, staged)
    if headers.EXPECTED_LAST in fields:
        if headers.number(fields[headers.EXPECTED_LAST]) != stored.last + (staged.messages if staged else 0):
            raise ApiError(errors.WRONG_LAST_SEQUENCE.with_text(stored.last + (staged.messages if staged else 0)))
        if staged is not None:
            staged.check_last()
    is_schedule = False
    if any(name in fields for name in SCHEDULING):
        is_schedule = check_schedule(stream, subject, fields, staged)
    if fields.get(headers.SOURCE):
        raise ApiError(errors.SOURCE_HEADER)
    identifier = fields.get(headers.MESSAGE_ID, b"")
    if identifier:
        duplicate = _find_duplicate(stream, identifier)
        if duplicate and staged is None:
            return Publication(identifier, duplicate, 0, b"")
        if staged is not None:
            if duplicate:
                raise ApiError(errors.ATOMIC_DUPLICATE)
            staged.check_id(identifier)
    expected_id = fields.get(headers.EXPECTED_LAST_ID)
    if expected_id and expected_id != stream.duplicates.last:
        raise ApiError(errors.WRONG_LAST_ID.with_text(stream.duplicates.last.decode("utf-8", "replace")))
    rollup = _rollup(stream, fields)
    if is_schedule:
        rollup = b"sub"
    if staged is not None:
        staged.check_rollup(subject, rollup)
        if is_schedule:
            staged.schedules.add(subject)
    return Publication(identifier, 0, lifetime, rollup)


def _check_increment(stream: PublishedTo, fields: dict[bytes, bytes], payload_size: int) -> None:
    value = fields.get(headers.INCREMENT)
    if not value:
        return
    increment_of(value)
    if not stream.config.allow_msg_counter:
        raise ApiError(errors.COUNTER_DISABLED)
    if payload_size:
        raise ApiError(errors.COUNTER_PAYLOAD)
    if any(fields.get(name) for name in NOT_COUNTED):
        raise ApiError(errors.COUNTER_INVALID)


def _find_duplicate(stream: PublishedTo, identifier: bytes) -> int:
    return stream.duplicates.find(identifier, stream.stored.age_ns())


def of_copy(stream: PublishedTo, header: bytes) -> Publication:
    """What the headers of a copy say: it was expected where it comes from."""
    fields = headers.nats_fields(header)
    identifier = fields.get(headers.MESSAGE_ID, b"")
    duplicate = 0
    if identifier and stream.config.mirror is None:
        duplicate = _find_duplicate(stream, identifier)
    lifetime = 0
    if stream.config.allow_msg_ttl and headers.TTL in fields:
        lifetime = headers.lifetime_ns(fields[headers.TTL])
    rollup = fields.get(headers.ROLLUP, b"").lower() if stream.config.allow_rollup_hdrs else b""
    return Publication(identifier, duplicate, lifetime, rollup if rollup in ROLLUPS else b"")


def _lifetime(stream: PublishedTo, fields: dict[bytes, bytes]) -> int:
    value = fields.get(headers.TTL)
    if not value:
        return 0
    lifetime = headers.lifetime_ns(value)
    if not stream.config.allow_msg_ttl:
        raise ApiError(errors.TTL_DISABLED)
    return lifetime


def _check_last_of_subject(
    stream: PublishedTo, subject: bytes, fields: dict[bytes, bytes], staged: Staged | None
) -> None:
    expected = fields.get(headers.EXPECTED_LAST_OF_SUBJECT)
    if expected is None:
        if fields.get(headers.EXPECTED_SUBJECT):
            raise ApiError(errors.NO_EXPECTED_SEQUENCE)
        return
    asked = fields.get(headers.EXPECTED_SUBJECT, subject)
    last = 0
    if is_literal(asked):
        state = stream.stored.subject(asked)
        last = state.last if state is not None else 0
    else:
        subjects = stream.stored.subjects or ()
        if len(subjects) > MOST_SUBJECTS_LOOKED_AT:
            raise ApiError(errors.STORE_FAILED.with_text("there are too many subjects to look for the last of several"))
        found = (stream.stored.subject(one) for one in [*subjects] if matches(asked, one))
        last = max((state.last for state in found if state is not None), default=0)
    if staged is not None:
        staged.check_last_of(asked, headers.number(expected), last)
    if headers.number(expected) != last:
        raise ApiError(errors.WRONG_LAST_SEQUENCE.with_text(last))


def _rollup(stream: PublishedTo, fields: dict[bytes, bytes]) -> bytes:
    value = fields.get(headers.ROLLUP)
    if not value:
        return b""
    if not stream.config.allow_rollup_hdrs or stream.config.deny_purge:
        raise ApiError(errors.NO_ROLLUP)
    value = value.lower()
    if value not in ROLLUPS:
        raise ApiError(errors.WRONG_ROLLUP.with_text(value.decode("utf-8", "replace")))
    return value


def rolled_up(stream: PublishedTo, subject: bytes, sequence: int, rollup: bytes) -> None:
    """A message that was just stored takes the place of those before it: all of its subject, or all there are."""
    if rollup == b"all":
        stream.retention.purge(sequence)
    else:
        stream.retention.keep_of(subject, sequence)
