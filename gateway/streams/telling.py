"""What streams, consumers and accounts tell of themselves, to who asks the API and to who watches the gateway."""

from typing import Protocol

import msgspec

from gateway.runtime.turns import OwnTurn
from gateway.streams import account_limits, stream_config
from gateway.streams.consumer import Consumer
from gateway.streams.served_stream import ServedStream
from gateway.streams.times import time_text

Told = dict[str, object]
# How many subjects go into JSON at once.
WRITTEN_AT_ONCE = 1024


class Counted(Protocol):
    """The streams of an account, and what was asked of them."""

    streams: dict[str, ServedStream]
    requests: int
    faults: int


async def tell_stream(stream: ServedStream) -> Told:
    """A stream's configuration and state, as they are."""
    stored = stream.stored
    first_ns = await stream.first_ns()
    first = stored.contents.oldest()
    last = stored.committed
    state: Told = {
        "messages": stored.messages,
        "bytes": stored.size,
        "first_seq": first if first is not None else (last + 1 if last else 0),
        "first_ts": time_text(first_ns),
        "last_seq": last,
        "last_ts": time_text(stored.last_ns),
    }
    if stored.subjects:
        state["num_subjects"] = len(stored.subjects)
    if first is not None and last - first + 1 > stored.messages:
        state["num_deleted"] = last - first + 1 - stored.messages
    return {
        "config": stream.config.told(),
        "created": time_text(stream.created),
        "state": state | {"consumer_count": stream.shown_consumers},
    } | stream.origins.told()


async def tell_consumer(consumer: Consumer) -> Told:
    """A consumer's configuration and state, as they are."""
    await consumer.reader.recount()
    state = consumer.state
    delivered: Told = {"consumer_seq": state.delivered[0], "stream_seq": max(state.delivered[1], 0)}
    floor: Told = {"consumer_seq": state.floor[0], "stream_seq": max(state.floor[1], 0)}
    if state.delivered_ns:
        delivered["last_active"] = time_text(state.delivered_ns)
    if state.acknowledged_ns:
        floor["last_active"] = time_text(state.acknowledged_ns)
    told: Told = {
        "stream_name": consumer.stream.name,
        "name": consumer.name,
        "created": time_text(consumer.created),
        "config": consumer.config.told(),
        "delivered": delivered,
        "ack_floor": floor,
        "num_ack_pending": len(state.pending),
        "num_redelivered": len(state.deliveries),
        "num_waiting": len(consumer.pulls),
        "num_pending": consumer.reader.ahead,
    }
    if consumer.push is not None and consumer.push.is_bound:
        told["push_bound"] = True
    if consumer.config.priority_groups:
        priorities = consumer.pulls.priorities
        group: Told = {"group": consumer.config.priority_groups[0], "pinned_ts": time_text(priorities.pinned_ns)}
        told["priority_groups"] = [group | ({"pinned_client_id": priorities.pin} if priorities.pin else {})]
    left = consumer.pause_until - consumer.stream.stored.store.wall_ns()
    if left > 0:
        told |= {"paused": True, "pause_remaining": left}
    return told | {"ts": time_text(consumer.stream.stored.store.wall_ns())}


def shown_consumers(stream: ServedStream) -> list[Consumer]:
    """Those that are in lists, by name."""
    return [one for _, one in sorted(stream.consumers.items()) if not one.config.is_hidden]


def use_of(account: Counted) -> Told:
    """What an account's streams take, and what was asked of the API."""
    sizes = {"memory": 0, "file": 0}
    for stream in account.streams.values():
        sizes[stream.config.storage] += stream.stored.size
    configs = [stream.config for stream in account.streams.values()]
    return {
        "memory": sizes["memory"],
        "storage": sizes["file"],
        "reserved_memory": account_limits.reserved(configs, "memory"),
        "reserved_storage": account_limits.reserved(configs, "file"),
        "api": {"level": int(stream_config.LEVEL), "total": account.requests, "errors": account.faults},
    }


async def counts_in_turns(counts: list[tuple[bytes, int]], turn: OwnTurn) -> msgspec.Raw:
    """The JSON object that has how many messages each subject has; very many are written in turns."""
    written: list[bytes] = []
    for start in range(0, len(counts), WRITTEN_AT_ONCE):
        some = {subject.decode("utf-8", "replace"): count for subject, count in counts[start : start + WRITTEN_AT_ONCE]}
        written.append(msgspec.json.encode(some)[1:-1])
        await turn.pause()
    return msgspec.Raw(b"{%b}" % b",".join(written))
