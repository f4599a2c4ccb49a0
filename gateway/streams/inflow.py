"""Inflow: messages of another stream, here or behind a link, as they come from a consumer there.

The consumer is made where the other stream is, over the API, and sends without acknowledgements: what it is to begin
with is known here. Its numbers tell whether anything is missing, its heartbeats whether it still lives; whatever goes
wrong, another one is made that begins behind what is here. How far its flow control may go on is said once everything
that came is on the disk; that is what acknowledges where messages go from the origin once they are: there the consumer
is durable, has a name that stays the same, and begins again behind what it knows to be here. So does one that is there
already, if the configuration names one.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import msgspec
import trio

from gateway.runtime.deadlines import Deadline
from gateway.runtime.identity import new_token
from gateway.storage.streams.limits import RefusedError
from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.counters import NotReadYetError
from gateway.streams.errors import ApiError, Fault, fault_of
from gateway.streams.inflow_consumer import (
    LEVELS,
    Asked,
    consumer_request,
    deliver_subject,
    info_subject,
    removal_subject,
    reset_request,
)
from gateway.streams.inflow_messages import Described, InflowReceiver, Made, Place, place_of
from gateway.streams.name_hash import name_hash
from gateway.streams.origin_config import StreamOrigin, encoded
from gateway.streams.roles import Copying
from gateway.streams.times import SECOND
from protocols import foreign_json
from protocols.message import Message, make_message
from protocols.subjects import matches

log = logging.getLogger("leafgate.streams")

# How long the other side has for an answer, and how long it may be silent.
ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 10.0
# How soon another consumer is made where one could not be: twice as long each time, up to the second.
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
# What may be held back while a counter is read, what each message takes besides its bytes, and how many go in a row.
MOST_HELD_BYTES = 16 << 20
HELD_BYTES = 500
HELD_AT_ONCE = 64

T = TypeVar("T")
CONTROL = b"NATS/1.0 100 "


class Inflow:
    """Those of one origin. `sequence` is the last one of the origin that is here, `number` the last one of its
    consumer; `identity` tells the origin from one of the same name that was made later.

    What a subclass decides: where to begin (`begin`), what is done with a message (`keep`), and with an origin that has
    become another one (`recreated`).
    """

    kind = ""

    def __init__(self, stream: Copying, origin: StreamOrigin) -> None:
        self.stream = stream
        self.origin = origin
        self.sequence = 0
        self.number = 0
        self.identity = b""
        self._home = stream.home
        self._transforms = [(one.source, one.transform()) for one in origin.subject_transforms or ()]
        self._consumer = b""
        self._error: Fault | None = None
        self._lag = 0
        self._heard_at: float | None = None
        self._deadline: Deadline | None = None
        self._pause = FIRST_RETRY_SECONDS
        # Where an answer is waited for.
        self._reply = b""
        self._deliver_subject = b""
        self._receivers: list[InflowReceiver] = []
        # What came while something is read that it is to be added to, and its size.
        self._held: deque[Message] = deque()
        self._held_bytes = 0
        self._is_open = False
        self._was_away = False
        # What the origin's server knows (inflow_consumer.LEVELS).
        self.level = 0

    # What a subclass decides.

    def begin(self) -> dict[str, object]:
        """The fields of a consumer's configuration that say where to begin."""
        raise NotImplementedError

    def begun(self, before: int) -> None:
        """The consumer begins behind this sequence of the origin. Raises RefusedError."""
        raise NotImplementedError

    def keep(self, place: Place, origin: bytes, subject: bytes, header: bytes, payload: bytes) -> None:
        """Store a message; `origin` is the subject that it has there. Raises RefusedError and ApiError."""
        raise NotImplementedError

    def recreated(self) -> bool:
        """The origin is another one than before; whether to begin anew with that."""
        raise NotImplementedError

    def shortened(self, last: int) -> bool:
        """The origin has lost what was behind a sequence, and gives those numbers to others; whether to take them."""
        raise NotImplementedError

    @property
    def consumer_name(self) -> str:
        """What the consumer at the origin is to be called, at first."""
        raise NotImplementedError

    @property
    def metadata(self) -> dict[str, str]:
        """What the origin is told of who listens."""
        raise NotImplementedError

    def note_place(self) -> None:
        """Keep what is to be known of the origin after a restart."""
        raise NotImplementedError

    # Life.

    def open(self) -> None:
        self._is_open = True
        for subject in self._interests:
            self._home.watch(subject, self._interest_moved)
        self._wait(0.0)

    def close(self) -> None:
        self._is_open = False
        for subject in self._interests:
            self._home.unwatch(subject, self._interest_moved)
        self._unsubscribe()
        self._home.runtime.deadlines.cancel(self._deadline)

    def leave(self) -> None:
        """Have nothing more of the origin: the consumer that was made there goes, if that can be said to it now. One
        that is not durable goes by itself.
        """
        durable = self.consumer_name.encode("utf-8", "surrogateescape")
        is_left = self.origin.consumer is None and self._consumer in (b"", durable)
        self.close()
        if is_left:
            reply = b"_INBOX." + new_token().encode()
            self._home.publish(make_message(removal_subject(self), b"", reply))

    @property
    def _interests(self) -> tuple[bytes, ...]:
        """What links tell of where the origin answers: nats-server the first, other gateways the second."""
        external = self.origin.external
        if external is None or not external.api:
            return ()
        api = encoded(external.api)
        return api + b".CONSUMER.>", api + b".>"

    def _interest_moved(self) -> None:
        """A link to the origin is gone, or there again: with it, what the consumer sent in between is lost, if it is
        there at all.
        """
        assert self.origin.external is not None
        if not self._home.has_interest(encoded(f"{self.origin.external.api}.CONSUMER.CREATE"), b""):
            self._was_away = True
        elif self._was_away:
            self._was_away = False
            self._pause = FIRST_RETRY_SECONDS
            self._unsubscribe()
            self._wait(0.0)

    def _wait(self, seconds: float) -> None:
        deadlines = self._home.runtime.deadlines
        deadlines.cancel(self._deadline)
        self._deadline = deadlines.call_at(trio.current_time() + seconds, self._time_is_over)

    def _time_is_over(self, now: float) -> None:
        if not self._is_open:
            return
        if self._consumer:
            silence = now - (self._heard_at or 0.0)
            if silence < SILENCE_SECONDS:
                self._wait(SILENCE_SECONDS - silence)
                return
            self.restart("nothing was heard of its consumer")
        elif self._reply:
            self.restart("nobody answers")
        else:
            self._ask()

    # A consumer.

    def _ask(self) -> None:
        """Have a consumer made, where the origin has what came from it: a server may lose its newest messages."""
        self._unsubscribe()
        self._wait(ANSWER_SECONDS)
        if self.sequence:
            self._request(info_subject(self.origin), b"", b"", self._described)
        else:
            self._ask_for_consumer()

    def _ask_for_consumer(self) -> None:
        asked = self._consumer_asked()
        self._request(asked.subject, asked.header, asked.payload, self._answered)

    def _consumer_asked(self) -> Asked:
        own = self.origin.consumer
        if own is not None:
            self._deliver_subject = encoded(own.deliver_subject)
            return reset_request(self, own.name)
        self._deliver_subject = deliver_subject(self.origin, self.kind)
        return consumer_request(self, self._deliver_subject.decode("utf-8", "surrogateescape"))

    def _request(self, subject: bytes, header: bytes, payload: bytes, take: Callable[[Message], None]) -> None:
        self._reply = b"_INBOX." + new_token().encode()
        self._subscribe(self._reply, take)
        if not self._home.publish(make_message(subject, payload, self._reply, header)):
            self.restart("it cannot be reached")
        self._home.flush()

    def _subscribe(self, subject: bytes, take: Callable[[Message], None]) -> None:
        receiver = InflowReceiver(subject, take)
        self._receivers.append(receiver)
        self._home.subscribe(receiver)

    def _unsubscribe(self) -> None:
        for receiver in self._receivers:
            self._home.unsubscribe(receiver)
        self._receivers.clear()
        self._held = deque()
        self._held_bytes = 0
        self._consumer = b""
        self._reply = b""

    def _read(self, message: Message, kind: type[T]) -> T | None:
        """An answer to the last request; None where it is none, or cannot be read."""
        if message.subject != self._reply:
            return None
        self._reply = b""
        if message.header_size and message.size == message.header_size:
            self.restart("it cannot be reached")
            return None
        try:
            return foreign_json.decode(message.payload(), kind)
        except msgspec.DecodeError:
            self.restart("its answer cannot be read")
            return None

    def _described(self, message: Message) -> None:
        answer = self._read(message, Described)
        if answer is None:
            return
        last = answer.state.last_seq
        if answer.error is not None:
            self._refused(answer.error)
        elif self.identity and answer.created and name_hash(answer.created).encode() != self.identity:
            self._begin_anew()
        elif last < self.sequence and not self.shortened(last):
            self.restart(f"the origin has lost messages behind {last}, which are here")
        else:
            self._ask_for_consumer()

    def _answered(self, message: Message) -> None:
        answer = self._read(message, Made)
        if answer is None:
            return
        if answer.error is not None or answer.config is None:
            self._refused(answer.error or Made.Error(description="invalid consumer create response"))
            return
        if self.origin.consumer is not None and answer.config.ack_policy != "flow_control":
            fault = errors.MIRROR_FLOW if self.kind == "M" else errors.SOURCE_FLOW
            self.restart(fault.description, fault)
            return
        fields = headers.nats_fields(message.header()) if message.header_size else {}
        self._made(answer, fields.get(headers.IDENTITY, b""))

    def _refused(self, error: Made.Error) -> None:
        if error.err_code == errors.IDENTITY_MISMATCH.number:
            self._begin_anew()
            return
        if error.err_code in (errors.API_LEVEL.number, errors.INVALID_JSON.number) and LEVELS[self.level]:
            self.level += 1
            self._ask()
            return
        self.restart(error.description, Fault(error.code, error.err_code, error.description))

    def _begin_anew(self) -> None:
        """The origin is another one than that of which messages are here."""
        if self.recreated():
            log.warning("event=origin-recreated %s", self._label)
            self._ask()
        else:
            text = "the origin was made anew: delete this stream, and make it anew as well"
            self.restart(text, errors.IDENTITY_MISMATCH.with_text(text))

    def _made(self, answer: Made, identity: bytes) -> None:
        """There is a consumer."""
        if self.identity and identity and identity != self.identity:
            self._begin_anew()
            return
        self._consumer = answer.name.encode("utf-8", "surrogateescape")
        self.number = 0
        try:
            self.begun(answer.delivered.stream_seq)
        except RefusedError as error:
            self._not_kept(fault_of(error, self.stream.config.storage == "memory"))
            return
        if identity != self.identity:
            self.identity = identity
            self.note_place()
        # From here on there is somebody who listens, and the consumer begins to send.
        self._subscribe(self._deliver_subject, self._came)
        self._error = None
        self._heard_at = trio.current_time()
        self._pause = FIRST_RETRY_SECONDS
        self._wait(SILENCE_SECONDS)
        log.info("event=origin-joined %s", self._label)

    def restart(self, reason: str, error: Fault | None = None) -> None:
        """Have another consumer made, some time later."""
        if not self._is_open:
            return
        if self._error is None or self._error.description != reason:
            log.warning("event=origin-away %s reason=%r", self._label, reason)
        self._error = error or self.setup_fault.with_text(reason)
        self._unsubscribe()
        self._wait(self._pause)
        self._pause = min(self._pause * 2, LONGEST_RETRY_SECONDS)

    @property
    def setup_fault(self) -> Fault:
        return errors.MIRROR_SETUP if self.kind == "M" else errors.SOURCE_SETUP

    @property
    def _label(self) -> str:
        domain = f" api={self.origin.external.api}" if self.origin.external is not None else ""
        return f"stream={self.stream.name} origin={self.origin.name}{domain}"

    # Messages.

    def _came(self, message: Message) -> None:
        """Something of the consumer's."""
        if not self._consumer:
            return
        if self._held:
            self._hold(message)
            return
        missing = self._take(message)
        if missing:
            self._hold(message)
            self._home.spawn(lambda: self._go_on_when_read(missing))

    def _hold(self, message: Message) -> None:
        self._held.append(message)
        self._held_bytes += message.size + len(message.subject) + HELD_BYTES
        if self._held_bytes > MOST_HELD_BYTES:
            self.restart("the disk is too slow")

    async def _go_on_when_read(self, missing: bytes) -> None:
        held = self._held
        while held and held is self._held:
            if missing:
                await self.stream.read_total(missing)
            else:
                await trio.lowlevel.checkpoint()
            missing = b""
            for _ in range(min(len(held), HELD_AT_ONCE)):
                missing = self._take(held[0])
                if missing or held is not self._held:
                    break
                held.popleft()

    def _take(self, message: Message) -> bytes:
        """Do what a message says; returns the subject of which something is to be read first, b"" for none."""
        header = message.header() if message.header_size else b""
        if message.size == message.header_size and header.startswith(CONTROL):
            self._heard_at = trio.current_time()
            self._heed(message.reply, header)
            return b""
        place = place_of(message.reply)
        if place is None or place.consumer != self._consumer:
            return b""
        self._heard_at = trio.current_time()
        if place.deliveries > 1:
            return b""
        if place.sequence <= self.sequence:
            self.number += place.number == self.number + 1
            return b""
        if place.number != self.number + 1:
            self.restart("messages are missing")
            return b""
        try:
            self.keep(place, message.subject, *self._as_kept(message.subject, header), message.payload())
        except RefusedError as error:
            self._not_kept(fault_of(error, self.stream.config.storage == "memory"))
        except NotReadYetError as error:
            return error.subject
        except ApiError as error:
            self._not_kept(error.fault)
        else:
            self.sequence, self.number = place.sequence, place.number
            self._lag = max(place.pending - 1, 0)
        return b""

    def _as_kept(self, subject: bytes, header: bytes) -> tuple[bytes, bytes]:
        """Subject and header of a copy."""
        if headers.MARK in header:
            header = headers.without_fields(header, *headers.NOT_COPIED)
        for pattern, transform in self._transforms:
            if transform is not None and matches(pattern, subject):
                return transform.apply(subject), header
        return subject, header

    def _not_kept(self, fault: Fault) -> None:
        """It comes again with another consumer."""
        self.restart(fault.description, fault)

    def _heed(self, reply: bytes, header: bytes) -> None:
        """Flow control, or a heartbeat."""
        if reply:
            self._go_on(reply)
            return
        fields = headers.nats_fields(header)
        number = headers.number(fields.get(headers.LAST_CONSUMER))
        if number and number != self.number:
            self.restart("messages are missing")
        elif headers.STALLED in fields:
            self._go_on(fields[headers.STALLED])

    def _go_on(self, reply: bytes) -> None:
        """Say how far everything is here, once it is on the disk."""
        told = (headers.LAST_CONSUMER, b"%d" % self.number), (headers.LAST_STREAM, b"%d" % self.sequence)
        header = headers.with_fields(b"", *told)
        self.stream.promises.when_durable(lambda: self._answer_flow(make_message(reply, b"", header=header)))

    def _answer_flow(self, message: Message) -> None:
        self._home.publish(message)

    # What is told.

    def told(self) -> dict[str, object]:
        """How it is, in the API's fields."""
        active = -1 if self._heard_at is None else int((trio.current_time() - self._heard_at) * SECOND)
        told: dict[str, object] = {"name": self.origin.name}
        if self.origin.external is not None:
            told["external"] = self.origin.external
        told |= {"lag": self._lag, "active": active}
        if self._error is not None:
            told["error"] = self._error.told()
        if self.origin.filter_subject:
            told["filter_subject"] = self.origin.filter_subject
        if self.origin.subject_transforms:
            told["subject_transforms"] = self.origin.subject_transforms
        return told
