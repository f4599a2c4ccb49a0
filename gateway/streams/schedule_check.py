"""Whether a message is a schedule, or names one, as it may."""

from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.errors import ApiError
from gateway.streams.roles import PublishedTo
from gateway.streams.schedule_pattern import next_time, zone_of
from gateway.streams.staged import Staged
from protocols.foreign_text import is_legal_literal
from protocols.subjects import is_literal, overlaps

SUBJECT_ROLLUP = b"sub"


def check_schedule(stream: PublishedTo, subject: bytes, fields: dict[bytes, bytes], staged: Staged | None) -> bool:
    """Whether a message is a schedule, by its headers, and one that may be. Raises ApiError."""
    allowed = stream.config.allow_msg_schedules
    pattern = fields.get(headers.SCHEDULE, b"")
    try:
        zone = zone_of(fields.get(headers.SCHEDULE_ZONE))
        if pattern:
            next_time(pattern.decode("utf-8", "replace"), zone, *[stream.stored.store.wall_ns()] * 2)
    except ApiError:
        if not allowed:
            raise ApiError(errors.SCHEDULES_DISABLED) from None
        raise
    if pattern:
        if not allowed:
            raise ApiError(errors.SCHEDULES_DISABLED)
        _check_target(stream, subject, fields)
    _check_scheduler(stream, subject, fields, staged)
    return bool(pattern)


def _check_target(stream: PublishedTo, subject: bytes, fields: dict[bytes, bytes]) -> None:
    lifetime = fields.get(headers.SCHEDULE_TTL)
    if lifetime:
        try:
            headers.lifetime_ns(lifetime)
        except ApiError:
            raise ApiError(errors.SCHEDULE_TTL) from None
    if fields.get(headers.SCHEDULE_ROLLUP, SUBJECT_ROLLUP) not in (SUBJECT_ROLLUP, b""):
        raise ApiError(errors.SCHEDULE_ROLLUP)
    if lifetime and not stream.config.allow_msg_ttl:
        raise ApiError(errors.TTL_DISABLED)
    target = fields.get(headers.SCHEDULE_TARGET, b"")
    if target == subject or not _is_ours(stream, target):
        raise ApiError(errors.SCHEDULE_TARGET)
    source = fields.get(headers.SCHEDULE_SOURCE, b"")
    if source and (source in (target, subject) or not _is_ours(stream, source)):
        raise ApiError(errors.SCHEDULE_SOURCE)
    if fields.get(headers.ROLLUP, SUBJECT_ROLLUP) not in (SUBJECT_ROLLUP, b""):
        raise ApiError(errors.SCHEDULE_ROLLUP)


def _is_ours(stream: PublishedTo, subject: bytes) -> bool:
    if not subject or not is_literal(subject) or not is_legal_literal(subject):
        return False
    return any(overlaps(one, subject) for one in stream.config.filters)


def _check_scheduler(stream: PublishedTo, subject: bytes, fields: dict[bytes, bytes], staged: Staged | None) -> None:
    """A client names a schedule to have it deleted, and for nothing else."""
    scheduler, after = fields.get(headers.SCHEDULER, b""), fields.get(headers.SCHEDULE_NEXT)
    if not after:
        if scheduler:
            raise ApiError(errors.SCHEDULE_SCHEDULER)
        return
    literal = scheduler and is_literal(scheduler) and is_legal_literal(scheduler)
    if after != headers.PURGE or not literal or scheduler == subject:
        raise ApiError(errors.SCHEDULE_SCHEDULER)
    if not stream.config.allow_msg_schedules:
        raise ApiError(errors.SCHEDULES_DISABLED)
    if staged is not None and scheduler in staged.subjects:
        is_wrong = scheduler not in staged.schedules
    else:
        is_wrong = stream.stored.subject(scheduler) is not None and not stream.is_schedule(scheduler)
    if is_wrong:
        raise ApiError(errors.SCHEDULE_SCHEDULER)
