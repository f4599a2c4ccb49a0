"""Atomic batches: messages that a publisher sends one by one and that are stored with the last of them, all or none.

Until then they are in memory, and nobody is promised more than that they came. Stored with one commit, they are on the
disk all together, and nobody reads a part of them.
"""

import trio

from gateway.dataplane.port import Port
from gateway.runtime.deadlines import Deadline
from gateway.storage.streams.stored_message import MESSAGE_BYTES
from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams import staged as staging
from gateway.streams.errors import ApiError
from gateway.streams.intake_roles import Intake, Prepared
from gateway.streams.staged import Staged
from gateway.streams.stream_config import LEVEL
from protocols.message import Message

MOST_OPEN = 50
MOST_MESSAGES = 1000
LONGEST_ID = 64
# A batch to which nothing was added for so long is given up.
PATIENCE_SECONDS = 10.0
WHOLE, WITHOUT_THIS = b"1", b"eob"

Entry = tuple[bytes, bytes, bytes, dict[bytes, bytes]]


class Batch:
    """One that is not complete: subject, header, payload and fields of each message."""

    __slots__ = ("bytes", "deadline", "last", "messages")

    def __init__(self) -> None:
        self.messages: list[Entry] = []
        self.bytes = 0
        self.last = 0
        self.deadline: Deadline | None = None


