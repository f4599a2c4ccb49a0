"""Direct gets: messages of a stream, read without asking its API: at once where they are in memory."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from gateway.dataplane.port import Port
from gateway.runtime.turns import OwnTurn
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.message_headers import status, with_fields
from gateway.streams.served_stream import ServedStream
from gateway.streams.times import parse_time, time_text
from protocols import foreign_json
from protocols.foreign_json import Int64, Natural
from protocols.message import make_message
from protocols.subjects import is_literal, is_valid_filter, matches

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams

MOST_AT_ONCE = 1024
MOST_BYTES_AT_ONCE = 1 << 20
# What one request is answered with at most, as nats-server has it.
MOST_BYTES = 64 << 20
MOST_SUBJECTS = 1024
# What one request may look for; looking for more than a few in a subject takes as long as looking at the clock.
MOST_FILTERS = 1024
FEW_FILTERS = 16
# Requests that are read for from the disk at the same time.
MOST_RUNNING = 64
# And such as are for one message each.
MOST_FETCHED = 4096

NOT_FOUND = status("404 Message Not Found")
NO_RESULTS = status("404 No Results")
EMPTY = status("408 Empty Request")
BAD = status("408 Bad Request")
TOO_MANY = status("413 Too Many Results")
BUSY = status("429 Too Many Requests")


class Asked(msgspec.Struct):
    seq: Natural = 0
    last_by_subj: str = ""
    next_by_subj: str = ""
    batch: Int64 = 0
    max_bytes: Int64 = 0
    start_time: str | None = None
    multi_last: list[str] | None = None
    up_to_seq: Natural = 0
    up_to_time: str | None = None
    no_hdr: bool = False


class DirectGets:
    """Answers those of one account."""

    def __init__(self, home: "AccountStreams") -> None:
        self._home = home
        self._running = 0
        # Requests for one message each that wait for the disk.
        self._fetching = 0

    def get(self, stream: ServedStream, subject: bytes, payload: bytes, reply: bytes, asker: Port) -> None:
        """Answer a request for a stream; with a subject it is for the last message of that."""
        asked = parse(payload, subject)
        if isinstance(asked, bytes):
            self._home.answer(reply, b"", asker, asked)
            return
        sequence = asked.seq
        last = asked.last_by_subj.encode()
        if last and is_literal(last) and stream.stored.contents.gapless | (stream.stored.limits.is_exact):
            state = stream.stored.subject(last)
            if state is None:
                self._home.answer(reply, b"", asker, NOT_FOUND)
                return
            sequence = state.last
        single = not (asked.batch or asked.multi_last or asked.next_by_subj or asked.start_time)
        stored = stream.stored
        if sequence and single and sequence <= stored.committed:
            if not stored.is_there(sequence):
                self._home.answer(reply, b"", asker, NOT_FOUND)
            elif (found := stored.find(sequence)) is not None:
                self._answer(stream, found, asked, reply, asker)
            elif self._fetching < MOST_FETCHED:
                self._fetching += 1
                stored.fetch(sequence, lambda: self._fetched(stream, sequence, asked, reply, asker))
            else:
                self._home.answer(reply, b"", asker, BUSY)
            return
        if sequence and single and last and self._fetching < MOST_FETCHED:
            self._fetching += 1
            stored.commits.when_durable(lambda: self._written(stream, sequence, asked, reply, asker))
            return
        self._begin(stream, asked, reply, asker)

    def _written(self, stream: ServedStream, sequence: int, asked: Asked, reply: bytes, asker: Port) -> None:
        """The message that was the last of its subject is on the disk; who waited for it need not wait for the next.

        What is answered is sent behind all that waited for the commit (StreamStore.start).
        """
        self._fetching -= 1
        found = stream.stored.newest_since(asked.last_by_subj.encode(), sequence)
        if found is not None:
            self._answer(stream, found, asked, reply, asker)
        else:
            self._begin(stream, asked, reply, asker)

    def _fetched(self, stream: ServedStream, sequence: int, asked: Asked, reply: bytes, asker: Port) -> None:
        """A message has been read that was asked for alone, if that was possible."""
        self._fetching -= 1
        stored = stream.stored
        found = stored.find(sequence) if stored.is_there(sequence) else None
        if found is not None:
            self._answer(stream, found, asked, reply, asker)
        else:
            self._begin(stream, asked, reply, asker)

    def _begin(self, stream: ServedStream, asked: Asked, reply: bytes, asker: Port) -> None:
        """Have a task read what is asked for."""
        if self._running >= MOST_RUNNING:
            self._home.answer(reply, b"", asker, BUSY)
            return
        self._running += 1
        self._home.spawn(lambda: self._read(stream, asked, reply, asker))

    async def _read(self, stream: ServedStream, asked: Asked, reply: bytes, asker: Port) -> None:
        try:
            if asked.multi_last:
                await self._several_last(stream, asked, reply, asker)
            elif asked.batch:
                await self._batch(stream, asked, reply, asker)
            else:
                message = await find(stream, asked)
                if message is None:
                    self._home.answer(reply, b"", asker, NOT_FOUND)
                else:
                    self._answer(stream, message, asked, reply, asker)
        finally:
            self._running -= 1
            self._home.flush()

    def _answer(
        self,
        stream: ServedStream,
        message: StoredMessage,
        asked: Asked,
        reply: bytes,
        asker: Port,
        *more: tuple[bytes, bytes],
    ) -> None:
        header = b"" if asked.no_hdr and not more else with_fields(message.header, *facts(stream, message), *more)
        if asker.allows(reply):
            self._home.publish(make_message(reply, message.payload, header=header), False)
        else:
            self._home.answer(reply, message.payload, asker, header)

    async def _batch(self, stream: ServedStream, asked: Asked, reply: bytes, asker: Port) -> None:
        """A row of messages, and behind them how many there are still."""
        stored, wanted = stream.stored, wanted_by(asked.next_by_subj)
        first = max(asked.seq, 1)
        since = parse_time(asked.start_time) if asked.start_time else 0
        if since:
            first = stored.sequence_at(since)
        last, left, room = 0, asked.batch, asked.max_bytes or MOST_BYTES
        remaining = await count_from(stream, first, wanted, since)
        while left > 0 and first <= stored.committed:
            found, first = await stored.read(first, min(left, MOST_AT_ONCE), MOST_BYTES_AT_ONCE, wanted)
            for message in found:
                if message.time_ns < since:
                    continue
                remaining = max(remaining - 1, 0)
                before = b"Nats-Num-Pending", b"%d" % remaining
                self._answer(stream, message, asked, reply, asker, before, (b"Nats-Last-Sequence", b"%d" % last))
                last = message.sequence
                left -= 1
                room -= len(message.subject) + len(message.header) + len(message.payload)
                if room < 0:
                    left = 0
                    break
            self._home.flush()
        if not last:
            self._home.answer(reply, b"", asker, NO_RESULTS if asked.seq <= stored.committed else NOT_FOUND)
            return
        end = status("204 EOB", ("Nats-Num-Pending", remaining), ("Nats-Last-Sequence", last))
        self._home.answer(reply, b"", asker, end)

    async def _several_last(self, stream: ServedStream, asked: Asked, reply: bytes, asker: Port) -> None:
        """The last message of each subject, as it was at a sequence or a time."""
        stored = stream.stored
        filters = [one.encode() for one in asked.multi_last or ()]
        up_to = asked.up_to_seq or stored.committed
        until = parse_time(asked.up_to_time) if asked.up_to_time else 0
        subjects = await matching(stream, filters)
        if len(subjects) > MOST_SUBJECTS and not asked.batch:
            self._home.answer(reply, b"", asker, TOO_MANY)
            return
        found: list[StoredMessage] = []
        for subject in subjects:
            message = await last_of(stream, subject, asked.up_to_seq, until)
            if message is not None:
                found.append(message)
        if not found:
            self._home.answer(reply, b"", asker, NO_RESULTS)
            return
        found.sort(key=lambda message: message.sequence)
        total, last = len(found), 0
        if asked.batch:
            found = found[: asked.batch]
        for number, message in enumerate(found, 1):
            before = b"Nats-Num-Pending", b"%d" % (total - number)
            self._answer(stream, message, asked, reply, asker, before, (b"Nats-Last-Sequence", b"%d" % last))
            last = message.sequence
        fields = [("Nats-Num-Pending", total - len(found)), ("Nats-Last-Sequence", last)]
        self._home.answer(reply, b"", asker, status("204 EOB", *fields, ("Nats-UpTo-Sequence", up_to)))


def parse(payload: bytes, subject: bytes) -> Asked | bytes:
    """What is asked for, or the status that refuses it."""
    if subject:
        if payload.strip() not in (b"", b"{}"):
            return BAD
        return Asked(last_by_subj=subject.decode("utf-8", "surrogateescape"))
    if not payload:
        return EMPTY
    try:
        asked = foreign_json.decode(payload, Asked)
        parse_time(asked.start_time or "0001-01-01T00:00:00Z")
        parse_time(asked.up_to_time or "0001-01-01T00:00:00Z")
    except (msgspec.DecodeError, ValueError):
        return status("408 Malformed Request")
    if asked.batch < 0 or asked.max_bytes < 0:
        return BAD
    if not (asked.seq or asked.last_by_subj or asked.next_by_subj or asked.multi_last or asked.start_time):
        return EMPTY
    if asked.last_by_subj and (asked.seq or asked.next_by_subj):
        return BAD
    if asked.seq and asked.start_time:
        return BAD
    if asked.multi_last and (asked.last_by_subj or asked.next_by_subj or asked.start_time):
        return BAD
    if asked.up_to_seq and asked.up_to_time:
        return BAD
    if len(asked.multi_last or ()) > MOST_FILTERS:
        return BAD
    if not all(is_valid_filter(one.encode("utf-8", "surrogateescape")) for one in asked.multi_last or ()):
        return BAD
    return asked


async def find(stream: ServedStream, asked: Asked) -> StoredMessage | None:
    """The one message that is asked for, by `Asked`'s rules for a single one."""
    stored = stream.stored
    if asked.last_by_subj:
        return await last_of(stream, asked.last_by_subj.encode(), 0, 0)
    first = max(asked.seq, 1)
    since = parse_time(asked.start_time) if asked.start_time else 0
    if since:
        first = stored.sequence_at(since)
    if asked.next_by_subj or since:
        wanted = wanted_by(asked.next_by_subj) or everything
        message = await stored.next_matching(first, wanted)
        while message is not None and message.time_ns < since:
            message = await stored.next_matching(message.sequence + 1, wanted)
        return message
    return await stored.get(asked.seq)


