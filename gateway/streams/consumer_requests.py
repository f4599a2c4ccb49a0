"""Requests about consumers: what the API answers to each, in the terms of nats-server 2.15."""

import secrets
import string
from typing import TYPE_CHECKING

import msgspec

from gateway.runtime.turns import Turns
from gateway.streams import account_limits, consumer_check, consumer_config, errors
from gateway.streams.consumer import Consumer
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import ConsumerState
from gateway.streams.direct_get import everything
from gateway.streams.errors import ApiError
from gateway.streams.filter_tree import collide
from gateway.streams.selection import Selection
from gateway.streams.served_stream import ServedStream
from gateway.streams.stream_requests import (
    Paged,
    StreamRequests,
    check_empty,
    decode,
    incidental,
    optional,
    without_version,
)
from gateway.streams.telling import Told, shown_consumers, tell_consumer
from gateway.streams.times import NO_TIME, parse_time, time_text
from protocols.foreign_json import Natural

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams

NAMES_AT_ONCE = 1024
LISTED_AT_ONCE = 256
EPHEMERAL_NAME = 8
LETTERS = string.ascii_letters + string.digits


class CreateAsked(msgspec.Struct, forbid_unknown_fields=True):
    stream_name: str = ""
    config: ConsumerConfig = msgspec.field(default_factory=ConsumerConfig)
    action: str = ""
    pedantic: bool = False


class ResetAsked(msgspec.Struct):
    seq: Natural = 0


class PauseAsked(msgspec.Struct, forbid_unknown_fields=True):
    pause_until: str | None = None


class UnpinAsked(msgspec.Struct):
    group: str = ""


