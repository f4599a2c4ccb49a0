"""What the streams of an account may take, beside those of all accounts: by its JWT, or by the configuration."""

from collections.abc import Iterable
from typing import Protocol

from gateway.settings.security import AccountStreams
from gateway.settings.streams import Streams as StreamSettings
from gateway.storage.streams.stream import Stream
from gateway.streams import errors
from gateway.streams.consumer_config import MAX_ACK_PENDING, ConsumerConfig
from gateway.streams.errors import ApiError
from gateway.streams.stream_config import StreamConfig

UNLIMITED = -1


class Limited(Protocol):
    """A stream, as far as it takes something."""

    config: StreamConfig
    stored: Stream


def told(limits: AccountStreams, settings: StreamSettings) -> dict[str, object]:
    """As the API tells it."""
    return {
        "max_memory": limits.max_memory_bytes or settings.max_memory_bytes or UNLIMITED,
        "max_storage": limits.max_bytes or settings.max_bytes or UNLIMITED,
        "max_streams": limits.max_streams or settings.max_streams or UNLIMITED,
        "max_consumers": limits.max_consumers or UNLIMITED,
        "max_ack_pending": limits.max_ack_pending or UNLIMITED,
        "memory_max_stream_bytes": limits.max_memory_stream_bytes or UNLIMITED,
        "storage_max_stream_bytes": limits.max_stream_bytes or UNLIMITED,
        "max_bytes_required": limits.max_bytes_required,
    }


def reserved(configs: Iterable[StreamConfig], storage: str) -> int:
    """What streams may come to take, as far as they say so."""
    return sum(max(config.max_bytes, 0) for config in configs if config.storage == storage)


def check_size(limits: AccountStreams, config: StreamConfig) -> None:
    """Whether there may be a stream like that at all. Raises ApiError."""
    if not limits.enabled:
        raise ApiError(errors.NOT_ENABLED)
    in_memory = config.storage == "memory"
    if limits.max_bytes_required and config.max_bytes <= 0:
        raise ApiError(errors.MAX_BYTES_REQUIRED)
    most_of_one = limits.max_memory_stream_bytes if in_memory else limits.max_stream_bytes
    if 0 < most_of_one < config.max_bytes:
        raise ApiError(errors.MAX_STREAM_BYTES)


def check_room(limits: AccountStreams, config: StreamConfig, others: list[StreamConfig]) -> None:
    """Whether there is room for it beside the others. Raises ApiError."""
    in_memory = config.storage == "memory"
    if 0 < limits.max_streams <= len(others):
        raise ApiError(errors.TOO_MANY_STREAMS)
    if 0 < limits.max_consumers < config.max_consumers:
        raise ApiError(errors.TOO_MANY_CONSUMERS)
    most = limits.max_memory_bytes if in_memory else limits.max_bytes
    # A stream without a limit of its own takes at least something.
    wanted = config.max_bytes if config.max_bytes >= 0 else 1
    if most and reserved(others, config.storage) + wanted > max(most, 0):
        raise ApiError(errors.NO_MEMORY if in_memory else errors.NO_STORAGE)


def check_message(limits: AccountStreams, streams: Iterable[Limited], storage: str, size: int) -> None:
    """Whether the streams of an account may take so many bytes more. Raises ApiError."""
    most = limits.max_memory_bytes if storage == "memory" else limits.max_bytes
    if not most:
        return
    taken = sum(stream.stored.size for stream in streams if stream.config.storage == storage)
    if taken + size > max(most, 0):
        raise ApiError(errors.ACCOUNT_RESOURCES)


def check_consumer(limits: AccountStreams, config: ConsumerConfig, is_default: bool) -> None:
    """Whether a completed consumer may have so much on its way; where it says nothing of it, it has what it may. Raises
    ApiError.
    """
    most = limits.max_ack_pending
    if most <= 0 or not config.acknowledges:
        return
    if is_default and config.max_ack_pending == MAX_ACK_PENDING:
        config.max_ack_pending = min(most, MAX_ACK_PENDING)
    if config.max_ack_pending > most:
        raise ApiError(errors.PENDING_OVER_LIMIT.with_text(most))
