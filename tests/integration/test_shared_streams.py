"""Streams of a hub that others feed, too: ours are there once, and in the order of each subject."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.integration.leafnode_pair import IMPATIENT, client, clients, leaf_url, run
from tests.integration.peers import Peer, gateway, nats_server_ready, uplink
from tests.integration.stored_and_forwarded import (
    buffer,
    hub_with_jetstream,
    make_stream,
    stored,
    wait_for_buffer,
    wait_until_empty,
)
from tests.patience import PATIENCE_SECONDS

SHARED = "event=shared-stream"
LONG_WINDOW = 120.0


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Peer]:
    with hub_with_jetstream(tmp_path / "hub") as peer:
        yield peer


@pytest.fixture
def edge(hub: Peer, tmp_path: Path) -> Iterator[Peer]:
    """It soon notices that a hub is silent."""
    link = uplink(leaf_url(hub), name="cloud", ping_interval_seconds=0.3, ping_max=1, **IMPATIENT)
    config = link + buffer(acknowledge_timeout_seconds=1)
    with gateway(tmp_path / "edge", config=config, data_directory=tmp_path / "data", monitoring=True) as peer:
        yield peer


async def publish(here: Client, *numbers: int, subjects: int = 1) -> None:
    """Publish with acknowledgements, all of them under way at once."""
    requests = [
        here.request(f"$LEAFGATE.publish.sensors.{number % subjects}", b"%d" % number, PATIENCE_SECONDS)
        for number in numbers
    ]
    for answer in await asyncio.gather(*requests):
        assert "seq" in json.loads(answer.data), answer.data


@asynccontextmanager
async def others(above: Client) -> AsyncIterator[None]:
    """Somebody who publishes into the stream all the time, on a subject of his own."""

    async def feed() -> None:
        while True:
            await above.jetstream().publish("sensors.other", b"other")

    feeding = asyncio.create_task(feed())
    try:
        yield
    finally:
        feeding.cancel()


async def ours(above: Client) -> list[tuple[str, bytes]]:
    return [one for one in await stored(above) if one[1] != b"other"]


def numbered(count: int, subjects: int = 1) -> list[tuple[str, bytes]]:
    return [(f"sensors.{number % subjects}", b"%d" % number) for number in range(count)]


async def until_shared(edge: Peer, here: Client) -> int:
    """Publish until the gateway has noticed that others feed the stream; returns how many."""
    count = 0
    while SHARED not in edge.log():
        await publish(here, *range(count, count + 100))
        count += 100
    return count


def test_ours_are_there_once_though_others_feed_the_stream_and_the_hub_is_killed(hub: Peer, edge: Peer) -> None:
    async def until_killed() -> int:
        async with clients(hub, edge) as (above, here):
            await make_stream(above)
            async with others(above):
                count = await until_shared(edge, here)
            hub.kill()
            await publish(here, *range(count, count + 500))
            return count + 500

    async def whole(count: int) -> None:
        async with client(hub) as above:
            await asyncio.to_thread(wait_until_empty, edge)
            assert await ours(above) == numbered(count)

    count = asyncio.run(until_killed())
    hub.start()
    nats_server_ready(hub)
    run(lambda: whole(count))


@pytest.mark.parametrize("subjects", [1, 50])
def test_what_a_hub_works_through_late_is_not_sent_again(hub: Peer, edge: Peer, subjects: int) -> None:
    """The link is lost while the hub stands still, with much that it has got and not looked at. What comes over the new
    link may be looked at first: then the ids keep what is behind it from being stored, for as long as the hub knows
    them.
    """
    count = 1500

    async def test() -> None:
        async with clients(hub, edge) as (above, here):
            await make_stream(above, window=LONG_WINDOW)
            async with others(above):
                await until_shared(edge, here)
            await asyncio.to_thread(wait_until_empty, edge)
            await above.jetstream().purge_stream("SENSORS")
            hub.send_signal(signal.SIGSTOP)
            try:
                await publish(here, *range(count), subjects=subjects)
                await asyncio.to_thread(wait_for_buffer, edge, "the link's loss", state="waiting")
            finally:
                hub.send_signal(signal.SIGCONT)
            await asyncio.to_thread(wait_until_empty, edge)
            assert await ours(above) == numbered(count, subjects)

    run(test)