class ConsumerRequests:
    """Answers those of one account. Each handler gets the tokens behind its subject's name, and raises ApiError."""

    def __init__(self, home: "AccountStreams", streams: StreamRequests) -> None:
        self._home = home
        self._streams = streams

    def find(self, stream: bytes, name: bytes) -> Consumer:
        consumer = self._streams.find(stream).consumers.get(name.decode("utf-8", "replace"))
        if consumer is None:
            raise ApiError(errors.CONSUMER_NOT_FOUND)
        return consumer

    async def create_durable(self, tokens: list[bytes], payload: bytes) -> Told:
        """The older subject, which names the durable consumer behind its stream."""
        asked = optional(payload, CreateAsked)
        config = self._config(asked, tokens[0])
        if not config.durable_name:
            raise ApiError(errors.DURABLE_NOT_SET)
        if config.durable_name.encode("utf-8", "surrogateescape") != tokens[1]:
            raise ApiError(errors.DURABLE_MISMATCH)
        return await self._create(self._streams.find(tokens[0]), config, asked)

    async def create(self, tokens: list[bytes], payload: bytes) -> Told:
        """With a name in the subject, and perhaps a filter behind it; the older form without is for ephemeral ones."""
        asked = optional(payload, CreateAsked)
        config = self._config(asked, tokens[0])
        if len(tokens) == 1:
            if config.durable_name:
                raise ApiError(errors.EPHEMERAL_WITH_NAME)
        else:
            name = tokens[1].decode("utf-8", "surrogateescape")
            if not config.durable_name and not config.name:
                config.name = name
            if (config.durable_name or config.name) != name:
                raise ApiError(errors.DURABLE_MISMATCH)
            filter_in_subject = b".".join(tokens[2:]).decode("utf-8", "surrogateescape")
            if filter_in_subject:
                if config.filter_subjects:
                    raise ApiError(errors.FILTERS_IN_SUBJECT)
                if config.filter_subject != filter_in_subject:
                    raise ApiError(errors.FILTER_MISMATCH)
        return await self._create(self._streams.find(tokens[0]), config, asked)

    def _config(self, asked: CreateAsked, stream: bytes) -> ConsumerConfig:
        if asked.stream_name.encode("utf-8", "surrogateescape") != stream:
            raise ApiError(errors.STREAM_MISMATCH)
        if asked.action not in ("", "create", "update"):
            raise ApiError(errors.INVALID_JSON.with_text(f"unknown consumer action: {asked.action}"))
        return asked.config

    async def _create(self, stream: ServedStream, config: ConsumerConfig, asked: CreateAsked) -> Told:
        if config.name and config.durable_name and config.name != config.durable_name:
            raise ApiError(errors.NAMES_DIFFER)
        if config.direct and config.sourcing and config.name and stream.config.is_queue:
            consumer_config.become_durable(config)
        name = config.durable_name or config.name
        is_default = not config.max_ack_pending
        if asked.pedantic:
            consumer_check.check_pedantic(config, stream.config)
        consumer_config.complete(config, stream.config)
        account_limits.check_consumer(self._home.account.rules.streams, config, is_default)
        consumer_check.check(config, stream.config)
        if config.direct and config.sourcing and name:  # Whoever asks has one name for all that he has made for it.
            name = config.name = f"{name}-{new_name(stream)}"
        existing = stream.consumers.get(name) if name else None
        if existing is not None:
            return await self._change(stream, existing, config, asked.action)
        if asked.action == "update":
            raise ApiError(errors.CONSUMER_DOES_NOT_EXIST)
        most = stream.config.max_consumers
        most = most if most > 0 else self._home.settings.max_consumers
        limited = sum(not consumer.config.is_inner for consumer in stream.consumers.values())
        if most and not config.is_inner and limited >= most:
            raise ApiError(errors.TOO_MANY_CONSUMERS)
        self._check_queue(stream, config)
        config.name = name or new_name(stream)
        await self._home.settled()
        state = await first_state(stream, config, self._home.runtime.turns)
        if config.name in stream.consumers or stream.is_closed:
            raise ApiError(errors.CONSUMER_NAME_IN_USE)
        consumer = self._home.create_consumer(stream, config, state)
        await consumer.reader.recount()
        told = await self.describe(consumer)
        if consumer.push is not None and self._home.has_interest(*consumer.push.address):
            told["push_bound"] = True
        consumer.open()
        await self._home.kept()
        self._home.tell_action("consumer", "create", stream.name, consumer.name)
        return told

    async def _change(self, stream: ServedStream, consumer: Consumer, config: ConsumerConfig, action: str) -> Told:
        config.name = config.name or config.durable_name
        if not consumer.config.name:
            config.name = ""
        if config.sourcing:
            was = consumer.config
            config.deliver_policy, config.opt_start_seq = was.deliver_policy, was.opt_start_seq
            config.opt_start_time = was.opt_start_time
        same = consumer.config.told() == config.told()
        if action == "create" and not same:
            raise ApiError(errors.CONSUMER_EXISTS)
        if not same:
            consumer_check.check_update(consumer.config, config)
            self._check_queue(stream, config, consumer)
        if config.sourcing:
            # Who reads with it knows what it has, and goes on behind what it has said of that.
            consumer.hold_back(config, consumer.state.floor[1] + 1)
            told = await self.describe(consumer)
            consumer.configure(config)
            self._let_unwanted_go(stream)
            await self._home.kept()
            return told
        if not same:
            consumer.configure(config)
            await self._home.kept()
        return await self.describe(consumer)

    def _let_unwanted_go(self, stream: ServedStream) -> None:
        if stream.config.retention == "interest":
            self._home.spawn(stream.retention.let_unwanted_go)

    def _check_queue(self, stream: ServedStream, config: ConsumerConfig, but: Consumer | None = None) -> None:
        """Of a work queue each message is one consumer's."""
        others = [one for one in stream.consumers.values() if one is not but and not one.config.is_inner]
        if stream.config.retention != "workqueue" or config.is_inner or not others:
            return
        if not config.filters:
            raise ApiError(errors.QUEUE_UNFILTERED)
        theirs = [other.config.filters for other in others]
        if not all(theirs) or collide(config.filters, theirs):
            raise ApiError(errors.QUEUE_NOT_UNIQUE)

    async def info(self, tokens: list[bytes], payload: bytes) -> Told:
        check_empty(payload)
        return await self.describe(self.find(*tokens))

    async def delete(self, tokens: list[bytes], payload: bytes) -> Told:
        check_empty(payload)
        consumer = self.find(*tokens)
        self._home.forget_consumer(consumer.stream.name, consumer.name)
        await self._home.kept()
        return {"success": True}

    async def named(self, tokens: list[bytes], payload: bytes) -> Told:
        stream, asked = self._streams.find(tokens[0]), incidental(payload, Paged)
        found = [one.name for one in shown_consumers(stream)]
        begin = asked.begin(len(found))
        page = found[begin : begin + NAMES_AT_ONCE]
        return {"total": len(found), "offset": begin, "limit": NAMES_AT_ONCE, "consumers": page}

    async def listed(self, tokens: list[bytes], payload: bytes) -> Told:
        stream, asked = self._streams.find(tokens[0]), incidental(payload, Paged)
        found = [one.name for one in shown_consumers(stream)]
        begin = asked.begin(len(found))
        page = found[begin : begin + LISTED_AT_ONCE]
        listed = [without_version(told) for told in await self._describe_all(stream, page)]
        return {"total": len(found), "offset": begin, "limit": LISTED_AT_ONCE, "consumers": listed}

    async def _describe_all(self, stream: ServedStream, names: list[str]) -> "list[Told]":
        return [await self.describe(stream.consumers[name]) for name in names if name in stream.consumers]

    async def pause(self, tokens: list[bytes], payload: bytes) -> Told:
        consumer, asked = self.find(*tokens), incidental(payload, PauseAsked)
        try:
            until = parse_time(asked.pause_until) if asked.pause_until else 0
        except ValueError as error:
            raise ApiError(errors.INVALID_JSON.with_text(error)) from None
        consumer.config.pause_until = time_text(until) if until else None
        assert consumer.config.metadata is not None
        consumer.config.metadata["_nats.req.level"] = "1"
        consumer.pause(until)
        await self._home.kept()
        left = until - consumer.stream.stored.store.wall_ns()
        paused = left > 0
        told: Told = {"paused": paused, "pause_until": time_text(until) if until else NO_TIME}
        self._home.tell(
            "consumer_pause",
            f"CONSUMER.PAUSE.{consumer.stream.name}.{consumer.name}",
            stream=consumer.stream.name,
            consumer=consumer.name,
            **told,
        )
        return told | ({"pause_remaining": left} if paused else {})

    async def unpin(self, tokens: list[bytes], payload: bytes) -> Told:
        asked = decode(payload, UnpinAsked)
        if not asked.group:
            raise ApiError(errors.INVALID_JSON.with_text("consumer group not specified"))
        consumer_check.check_group(asked.group)
        consumer = self.find(*tokens)
        if asked.group not in (consumer.config.priority_groups or ()):
            raise ApiError(errors.NO_SUCH_GROUP)
        consumer.pulls.priorities.unpin(asked.group, "admin")
        consumer.kick()
        return {}

    async def reset(self, tokens: list[bytes], payload: bytes) -> Told:
        consumer, asked = self.find(*tokens), optional(payload, ResetAsked)
        sequence = asked.seq or consumer.state.floor[1] + 1
        if asked.seq:
            await check_reset(consumer, asked.seq)
        consumer.reset(sequence)
        self._let_unwanted_go(self._streams.find(tokens[0]))
        await self._home.kept()
        return await self.describe(consumer) | {"reset_seq": sequence}

    async def describe(self, consumer: Consumer) -> Told:
        """A consumer's configuration and state."""
        await self._home.settled()
        return await tell_consumer(consumer)


