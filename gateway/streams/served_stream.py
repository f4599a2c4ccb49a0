"""ServedStream: one stream as the API has it: its configuration, what it takes, and which consumers it has."""

import logging
from collections import OrderedDict

import msgspec

from gateway.dataplane.port import Port
from gateway.runtime.turns import TURN_SECONDS, OwnTurn
from gateway.storage.streams.limits import MOST_MESSAGE_BYTES, Refusal, RefusedError
from gateway.storage.streams.stored_message import MESSAGE_BYTES, StoredMessage
from gateway.storage.streams.stream import Stream
from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.account_limits import check_message
from gateway.streams.ageing import Ageing
from gateway.streams.consumer import Consumer
from gateway.streams.duplicates import Duplicates
from gateway.streams.errors import ApiError, fault_of
from gateway.streams.inflow_messages import place_of
from gateway.streams.intake import FAST_BATCH, Gate, Intake
from gateway.streams.origins import Origins
from gateway.streams.promises import Promises
from gateway.streams.prompt_gets import Gettable
from gateway.streams.publishing import Publication, check_expectations, of_copy, rolled_up
from gateway.streams.republish import Republisher, Stored
from gateway.streams.retention import Retention
from gateway.streams.roles import Home
from gateway.streams.schedules import Schedules
from gateway.streams.special_intake import SpecialIntake, is_special
from gateway.streams.stream_config import StreamConfig
from protocols.message import Message
from protocols.subjects import matches

log = logging.getLogger("leafgate.streams")

LARGEST_HEADER = 64 << 10
# Why the storage as a whole takes nothing.
OUT_OF_ORDER = frozenset((Refusal.FULL, Refusal.TOO_SLOW, Refusal.FAULT, Refusal.QUOTA))


class Note(msgspec.Struct):
    """What the storage keeps with a stream."""

    config: StreamConfig
    created: int
    # It is made out of a snapshot that is not here as a whole.
    is_partial: bool = False


