"""SpecialIntake: how a stream takes messages that has more to do with them than to store them: it gives them other
subjects, counts, schedules, or has them come in batches. The streams of most people have none.
"""

from collections import deque

from gateway.dataplane.port import Port
from gateway.storage.streams.limits import RefusedError
from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.atomic_batches import AtomicBatches
from gateway.streams.counters import NotReadYetError, Total, Totals, count, count_copy
from gateway.streams.errors import ApiError, fault_of
from gateway.streams.fast_batches import FastBatches, fast_message
from gateway.streams.intake_roles import Intaking, Prepared
from gateway.streams.publishing import Publication, check_expectations
from gateway.streams.staged import Staged
from gateway.streams.stream_config import StreamConfig
from gateway.streams.times import SECOND
from protocols.message import Message
from protocols.subjects import matches

LARGEST_HEADER = 64 << 10
# What may wait until what its subject has is read from the disk.
MOST_WAITING_BYTES = 8 << 20


class SpecialIntake:
    """That of one stream."""

    def __init__(self, stream: Intaking) -> None:
        config = stream.config
        transform = config.subject_transform
        self.stream = stream
        self._asked = asked_for(config)
        self._transform = transform.transform() if transform is not None else None
        self._source = transform.source if transform is not None else b""
        self._totals = Totals(self._has, stream.last_message) if config.allow_msg_counter else None
        self._atomic = AtomicBatches(self) if config.allow_atomic else None
        self._fast = FastBatches(self) if config.allow_batched else None
        self._waiting: deque[tuple[Message, Port]] = deque()
        self._waiting_bytes = 0

    def fits(self, config: StreamConfig) -> bool:
        """Whether it does what a configuration asks for."""
        return self._asked == asked_for(config)

    def close(self) -> None:
        """The stream is gone, or takes messages in another way from now on."""
        for batches in (self._atomic, self._fast):
            if batches is not None:
                batches.clear()

    def forget(self) -> None:
        """Messages were deleted."""
        if self._totals is not None:
            self._totals.clear()

    def _has(self, subject: bytes) -> bool:
        return self.stream.stored.subject(subject) is not None

    def subject_of(self, subject: bytes) -> bytes:
        """Under which subject a message is kept."""
        if self._transform is None or not (self._source == b">" or matches(self._source, subject)):
            return subject
        return self._transform.apply(subject)

    # What comes.

    def take(self, message: Message, source: Port) -> None:
        if self._totals is not None and (self._waiting or self._missing(message)):
            self._wait(message, source)
        else:
            self._take(message, source)

    def _missing(self, message: Message) -> list[bytes]:
        """The subjects whose counters are to be read first."""
        assert self._totals is not None
        subjects = {self.subject_of(message.subject)}
        if self._atomic is not None and message.header_size:
            subjects |= self._atomic.subjects_of(headers.nats_fields(message.header()))
        return [subject for subject in subjects if not self._totals.is_known(subject)]

    def _wait(self, message: Message, source: Port) -> None:
        size = message.size + len(message.subject) + 200
        if self._waiting_bytes + size > MOST_WAITING_BYTES:
            self.stream.refuse(message.reply, source, errors.STORE_FAILED.with_text("the disk is too slow"))
            return
        self._waiting.append((message, source))
        self._waiting_bytes += size
        if len(self._waiting) == 1:
            self.stream.home.spawn(self._work_off)

    async def _work_off(self) -> None:
        """Take what waits, in its order."""
        assert self._totals is not None
        try:
            while self._waiting:
                message, source = self._waiting[0]
                for subject in self._missing(message):
                    await self._totals.load(subject)
                self._waiting.popleft()
                self._waiting_bytes -= message.size + len(message.subject) + 200
                if not self.stream.is_closed:
                    self._take(message, source)
        finally:
            self._waiting.clear()
            self._waiting_bytes = 0

    async def load(self, subject: bytes) -> None:
        """Read what a subject has (NotReadYetError)."""
        if self._totals is not None:
            await self._totals.load(subject)

    def _take(self, message: Message, source: Port) -> None:
        """Store a message, or have its batch do so, and answer once it is on the disk."""
        stream, reply = self.stream, message.reply
        try:
            if 0 <= stream.config.max_msg_size < message.size:
                raise ApiError(errors.MESSAGE_TOO_LARGE)
            if reply and not stream.promises.has_room():
                raise ApiError(errors.STORE_FAILED.with_text("the disk is too slow"))
            if reply.endswith(FastBatches.SUFFIX):
                if self._fast is None:
                    raise ApiError(errors.BATCH_DISABLED)
                self._fast.take(fast_message(reply), message, source)
                return
            header = message.header() if message.header_size else b""
            fields = headers.nats_fields(header) if headers.MARK in header else {}
            if fields.get(headers.BATCH_ID):
                if self._atomic is None:
                    raise ApiError(errors.ATOMIC_DISABLED)
                self._atomic.take(message, header, fields, source)
                return
            prepared = self.prepare(self.subject_of(message.subject), header, message.payload(), fields)
            duplicate = prepared.publication.duplicate
            self.answer(reply, source, duplicate or self.store(prepared), self._said(prepared))
        except RefusedError as error:
            stream.refuse(reply, source, fault_of(error, stream.config.storage == "memory"))
        except ApiError as error:
            stream.refuse(reply, source, error.fault)

    def answer(self, reply: bytes, source: Port, sequence: int, said: bytes = b"") -> None:
        """Promise that everything up to now will be on the disk."""
        if reply and not self.stream.config.no_ack:
            self.stream.promises.promise(reply, source, b"%b%d%b}" % (self.stream.lead, sequence, said))

    def _said(self, prepared: Prepared) -> bytes:
        if prepared.publication.duplicate:
            return b',"duplicate": true'
        return b',"val":"%d"' % prepared.total.value if prepared.total is not None else b""

    # How it is stored.

    def prepare(
        self, subject: bytes, header: bytes, payload: bytes, fields: dict[bytes, bytes], staged: Staged | None = None
    ) -> Prepared:
        """Raises ApiError."""
        stream = self.stream
        if len(header) > LARGEST_HEADER:
            raise ApiError(errors.HEADER_TOO_LARGE)
        publication = check_expectations(stream, subject, fields, len(payload), staged)
        if publication.identifier and not publication.duplicate and not stream.duplicates.has_room():
            raise ApiError(errors.STORE_FAILED.with_text("there are too many message ids"))
        if publication.duplicate:
            return Prepared(subject, header, payload, publication, None, b"")
        schedules = stream.schedules
        if fields.get(headers.SCHEDULE) and schedules is not None and not schedules.has_room(subject):
            raise ApiError(errors.STORE_FAILED.with_text("there are too many schedules"))
        if fields.get(headers.SCHEDULE) and not fields.get(headers.ROLLUP):
            header = headers.with_fields(header, (headers.ROLLUP, b"sub"))
        header, publication = self._with_lifetime(header, publication)
        total = None
        if self._totals is not None:
            if not fields.get(headers.INCREMENT):
                raise ApiError(errors.COUNTER_MISSING)
            before = staged.totals.get(subject) if staged is not None else None
            header, payload, total = count(before or self._total(subject), header, fields)
            if staged is not None:
                staged.totals[subject] = total
        size = len(header) + len(payload)
        if 0 <= stream.config.max_msg_size < size:
            raise ApiError(errors.MESSAGE_TOO_LARGE)
        if staged is not None:
            staged.add(subject, len(subject) + size)
        purges = fields.get(headers.SCHEDULER, b"") if fields.get(headers.SCHEDULE_NEXT) == headers.PURGE else b""
        return Prepared(subject, header, payload, publication, total, purges)

    def _with_lifetime(self, header: bytes, publication: Publication) -> tuple[bytes, Publication]:
        """A message that goes before the marker of the one before it would leave none."""
        config = self.stream.config
        least = config.subject_delete_marker_ttl
        if not 0 < publication.lifetime < least or config.max_msgs_per_subject == 1:
            return header, publication
        header = headers.with_field(header, headers.TTL, b"%d" % (least // SECOND))
        return header, publication._replace(lifetime=least)

    def _total(self, subject: bytes) -> Total:
        assert self._totals is not None
        total = self._totals.find(subject)
        if total is None:
            raise NotReadYetError(subject)
        return total

    def store(self, prepared: Prepared) -> int:
        """Raises RefusedError and ApiError."""
        subject, header, payload, publication, total, purges = prepared
        sequence = self.stream.store(subject, header, payload, publication)
        if total is not None and self._totals is not None:
            self._totals.note(subject, total)
        if purges:
            self.stream.retention.keep_of(purges, self.stream.stored.last + 1)
        return sequence

    def copied(self, subject: bytes, header: bytes, payload: bytes) -> Prepared:
        """A copy of another stream's message, as it is stored here. Raises ApiError."""
        subject = self.subject_of(subject)
        nothing = Publication(b"", 0, 0, b"")
        fields = headers.nats_fields(header) if headers.MARK in header else {}
        if self._totals is None or not fields.get(headers.INCREMENT):
            return Prepared(subject, header, payload, nothing, None, b"")
        if fields.get(headers.SOURCE):
            header, payload, total = count_copy(self._total(subject), subject, header, fields, payload)
        else:
            header, payload, total = count(self._total(subject), header, fields)
        return Prepared(subject, header, payload, nothing, total, b"")

    def note_copy(self, prepared: Prepared) -> None:
        """A copy was stored."""
        if prepared.total is not None and self._totals is not None:
            self._totals.note(prepared.subject, prepared.total)


def asked_for(config: StreamConfig) -> tuple[object, ...]:
    """What a configuration asks of such an intake."""
    return (
        config.subject_transform,
        config.allow_msg_counter,
        config.allow_msg_schedules,
        config.allow_atomic,
        config.allow_batched,
        config.subject_delete_marker_ttl > 0,
    )


def is_special(config: StreamConfig) -> bool:
    """Whether a stream has such an intake."""
    return any(asked_for(config))
