"""Mirrors and sources over a link that breaks, between servers that are killed: nothing is lost, nothing doubled."""

import asyncio
import base64
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import nats
import pytest
from nats.aio.client import Client

from tests.integration.leafnode_pair import LINK_UP, client, ignore_error
from tests.integration.mirror_pair import (
    ask,
    create,
    external,
    fill,
    hub_and_edge_with_streams,
    messages,
    state,
    until,
)
from tests.integration.peers import Peer, nats_server_ready, read_ports_file
from tests.patience import LONG_SECONDS

ROUNDS = 3


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with hub_and_edge_with_streams(tmp_path_factory.mktemp("outages")) as peers:
        yield peers


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(LONG_SECONDS):
            await test()

    asyncio.run(bounded())


class Publisher:
    """Publishes numbers one behind the other, each until it is acknowledged."""

    def __init__(self, peer: Peer, subject: str) -> None:
        self._peer = peer
        self._subject = subject
        self._is_over = False
        self._is_in_doubt = False
        self.published = 0

    async def publish(self) -> None:
        while not self._is_over or self._is_in_doubt:
            with suppress(Exception):
                connection = await nats.connect(self._peer.url(), error_cb=ignore_error, allow_reconnect=False)
                try:
                    while not self._is_over or self._is_in_doubt:
                        await self._publish_one(connection)
                finally:
                    await connection.close()
            await asyncio.sleep(0.05)

    async def _publish_one(self, connection: Client) -> None:
        number = self.published + 1
        headers = {"Nats-Msg-Id": f"{self._subject}-{number}"}
        self._is_in_doubt = True
        answer = await connection.request(self._subject, b"%d" % number, headers=headers, timeout=2)
        assert b'"seq"' in answer.data
        assert b"error" not in answer.data
        self.published, self._is_in_doubt = number, False

    async def until(self, more: int) -> None:
        wanted = self.published + more
        while self.published < wanted:  # noqa: ASYNC110 - no more is to be known than a number
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        """End `publish`, once the number that is under way is acknowledged: it may be stored without that."""
        self._is_over = True


def start_again(peer: Peer) -> None:
    """Kill a server, and have it come back; a gateway has other ports then."""
    peer.kill()
    ports_file = peer.directory / "ports.json"
    is_gateway = ports_file.exists()
    ports_file.unlink(missing_ok=True)
    peer.start()
    if is_gateway:
        peer.wait_ready(ports_file.exists)
        peer.ports = read_ports_file(ports_file) or {}
    else:
        nats_server_ready(peer)


def numbers(found: list[dict[str, object]]) -> list[int]:
    return [int(base64.b64decode(str(message["data"]))) for message in found]


@pytest.mark.parametrize("upwards", [True, False], ids=["mirrored-at-the-hub", "mirrored-at-the-gateway"])
def test_copies_are_whole_after_both_sides_were_killed_again_and_again(pair: tuple[Peer, Peer], upwards: bool) -> None:
    hub, edge = pair
    origin, copy, domain = (edge, hub, "edge") if upwards else (hub, edge, "hub")

    async def test() -> None:
        async with client(origin) as there, client(copy) as here:
            await create(there, "MAIN", subjects=["main.>"], num_replicas=1)
            await create(here, "COPY", mirror={"name": "MAIN"} | external(domain, "from.there"))
            await create(here, "SOME", sources=[{"name": "MAIN", "filter_subject": "main.x"} | external(domain)])
        publisher = Publisher(origin, "main.x")
        task = asyncio.create_task(publisher.publish())
        for _ in range(ROUNDS):
            for victim in (hub, edge):
                await publisher.until(50)
                start_again(victim)
        await publisher.until(50)
        publisher.stop()
        await task
        async with client(origin) as there, client(copy) as here:
            last = (await state(there, "MAIN"))["last_seq"]
            await until(here, "COPY", last)
            every = await messages(there, "MAIN")
            assert numbers(every) == [*range(1, publisher.published + 1)]
            assert await messages(here, "COPY") == every
            await until(here, "SOME", last)
            assert numbers(await messages(here, "SOME")) == numbers(every)

    run(test)


@pytest.mark.parametrize("upwards", [True, False], ids=["at-the-hub", "at-the-gateway"])
def test_what_was_published_while_the_link_was_down_comes_once(pair: tuple[Peer, Peer], upwards: bool) -> None:
    hub, edge = pair

    async def test() -> None:
        async with client(edge) as at_edge:
            async with client(hub) as at_hub:
                origin, copy, domain = (at_edge, at_hub, "edge") if upwards else (at_hub, at_edge, "hub")
                await create(origin, "MAIN", subjects=["main.>"])
                await create(copy, "COPY", mirror={"name": "MAIN"} | external(domain))
                await fill(origin, "main.x", 0, 100)
                await until(copy, "COPY", 100)
            hub.kill()
            edge.wait_for_log("event=down")
            if upwards:
                await fill(at_edge, "main.x", 100, 1100)
            start_again(hub)
            async with client(hub) as at_hub:
                origin, copy = (at_edge, at_hub) if upwards else (at_hub, at_edge)
                if not upwards:
                    await fill(at_hub, "main.x", 100, 1100)
                await until(copy, "COPY", 1100)
                assert await messages(copy, "COPY") == await messages(origin, "MAIN")

    run(test)


