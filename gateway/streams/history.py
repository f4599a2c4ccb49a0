"""History: what a stream has, for those who know nothing of JetStream's API: MQTT clients most of all.

A request to `$LEAFGATE.stream.get`, in MQTT the topic `$LEAFGATE/stream/get` with a response topic. Its payload is a
subject filter, empty for all; its headers, in MQTT user properties, say from where on:

    Nats-Stream          which stream; may be left out where only one has such subjects
    Nats-Start-Sequence  from this number on, or
    Nats-Start-Time      from this time on, RFC 3339; with none of both: the newest
    Nats-Count           how many at most, 100 where nothing is said
    Nats-Archive         true: what the stream has let go comes from the database that it is copied into

Each message comes as it was published, with Nats-Stream, Nats-Subject, Nats-Sequence and Nats-Time-Stamp. The last
reply is empty and has the status 204, the last sequence, and 1 where there is more; 404 where there was nothing. The
asker gets what it may receive. Where the database cannot be asked the only reply is a 503.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gateway.dataplane.port import Port, Receiver
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.archive_database import ArchiveError, Wanted
from gateway.streams.direct_get import BUSY, MOST_BYTES_AT_ONCE, NOT_FOUND, facts, wanted_by
from gateway.streams.message_headers import nats_fields, number, status, with_fields
from gateway.streams.served_stream import ServedStream
from gateway.streams.times import parse_time
from gateway.streams.unopened import UnopenedStream
from protocols.message import Message
from protocols.subjects import is_valid_filter, overlaps

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams
    from gateway.streams.archiving import Archiving

SUBJECT = b"$LEAFGATE.stream.get"
STREAM, COUNT = b"Nats-Stream", b"Nats-Count"
SEQUENCE, TIME = b"Nats-Start-Sequence", b"Nats-Start-Time"
ARCHIVE = b"Nats-Archive"
DEFAULT_COUNT, MOST_COUNT = 100, 1000
# What the replies to one request may take; who wants more asks again, from where they ended.
MOST_BYTES = 1 << 20
MOST_RUNNING = 64

NO_STREAM = status("404 Stream Not Found")
AMBIGUOUS = status("400 Nats-Stream Is Missing")
# Clients take it as that nobody answers.
NOT_YET = status("503 Not Open Yet")
BAD_FILTER = status("400 Invalid Subject")
BAD_BEGIN = status("400 Invalid Start")
NO_ARCHIVE = status("400 No Archive")
ARCHIVE_AWAY = status("503 Archive Not Available")


class Asked(NamedTuple):
    stream: ServedStream
    subject_filter: bytes
    sequence: int
    since: int
    most: int
    archive: "Archiving | None" = None


class History(Receiver):
    """Answers the requests of one account."""

    __slots__ = ("_home", "_running")

    def __init__(self, home: "AccountStreams") -> None:
        super().__init__(Port(None), SUBJECT, b"")
        self._home = home
        self._running = 0

    def deliver(self, message: Message, source: Port) -> bool:
        reply = message.reply
        if not reply:
            return False
        unopened = self._unopened(message)
        if unopened is not None:
            refuse = partial(self._home.answer, reply, b"", source, NOT_YET)
            unopened.ask(partial(self.deliver, message, source), refuse)
            return True
        asked = self._parse(message)
        if isinstance(asked, bytes):
            self._home.answer(reply, b"", source, asked)
        elif self._running >= MOST_RUNNING:
            self._home.answer(reply, b"", source, BUSY)
        else:
            self._running += 1
            self._home.spawn(lambda: self._answer(asked, reply, source))
        return True

    def _unopened(self, message: Message) -> UnopenedStream | None:
        """One that may be asked for and is not open yet."""
        every = self._home.unopened
        if not every:
            return None
        fields = nats_fields(message.header()) if message.header_size else {}
        if STREAM in fields:
            return every.get(fields[STREAM].decode("utf-8", "replace"))
        wanted = message.payload() or b">"
        found = (one for one in every.values() if any(overlaps(wanted, own) for own in one.config.kept_subjects))
        return next(found, None) if is_valid_filter(wanted) else None

    def _parse(self, message: Message) -> Asked | bytes:
        """What is asked for, or what is said to something that is none."""
        fields = nats_fields(message.header()) if message.header_size else {}
        subject_filter = message.payload() or b">"
        if not is_valid_filter(subject_filter):
            return BAD_FILTER
        streams = self._home.streams
        if STREAM in fields:
            found = [one for name, one in streams.items() if name.encode() == fields[STREAM]]
        else:
            found = [
                one
                for one in streams.values()
                if any(overlaps(subject_filter, own) for own in one.config.kept_subjects)
            ]
        if len(found) != 1:
            return AMBIGUOUS if found else NO_STREAM
        count, sequence, since = number(fields.get(COUNT, b"%d" % DEFAULT_COUNT)), 0, 0
        if SEQUENCE in fields:
            begin = number(fields[SEQUENCE])
            if not begin:
                return BAD_BEGIN
            sequence = begin
        elif TIME in fields:
            try:
                since = parse_time(fields[TIME].decode("utf-8", "replace"))
            except ValueError:
                return BAD_BEGIN
        if not count:
            return BAD_BEGIN
        asked = Asked(found[0], subject_filter, sequence, since, min(count, MOST_COUNT))
        if fields.get(ARCHIVE, b"").lower() != b"true":
            return asked
        archiving: Archiving | None = self._home.archives.get(found[0].name)
        if archiving is None:
            return NO_ARCHIVE
        return asked._replace(archive=archiving) if sequence or since else BAD_BEGIN

    async def _answer(self, asked: Asked, reply: bytes, asker: Port) -> None:
        home, stream = self._home, asked.stream
        try:
            found, more = await self._find(asked, asker)
            for message in found:
                header = with_fields(message.header, *facts(stream, message))
                home.answer(reply, message.payload, asker, header)
            if not found:
                home.answer(reply, b"", asker, NOT_FOUND)
                return
            end = ("Nats-Last-Sequence", found[-1].sequence), ("Nats-Num-Pending", more)
            home.answer(reply, b"", asker, status("204 EOB", *end))
        except ArchiveError:
            home.answer(reply, b"", asker, ARCHIVE_AWAY)
        finally:
            self._running -= 1
            home.flush()

    async def _find(self, asked: Asked, asker: Port) -> tuple[list[StoredMessage], int]:
        """Messages, and 1 where there are more behind them, else 0."""
        stored = asked.stream.stored
        wanted = receivable(asker, wanted_by(asked.subject_filter.decode("utf-8", "surrogateescape")))
        first = asked.sequence
        if asked.since:
            first = stored.sequence_at(asked.since) if asked.archive is None else 1
        elif not first:
            return await self._newest(asked, wanted), 0
        found: list[StoredMessage] = []
        size = 0
        while first <= stored.committed:
            room, begin = asked.most + 1 - len(found), first
            if asked.archive is not None and first < stored.first:
                old = Wanted(first, stored.first, asked.since, wanted, room, MOST_BYTES)
                await asked.archive.written(old.end)
                messages, first = await asked.archive.history.read(asked.stream, old)
            else:
                messages, first = await stored.read(first, room, MOST_BYTES_AT_ONCE, wanted)
                if asked.archive is not None and begin < stored.first:
                    first = begin  # It has let go some of what was being read: that is in the database.
                    continue
            for message in messages:
                if message.time_ns < asked.since:
                    continue
                size += message.size
                if len(found) == asked.most or (found and size > MOST_BYTES):
                    return found, 1
                found.append(message)
        return found, 0

    async def _newest(self, asked: Asked, wanted: Callable[[bytes], bool]) -> list[StoredMessage]:
        """The newest of them, in order; looked for in steps that grow, from the end."""
        stored = asked.stream.stored
        end, step = stored.committed + 1, asked.most
        found: list[StoredMessage] = []
        while end > stored.first and len(found) < asked.most:
            first = max(end - step, stored.first)
            part: list[StoredMessage] = []
            following = first
            while following < end:
                messages, following = await stored.read(following, step, MOST_BYTES_AT_ONCE, wanted)
                part += [one for one in messages if one.sequence < end]
            found = [*part, *found][-asked.most :]
            end, step = first, step * 2
        size = 0
        for behind, message in enumerate(reversed(found)):
            size += message.size
            if behind and size > MOST_BYTES:
                return found[-behind:]
        return found


def receivable(asker: Port, wanted: Callable[[bytes], bool] | None) -> Callable[[bytes], bool]:
    """Subjects that are wanted, and that the asker may hear of."""
    return lambda subject: (wanted is None or wanted(subject)) and asker.receives(subject)
