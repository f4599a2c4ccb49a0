"""Mirrors and sources of work queues and interest streams, beside a nats-server: what is in a copy has left its origin,
and what has left the origin is in a copy.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from nats.aio.client import Client

from tests.integration.leafnode_pair import client, clients, run, settled_both_ways
from tests.integration.mirror_pair import (
    POLL_SECONDS,
    ask,
    create,
    external,
    fill,
    hub_and_edge_with_streams,
    messages,
    state,
    until,
)
from tests.integration.peers import Peer
from tests.integration.test_mirror_outages import Publisher, numbers, start_again
from tests.integration.test_mirror_outages import run as run_long

ROUNDS = 2
UPWARDS = pytest.mark.parametrize("upwards", [True, False], ids=["at-the-hub", "at-the-gateway"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with hub_and_edge_with_streams(tmp_path_factory.mktemp("queues")) as peers:
        yield peers


async def consumers(connection: Client, stream: str, count: int) -> list[dict[str, Any]]:
    """Those that are in lists, once there are so many."""
    while True:
        told = await ask(connection, f"CONSUMER.LIST.{stream}")
        if len(told["consumers"]) == count:
            return list(told["consumers"])
        await asyncio.sleep(POLL_SECONDS)


async def emptied(connection: Client, stream: str) -> None:
    """Return once nothing is left in a stream."""
    while (await state(connection, stream))["messages"]:  # noqa: ASYNC110 - another process moves it
        await asyncio.sleep(POLL_SECONDS)


@UPWARDS
@pytest.mark.parametrize(("retention", "kind"), [("workqueue", "mirror"), ("interest", "sources")])
def test_what_is_in_the_copy_leaves_the_origin(
    pair: tuple[Peer, Peer], upwards: bool, retention: str, kind: str
) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            origin, copy, domain = (edge, hub, "edge") if upwards else (hub, edge, "hub")
            name, subject = f"JOBS-{retention}-{kind}", f"{domain}.{retention}.{kind}"
            told = {"name": name} | external(domain)
            await create(origin, name, subjects=[subject], retention=retention)
            await create(copy, f"{name}-COPY", **{kind: told if kind == "mirror" else [told]})
            (reader,) = await consumers(origin, name, 1)
            config = reader["config"]
            assert (config["ack_policy"], config["durable_name"]) == ("flow_control", config["name"])
            await fill(origin, subject, 0, 60)
            await until(copy, f"{name}-COPY", 60)
            await emptied(origin, name)
            await fill(origin, subject, 60, 70)
            await until(copy, f"{name}-COPY", 70)
            await emptied(origin, name)
            assert numbers(await messages(copy, f"{name}-COPY")) == [*range(70)]
            # A work queue is one consumer's, but for those that copy it; nobody waits for them when they are gone.
            await ask(copy, f"STREAM.DELETE.{name}-COPY")
            await consumers(origin, name, 0)

    run(test)


@UPWARDS
def test_a_consumer_that_is_there_already_is_read_with(pair: tuple[Peer, Peer], upwards: bool) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            origin, copy, domain = (edge, hub, "edge") if upwards else (hub, edge, "hub")
            name, to = f"GIVEN-{domain}", f"to.{domain}.copy"
            await create(origin, name, subjects=[f"given.{domain}.*"], retention="workqueue")
            config = {
                "durable_name": "READER",
                "ack_policy": "flow_control",
                "deliver_subject": to,
                "filter_subject": f"given.{domain}.a",
            }
            asked = {"stream_name": name, "config": config}
            told = await ask(origin, f"CONSUMER.DURABLE.CREATE.{name}.READER", asked)
            assert "error" not in told, told
            consumer = {"name": "READER", "deliver_subject": to}
            await create(copy, f"{name}-COPY", mirror={"name": name, "consumer": consumer} | external(domain))
            for part in ("a", "b"):
                await fill(origin, f"given.{domain}.{part}", 0, 20)
            while (await state(origin, name))["messages"] > 20:  # noqa: ASYNC110 - as above
                await asyncio.sleep(POLL_SECONDS)
            found = await messages(copy, f"{name}-COPY")
            assert [one["subject"] for one in found] == [f"given.{domain}.a"] * 20
            await ask(copy, f"STREAM.DELETE.{name}-COPY")
            await settled_both_ways(hub, edge)
            assert len(await consumers(origin, name, 1)) == 1, "it was not made by the copy, and stays"

    run(test)


@UPWARDS
def test_jobs_are_copied_once_whoever_is_killed(tmp_path_factory: pytest.TempPathFactory, upwards: bool) -> None:
    async def test(hub: Peer, edge: Peer) -> None:
        origin, copy, domain = (edge, hub, "edge") if upwards else (hub, edge, "hub")
        async with client(origin) as there, client(copy) as here:
            await create(there, "JOBS", subjects=["jobs.>"], retention="workqueue")
            await create(there, "NEWS", subjects=["news.>"], retention="interest")
            await create(here, "JOBS-COPY", mirror={"name": "JOBS"} | external(domain))
            await create(here, "NEWS-COPY", sources=[{"name": "NEWS"} | external(domain)])
            for name in ("JOBS", "NEWS"):
                await consumers(there, name, 1)
        publishers = [Publisher(origin, "jobs.x"), Publisher(origin, "news.x")]
        tasks = [asyncio.create_task(one.publish()) for one in publishers]
        for _ in range(ROUNDS):
            for victim in (hub, edge):
                await publishers[0].until(50)
                start_again(victim)
        await publishers[0].until(50)
        for one in publishers:
            one.stop()
        await asyncio.gather(*tasks)
        async with client(origin) as there, client(copy) as here:
            for name in ("JOBS", "NEWS"):
                await emptied(there, name)
            for name, publisher in zip(("JOBS-COPY", "NEWS-COPY"), publishers, strict=True):
                assert numbers(await messages(here, name)) == [*range(1, publisher.published + 1)]

    with hub_and_edge_with_streams(tmp_path_factory.mktemp("killed")) as peers:
        run_long(lambda: test(*peers))
