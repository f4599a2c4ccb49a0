"""Thinning: what a buffer that is nearly full may let go, so that less is lost than by dropping the oldest.

Of what was not sent yet either the last message of each subject is kept, or one in so many seconds.
"""

import trio

from gateway.forwarding.buffer import Buffer
from gateway.settings.store_and_forward import KeepOne
from gateway.storage.streams.stored_message import StoredMessage

# From this share of a bound on there is thinning; after it so much more has to come before it is tried again.
HIGH_WATER = 0.9
AGAIN_AFTER = 0.02
SLICE_MESSAGES = 2048
SLICE_BYTES = 1 << 20
# Subjects of which it is remembered what to keep; those of further ones are all kept.
MOST_SUBJECTS = 200_000
LAST_VALUE = "the buffer is nearly full: only the last message of each subject is kept"
ONE_IN_SECONDS = "the buffer is nearly full: of each subject one message in {:g} s is kept"


class Thinning:
    """Of one buffer, from time to time."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        # How much there was behind the last time.
        self._left = 0.0

    @property
    def is_due(self) -> bool:
        if self._buffer.config.when_full in ("drop-oldest", "drop-newest"):
            return False
        level = self._level()
        if level < HIGH_WATER:
            self._left = 0.0
            return False
        return level >= self._left + AGAIN_AFTER

    async def run(self, first: int) -> None:
        """Thin out what lies behind a sequence. Raises StorageError."""
        when_full = self._buffer.config.when_full
        if isinstance(when_full, KeepOne):
            await self._keep_one(first, when_full.keep_one_in_seconds)
        else:
            await self._keep_last(first)
        self._left = self._level()

    def _level(self) -> float:
        """What share of a bound is used."""
        stream, config = self._buffer.stream, self._buffer.config
        level = stream.size / config.max_bytes
        return max(level, stream.messages / config.max_messages) if config.max_messages else level

    async def _keep_last(self, first: int) -> None:
        stream = self._buffer.stream
        end = stream.committed
        last: dict[bytes, int] = {}
        position = first
        while position <= end:
            messages, position = await self._read(position)
            for message in messages:
                if message.subject in last or len(last) < MOST_SUBJECTS:
                    last[message.subject] = message.sequence
        position = first
        while position <= end:
            messages, position = await self._read(position)
            self._delete([one for one in messages if one.sequence < last.get(one.subject, 0)], LAST_VALUE)

    async def _keep_one(self, first: int, seconds: float) -> None:
        stream = self._buffer.stream
        end, span = stream.committed, int(seconds * 1e9)
        kept: dict[bytes, int] = {}
        position = first
        while position <= end:
            messages, position = await self._read(position)
            superfluous: list[StoredMessage] = []
            for message in messages:
                part = message.time_ns // span
                if kept.get(message.subject) == part:
                    superfluous.append(message)
                elif message.subject in kept or len(kept) < MOST_SUBJECTS:
                    kept[message.subject] = part
            self._delete(superfluous, ONE_IN_SECONDS.format(seconds))

    async def _read(self, position: int) -> tuple[list[StoredMessage], int]:
        found = await self._buffer.stream.read(position, SLICE_MESSAGES, SLICE_BYTES)
        await trio.lowlevel.checkpoint()
        return found.messages, found.next

    def _delete(self, messages: list[StoredMessage], reason: str) -> None:
        deleted = sum([self._buffer.stream.delete(one) for one in messages])
        if deleted:
            self._buffer.drops.count(reason, deleted)