class AtomicBatches:
    """Those of one stream, by their ids."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._stream = intake.stream
        self._home = intake.stream.home
        self._room = intake.stream.home.staged
        self._open: dict[bytes, Batch] = {}

    def subjects_of(self, fields: dict[bytes, bytes]) -> set[bytes]:
        """What is in the batch that a message is to complete."""
        batch = self._open.get(fields.get(headers.BATCH_ID, b""))
        return {entry[0] for entry in batch.messages} if batch and headers.BATCH_COMMIT in fields else set()

    def take(self, message: Message, header: bytes, fields: dict[bytes, bytes], source: Port) -> None:
        """A message of a batch. Raises RefusedError and ApiError."""
        identifier = fields[headers.BATCH_ID]
        if len(identifier) > LONGEST_ID:
            raise ApiError(errors.ATOMIC_ID)
        sequence = headers.number(fields.get(headers.BATCH_SEQUENCE))
        if sequence is None:
            raise ApiError(errors.ATOMIC_NO_SEQUENCE)
        commit = fields.get(headers.BATCH_COMMIT)
        batch = self._find(identifier, sequence, sequence - (commit == WITHOUT_THIS))
        if commit is not None and commit not in (WHOLE, WITHOUT_THIS):
            self._close(identifier)
            raise ApiError(errors.ATOMIC_COMMIT)
        header = self._check_level(identifier, header, fields)
        batch.last += 1
        if batch.last != sequence or (sequence == 1 and commit == WITHOUT_THIS):
            raise self._abandon(identifier, "incomplete", errors.ATOMIC_INCOMPLETE)
        if sequence - (commit == WITHOUT_THIS) > MOST_MESSAGES:
            raise self._abandon(identifier, "large", errors.ATOMIC_TOO_LARGE.with_text(MOST_MESSAGES))
        if commit != WITHOUT_THIS:
            self._stage(identifier, batch, message, header, fields)
        if commit is None:
            self._wait(identifier, batch)
            if message.reply and not self._stream.config.no_ack:
                self._home.answer(message.reply, b"", source)
            return
        self._close(identifier)
        if commit == WITHOUT_THIS:
            subject, last, payload, its_fields = batch.messages[-1]
            batch.messages[-1] = subject, headers.with_fields(last, (headers.BATCH_COMMIT, WHOLE)), payload, its_fields
        self._commit(identifier, batch, message.reply, source)

    def _find(self, identifier: bytes, sequence: int, size: int) -> Batch:
        batch = self._open.get(identifier)
        if batch is not None:
            return batch
        if sequence != 1:
            if size > MOST_MESSAGES:
                raise ApiError(errors.ATOMIC_TOO_LARGE.with_text(MOST_MESSAGES))
            raise ApiError(errors.ATOMIC_INCOMPLETE)
        if len(self._open) >= MOST_OPEN or self._room.batches >= staging.MOST_BATCHES:
            raise ApiError(errors.ATOMIC_TOO_MANY)
        self._room.batches += 1
        batch = self._open[identifier] = Batch()
        return batch

    def _check_level(self, identifier: bytes, header: bytes, fields: dict[bytes, bytes]) -> bytes:
        level = fields.pop(headers.API_LEVEL, b"")
        if not level:
            return header
        if headers.number(level) is None or int(level) > int(LEVEL):
            raise self._abandon(identifier, "unsupported", errors.API_LEVEL)
        return headers.without_fields(header, headers.API_LEVEL + b":")

    def _stage(
        self, identifier: bytes, batch: Batch, message: Message, header: bytes, fields: dict[bytes, bytes]
    ) -> None:
        size = len(message.subject) + 2 * len(header) + message.size + staging.MESSAGE_BYTES
        if self._room.bytes + size > staging.MOST_BYTES:
            raise self._abandon(identifier, "large", errors.ATOMIC_TOO_MANY)
        batch.bytes += size
        self._room.bytes += size
        subject = self._intake.subject_of(message.subject)
        batch.messages.append((subject, header, message.payload(), fields))

    def _commit(self, identifier: bytes, batch: Batch, reply: bytes, source: Port) -> None:
        """Store them all, or none. Raises RefusedError and ApiError."""
        staged = Staged()
        prepared: list[Prepared] = []
        for subject, header, payload, fields in batch.messages:
            if headers.EXPECTED_LAST_ID in fields:
                raise ApiError(errors.ATOMIC_HEADER.with_text(headers.EXPECTED_LAST_ID.decode()))
            prepared.append(self._intake.prepare(subject, header, payload, fields, staged))
        self._check_limits(staged)
        self._stream.stored.commits.check(staged.bytes + MESSAGE_BYTES * staged.messages)
        sequence = 0
        for one in prepared:
            sequence = self._intake.store(one)
        told = b',"batch":"%b","count":%d' % (identifier, len(prepared))
        self._intake.answer(reply, source, sequence, told)

    def _check_limits(self, staged: Staged) -> None:
        """Whether a stream that lets nothing go for new messages has room for all of them. Raises ApiError."""
        config, stored = self._stream.config, self._stream.stored
        if config.discard != "new":
            return
        size = stored.size + staged.bytes + MESSAGE_BYTES * staged.messages
        if 0 < config.max_msgs < stored.messages + staged.messages:
            raise ApiError(errors.STORE_FAILED.with_text("maximum messages exceeded"))
        if 0 < config.max_bytes < size:
            raise ApiError(errors.STORE_FAILED.with_text("maximum bytes exceeded"))
        if not config.discard_new_per_subject:
            return
        for subject, count in staged.subjects.items():
            state = stored.subject(subject)
            if (state.messages if state is not None else 0) + count > config.max_msgs_per_subject:
                raise ApiError(errors.STORE_FAILED.with_text("maximum messages per subject exceeded"))

    def _wait(self, identifier: bytes, batch: Batch) -> None:
        deadlines = self._home.runtime.deadlines
        deadlines.cancel(batch.deadline)
        batch.deadline = deadlines.call_at(
            trio.current_time() + PATIENCE_SECONDS, lambda now: self._time_out(identifier, batch)
        )

    def _time_out(self, identifier: bytes, batch: Batch) -> None:
        if self._open.get(identifier) is batch:
            self._abandon(identifier, "timeout", errors.ATOMIC_INCOMPLETE)

    def _abandon(self, identifier: bytes, reason: str, fault: errors.Fault) -> ApiError:
        self._close(identifier)
        name = self._stream.name
        batch = identifier.decode("utf-8", "replace")
        self._home.tell(
            "stream_batch_abandoned", f"STREAM.BATCH_ABANDONED.{name}", stream=name, batch=batch, reason=reason
        )
        return ApiError(fault)

    def _close(self, identifier: bytes) -> None:
        batch = self._open.pop(identifier, None)
        if batch is not None:
            self._home.runtime.deadlines.cancel(batch.deadline)
            self._room.batches -= 1
            self._room.bytes -= batch.bytes

    def clear(self) -> None:
        for identifier in [*self._open]:
            self._close(identifier)
