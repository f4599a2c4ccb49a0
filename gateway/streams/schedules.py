"""Schedules: messages that a stream keeps under one subject until it is time to publish them under another, once or
again and again. A subject has one schedule: its last message.
"""

import heapq
from typing import Protocol

import trio

from gateway.runtime.deadlines import Deadline
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams import message_headers as headers
from gateway.streams.errors import ApiError
from gateway.streams.roles import Home, PublishedTo
from gateway.streams.schedule_pattern import next_time, zone_of
from gateway.streams.times import SECOND, parse_time, time_text

# A stream with more of them takes no further one.
MOST_SCHEDULES = 250_000
LONGEST_WAIT = 3600.0
SHORTEST_WAIT = 0.01
# What does not go from a schedule into the message that it makes.
NOT_TAKEN = (b"Nats-Schedule", b"Nats-Expected-", b"Nats-Msg-Id:", b"Nats-TTL:", b"Nats-Rollup:")


class Scheduling(PublishedTo, Protocol):
    """A stream, as its schedules see it."""

    home: Home
    is_closed: bool

    async def last_message(self, subject: bytes) -> StoredMessage | None: ...

    def publish_due(self, subject: bytes, header: bytes, payload: bytes) -> None:
        """Store a message that it is time for. Raises RefusedError and ApiError."""


class Schedules:
    """Those of one stream, by subject."""

    def __init__(self, stream: Scheduling) -> None:
        self._stream = stream
        self._deadlines = stream.home.runtime.deadlines
        # By subject: the sequence of the schedule, and when it is due.
        self._due: dict[bytes, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, bytes]] = []
        self._deadline: Deadline | None = None
        self._is_working = False

    def __contains__(self, subject: object) -> bool:
        return subject in self._due

    def has_room(self, subject: bytes) -> bool:
        return subject in self._due or len(self._due) < MOST_SCHEDULES

    def note(self, sequence: int, time_ns: int, subject: bytes, fields: dict[bytes, bytes]) -> None:
        """A message was stored, a schedule or not, or is there after a restart."""
        pattern = fields.get(headers.SCHEDULE)
        if pattern:
            try:
                at, _ = self._next(fields, time_ns)
            except ApiError:
                return
            self._put(subject, sequence, at)
            return
        self._due.pop(subject, None)
        scheduler, after = fields.get(headers.SCHEDULER), fields.get(headers.SCHEDULE_NEXT)
        if scheduler and after and scheduler in self._due:
            try:
                at = parse_time(after.decode("utf-8", "replace"))
            except ValueError:
                self._due.pop(scheduler)
                return
            self._put(scheduler, self._due[scheduler][0], at)

    def _put(self, subject: bytes, sequence: int, at: int) -> None:
        self._due[subject] = sequence, at
        heapq.heappush(self._heap, (at, sequence, subject))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(at, sequence, subject) for subject, (sequence, at) in self._due.items()]
            heapq.heapify(self._heap)
        self._wait()

    def _next(self, fields: dict[bytes, bytes], after_ns: int) -> tuple[int, bool]:
        pattern = fields[headers.SCHEDULE].decode("utf-8", "replace")
        return next_time(pattern, zone_of(fields.get(headers.SCHEDULE_ZONE)), after_ns, self._now())

    def _now(self) -> int:
        return self._stream.stored.store.wall_ns()

    def clear(self) -> None:
        self._due.clear()
        self._heap.clear()
        self._deadlines.cancel(self._deadline)

    def _wait(self) -> None:
        if not self._heap or self._is_working or self._stream.is_closed:
            return
        seconds = (self._heap[0][0] - self._now()) / SECOND
        when = trio.current_time() + min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)
        if self._deadline is not None:
            self._deadlines.cancel(self._deadline)
        self._deadline = self._deadlines.call_at(when, self._look)

    def _look(self, now: float) -> None:
        self._deadline = None
        if self._heap and self._heap[0][0] <= self._now() and not self._is_working:
            self._is_working = True
            self._stream.home.spawn(self._publish_due)
        else:
            self._wait()

    async def _publish_due(self) -> None:
        try:
            while self._heap and self._heap[0][0] <= self._now() and not self._stream.is_closed:
                at, sequence, subject = heapq.heappop(self._heap)
                if self._due.get(subject) == (sequence, at):
                    await self._publish(at, sequence, subject)
        finally:
            self._is_working = False
            self._wait()

    async def _publish(self, at: int, sequence: int, subject: bytes) -> None:
        """Store the message that a schedule makes."""
        schedule = await self._stream.last_message(subject)
        if schedule is None or schedule.sequence != sequence:
            self._due.pop(subject, None)
            return
        fields = headers.nats_fields(schedule.header)
        after, repeats = self._next(fields, at)
        taken = schedule
        source = fields.get(headers.SCHEDULE_SOURCE, b"")
        if source:
            taken = await self._stream.last_message(source) or schedule
        told = [
            (headers.SCHEDULER, subject),
            (headers.SCHEDULE_NEXT, time_text(after).encode() if repeats else headers.PURGE),
        ]
        for name, wanted in ((headers.TTL, headers.SCHEDULE_TTL), (headers.ROLLUP, headers.SCHEDULE_ROLLUP)):
            if fields.get(wanted):
                told.append((name, fields[wanted]))
        header = headers.with_fields(headers.without_fields(taken.header, *NOT_TAKEN), *told)
        target = fields.get(headers.SCHEDULE_TARGET, b"")
        if self._due.get(subject) != (sequence, at):
            return  # It was changed meanwhile.
        if repeats:
            self._put(subject, sequence, after)
        else:
            self._due.pop(subject)
        self._stream.publish_due(target, header, taken.payload)
