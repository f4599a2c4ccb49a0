"""Retention: what a stream lets go: what somebody deletes, and what no consumer wants any more."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.storage.streams.departed_ids import DepartedId
from gateway.storage.streams.stored_message import StoredMessage
from gateway.storage.streams.stream import Stream
from gateway.streams.duplicates import Duplicates
from gateway.streams.stream_config import StreamConfig

# What is read at once where a stream is looked through.
MESSAGES_AT_ONCE = 1024
BYTES_AT_ONCE = 1 << 20


class Wanting(Protocol):
    """A consumer, as the messages see it that go."""

    def wants(self, sequence: int, subject: bytes) -> bool:
        """Whether a message is still to be acknowledged here."""

    def removed(self, sequence: int) -> None:
        """A message has gone from the stream; 0: some have."""

    def purged(self) -> None:
        """Everything in front of the stream's first message has gone."""


class Totals(Protocol):
    """Who knows what the last messages of subjects come to (gateway.streams.counters)."""

    def forget(self) -> None:
        """Some of them may have gone."""


class Emptied(Protocol):
    """A stream that lets messages go."""

    config: StreamConfig
    stored: Stream
    duplicates: Duplicates
    is_closed: bool

    @property
    def consumers(self) -> Mapping[str, Wanting]: ...

    @property
    def intake(self) -> Totals | None: ...


class Retention:
    """Of an interest stream what nobody wanted when it came waits here until it is on the disk."""

    def __init__(self, stream: Emptied) -> None:
        self._stream = stream
        self._stored = stream.stored
        # Sequence, subject and size.
        self._unwanted: deque[tuple[int, bytes, int]] = deque()

    def note(self, sequence: int, subject: bytes, size: int) -> None:
        """A message of an interest stream has come."""
        if not self.is_wanted(sequence, subject):
            self._unwanted.append((sequence, subject, size))

    def let_one_go(self) -> bool:
        """Delete one of those that nobody wanted when they came; False where none of them is on the disk."""
        unwanted = self._unwanted
        if not unwanted or unwanted[0][0] > self._stored.committed:
            return False
        self.remove_at(*unwanted.popleft())
        return True

    def remove(self, message: StoredMessage) -> bool:
        """As `remove_at`."""
        return self.remove_at(message.sequence, message.subject, message.size)

    def remove_at(self, sequence: int, subject: bytes, size: int) -> bool:
        """Delete one message; False where it is gone already."""
        stored, duplicates = self._stored, self._stream.duplicates
        if not stored.delete_at(sequence, subject, size):
            return False
        departed = duplicates.id_of(sequence, now := stored.age_ns()) if duplicates.placed else None
        if departed is not None:
            identifier, aged = departed
            stored.departed.note(DepartedId(sequence, aged, identifier))
            stored.departed.expire(now - duplicates.window)
        self._forget_totals()
        self._tell_removed(sequence)
        return True

    def purge(self, first: int | None = None) -> int:
        """Delete everything in front of a sequence, or all there is; returns how many messages those were."""
        count = self._stored.purge(first)
        self._forget_totals()
        for consumer in self._stream.consumers.values():
            consumer.purged()
        return count

    async def purge_matching(self, wanted: Callable[[bytes], bool], before: int, keep: int) -> int:
        """Delete the messages of some subjects in front of a sequence, but for so many of the newest; returns how many
        those were.
        """
        stored = self._stored
        places: list[tuple[int, bytes, int]] = []
        first = stored.first
        while first <= min(stored.committed, before - 1):
            found, first = await stored.read(first, MESSAGES_AT_ONCE, BYTES_AT_ONCE, wanted)
            places += [(one.sequence, one.subject, one.size) for one in found if one.sequence < before]
        if keep:
            del places[-keep:]
        return sum(self.remove_at(*place) for place in places)

    def keep_of(self, subject: bytes, before: int, keep: int = 0) -> int:
        """Delete the messages of a subject in front of a sequence, where the place of each is known."""
        count = self._stored.delete_all_of(subject, before, keep)
        if count:
            self._forget_totals()
            self._tell_removed(0)
        return count

    def _forget_totals(self) -> None:
        intake = self._stream.intake
        if intake is not None:
            intake.forget()

    def _tell_removed(self, sequence: int) -> None:
        for consumer in self._stream.consumers.values():
            consumer.removed(sequence)

    def is_wanted(self, sequence: int, subject: bytes) -> bool:
        """Whether a consumer has yet to acknowledge a message."""
        return any(consumer.wants(sequence, subject) for consumer in self._stream.consumers.values())

    def acknowledged(self, sequence: int, subject: bytes, size: int) -> None:
        """A consumer is through with a message: of a queue it goes."""
        config = self._stream.config
        if not config.is_queue or config.deny_delete:
            return
        if config.retention == "workqueue" or not self.is_wanted(sequence, subject):
            self.remove_at(sequence, subject, size)

    async def let_unwanted_go(self) -> None:
        """Of an interest stream: delete what no consumer wants any more."""
        stored = self._stored
        first = stored.first
        while first <= stored.committed and not self._stream.is_closed:
            found, first = await stored.read(first, MESSAGES_AT_ONCE, BYTES_AT_ONCE)
            for message in found:
                if not self.is_wanted(message.sequence, message.subject):
                    self.remove(message)