def new_name(stream: ServedStream) -> str:
    """One that no other consumer of the stream has."""
    while True:
        name = "".join(secrets.choice(LETTERS) for _ in range(EPHEMERAL_NAME))
        if name not in stream.consumers:
            return name


async def check_reset(consumer: Consumer, sequence: int) -> None:
    """Whether a consumer may begin again with a sequence. Raises ApiError."""
    config, stored = consumer.config, consumer.stream.stored
    if config.deliver_policy == "by_start_sequence":
        if sequence < config.opt_start_seq:
            raise ApiError(errors.INVALID_RESET.with_text("below start seq"))
    elif config.deliver_policy == "by_start_time":
        first = stored.sequence_at(config.start_ns)
        message = await stored.next_matching(first, everything)
        while message is not None and message.time_ns < config.start_ns:
            message = await stored.next_matching(message.sequence + 1, everything)
        if sequence < (message.sequence if message is not None else stored.committed + 1):
            raise ApiError(errors.INVALID_RESET.with_text("below start time"))
    elif config.deliver_policy != "all":
        raise ApiError(errors.INVALID_RESET.with_text("not allowed"))


async def first_state(stream: ServedStream, config: ConsumerConfig, turns: Turns) -> ConsumerState:
    """Where a new consumer begins, by its deliver policy."""
    stored, policy = stream.stored, config.deliver_policy
    first = stored.contents.oldest() or stored.committed + 1
    if policy == "new":
        return ConsumerState(stored.committed + 1)
    if policy == "by_start_sequence":
        return ConsumerState(max(config.opt_start_seq, first))
    if policy == "by_start_time":
        return ConsumerState(max(stored.sequence_at(config.start_ns), first))
    if policy in ("last", "last_per_subject"):
        selection = Selection(config.filters, stream.config.kept_subjects)
        if policy == "last" and selection.wanted is None:
            return ConsumerState(stored.committed if stored.messages else stored.committed + 1)
        last = await selection.last_of_each(stored, turns)
        last = [sequence for sequence in last if sequence <= stored.committed]
        if policy == "last":
            return ConsumerState(last[-1] if last else stored.committed + 1)
        state = ConsumerState(last[0] if last else stored.committed + 1)
        state.choose(last, stored.committed)
        return state
    return ConsumerState(first)
