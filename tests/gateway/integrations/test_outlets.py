"""What sinks take their messages from: batches that come again until they are done, from memory and from a stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway.assembly import Gateway
from gateway.integrations.integration import log
from gateway.integrations.outlet import Outlet
from gateway.integrations.plain_outlet import ENDED, FULL, PlainOutlet
from gateway.integrations.stream_outlet import MISSED, StreamOutlet
from gateway.runtime.drops import Drops
from gateway.settings.streams import Streams
from gateway.storage.streams.store import StreamStore
from gateway.streams.account_streams import AccountStreams
from gateway.streams.served_stream import ServedStream
from gateway.streams.service import StreamService
from gateway.streams.stream_config import StreamConfig, complete
from protocols.message import make_message
from tests.gateway.memory_connection import running_gateway
from tests.gateway.storage.streams.running_store import durable, opened, settled
from tests.patience import PATIENCE_SECONDS


def drops_of(gateway: Gateway) -> Drops:
    return Drops(gateway.runtime.deadlines, log, "integration=test/one")


def publish(gateway: Gateway, *subjects: bytes, header: bytes = b"") -> None:
    for subject in subjects:
        gateway.account.publish(make_message(subject, b"payload of " + subject, header=header))


async def taken(outlet: Outlet, most: int = 100) -> list[bytes]:
    """The subjects of the next batch, which is not done."""
    with trio.fail_after(PATIENCE_SECONDS):
        return [message.subject for message in (await outlet.next_batch(most, 1 << 20)).messages]


async def test_plain_outlet_hands_out_what_is_published_with_headers_and_time():
    async with running_gateway() as gateway:
        outlet = PlainOutlet(gateway.account, ["a.>"], 1 << 20, drops_of(gateway))
        publish(gateway, b"a.1", b"b.1", b"a.2", header=b"NATS/1.0\r\nX: 1\r\n\r\n")
        batch = await outlet.next_batch(10, 1 << 20)
        assert [(one.sequence, one.subject) for one in batch.messages] == [(1, b"a.1"), (2, b"a.2")]
        assert batch.messages[0].payload == b"payload of a.1"
        assert batch.messages[0].header == b"NATS/1.0\r\nX: 1\r\n\r\n"
        assert outlet.waiting[0] == 2
        batch.done()
        assert (outlet.waiting, outlet.done_messages) == ((0, 0), 2)


async def test_plain_outlet_does_not_mean_the_servers_own_subjects_by_a_wildcard():
    async with running_gateway() as gateway:
        outlet = PlainOutlet(gateway.account, [">"], 1 << 20, drops_of(gateway))
        publish(gateway, b"_INBOX.1", b"$JS.API.INFO", b"a")
        assert await taken(outlet) == [b"a"]


async def test_what_is_not_done_comes_again_in_its_order_and_late_answers_change_nothing():
    async with running_gateway() as gateway:
        outlet = PlainOutlet(gateway.account, ["*"], 1 << 20, drops_of(gateway))
        publish(gateway, *(b"%d" % number for number in range(6)))
        batches = [await outlet.next_batch(2, 1 << 20) for _ in range(3)]
        batches[0].done()
        batches[2].done()
        assert outlet.done_messages == 2
        outlet.rewind()
        assert outlet.done_messages == 4
        batches[1].done()
        assert outlet.done_messages == 4
        assert await taken(outlet) == [b"2", b"3"]


async def test_a_reader_that_is_cancelled_loses_nothing():
    async with running_gateway() as gateway:
        outlet = PlainOutlet(gateway.account, ["*"], 1 << 20, drops_of(gateway))
        publish(gateway, b"1")
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outlet.next_batch, 10, 1 << 20, 1000.0)
                await wait_all_tasks_blocked(0.01)
                scope.cancel()
        outlet.rewind()
        publish(gateway, b"2")
        assert await taken(outlet) == [b"1", b"2"]


async def test_plain_outlet_is_bounded_in_bytes_and_counts_what_it_drops():
    async with running_gateway() as gateway:
        drops = drops_of(gateway)
        outlet = PlainOutlet(gateway.account, ["*"], 4096, drops)
        publish(gateway, *(b"%03d" % number for number in range(100)))
        kept = outlet.waiting[0]
        assert 0 < kept < 100
        assert outlet.bytes <= 4096
        assert drops.counts == {FULL: 100 - kept}
        batch = await outlet.next_batch(100, 1 << 20)
        publish(gateway, b"100")  # What is handed out still counts.
        assert drops.counts == {FULL: 101 - kept}
        batch.done()
        publish(gateway, b"101")
        assert await taken(outlet) == [b"101"]
        outlet.close()
        publish(gateway, b"102")
        assert drops.counts == {FULL: 101 - kept, ENDED: 1}
        assert outlet.waiting == (0, 0)


async def test_a_batch_waits_for_company_as_long_as_it_is_told_and_no_longer_than_until_it_is_full(autojump_clock):
    async with running_gateway() as gateway:
        outlet = PlainOutlet(gateway.account, ["*"], 1 << 20, drops_of(gateway))
        begun = trio.current_time()

        async def publish_now_and_then() -> None:
            for number in range(8):
                publish(gateway, b"%d" % number)
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_now_and_then)
            first = await outlet.next_batch(100, 1 << 20, 2.5)
            assert len(first) == 3
            assert trio.current_time() - begun == 2.5
            second = await outlet.next_batch(2, 1 << 20, 100.0)
            assert len(second) == 2


# From a stream.


def stream_config(**more: object) -> StreamConfig:
    config = StreamConfig("S", subjects=["s.>"], **more)  # type: ignore[arg-type]
    complete(config)
    return config


@asynccontextmanager
async def with_streams(directory: Path) -> AsyncIterator[tuple[Gateway, AccountStreams, StreamStore]]:
    async with running_gateway() as gateway, opened(directory) as store:
        service = StreamService(gateway.runtime, Streams(), store)
        async with opened_memory(service.memory):
            await service.open(gateway.account)
            yield gateway, service.accounts["$G"], store
            await settled(store)


@asynccontextmanager
async def opened_memory(memory: StreamStore) -> AsyncIterator[None]:
    memory.start(trio.lowlevel.current_trio_token().run_sync_soon, lambda: None)
    try:
        yield
    finally:
        assert memory.close()


def outlet_of(gateway: Gateway, streams: AccountStreams, subjects: tuple[str, ...] = ()) -> StreamOutlet:
    return StreamOutlet(lambda: streams, "S", "test/one", subjects, drops_of(gateway))


async def fill(gateway: Gateway, store: StreamStore, *subjects: bytes) -> None:
    publish(gateway, *subjects)
    await durable(store)


async def test_stream_outlet_goes_on_behind_what_was_done_also_after_a_restart(tmp_path: Path):
    async with with_streams(tmp_path) as (gateway, streams, store):
        streams.create(stream_config())
        outlet = outlet_of(gateway, streams)
        await fill(gateway, store, *(b"s.%d" % number for number in range(10)))
        first, second = await outlet.next_batch(4, 1 << 20), await outlet.next_batch(3, 1 << 20)
        assert outlet.waiting[0] == 10
        second.done()
        assert outlet.done_messages == 0
        first.done()
        assert (outlet.done_messages, outlet.waiting[0]) == (7, 3)
        assert await taken(outlet) == [b"s.7", b"s.8", b"s.9"]
        outlet.rewind()
        assert await taken(outlet, 1) == [b"s.7"]
        outlet.close()
    async with with_streams(tmp_path) as (gateway, streams, _):
        assert [*streams.streams["S"].consumers] == []  # Its place is no consumer's.
        assert await taken(outlet_of(gateway, streams)) == [b"s.7", b"s.8", b"s.9"]


async def test_stream_outlet_takes_what_it_wants_and_its_place_moves_over_the_rest(tmp_path: Path):
    async with with_streams(tmp_path) as (gateway, streams, store):
        stream = streams.create(stream_config())
        outlet = outlet_of(gateway, streams, ("s.a.*",))
        await fill(gateway, store, b"s.b.1", b"s.a.1", b"s.b.2", b"s.a.2", b"s.b.3")
        batch = await outlet.next_batch(10, 1 << 20)
        assert [message.subject for message in batch.messages] == [b"s.a.1", b"s.a.2"]
        batch.done()
        assert outlet.waiting[0] == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outlet.next_batch, 10, 1 << 20)
            await fill(gateway, store, b"s.b.4")
            await wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        assert stream.stored.cursors["integration/test/one"].floor == 6


async def test_stream_outlet_waits_for_new_messages_and_counts_those_that_went_before_it_had_them(tmp_path: Path):
    async with with_streams(tmp_path) as (gateway, streams, store):
        streams.create(stream_config(max_msgs=3))
        outlet = outlet_of(gateway, streams)
        async with trio.open_nursery() as nursery:
            found: list[bytes] = []

            async def read() -> None:
                batch = await outlet.next_batch(10, 1 << 20)
                found.extend(message.subject for message in batch.messages)
                batch.done()

            nursery.start_soon(read)
            await wait_all_tasks_blocked(0.01)
            await fill(gateway, store, b"s.0")
        assert found == [b"s.0"]
        await fill(gateway, store, *(b"s.%d" % number for number in range(1, 9)))
        assert await taken(outlet) == [b"s.6", b"s.7", b"s.8"]
        assert outlet.drops.counts == {MISSED: 5}


async def test_stream_outlet_waits_for_its_stream_and_begins_anew_with_another_one(tmp_path: Path, autojump_clock):
    async with with_streams(tmp_path) as (gateway, streams, store):
        outlet = outlet_of(gateway, streams)
        found: list[bytes] = []

        async def read() -> None:
            while True:
                batch = await outlet.next_batch(1, 1 << 20)
                found.extend(message.subject for message in batch.messages)
                batch.done()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await until(lambda: "there is no stream S" in outlet.fault)
            first = streams.create(stream_config())
            await fill(gateway, store, b"s.1", b"s.2")
            await until(lambda: found == [b"s.1", b"s.2"])
            assert not outlet.fault
            streams.delete(first)
            second: ServedStream = streams.create(stream_config())
            await fill(gateway, store, b"s.3")
            outlet.wake()
            await until(lambda: found == [b"s.1", b"s.2", b"s.3"])
            assert second.stored.cursors["integration/test/one"].floor == 1
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
async def test_stream_whose_consumers_decide_what_is_gone_is_refused(tmp_path: Path, retention: str):
    async with with_streams(tmp_path) as (gateway, streams, _):
        streams.create(stream_config(retention=retention))
        outlet = outlet_of(gateway, streams)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outlet.next_batch, 1, 1 << 20)
            await until(lambda: outlet.fault)
            nursery.cancel_scope.cancel()
        assert f"stream S has retention {retention}" in outlet.fault


async def until(condition) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 -- what changes it has no event
            await trio.sleep(0.01)
