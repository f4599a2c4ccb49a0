"""Fast batches: many messages of one publisher, who is told now and then how far they are on the disk, and of all of
them at the end. How often he is told is a matter between him and how many others there are.

The reply subject says it all: `<inbox>.<batch>.<flow>.<gap mode>.<sequence>.<operation>.$FI`.
"""

from functools import partial
from typing import ClassVar, NamedTuple

import msgspec
import trio

from gateway.dataplane.port import Port
from gateway.runtime.deadlines import Deadline
from gateway.storage.streams.limits import RefusedError
from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.errors import ApiError, Fault, fault_of
from gateway.streams.intake_roles import Intake
from gateway.streams.stream_config import LEVEL
from protocols.message import Message

MOST_OPEN = 1000
LONGEST_ID = 64
PATIENCE_SECONDS = 10.0
# A publisher who is alone may send so many messages between two answers.
MOST_FLOW = 500
LEAST_FLOW = 10
LARGEST_FLOW = 0xFFFF
START, APPEND, COMMIT, END, PING = range(5)
TOKENS = 6


class FastMessage(NamedTuple):
    """What a reply subject says of a message."""

    identifier: bytes
    flow: int
    gap_ok: bool
    sequence: int
    operation: int


def fast_message(reply: bytes) -> FastMessage | None:
    """None where the reply subject is not in that form."""
    tokens = reply.split(b".")[-TOKENS:]
    if len(tokens) < TOKENS:
        return None
    identifier, flow_text, gap, sequence_text, operation_text, _ = tokens
    sequence, operation = headers.number(sequence_text), headers.number(operation_text)
    if not sequence or operation is None or operation > PING or gap not in (b"fail", b"ok"):
        return None
    if (sequence == 1 and operation in (END, APPEND)) or (operation == START and sequence != 1):
        return None
    flow = headers.number(flow_text) or LEAST_FLOW
    return FastMessage(identifier, min(flow, LARGEST_FLOW), gap == b"ok", sequence, operation)


class Batch:
    """`last` is the last number that came, `persisted` the last that is on the disk, `told` the last that the publisher
    was told of; `stored` is the stream's sequence of the last one on the disk, `pending` how many are on their way.
    """

    __slots__ = (
        "asker",
        "deadline",
        "flow",
        "gap_ok",
        "identifier",
        "is_ending",
        "last",
        "most_flow",
        "pending",
        "persisted",
        "reply",
        "stored",
        "told",
    )

    def __init__(self, message: FastMessage, flow: int) -> None:
        self.identifier = message.identifier
        self.gap_ok = message.gap_ok
        self.most_flow = message.flow
        self.flow = flow
        self.last = self.persisted = self.told = self.stored = self.pending = 0
        self.is_ending = False
        self.reply = b""
        self.asker: Port | None = None
        self.deadline: Deadline | None = None


