"""A hub and a gateway linked to it, clients on both sides, and how to wait until both sides know all interest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from tests.integration.peers import Peer, gateway, nats_server, uplink
from tests.patience import PATIENCE_SECONDS

LEAF_AUTHORIZATION = "authorization { user: leaf, password: secret }"
PROBE_SECONDS = 0.02
# Reconnecting fast keeps the tests short.
IMPATIENT = {"reconnect_min_seconds": 0.05, "reconnect_max_seconds": 0.2}
LINK_UP = "event=up"


def leaf_url(hub: Peer, credentials: str = "leaf:secret") -> str:
    return f"nats-leaf://{credentials}@127.0.0.1:{hub.ports['leafnode']}"


@contextmanager
def hub_and_edge(directory: Path, **options: Any) -> Iterator[tuple[Peer, Peer]]:
    """A hub with JetStream, and a gateway that is linked to it; `options` are the gateway's."""
    store = directory / "hub" / "store"
    config = f'server_name: hub\nmax_payload: 200000\njetstream {{ store_dir: "{store}" }}\n'
    with (
        nats_server(directory / "hub", config, leafnodes=LEAF_AUTHORIZATION) as hub,
        gateway(directory / "edge", config=uplink(leaf_url(hub), **IMPATIENT), **options) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        wait_for_jetstream(edge)
        yield hub, edge


def wait_for_jetstream(edge: Peer) -> None:
    """Return once the hub has told of its JetStream, which it does a moment after the link is up."""

    async def ask() -> None:
        async with client(edge) as connection:
            while True:
                try:
                    await connection.request("$JS.API.INFO", timeout=PATIENCE_SECONDS)
                    return
                except NoRespondersError:
                    await asyncio.sleep(PROBE_SECONDS)

    asyncio.run(asyncio.wait_for(ask(), PATIENCE_SECONDS))


async def ignore_error(error: Exception) -> None:
    """nats-py would print a traceback for each connection that a test breaks on purpose."""


@asynccontextmanager
async def client(peer: Peer, **options: Any) -> AsyncIterator[Client]:
    connection = await nats.connect(peer.url(), error_cb=ignore_error, allow_reconnect=False, **options)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def clients(*peers: Peer, logins: Sequence[str] = ()) -> AsyncIterator[list[Client]]:
    """A client at each peer; `logins` are `user:password` for each, where they are needed."""
    connections = []
    for index, peer in enumerate(peers):
        user, _, password = (logins[index] if index < len(logins) else "").partition(":")
        login = {"user": user, "password": password} if user else {}
        connections.append(await nats.connect(peer.url(), error_cb=ignore_error, allow_reconnect=False, **login))
    try:
        yield connections
    finally:
        for connection in connections:
            await connection.close()


async def interest_settled(sender: Client, receiver: Client) -> None:
    """Return once `sender`'s side knows of everything that `receiver` has subscribed to: interest travels in order."""
    subject = sender.new_inbox()
    probe = await receiver.subscribe(subject)
    await receiver.flush()

    async def knock() -> None:
        while True:
            await sender.publish(subject, b"")
            await asyncio.sleep(PROBE_SECONDS)

    knocking = asyncio.create_task(knock())
    try:
        await probe.next_msg(PATIENCE_SECONDS)
    finally:
        knocking.cancel()
    await probe.unsubscribe()


async def settled_both_ways(one: Client, other: Client) -> None:
    await interest_settled(one, other)
    await interest_settled(other, one)


def answer_with(lead: bytes) -> Callable[[Msg], Awaitable[None]]:
    async def answer(message: Msg) -> None:
        await message.respond(lead + message.data)

    return answer


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * PATIENCE_SECONDS):
            await test()

    asyncio.run(bounded())
