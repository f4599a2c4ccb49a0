"""Counters: a stream whose messages each add a number to what their subject has, of any size.

What a subject has is the payload of its last message. What comes from other streams is counted there already: of each
it is kept what it had at last, in a header, and the difference is what is added.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.errors import ApiError
from protocols import foreign_json

# Longer numbers cost more than a message may.
MOST_DIGITS = 1000
# What the totals of subjects may take in memory; those that were used least lately go.
MOST_BYTES = 8 << 20
TOTAL_BYTES = 300

# By stream and subject there, what each had at last.
Sources = dict[str, dict[str, str]]


class NotReadYetError(ApiError):
    """What a subject has is to be read first."""

    def __init__(self, subject: bytes) -> None:
        super().__init__(errors.STORE_FAILED.with_text("its counter is not read yet"))
        self.subject = subject


class Value(msgspec.Struct):
    """The payload of a counter's message."""

    val: str


class Total(NamedTuple):
    """What a subject has, and what of it came from other streams."""

    value: int
    sources: bytes = b""

    @property
    def size(self) -> int:
        return TOTAL_BYTES + self.value.bit_length() // 8 + len(self.sources)


class Counted(NamedTuple):
    """A message as it is stored, and what its subject has with it."""

    header: bytes
    payload: bytes
    total: Total


def is_number(text: bytes) -> bool:
    """Whether a text is a whole number, not longer than one may be."""
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    return digits.isdigit() and len(digits) <= MOST_DIGITS


def increment_of(value: bytes) -> int:
    """What a message adds. Raises ApiError."""
    if not is_number(value):
        raise ApiError(errors.COUNTER_INVALID)
    return int(value)


def value_of(payload: bytes) -> int:
    """What a counter's message says. Raises ApiError."""
    try:
        text = foreign_json.decode(payload, Value).val.encode()
    except (msgspec.DecodeError, UnicodeError):
        raise ApiError(errors.COUNTER_BROKEN) from None
    return int(text) if is_number(text) else 0


def count(before: Total, header: bytes, fields: dict[bytes, bytes]) -> Counted:
    """What a client's message becomes. Raises ApiError."""
    value = before.value + increment_of(fields[headers.INCREMENT])
    if before.sources:
        header = headers.with_field(header, headers.COUNTER_SOURCES, before.sources)
    return counted(value, header, before.sources)


def count_copy(before: Total, subject: bytes, header: bytes, fields: dict[bytes, bytes], payload: bytes) -> Counted:
    """What the message of another counter becomes: the difference to what that had before. Raises ApiError."""
    told = fields[headers.SOURCE].decode("utf-8", "replace").split(" ")
    name, origin = told[0], told[4] if len(told) > 4 else subject.decode("utf-8", "replace")
    sources = sources_of(before.sources)
    there = value_of(payload)
    known = sources.setdefault(name, {})
    increment = there - int(known.get(origin, "0"))
    known[origin] = str(there)
    encoded = msgspec.json.encode({key: dict(sorted(sources[key].items())) for key in sorted(sources)})
    header = headers.with_field(header, headers.INCREMENT, b"%d" % increment)
    header = headers.with_field(header, headers.COUNTER_SOURCES, encoded)
    return counted(before.value + increment, header, encoded)


def counted(value: int, header: bytes, sources: bytes) -> Counted:
    return Counted(header, b'{"val":"%d"}' % value, Total(value, sources))


def sources_of(text: bytes) -> Sources:
    """Raises ApiError."""
    if not text:
        return {}
    try:
        sources = foreign_json.decode(text, Sources)
        for subjects in sources.values():
            for value in subjects.values():
                increment_of(value.encode())
    except (msgspec.DecodeError, UnicodeError, ApiError):
        raise ApiError(errors.COUNTER_BROKEN) from None
    return sources


class Totals:
    """What the subjects of a stream have, as far as they were used lately; `find` says None where that is to be read
    first (`load`).
    """

    def __init__(
        self, has: Callable[[bytes], bool], last_of: Callable[[bytes], Awaitable[StoredMessage | None]]
    ) -> None:
        self._has = has
        self._last_of = last_of
        self._known: dict[bytes, Total | ApiError] = {}
        self._bytes = 0

    def find(self, subject: bytes) -> Total | None:
        """Raises ApiError where the last message of a subject is none of a counter's."""
        if not self._has(subject):
            self._forget(subject)
            return Total(0)
        found = self._known.pop(subject, None)
        if found is None:
            return None
        self._known[subject] = found
        if isinstance(found, ApiError):
            raise found
        return found

    def is_known(self, subject: bytes) -> bool:
        return subject in self._known or not self._has(subject)

    async def load(self, subject: bytes) -> None:
        message = await self._last_of(subject)
        if message is None:
            self.note(subject, Total(0))
            return
        try:
            sources = headers.nats_fields(message.header).get(headers.COUNTER_SOURCES, b"")
            sources_of(sources)
            total: Total | ApiError = Total(value_of(message.payload), sources)
        except ApiError as error:
            total = error
        self._put(subject, total)

    def note(self, subject: bytes, total: Total) -> None:
        """A subject has that now."""
        self._put(subject, total)
        while self._bytes > MOST_BYTES and len(self._known) > 1:
            self._forget(next(iter(self._known)))

    def _put(self, subject: bytes, total: "Total | ApiError") -> None:
        self._forget(subject)
        self._known[subject] = total
        self._bytes += size_of(subject, total)

    def _forget(self, subject: bytes) -> None:
        total = self._known.pop(subject, None)
        if total is not None:
            self._bytes -= size_of(subject, total)

    def clear(self) -> None:
        """Messages have gone from the stream in another way than by a limit of each subject."""
        self._known.clear()
        self._bytes = 0


def size_of(subject: bytes, total: "Total | ApiError") -> int:
    return len(subject) + (total.size if isinstance(total, Total) else TOTAL_BYTES)
