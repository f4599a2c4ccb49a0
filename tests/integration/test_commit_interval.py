"""`commit-interval-ms`: acknowledgements wait so that many share a commit."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.integration.leafnode_pair import client, run
from tests.integration.peers import Peer
from tests.integration.stored_and_forwarded import (
    buffer,
    hub_with_jetstream,
    make_stream,
    stored_count,
    storing_gateway,
    wait_for_buffer,
    wait_until_empty,
)
from tests.patience import PATIENCE_SECONDS

LONG, NONE = "commit-interval-ms = 60000", "commit-interval-ms = 0"
SLOW_STREAMS = f'[streams]\ndomain = "edge"\n{LONG}\n'


def rewrite(edge: Peer, change: Callable[[str], str]) -> None:
    """Have the configuration changed, and wait until it is in force."""
    file = edge.directory / "leafgate.toml"
    count = edge.fresh_log().count("event=reloaded")
    file.write_text(change(file.read_text()))
    edge.wait_for_log("event=reloaded", count=count + 1)


async def ask(here: Client, number: int) -> None:
    answer = await here.request("$LEAFGATE.publish.sensors.a", b"%d" % number, PATIENCE_SECONDS)
    assert "seq" in json.loads(answer.data)


def test_who_waits_for_a_commit_is_answered_when_the_interval_ends(tmp_path: Path) -> None:
    async def test(edge: Peer, hub: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            await ask(here, 0)
            await asyncio.to_thread(rewrite, edge, lambda text: text.replace(NONE, LONG))
            waiting = [asyncio.create_task(ask(here, number)) for number in range(1, 20)]
            await asyncio.to_thread(wait_for_buffer, edge, "messages that are not committed", messages=19)
            assert not any(one.done() for one in waiting)
            # What is not on the disk is not on its way to the hub either.
            assert (await above.jetstream().stream_info("SENSORS")).state.messages == 1
            await asyncio.to_thread(rewrite, edge, lambda text: text.replace(LONG, NONE))
            await asyncio.gather(*waiting)
            await stored_count(above, 20)

    config = buffer(commit_interval_ms=0)
    with hub_with_jetstream(tmp_path / "hub") as hub, storing_gateway(tmp_path / "edge", hub, config) as edge:
        run(lambda: test(edge, hub))
        wait_until_empty(edge)


@pytest.mark.parametrize(
    "config",
    [
        buffer(commit_interval_ms=60_000) + buffer(("other",), name="fast"),
        buffer() + SLOW_STREAMS,
        buffer(commit_interval_ms=60_000) + SLOW_STREAMS.replace(LONG, NONE),
    ],
)
def test_of_all_that_share_commits_the_shortest_interval_holds(tmp_path: Path, config: str) -> None:
    async def test(edge: Peer) -> None:
        async with client(edge) as here:
            for number in range(20):
                await ask(here, number)

    with hub_with_jetstream(tmp_path / "hub") as hub, storing_gateway(tmp_path / "edge", hub, config) as edge:
        run(lambda: test(edge))


def test_streams_alone_have_their_own_interval(tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with client(edge) as here:
            await make_stream(here, "LOCAL", ("local.>",))  # The first commit need not wait.
            publishing = asyncio.create_task(here.jetstream().publish("local.a", b"1", PATIENCE_SECONDS))
            await asyncio.wait([publishing], timeout=0.3)
            assert not publishing.done()
            publishing.cancel()

    with hub_with_jetstream(tmp_path / "hub") as hub, storing_gateway(tmp_path / "edge", hub, SLOW_STREAMS) as edge:
        run(lambda: test(edge))
