"""Taking up: what of a stream is known in memory only, found again at a start: ids of the duplicate window, lifetimes,
schedules.
"""

from collections import deque
from typing import Protocol

from gateway.storage.streams.departed_ids import DepartedId
from gateway.storage.streams.stream import Stream
from gateway.streams import message_headers as headers
from gateway.streams.ageing import Ageing
from gateway.streams.duplicates import Duplicates
from gateway.streams.schedules import Schedules
from gateway.streams.stream_config import StreamConfig

# What is read at once.
MESSAGES_AT_ONCE = 1024
BYTES_AT_ONCE = 1 << 20


class TakenUp(Protocol):
    """A stream, as what is known of it in memory sees it."""

    config: StreamConfig
    stored: Stream
    duplicates: Duplicates
    ageing: Ageing
    schedules: Schedules | None


async def take_up(stream: TakenUp) -> None:
    """Look through what is young enough, or all there is, where each message may have a time of its own."""
    stored, config, duplicates = stream.stored, stream.config, stream.duplicates
    now = stored.age_ns()
    first = stored.sequence_aged(now - config.duplicate_window)
    if config.ages_one_by_one or stream.schedules is not None:
        first = stored.first
    first = min(first, stored.committed)  # The last message's id is asked for, however old it is.
    departed = deque(stored.departed.take())
    while first <= stored.committed:
        headed = first if config.ages_one_by_one else stored.next_headed(first)
        if headed > first:  # What has no header has no id.
            first, duplicates.last = headed, b""
        found, first = await stored.read(first, MESSAGES_AT_ONCE, BYTES_AT_ONCE)
        for message in found:
            note_departed(stream, departed, message.sequence, now)
            fields = headers.nats_fields(message.header) if headers.MARK in message.header else {}
            identifier = fields.get(headers.MESSAGE_ID)
            duplicates.last = identifier or b""
            if stream.schedules is not None:
                stream.schedules.note(message.sequence, message.time_ns, message.subject, fields)
            aged = stored.aged_ns(message.sequence)
            if identifier and aged >= now - config.duplicate_window:
                duplicates.note(identifier, message.sequence, aged)
            if config.ages_one_by_one:
                lifetime = headers.lifetime_ns(fields[headers.TTL]) if headers.TTL in fields else 0
                stream.ageing.note(message.sequence, aged, lifetime, message.subject, message.size)
    note_departed(stream, departed, stored.committed + 1, now)
    stream.ageing.wait()


def note_departed(stream: TakenUp, departed: deque[DepartedId], end: int, now: int) -> None:
    """Know the ids of the deleted messages in front of a sequence."""
    duplicates = stream.duplicates
    while departed and departed[0].sequence < end:
        sequence, aged, identifier = departed.popleft()
        if aged >= now - duplicates.window:
            duplicates.note(identifier, sequence, aged)
        if sequence == stream.stored.committed:
            duplicates.last = identifier