def test_an_origin_that_was_made_anew_is_known(pair: tuple[Peer, Peer]) -> None:
    hub, edge = pair

    async def test() -> None:
        async with client(hub) as at_hub, client(edge) as at_edge:
            await create(at_hub, "MAIN", subjects=["main.>"])
            await create(at_edge, "COPY", mirror={"name": "MAIN"} | external("hub"))
            await create(at_edge, "ALL", sources=[{"name": "MAIN"} | external("hub")])
            await fill(at_hub, "main.x", 0, 20)
            for name in ("COPY", "ALL"):
                await until(at_edge, name, 20)
            await ask(at_hub, "STREAM.DELETE.MAIN")
            await create(at_hub, "MAIN", subjects=["main.>"])
            await fill(at_hub, "main.x", 100, 110)
            await until(at_edge, "ALL", 30)
            assert numbers(await messages(at_edge, "ALL")) == [*range(20), *range(100, 110)]
            # A mirror has the sequences of its origin, and these it has already.
            told = await ask(at_edge, "STREAM.INFO.COPY")
            while told["mirror"].get("error", {}).get("err_code") != 10225:
                await asyncio.sleep(0.05)
                told = await ask(at_edge, "STREAM.INFO.COPY")
            assert numbers(await messages(at_edge, "COPY")) == [*range(20)]

    run(test)


def test_an_origin_that_has_lost_its_newest_messages_is_known(pair: tuple[Peer, Peer]) -> None:
    """As after a power cut: nats-server syncs some time later. Here its disk is that of some time ago."""
    hub, edge = pair
    store, kept = hub.directory.parent / "store", hub.directory.parent / "kept"

    async def test() -> None:
        async with client(edge) as at_edge:
            async with client(hub) as at_hub:
                await create(at_hub, "MAIN", subjects=["main.>"])
                await create(at_edge, "ALL", sources=[{"name": "MAIN"} | external("hub")])
                await create(at_edge, "COPY", mirror={"name": "MAIN"} | external("hub"))
                await fill(at_hub, "main.x", 0, 20)
            hub.stop()
            shutil.copytree(store, kept)
            start_again(hub)
            async with client(hub) as at_hub:
                await fill(at_hub, "main.x", 20, 40)
                for name in ("ALL", "COPY"):
                    await until(at_edge, name, 40)
            hub.kill()
            shutil.rmtree(store)
            kept.rename(store)
            start_again(hub)
            async with client(hub) as at_hub:
                assert (await state(at_hub, "MAIN"))["last_seq"] == 20
                await until_error(at_edge, "COPY", "lost")
                await fill(at_hub, "main.x", 100, 105)
            await until(at_edge, "ALL", 45)
            assert numbers(await messages(at_edge, "ALL")) == [*range(40), *range(100, 105)]
            assert numbers(await messages(at_edge, "COPY")) == [*range(40)]

    run(test)


async def until_error(connection: Client, mirror: str, text: str) -> None:
    """Return once a mirror says that something is wrong."""
    while True:
        told = await ask(connection, f"STREAM.INFO.{mirror}")
        if text in told["mirror"].get("error", {}).get("description", ""):
            return
        await asyncio.sleep(0.05)


def test_a_gateway_with_an_empty_disk_is_filled_again_from_its_mirror(pair: tuple[Peer, Peer]) -> None:
    hub, edge = pair

    async def test() -> None:
        async with client(hub) as at_hub, client(edge) as at_edge:
            await create(at_edge, "MAIN", subjects=["main.>"])
            await create(at_hub, "COPY", mirror={"name": "MAIN"} | external("edge"))
            await fill(at_edge, "main.x", 0, 200)
            await until(at_hub, "COPY", 200)
            every = await messages(at_hub, "COPY")
        edge.kill()
        for file in (edge.directory.parent / "data").iterdir():
            if file.is_file():
                file.unlink()
        start_again(edge)
        edge.wait_for_log(LINK_UP)
        async with client(hub) as at_hub, client(edge) as at_edge:
            assert await messages(at_hub, "COPY") == every, "what was forwarded is served there"
            await ask(at_hub, "STREAM.UPDATE.COPY", {"name": "COPY"})
            await create(at_edge, "MAIN", mirror={"name": "COPY"} | external("hub"))
            await until(at_edge, "MAIN", 200)
            told = await ask(at_edge, "STREAM.UPDATE.MAIN", {"name": "MAIN", "subjects": ["main.>"]})
            assert "error" not in told
            await fill(at_edge, "main.x", 200, 210)
            assert numbers(await messages(at_edge, "MAIN")) == [*range(210)]

    run(test)