class FastBatches:
    """Those of one stream, by their ids."""

    SUFFIX: ClassVar[bytes] = b".$FI"

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._stream = intake.stream
        self._home = intake.stream.home
        self._open: dict[bytes, Batch] = {}

    def take(self, fast: FastMessage | None, message: Message, source: Port) -> None:
        """A message of a batch. Raises ApiError."""
        if fast is None:
            raise ApiError(errors.BATCH_PATTERN)
        if len(fast.identifier) > LONGEST_ID:
            raise ApiError(errors.BATCH_ID)
        batch = self._open.get(fast.identifier)
        if batch is None:
            batch = self._begin(fast)
        batch.reply, batch.asker = message.reply, source
        header = self._check_level(batch, message.header() if message.header_size else b"")
        self._wait(batch)
        if fast.operation == PING:
            self._ping(batch, fast)
        elif not batch.is_ending:
            self._append(batch, fast, message, header)

    def _begin(self, fast: FastMessage) -> Batch:
        if fast.sequence != 1:
            raise ApiError(errors.BATCH_UNKNOWN)
        if len(self._open) >= MOST_OPEN:
            raise ApiError(errors.BATCH_TOO_MANY)
        batch = Batch(fast, min(MOST_FLOW, fast.flow) if not self._open else 1)
        self._open[fast.identifier] = batch
        return batch

    def _check_level(self, batch: Batch, header: bytes) -> bytes:
        if headers.API_LEVEL not in header:
            return header
        level = headers.nats_fields(header).get(headers.API_LEVEL, b"")
        if headers.number(level) is None or int(level) > int(LEVEL):
            self._close(batch)
            raise ApiError(errors.API_LEVEL)
        return headers.without_fields(header, headers.API_LEVEL + b":")

    def _ping(self, batch: Batch, fast: FastMessage) -> None:
        """A publisher asks how far it is, and says how far he is himself."""
        if fast.sequence > batch.last:
            self._tell(batch, type="gap", last_seq=batch.last + 1, seq=fast.sequence + 1)
            if not batch.gap_ok:
                if not self._end(batch):
                    self._tell_flow(batch)
                return
            batch.last = fast.sequence
            if not batch.pending:
                batch.persisted = batch.last
            if self._flow(batch):
                return
        self._tell_flow(batch)

    def _append(self, batch: Batch, fast: FastMessage, message: Message, header: bytes) -> None:
        if fast.sequence != batch.last + 1:
            if fast.sequence > batch.last + 1:
                self._tell(batch, type="gap", last_seq=batch.last + 1, seq=fast.sequence)
            if not batch.gap_ok or fast.sequence <= batch.last:
                self._end(batch)
                return
        if fast.operation == END:
            if not batch.pending:
                batch.persisted = batch.last
            self._end(batch)
            return
        batch.last = fast.sequence
        if fast.sequence == 1 and fast.operation != COMMIT and not self._stream.config.no_ack:
            self._tell(batch, type="ack", seq=0, msgs=batch.flow)
        try:
            self._store(batch, fast, message, header)
        except RefusedError as error:
            self._not_stored(batch, fast, fault_of(error, self._stream.config.storage == "memory"))
        except ApiError as error:
            self._not_stored(batch, fast, error.fault)
        if fast.operation == COMMIT and fast.identifier in self._open:
            self._end(batch)

    def _store(self, batch: Batch, fast: FastMessage, message: Message, header: bytes) -> None:
        """Raises RefusedError and ApiError."""
        fields = headers.nats_fields(header) if headers.MARK in header else {}
        subject = self._intake.subject_of(message.subject)
        prepared = self._intake.prepare(subject, header, message.payload(), fields)
        duplicate = prepared.publication.duplicate
        if not duplicate:
            sequence = self._intake.store(prepared)
            batch.pending += 1
            self._stream.promises.when_durable(partial(self._persisted, batch, fast.sequence, sequence))
        elif not batch.gap_ok and batch.last == 1:
            # As a message that is alone is answered.
            said = b',"duplicate": true,"batch":"%b","count":%d' % (batch.identifier, fast.sequence)
            self._close(batch)
            assert batch.asker is not None
            self._intake.answer(batch.reply, batch.asker, duplicate, said)
        elif not batch.pending:
            batch.persisted = fast.sequence
            self._flow(batch)

    def _not_stored(self, batch: Batch, fast: FastMessage, fault: Fault) -> None:
        assert batch.asker is not None
        if not batch.gap_ok and batch.last == 1:
            self._close(batch)
            self._stream.refuse(batch.reply, batch.asker, fault)
            return
        self._tell(batch, type="err", seq=fast.sequence, error=fault.told())
        if batch.gap_ok and fast.operation != COMMIT:
            return
        batch.last -= 1
        if not batch.pending:
            batch.persisted = batch.last
        self._end(batch)

    def _persisted(self, batch: Batch, number: int, sequence: int) -> None:
        """A message is on the disk."""
        batch.pending -= 1
        batch.stored = sequence
        batch.persisted = number if batch.pending else batch.last
        if self._open.get(batch.identifier) is not batch:
            return
        if batch.is_ending and batch.persisted == batch.last:
            self._finish(batch)
        else:
            self._flow(batch)

    def _end(self, batch: Batch) -> bool:
        """Nothing more is to come; whether all of it is on the disk already."""
        batch.is_ending = True
        self._home.runtime.deadlines.cancel(batch.deadline)
        if batch.last == batch.persisted:
            self._finish(batch)
            return True
        return False

    def _finish(self, batch: Batch) -> None:
        self._close(batch)
        said = b',"batch":"%b","count":%d' % (batch.identifier, batch.last)
        assert batch.asker is not None
        self._intake.answer(batch.reply, batch.asker, batch.stored, said)

    def _flow(self, batch: Batch) -> bool:
        """Tell the publisher how far it is where that is due; whether he was told."""
        if batch.persisted < batch.told + batch.flow:
            return False
        batch.told += (batch.persisted - batch.told) // batch.flow * batch.flow
        most = min(max(MOST_FLOW // max(len(self._open), 1), 1), batch.most_flow)
        if batch.flow < most:
            batch.flow = min(batch.flow * 2, most)
        elif batch.flow > most:
            batch.flow = max(batch.flow // 2, most)
        self._tell_flow(batch)
        return True

    def _tell_flow(self, batch: Batch) -> None:
        self._tell(batch, type="ack", seq=batch.told, msgs=batch.flow)

    def _tell(self, batch: Batch, **fields: object) -> None:
        if batch.reply and batch.asker is not None:
            self._home.answer(batch.reply, msgspec.json.encode(fields), batch.asker)

    def _wait(self, batch: Batch) -> None:
        if batch.is_ending:
            return
        deadlines = self._home.runtime.deadlines
        deadlines.cancel(batch.deadline)
        batch.deadline = deadlines.call_at(trio.current_time() + PATIENCE_SECONDS, lambda now: self._close(batch))

    def _close(self, batch: Batch) -> None:
        if self._open.get(batch.identifier) is batch:
            del self._open[batch.identifier]
        self._home.runtime.deadlines.cancel(batch.deadline)

    def clear(self) -> None:
        for batch in [*self._open.values()]:
            self._close(batch)
