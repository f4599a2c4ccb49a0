"""Ageing: messages of a stream that have a time of their own are let go when it is over, and markers left for them."""

import logging
from typing import Protocol

import trio

from gateway.runtime.deadlines import Deadline
from gateway.storage.streams.limits import RefusedError
from gateway.storage.streams.stored_message import MESSAGE_BYTES
from gateway.storage.streams.stream import Stream
from gateway.streams import message_headers as headers
from gateway.streams.lifetimes import Lifetimes, Mortal
from gateway.streams.retention import Retention
from gateway.streams.roles import Home
from gateway.streams.stream_config import StreamConfig
from gateway.streams.times import SECOND

log = logging.getLogger("leafgate.streams")

# What is let go at once, and how soon the next that are too old are looked at.
LET_GO_AT_ONCE = 1000
SHORTEST_WAIT = 0.01
LONGEST_WAIT = 3600.0


class Aged(Protocol):
    """A stream, as what ages in it sees it."""

    home: Home
    config: StreamConfig
    stored: Stream
    retention: Retention
    is_closed: bool

    @property
    def name(self) -> str: ...


class Ageing:
    """That of one stream."""

    def __init__(self, stream: Aged) -> None:
        self._stream = stream
        self._lifetimes = Lifetimes()
        self._deadline: Deadline | None = None

    def has_room(self) -> bool:
        return self._lifetimes.has_room()

    def close(self) -> None:
        """The stream is deleted."""
        self._stream.home.runtime.deadlines.cancel(self._deadline)
        self._lifetimes.clear()

    def note(self, sequence: int, age_ns: int, lifetime: int, subject: bytes, size: int) -> None:
        """A message that was taken at a time of the age clock is to be let go when its own time is over, of so many
        nanoseconds, or that of the stream: setting the wall clock ends none early.
        """
        is_own = lifetime > 0
        if not lifetime:
            lifetime = self._stream.config.max_age
        if lifetime > 0:
            self._lifetimes.add(Mortal(age_ns + lifetime, sequence, size, subject, is_own))

    def wait(self) -> None:
        """Have what is too old let go when it is time."""
        until = self._lifetimes.next_at()
        if until is None or self._stream.is_closed:
            return
        seconds = (until - self._stream.stored.age_ns()) / SECOND
        when = trio.current_time() + min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)
        if self._deadline is not None and self._deadline.action is not None:
            if self._deadline.when <= when:
                return
            self._stream.home.runtime.deadlines.cancel(self._deadline)
        self._deadline = self._stream.home.runtime.deadlines.call_at(when, self._let_go)

    def _let_go(self, now: float) -> None:
        self._deadline = None
        for mortal in self._lifetimes.take(self._stream.stored.age_ns(), LET_GO_AT_ONCE):
            if self._stream.retention.remove_at(mortal.sequence, mortal.subject, mortal.size):
                self._leave_marker(mortal.subject)
        self.wait()

    def _leave_marker(self, subject: bytes) -> None:
        """Say in the stream itself that the last message of a subject has gone for its age."""
        lifetime = self._stream.config.subject_delete_marker_ttl
        if not lifetime or self._stream.stored.subject(subject) is not None:
            return
        fields = (
            (headers.MARKER_REASON, b"MaxAge"),
            (headers.ROLLUP, b"sub"),
            (headers.TTL, b"%ds" % (lifetime // SECOND)),
        )
        header = headers.with_fields(b"", *fields)
        try:
            sequence = self._stream.stored.append(subject, header, b"")
        except RefusedError as error:
            log.warning("event=no-marker stream=%s reason=%r", self._stream.name, str(error))
            return
        size = MESSAGE_BYTES + len(subject) + len(header)
        self.note(sequence, self._stream.stored.age_ns(), lifetime, subject, size)
