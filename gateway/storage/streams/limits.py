"""Limits of a stream, and why a message may not be stored."""

import sys
from enum import Enum

import msgspec

from gateway.errors import GatewayError

NO_LIMIT = sys.maxsize
# Longer ones are for the object store's chunks to carry.
MOST_MESSAGE_BYTES = 64 << 20
MOST_SUBJECTS = 1_000_000
MOST_SUBJECT_SIZE = 0xFFFF


class Discard(Enum):
    """What gives way where a limit is reached. NEW never turns into OLD."""

    OLD = "old"
    NEW = "new"


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stream may hold. `max_age` is in seconds of the store's `age_clock`.

    `max_messages` and `max_per_subject` are exact. `max_bytes` counts whole chunks: where old messages give way, they
    go a chunk at a time (at most 32 KiB, or one message). `discard` is for messages and bytes. With
    `discard_new_per_subject` the message that would be too many of its subject is refused, where else the oldest of
    that subject goes.

    `keep_acknowledged` False: what every cursor of the stream has acknowledged goes, as a queue's does; while there is
    no cursor, all is kept.

    `subjects`: what is held by subject is known (`Stream.subjects`), for at most `max_subjects` of them: a message with
    one more is refused, for memory must be bounded. A stream that is only read in order needs none of it; with
    `max_per_subject` it is always known.
    """

    max_messages: int = NO_LIMIT
    max_bytes: int = NO_LIMIT
    max_age: float = 0.0
    max_per_subject: int = NO_LIMIT
    max_message_bytes: int = MOST_MESSAGE_BYTES
    discard: Discard = Discard.OLD
    discard_new_per_subject: bool = False
    keep_acknowledged: bool = True
    subjects: bool = True
    max_subjects: int = MOST_SUBJECTS

    @property
    def is_exact(self) -> bool:
        """Whether the place of every message of a subject is known."""
        return self.max_per_subject != NO_LIMIT

    @property
    def is_bounded(self) -> bool:
        """Whether there is a limit of messages or of bytes."""
        return self.max_messages != NO_LIMIT or self.max_bytes != NO_LIMIT

    @property
    def knows_subjects(self) -> bool:
        return self.subjects or self.is_exact


class Refusal(Enum):
    """Why a message is not taken, in words."""

    MESSAGES = "the stream has as many messages as it may"
    BYTES = "the stream has as many bytes as it may"
    PER_SUBJECT = "the subject has as many messages as it may"
    SUBJECTS = "the stream has as many subjects as it may"
    TOO_LARGE = "the message is larger than the stream takes"
    QUOTA = "the streams together take as much room as they may"
    FULL = "the disk is full"
    TOO_SLOW = "the disk is too slow"
    FAULT = "the disk takes nothing"
    NUMBERS = "there are no more numbers for messages"
    CLOSED = "the stream is not there any more"


class RefusedError(GatewayError):
    """A message was not stored, and nothing else was changed."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


def encode_limits(limits: Limits) -> str:
    """As a stream's row holds them: JSON, without those that say nothing."""
    return msgspec.json.encode(limits).decode()


def decode_limits(text: str) -> Limits:
    """Raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=Limits)