async def last_of(stream: ServedStream, subject: bytes, up_to: int, until: int) -> StoredMessage | None:
    """The last message of a subject, or of those that a filter matches, not behind a sequence and a time (0: any).

    Where any will do, one that came meanwhile is as good: that which it has taken the place of is not there any more.
    """
    stored = stream.stored
    if not is_literal(subject):
        found = [await last_of(stream, one, up_to, until) for one in await matching(stream, [subject])]
        return max((one for one in found if one is not None), default=None)
    message = await stored.last_of(subject)
    while message is not None and ((up_to and message.sequence > up_to) or (until and message.time_ns > until)):
        message = await before(stream, subject, message.sequence)
    return message


async def matching(stream: ServedStream, filters: list[bytes]) -> list[bytes]:
    """The subjects of a stream that some of the filters match, looked through in turns."""
    turn = OwnTurn(stream.home.runtime.turns)
    found: list[bytes] = []
    for subject in [*(stream.stored.subjects or ())]:
        for pattern in filters:
            if matches(pattern, subject):
                found.append(subject)
                break
        if len(filters) > FEW_FILTERS:
            await turn.pause()
        elif turn.is_over():
            await turn.next()
    return found


async def before(stream: ServedStream, subject: bytes, sequence: int) -> StoredMessage | None:
    """The last message of a subject in front of a sequence."""
    last, first = None, stream.stored.first
    while first < sequence:
        found, first = await stream.stored.read(first, MOST_AT_ONCE, MOST_BYTES_AT_ONCE, subject.__eq__)
        last = next((one for one in reversed(found) if one.sequence < sequence), last)
    return last


async def count_from(stream: ServedStream, first: int, wanted: Callable[[bytes], bool] | None, since: int) -> int:
    """How many wanted messages there are from a sequence and a time on."""
    stored = stream.stored
    if wanted is None and not since:
        return stored.count_from(first)
    count = 0
    while first <= stored.committed:
        found, first = await stored.read(first, MOST_AT_ONCE, MOST_BYTES_AT_ONCE, wanted)
        count += sum(message.time_ns >= since for message in found)
    return count


def wanted_by(subject: str) -> Callable[[bytes], bool] | None:
    pattern = subject.encode("utf-8", "surrogateescape")
    if not pattern or pattern == b">":
        return None
    return pattern.__eq__ if is_literal(pattern) else lambda one: matches(pattern, one)


def everything(subject: bytes) -> bool:
    return True


def facts(stream: ServedStream, message: StoredMessage) -> list[tuple[bytes, bytes]]:
    """Where a message comes from."""
    return [
        (b"Nats-Stream", stream.name.encode()),
        (b"Nats-Subject", message.subject),
        (b"Nats-Sequence", b"%d" % message.sequence),
        (b"Nats-Time-Stamp", time_text(message.time_ns).encode()),
    ]
