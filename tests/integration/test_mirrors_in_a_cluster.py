"""A stream and a bucket of a gateway, mirrored in a real cluster: any server may go, and the gateway with its disk."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from tests.integration.jetstream_cluster import SERVERS, jetstream_cluster
from tests.integration.leafnode_pair import IMPATIENT, LINK_UP, PATIENCE_SECONDS, client, leaf_url
from tests.integration.mirror_pair import STREAMS, ask, create, external, fill, messages, state, until
from tests.integration.peers import Peer, gateway, nats_server_ready, uplink
from tests.integration.test_mirror_outages import Publisher, numbers
from tests.patience import LONG_SECONDS

T = TypeVar("T")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Peer]]:
    """In the domain `cloud`."""
    with jetstream_cluster(tmp_path, "cloud") as servers:
        yield servers


async def mirrored(connection: Client, name: str, origin: str, **more: object) -> None:
    """A mirror with three replicas, as soon as the cluster has leaders."""
    config = {"name": name, "mirror": {"name": origin} | external("edge", "from.edge"), "num_replicas": SERVERS} | more
    while "error" in await ask(connection, f"STREAM.CREATE.{name}", config):  # noqa: ASYNC110 - others elect
        await asyncio.sleep(0.1)


async def answered(attempt: Callable[[], Awaitable[T]]) -> T:
    """What comes of an attempt, as soon as the cluster answers."""
    while True:
        with suppress(NatsError, KeyError):
            return await attempt()
        await asyncio.sleep(0.1)


async def get_value(js: JetStreamContext, key: str) -> bytes | None:
    return (await (await js.key_value("state")).get(key)).value


def test_what_was_mirrored_is_there_whatever_goes(cluster: list[Peer], tmp_path: Path) -> None:
    config = uplink(*[leaf_url(peer) for peer in cluster], **IMPATIENT) + STREAMS

    async def before(edge: Peer) -> None:
        async with client(edge) as here, client(cluster[1]) as there:
            await create(here, "READINGS", subjects=["readings.>"])
            bucket = await here.jetstream(timeout=PATIENCE_SECONDS).create_key_value(bucket="state")
            await mirrored(there, "READINGS", "READINGS")
            await mirrored(there, "KV_state", "KV_state", max_msgs_per_subject=1, allow_direct=True, mirror_direct=True)
            for number in range(20):
                await bucket.put(f"key{number % 4}", b"%d" % number)
        publisher = Publisher(edge, "readings.x")
        task = asyncio.create_task(publisher.publish())
        for victim in cluster:
            await publisher.until(100)
            victim.kill()
            await publisher.until(100)
            await asyncio.to_thread(victim.start)
            await asyncio.to_thread(nats_server_ready, victim)
        publisher.stop()
        await task
        async with client(edge) as here, client(cluster[0]) as there:
            last = (await state(here, "READINGS"))["last_seq"]
            await until(there, "READINGS", last)
            await until(there, "KV_state", 20)
            every = await messages(here, "READINGS")
            assert numbers(every) == [*range(1, publisher.published + 1)]
            assert await messages(there, "READINGS") == every

    async def without_the_edge(last: int) -> None:
        cluster[2].kill()  # The gateway and its disk are gone, and one server with them.
        async with client(cluster[0]) as there:
            # Leaders are elected first where one was lost.
            js = there.jetstream(timeout=PATIENCE_SECONDS)
            assert numbers(await answered(lambda: messages(there, "READINGS"))) == [*range(1, last + 1)]
            for number in range(4):
                entry = await answered(lambda key=f"key{number}": get_value(js, key))  # type: ignore[misc]
                assert entry == b"%d" % (16 + number)

    async def refilled(edge: Peer, last: int) -> None:
        async with client(edge) as here, client(cluster[0]) as there:
            # What is left becomes a stream of its own, which the new box is a mirror of until it has everything.
            for name, more in (("READINGS", {}), ("KV_state", {"max_msgs_per_subject": 1, "allow_direct": True})):
                update = {"name": name, "num_replicas": SERVERS} | more
                while "error" in await ask(there, f"STREAM.UPDATE.{name}", update):  # noqa: ASYNC110 - others elect
                    await asyncio.sleep(0.1)
                await create(here, name, mirror={"name": name} | external("cloud"), **more)
            await until(here, "READINGS", last)
            await until(here, "KV_state", 20)
            subjects = {"name": "READINGS", "subjects": ["readings.>"]}
            assert "error" not in await ask(here, "STREAM.UPDATE.READINGS", subjects)
            await fill(here, "readings.x", last + 1, last + 11)
            assert numbers(await messages(here, "READINGS")) == [*range(1, last + 11)]
            bucket = await here.jetstream(timeout=PATIENCE_SECONDS).key_value("state")
            assert (await bucket.get("key3")).value == b"19"

    async def bounded() -> None:
        async with asyncio.timeout(LONG_SECONDS):
            with gateway(tmp_path / "old", config=config, data_directory=tmp_path / "data") as edge:
                await asyncio.to_thread(edge.wait_for_log, LINK_UP)
                await before(edge)
                async with client(edge) as here:
                    last = (await state(here, "READINGS"))["last_seq"]
                edge.kill()
            shutil.rmtree(tmp_path / "data")
            await without_the_edge(last)
            cluster[2].start()
            await asyncio.to_thread(nats_server_ready, cluster[2])
            with gateway(tmp_path / "new", config=config, data_directory=tmp_path / "data") as edge:
                await asyncio.to_thread(edge.wait_for_log, LINK_UP)
                await refilled(edge, last)

    asyncio.run(bounded())
