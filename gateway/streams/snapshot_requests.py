"""Requests for snapshots of streams, and to make streams of them."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from gateway.streams import errors
from gateway.streams.errors import ApiError
from gateway.streams.restore import Restore
from gateway.streams.snapshot import Asked, Snapshot, kept_consumers
from gateway.streams.stream_config import StreamConfig
from gateway.streams.stream_requests import StreamRequests, decode, without_version
from gateway.streams.telling import Told
from protocols.foreign_text import is_legal_literal
from protocols.subjects import is_literal

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams

# Of an account, under way at the same time.
MOST_AT_ONCE = 4


class RestoreAsked(msgspec.Struct):
    config: StreamConfig
    state: dict[str, object] = msgspec.field(default_factory=dict)


class SnapshotRequests:
    """Answers those of one account. Each handler gets the tokens behind its subject's name, and raises ApiError."""

    def __init__(self, home: "AccountStreams", streams: StreamRequests) -> None:
        self._home = home
        self._streams = streams
        self._under_way = 0

    async def snapshot(self, tokens: list[bytes], payload: bytes) -> Told:
        stream = self._streams.find(tokens[0])
        if not payload:
            raise ApiError(errors.BAD_REQUEST)
        asked = decode(payload, Asked)
        subject = asked.deliver_subject.encode("utf-8", "surrogateescape")
        if not subject or not is_literal(subject) or not is_legal_literal(subject):
            raise ApiError(errors.SNAPSHOT_SUBJECT)
        self._check_room(errors.SNAPSHOT_FAILED)
        told = await self._streams.describe(stream)
        state = told["state"]
        assert isinstance(state, dict)
        archived = state | {"consumer_count": 0 if asked.no_consumers else len(kept_consumers(stream))}
        self._begin(Snapshot(self._home, stream, asked, archived).send)
        return {"config": without_version(told)["config"], "state": state}

    async def restore(self, tokens: list[bytes], payload: bytes) -> Told:
        if not payload:
            raise ApiError(errors.BAD_REQUEST)
        config = decode(payload, RestoreAsked).config
        config.name = config.name or tokens[0].decode("utf-8", "replace")
        if config.name.encode("utf-8", "surrogateescape") != tokens[0]:
            raise ApiError(errors.STREAM_MISMATCH)
        self._streams.check(config)
        if config.name in self._home.streams:
            raise ApiError(errors.RESTORE_NAME_IN_USE)
        self._streams.check_room(config)
        self._check_room(errors.RESTORE_FAILED)
        stream = self._home.create(config, is_partial=True)
        await self._home.kept()
        restore = Restore(self._home, config, stream, self._streams.describe)
        self._begin(restore.run)
        return {"deliver_subject": restore.subject}

    def _check_room(self, fault: errors.Fault) -> None:
        if self._under_way >= MOST_AT_ONCE:
            raise ApiError(fault.with_text(f"{MOST_AT_ONCE} are under way already"))

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        async def counted() -> None:
            try:
                await work()
            finally:
                self._under_way -= 1

        self._under_way += 1
        self._home.spawn(counted)
