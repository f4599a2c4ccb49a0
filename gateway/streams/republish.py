"""Republish: what a stream has stored is published once more, on another subject, once it is on the disk."""

from collections import deque
from typing import NamedTuple

from gateway.runtime.turns import TURN_SECONDS
from gateway.streams import message_headers as headers
from gateway.streams.origin_config import RepublishConfig, encoded
from gateway.streams.roles import Home
from gateway.streams.times import time_text
from protocols.foreign_text import is_legal_literal
from protocols.message import make_message
from protocols.subject_transform import SubjectTransform
from protocols.subjects import matches

IN_A_ROW = 16


class Stored(NamedTuple):
    """A message that was stored; `before` is the sequence of the last one of its subject until then, 0 for none."""

    sequence: int
    time_ns: int
    subject: bytes
    header: bytes
    payload: bytes
    before: int


class Republisher:
    """That of one stream. What waits for the disk is what the stream itself has on its way there."""

    def __init__(self, home: Home, stream: str, config: RepublishConfig) -> None:
        self.config = config
        self._home = home
        self._stream = stream.encode()
        self._source = encoded(config.src)
        self._transform = SubjectTransform(self._source, encoded(config.dest))
        self._headers_only = config.headers_only
        self._waiting: deque[Stored] = deque()
        self._committed = 0
        self._is_scheduled = False

    def wants(self, subject: bytes) -> bool:
        return self._source == b">" or matches(self._source, subject)

    def add(self, stored: Stored) -> None:
        """A message was stored."""
        self._waiting.append(stored)

    def committed(self, sequence: int) -> None:
        """Everything up to a sequence is on the disk."""
        self._committed = sequence
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._home.runtime.turns.begin(self._publish_some)

    def _publish_some(self) -> bool:
        """Publish for a turn; whether there is more to do."""
        clock = self._home.runtime.turns.clock
        until, left = clock() + TURN_SECONDS, IN_A_ROW
        waiting = self._waiting
        while waiting and waiting[0].sequence <= self._committed:
            self._publish(waiting.popleft())
            left -= 1
            if not left:
                left = IN_A_ROW
                if clock() > until:
                    return True
        self._is_scheduled = False
        return False

    def _publish(self, stored: Stored) -> None:
        subject = self._transform.apply(stored.subject)
        if not is_legal_literal(subject):
            return
        fields = [
            (b"Nats-Stream", self._stream),
            (b"Nats-Subject", stored.subject),
            (b"Nats-Sequence", b"%d" % stored.sequence),
            (b"Nats-Time-Stamp", time_text(stored.time_ns).encode()),
            (b"Nats-Last-Sequence", b"%d" % stored.before),
        ]
        payload = stored.payload
        if self._headers_only:
            fields.append((headers.MESSAGE_SIZE, b"%d" % len(payload)))
            payload = b""
        self._home.publish(make_message(subject, payload, header=headers.with_fields(stored.header, *fields)))