class ServedStream:
    """`stored` has its messages. Consumers are its own; they go with it."""

    def __init__(self, home: Home, config: StreamConfig, created: int, stored: Stream, promises: Promises) -> None:
        self.home: Home = home
        self.config = config
        self.created = created
        self.stored = stored
        self.promises = promises
        self.consumers: dict[str, Consumer] = {}
        self.duplicates = Duplicates(home.ids, config.duplicate_window, is_kept_queue(config))
        self.retention = Retention(self)
        self.gate = Gate(stored, promises, self.duplicates)
        self.ageing = Ageing(self)
        self.origins = Origins(self)
        # What only some streams have.
        self.intake: SpecialIntake | None = None
        self.schedules: Schedules | None = None
        self.republisher: Republisher | None = None
        # What reads of it at once.
        self.gettable: Gettable | None = None
        self.is_closed = False
        self._intakes: list[Intake] = []
        # Consumers that have not looked yet for what the last commit brought.
        self._to_kick: OrderedDict[Consumer, None] = OrderedDict()
        self._is_kicking = False
        # When the first message came, by its sequence.
        self._first: tuple[int, int] = (0, 0)
        self._equip()

    def _equip(self) -> None:
        """Have what the configuration asks for."""
        config = self.config
        # What is on its way through them goes on, where nothing is asked for that was not before.
        if self.intake is not None and not self.intake.fits(config):
            self.intake.close()
            self.intake = None
        if self.intake is None and is_special(config):
            self.intake = SpecialIntake(self)
        if config.allow_msg_schedules and self.schedules is None:
            self.schedules = Schedules(self)
        republish = config.republish
        if self.republisher is None or self.republisher.config != republish:
            self.republisher = Republisher(self.home, config.name, republish) if republish is not None else None
        self.set_gate()

    @property
    def lead(self) -> bytes:
        """What each answer to a publisher begins with."""
        return self.gate.lead

    @property
    def name(self) -> str:
        return self.config.name

    # Life.

    def open(self) -> None:
        """Take messages from now on."""
        self.stored.listeners.append(self._committed)
        self._subscribe()
        self.origins.open()

    def accept(self, message: Message, source: Port) -> None:
        """Take a message as if it had just been published: it came before the stream was open."""
        if self._intakes:
            self._intakes[0].deliver(message, source)

    def hear(self, message: Message, source: Port) -> None:
        """Take what was said to a consumer in the same way."""
        place = place_of(message.subject)
        consumer = self.consumers.get(place.consumer.decode("utf-8", "replace")) if place is not None else None
        if consumer is not None:
            consumer.hear(message, source)

    def close(self) -> None:
        """The stream is deleted."""
        self.is_closed = True
        self._unsubscribe()
        self.origins.close()
        self.ageing.close()
        for consumer in [*self.consumers.values()]:
            consumer.close("Consumer Deleted")
        self.consumers.clear()
        self.duplicates.clear()
        if self.intake is not None:
            self.intake.close()
        if self.schedules is not None:
            self.schedules.clear()

    def configure(self, config: StreamConfig) -> None:
        """Be like that from now on."""
        self.config = config
        self._equip()
        self.duplicates.window, self.duplicates.placed = config.duplicate_window, is_kept_queue(config)
        self.stored.set_limits(config.limits())
        self.stored.set_note(self.note())
        self._unsubscribe()
        self._subscribe()
        self.origins.configure()
        for consumer in self.consumers.values():
            consumer.stream_changed()

    async def trim(self) -> None:
        """Let go what is more of a subject than there may be, in turns."""
        most = self.config.max_msgs_per_subject
        if most <= 0:
            return
        turn = OwnTurn(self.home.runtime.turns)
        for subject in [*(self.stored.subjects or ())]:
            self.stored.delete_all_of(subject, self.stored.last + 1, most)
            if turn.is_over():
                await turn.next()

    def note(self) -> str:
        return msgspec.json.encode(Note(self.config, self.created)).decode()

    def _subscribe(self) -> None:
        if not self.config.sealed:
            for subject in self.config.filters:
                intake = Intake(Port(None), subject, self.gate, self)
                self._intakes.append(intake)
                self.home.subscribe(intake)

    def _unsubscribe(self) -> None:
        for intake in self._intakes:
            self.home.unsubscribe(intake)
        self._intakes.clear()

    def set_gate(self) -> None:
        """What is stored without a closer look, and how it is answered."""
        config, gate, stored = self.config, self.gate, self.stored
        domain = f',"domain":{quoted(self.home.domain)}' if self.home.domain else ""
        gate.lead = f'{{"stream":{quoted(self.name)}{domain},"seq":'.encode()
        gate.answers = not config.no_ack
        gate.largest = config.max_msg_size if config.max_msg_size >= 0 else MOST_MESSAGE_BYTES
        is_plain = self.intake is None and self.schedules is None and self.republisher is None
        account = self.home.account.rules.streams
        is_free = not account.max_bytes and not account.max_memory_bytes
        self.gettable = Gettable(self.name, stored.look_up, stored.fetch_chunk) if config.allow_direct else None
        gate.is_open = is_plain and is_free and not config.ages_one_by_one and config.retention != "interest"

    # Publishing.

    def take(self, message: Message, source: Port) -> None:
        """Store a message, and answer its publisher once it is on the disk."""
        if self.intake is not None:
            self.intake.take(message, source)
            return
        reply = message.reply
        config = self.config
        header = message.header() if message.header_size else b""
        publication: Publication | None = None
        sequence = 0
        try:
            if 0 <= config.max_msg_size < message.size:
                raise ApiError(errors.MESSAGE_TOO_LARGE)
            if reply and not self.promises.has_room():
                raise ApiError(errors.STORE_FAILED.with_text("the disk is too slow"))
            if reply.endswith(FAST_BATCH):
                raise ApiError(errors.BATCH_DISABLED)
            if header and headers.MARK in header:
                publication = self._examine(message, header)
            if publication is not None and publication.duplicate:
                sequence = publication.duplicate
            else:
                sequence = self.store(message.subject, header, message.payload(), publication)
        except RefusedError as error:
            self.turn_away(message, source, error)
            return
        except ApiError as error:
            self.refuse(reply, source, error.fault)
            return
        if not reply or config.no_ack:
            return
        if publication is not None and publication.duplicate:
            self.promises.promise(reply, source, b'%b%d,"duplicate": true}' % (self.gate.lead, sequence))
        else:
            self.promises.promise(reply, source, b"%b%d}" % (self.gate.lead, sequence))

    def _examine(self, message: Message, header: bytes) -> Publication | None:
        """What the headers of a message say about it. Raises ApiError."""
        if len(header) > LARGEST_HEADER:
            raise ApiError(errors.HEADER_TOO_LARGE)
        fields = headers.nats_fields(header)
        if not fields:
            return None
        publication = check_expectations(self, message.subject, fields, message.size - message.header_size)
        if publication.identifier and not publication.duplicate and not self.duplicates.has_room():
            raise ApiError(errors.STORE_FAILED.with_text("there are too many message ids"))
        return publication

    def store(
        self, subject: bytes, header: bytes, payload: bytes, publication: Publication | None, time_ns: int = 0
    ) -> int:
        """Take what nothing is to be said against; a copy keeps its time. Raises RefusedError and ApiError."""
        stored, config = self.stored, self.config
        if config.ages_one_by_one and not self.ageing.has_room():
            raise ApiError(errors.STORE_FAILED.with_text("there are too many messages with a lifetime"))
        account = self.home.account.rules.streams
        if account.max_bytes or account.max_memory_bytes:
            size = MESSAGE_BYTES + len(subject) + len(header) + len(payload)
            check_message(account, self.home.streams.values(), config.storage, size)
        before = self._before(subject) if self.republisher is not None else -1
        sequence = stored.append(subject, header, payload, time_ns)
        size = MESSAGE_BYTES + len(subject) + len(header) + len(payload)
        self.duplicates.last = publication.identifier if publication is not None else b""
        if publication is not None:
            if publication.identifier:
                self.duplicates.note(publication.identifier, sequence, stored.age_ns())
            if publication.rollup:
                rolled_up(self, subject, sequence, publication.rollup)
        if config.ages_one_by_one:
            lifetime = publication.lifetime if publication is not None else 0
            self.ageing.note(sequence, stored.age_ns(), lifetime, subject, size)
            self.ageing.wait()
        if config.retention == "interest":
            self.retention.note(sequence, subject, size)
        if self.schedules is not None:
            self.schedules.note(sequence, stored.last_ns, subject, headers.nats_fields(header))
        if self.republisher is not None and before >= 0:
            self.republisher.add(Stored(sequence, stored.last_ns, subject, header, payload, before))
        return sequence

    def _before(self, subject: bytes) -> int:
        """The last sequence of a subject that is to be republished, 0 where there is none; -1 for another subject."""
        assert self.republisher is not None
        if not self.republisher.wants(subject):
            return -1
        state = self.stored.subject(subject)
        return state.last if state is not None else 0

    def keep_copy(self, subject: bytes, header: bytes, payload: bytes, time_ns: int) -> None:
        """Store a copy of another stream's message, with its time unless that is 0; not one whose id came lately.
        Raises RefusedError and ApiError.
        """
        prepared = None
        if self.intake is not None:
            prepared = self.intake.copied(subject, header, payload)
            subject, header, payload = prepared[:3]
        publication = of_copy(self, header) if headers.MARK in header else None
        if publication is None or not publication.duplicate:
            self.store(subject, header, payload, publication, time_ns)
            if self.intake is not None and prepared is not None:
                self.intake.note_copy(prepared)

    def publish_due(self, subject: bytes, header: bytes, payload: bytes) -> None:
        """Store a message that it is time for. Raises RefusedError and ApiError."""
        fields = headers.nats_fields(header)
        if self.intake is not None:
            subject = self.intake.subject_of(subject)
        lifetime = headers.lifetime_ns(fields[headers.TTL]) if headers.TTL in fields else 0
        rollup = b"sub" if headers.ROLLUP in fields else b""
        self.store(subject, header, payload, Publication(b"", 0, lifetime, rollup))
        if fields.get(headers.SCHEDULE_NEXT) == headers.PURGE:
            self.retention.keep_of(fields[headers.SCHEDULER], self.stored.last + 1)

    def is_schedule(self, subject: bytes) -> bool:
        """Whether the last message of a subject is a schedule."""
        return self.schedules is not None and subject in self.schedules

    async def read_total(self, subject: bytes) -> None:
        """Read what a subject has, of a counter's (NotReadYetError)."""
        if self.intake is not None:
            await self.intake.load(subject)

    async def last_message(self, subject: bytes) -> StoredMessage | None:
        return await self.stored.last_of(subject)

    def turn_away(self, message: Message, source: Port, error: RefusedError) -> None:
        """The storage does not take a message: who publishes in another protocol hears of it, too, unless it is a limit
        of the stream's own.
        """
        message.refused = message.refused or error.refusal in OUT_OF_ORDER
        self.refuse(message.reply, source, fault_of(error, self.config.storage == "memory"))

    def refuse(self, reply: bytes, source: Port, fault: errors.Fault) -> None:
        if not reply or self.config.no_ack:
            return
        told = {"error": fault.told(), "stream": self.name, "seq": 0}
        self.home.answer(reply, msgspec.json.encode(told), source)

    # Consumers.

    def _committed(self) -> None:
        """There are new messages to be read."""
        if self.is_closed:
            return
        for consumer in self.consumers.values():
            self._to_kick.setdefault(consumer)
        if not self._is_kicking:
            self._is_kicking = True
            self.home.runtime.turns.begin(self._kick_some)
        if self.republisher is not None:
            self.republisher.committed(self.stored.committed)

    def _kick_some(self) -> bool:
        """Let what nobody wants go, and consumers look for what is new, for a turn; whether there are more."""
        clock = self.home.runtime.turns.clock
        until = clock() + TURN_SECONDS
        to_kick = self._to_kick
        while not self.is_closed and clock() <= until:
            if self.retention.let_one_go():
                continue
            if to_kick:
                to_kick.popitem(last=False)[0].kick()
            else:
                self._is_kicking = False
                return False
        self._is_kicking = not self.is_closed
        return self._is_kicking

    # What is told.

    @property
    def shown_consumers(self) -> int:
        """How many consumers are told of: not those with which other streams read this one."""
        return sum(not consumer.config.is_hidden for consumer in self.consumers.values())

    async def first_ns(self) -> int:
        """When the first message came; 0 where there is none."""
        stored = self.stored
        first = stored.contents.oldest()
        if first is None:
            return 0
        if self._first[0] != first:
            found = await stored.get(first)
            self._first = (first, found.time_ns if found is not None else 0)
        return self._first[1]

    async def subjects(self, subject_filter: bytes) -> list[tuple[bytes, int]]:
        """The subjects that a filter matches, and how many messages each has, in no order."""
        stored = self.stored
        found: list[tuple[bytes, int]] = []
        if stored.subjects is not None:
            turn = OwnTurn(self.home.runtime.turns)
            for subject in [*stored.subjects]:
                if subject_filter == b">" or matches(subject_filter, subject):
                    state = stored.subject(subject)
                    if state is not None:
                        found.append((subject, state.messages))
                if turn.is_over():
                    await turn.next()
        return found


def is_kept_queue(config: StreamConfig) -> bool:
    """Whether its messages go from the disk while repeats of them may come."""
    return config.is_queue and config.storage == "file"


def quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
