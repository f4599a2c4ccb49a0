"""Requests about streams: what the API answers to each, in the terms of nats-server 2.15."""

import base64
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gateway.runtime.turns import OwnTurn, in_order
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams import account_limits, direct_get, errors, stream_config
from gateway.streams.errors import ApiError
from gateway.streams.hub_overlaps import say_overlaps
from gateway.streams.origin_check import check_origins, complete_origins
from gateway.streams.selection import Selection
from gateway.streams.served_stream import ServedStream
from gateway.streams.stream_config import StreamConfig
from gateway.streams.telling import Told, counts_in_turns, tell_stream, use_of
from gateway.streams.times import parse_time, time_text
from protocols import foreign_json
from protocols.foreign_json import Int64, Natural
from protocols.subjects import is_valid_filter, overlaps

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams

NAMES_AT_ONCE = 1024
LISTED_AT_ONCE = 256
SUBJECTS_AT_ONCE = 100_000
DELETED_AT_ONCE = 100_000

T = TypeVar("T")


class Paged(msgspec.Struct, forbid_unknown_fields=True):
    offset: Int64 = 0

    def begin(self, total: int) -> int:
        """Where the page begins among so many."""
        return min(max(self.offset, 0), total)


class StreamsAsked(Paged, forbid_unknown_fields=True):
    subject: str = ""


class InfoAsked(msgspec.Struct, forbid_unknown_fields=True):
    offset: Int64 = 0
    deleted_details: bool = False
    subjects_filter: str = ""


class PurgeAsked(msgspec.Struct, forbid_unknown_fields=True):
    filter: str = ""
    seq: Natural = 0
    keep: Natural = 0


class DeleteAsked(msgspec.Struct, forbid_unknown_fields=True):
    seq: Natural = 0
    no_erase: bool = False


class MessageAsked(direct_get.Asked, forbid_unknown_fields=True):
    """As a direct get asks for it, where nothing else may be said."""


def decode(payload: bytes, asked: type[T]) -> T:
    """What a request asks for; `null` for nothing in particular. Raises ApiError."""
    try:
        return foreign_json.decode(b"{}" if payload.strip() == b"null" else payload, asked)
    except msgspec.DecodeError as error:
        raise ApiError(errors.INVALID_JSON.with_text(error)) from None


def optional(payload: bytes, asked: type[T]) -> T:
    """The same, where nothing asks for nothing in particular."""
    return decode(payload or b"{}", asked)


def incidental(payload: bytes, asked: type[T]) -> T:
    """The same, where what is neither an object nor a list asks for nothing either."""
    return optional(payload if payload.lstrip()[:1] in (b"{", b"[") else b"", asked)


def check_empty(payload: bytes) -> None:
    """Raises ApiError."""
    if payload.strip() not in (b"", b"{}"):
        raise ApiError(errors.NOT_EMPTY)


class StreamRequests:
    """Answers those of one account. Each handler gets the tokens behind its subject's name, and raises ApiError."""

    def __init__(self, home: "AccountStreams") -> None:
        self._home = home

    def find(self, name: bytes) -> ServedStream:
        stream = self._home.streams.get(name.decode("utf-8", "replace"))
        if stream is None:
            raise ApiError(errors.STREAM_NOT_FOUND)
        return stream

    async def account_info(self, tokens: list[bytes], payload: bytes) -> Told:
        home = self._home
        told: Told = use_of(home) | {
            "streams": len(home.configs),
            "consumers": sum(stream.shown_consumers for stream in home.streams.values()),
            "limits": account_limits.told(home.account.rules.streams, home.settings),
        }
        if home.domain:
            told["domain"] = home.domain
        return told

    async def create(self, tokens: list[bytes], payload: bytes) -> Told:
        home, config = self._home, optional(payload, StreamConfig)
        if config.name.encode("utf-8", "surrogateescape") != tokens[0]:
            raise ApiError(errors.STREAM_MISMATCH)
        existing = home.streams.get(config.name)
        self.check(config)
        if existing is not None:
            if existing.config.told() != config.told():
                raise ApiError(errors.STREAM_NAME_IN_USE)
            return await self._created(existing)
        if config.sealed:
            raise stream_config.refused("stream configuration for create can not be sealed")
        self.check_room(config)
        stream = home.create(config)
        await home.kept()
        home.tell_action("stream", "create", stream.name)
        home.spawn(partial(say_overlaps, home, config, home.domains.names))
        return await self._created(stream)

    def check(self, config: StreamConfig) -> None:
        """Complete a configuration, and look whether it is one. Raises ApiError."""
        others = {name: other for name, other in self._home.configs.items() if name != config.name}
        complete_origins(config, others)
        stream_config.complete(config)
        stream_config.check(config)
        check_origins(config, others)
        account_limits.check_size(self._home.account.rules.streams, config)

    def check_room(self, config: StreamConfig) -> None:
        """Look whether the account may have it beside its other streams. Raises ApiError."""
        others = [other for name, other in self._home.configs.items() if name != config.name]
        account_limits.check_room(self._home.account.rules.streams, config, others)

    async def _created(self, stream: ServedStream) -> Told:
        told = await self.describe(stream)
        told.pop("domain", None)
        return told | {"did_create": True}

    async def update(self, tokens: list[bytes], payload: bytes) -> Told:
        home, config = self._home, optional(payload, StreamConfig)
        if not config.name:
            raise stream_config.refused(stream_config.NO_NAME)
        if config.name.encode("utf-8", "surrogateescape") != tokens[0]:
            raise ApiError(errors.STREAM_MISMATCH)
        stream = self.find(tokens[0])
        self.check(config)
        stream_config.check_update(stream.config, config)
        if config.sealed:
            config.discard, config.deny_delete, config.deny_purge = "new", True, True
            config.max_age, config.allow_rollup_hdrs = 0, False
        home.check_overlap(config)
        self.check_room(config)
        if config.first_seq != stream.config.first_seq:
            raise stream_config.refused("stream configuration update can not change first sequence")
        stream.configure(config)
        await stream.trim()
        await home.kept()
        home.tell_action("stream", "modify", stream.name)
        return await self.describe(stream)

    async def info(self, tokens: list[bytes], payload: bytes) -> Told:
        stream, asked = self.find(tokens[0]), incidental(payload, InfoAsked)
        told = await self.describe(stream)
        state = told["state"]
        assert isinstance(state, dict)
        if asked.deleted_details:
            deleted = await self._deleted(stream)
            if deleted:
                state["deleted"] = deleted
        if asked.subjects_filter:
            pattern = asked.subjects_filter.encode("utf-8", "surrogateescape")
            found = await stream.subjects(pattern) if is_valid_filter(pattern) else []
            found = await in_order(found, self._home.runtime.turns)
            begin = max(asked.offset, 0)
            page = found[begin : begin + SUBJECTS_AT_ONCE]
            if page:
                state["subjects"] = await counts_in_turns(page, OwnTurn(self._home.runtime.turns))
            limit = SUBJECTS_AT_ONCE if found else 0
            told |= {"total": len(found), "offset": begin if found else 0, "limit": limit}
        else:
            told |= {"total": 0, "offset": 0, "limit": 0}
        return told

    async def _deleted(self, stream: ServedStream) -> list[int]:
        """The sequences that are missing between the first message and the last, as many as are told."""
        stored = stream.stored
        first = stored.contents.oldest()
        if first is None or stored.contents.gapless:
            return []
        turn = OwnTurn(self._home.runtime.turns)
        deleted: list[int] = []
        for sequence in range(first, stored.committed + 1):
            if not stored.is_there(sequence):
                deleted.append(sequence)
                if len(deleted) >= DELETED_AT_ONCE:
                    break
            if turn.is_over():
                await turn.next()
        return deleted

    async def named(self, tokens: list[bytes], payload: bytes) -> Told:
        asked = incidental(payload, StreamsAsked)
        found = self._matching(asked.subject)
        begin = asked.begin(len(found))
        page = found[begin : begin + NAMES_AT_ONCE]
        told: Told = {"total": len(found), "offset": begin, "limit": NAMES_AT_ONCE}
        return told | {"streams": page or None}

    async def listed(self, tokens: list[bytes], payload: bytes) -> Told:
        asked = incidental(payload, StreamsAsked)
        found = self._matching(asked.subject)
        begin = asked.begin(len(found))
        page = found[begin : begin + LISTED_AT_ONCE]
        open_ones = [self._home.streams[name] for name in page if name in self._home.streams]
        streams = [without_version(await self.describe(stream)) for stream in open_ones]
        told: Told = {"total": len(found), "offset": begin, "limit": LISTED_AT_ONCE, "streams": streams}
        missing = [name for name in page if name in self._home.unopened]
        return told | ({"missing": missing} if missing else {})

    def _matching(self, subject: str) -> list[str]:
        """The names of the streams that may have a subject of a filter."""
        configs = self._home.configs
        pattern = subject.encode("utf-8", "surrogateescape")
        return [
            name
            for name in sorted(configs)
            if not subject or any(overlaps(pattern, one) for one in configs[name].filters)
        ]

    async def delete(self, tokens: list[bytes], payload: bytes) -> Told:
        check_empty(payload)
        stream = self.find(tokens[0])
        self._home.delete(stream)
        await self._home.kept()
        self._home.tell_action("stream", "delete", stream.name)
        return {"success": True}

    async def purge(self, tokens: list[bytes], payload: bytes) -> Told:
        stream, asked = self.find(tokens[0]), incidental(payload, PurgeAsked)
        if stream.config.sealed:
            raise ApiError(errors.SEALED)
        if stream.config.deny_purge:
            raise ApiError(errors.PURGE_FAILED.with_text("stream purge not permitted"))
        if asked.seq and asked.keep:
            raise ApiError(errors.BAD_REQUEST)
        await self._home.settled()
        stored = stream.stored
        before = asked.seq or stored.last + 1
        pattern = asked.filter.encode("utf-8", "surrogateescape")
        if not pattern or pattern == b">":
            if asked.keep:
                before = await self._begin_of_last(stream, asked.keep)
            purged = stream.retention.purge(before)
        else:
            selection = Selection([pattern], stream.config.kept_subjects)
            purged = await self._purge_selection(stream, selection, before, asked.keep)
        await self._home.kept()
        return {"success": True, "purged": purged}

    async def _purge_selection(self, stream: ServedStream, selection: Selection, before: int, keep: int) -> int:
        if stream.stored.limits.is_exact and (not keep or not selection.patterns):
            turn = OwnTurn(self._home.runtime.turns)
            purged = 0
            for subject in await selection.subjects_in_turns(stream.stored, turn):
                purged += stream.retention.keep_of(subject, before, keep)
                if turn.is_over():
                    await turn.next()
            return purged
        return await stream.retention.purge_matching(selection.wants, before, keep)

    async def _begin_of_last(self, stream: ServedStream, keep: int) -> int:
        """The sequence from which on there are so many messages."""
        stored = stream.stored
        low, high = stored.first, stored.last + 1
        while low < high:
            middle = (low + high) // 2
            if stored.count_from(middle) > keep:
                low = middle + 1
            else:
                high = middle
        return low

    async def get_message(self, tokens: list[bytes], payload: bytes) -> Told:
        stream = self.find(tokens[0])
        if not payload:
            raise ApiError(errors.BAD_REQUEST)
        asked = decode(payload, MessageAsked)
        if asked.batch or asked.multi_last or asked.max_bytes or asked.up_to_seq or asked.up_to_time:
            raise ApiError(errors.BAD_REQUEST)
        named = bool(asked.last_by_subj), bool(asked.seq or asked.next_by_subj or asked.start_time)
        if named in ((False, False), (True, True)) or (asked.seq and asked.start_time):
            raise ApiError(errors.BAD_REQUEST)
        try:
            parse_time(asked.start_time or "0001-01-01T00:00:00Z")
        except ValueError as error:
            raise ApiError(errors.INVALID_JSON.with_text(error)) from None
        await self._home.settled()
        message = await direct_get.find(stream, asked)
        if message is None:
            raise ApiError(errors.NO_MESSAGE)
        return {"message": told_message(message)}

    async def delete_message(self, tokens: list[bytes], payload: bytes) -> Told:
        stream = self.find(tokens[0])
        if payload.strip() in (b"", b"{}"):
            raise ApiError(errors.BAD_REQUEST)
        asked = decode(payload, DeleteAsked)
        if stream.config.sealed:
            raise ApiError(errors.SEALED)
        if stream.config.deny_delete:
            raise ApiError(errors.DELETE_FAILED.with_text("message delete not permitted"))
        if not asked.seq:
            raise ApiError(errors.DELETE_FAILED.with_text("no message found"))
        await self._home.settled()
        if asked.seq > stream.stored.committed:
            raise ApiError(errors.DELETE_FAILED.with_text("stream store EOF"))
        message = await stream.stored.get(asked.seq)
        if message is None or not stream.retention.remove(message):
            raise ApiError(errors.SEQUENCE_NOT_FOUND.with_text(asked.seq))
        await correct_last(stream, message.subject)
        await self._home.kept()
        return {"success": True}

    async def describe(self, stream: ServedStream) -> Told:
        """A stream's configuration and state."""
        await self._home.settled()
        told = await tell_stream(stream)
        if self._home.domain:
            told["domain"] = self._home.domain
        return told | {"ts": time_text(stream.stored.store.wall_ns())}


def without_version(told: Told) -> Told:
    """As lists have it: who made it says nothing there."""
    config = told["config"]
    assert isinstance(config, dict)
    metadata = {key: value for key, value in config["metadata"].items() if key not in ("_nats.level", "_nats.ver")}
    return told | {"config": config | {"metadata": metadata}}


async def correct_last(stream: ServedStream, subject: bytes) -> None:
    """Where the last message of a subject was deleted, know which one is the last now."""
    stored = stream.stored
    state = stored.subject(subject)
    if state is None or state.is_exact:
        return
    last = await stored.last_of(subject)
    now = stored.subject(subject)
    if last is not None and now is state and state.last <= stored.committed:
        state.last = last.sequence


def told_message(message: StoredMessage) -> Told:
    told: Told = {"subject": message.subject.decode("utf-8", "replace"), "seq": message.sequence}
    if message.header:
        told["hdrs"] = base64.b64encode(message.header).decode()
    if message.payload:
        told["data"] = base64.b64encode(message.payload).decode()
    return told | {"time": time_text(message.time_ns)}
