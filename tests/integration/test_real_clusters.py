"""A gateway linked to real clusters: any server is killed, and queue groups of a super-cluster serve the nearest."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from tests.integration.jetstream_cluster import SERVERS, jetstream_cluster
from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    client,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.peers import Peer, free_port, gateway, nats_server, nats_server_ready, uplink

POLL_SECONDS = 0.05
# Servers that have leafnodes and gateways want a system account.
ACCOUNTS = """
accounts { SYS { users: [ { user: sys, password: sys } ] }, APP { users: [ { user: app, password: app } ] } }
system_account: SYS, no_auth_user: app
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    with jetstream_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


async def until(attempt: Callable[[], Awaitable[object]]) -> None:
    """Try until it goes well: a cluster that lost a server elects leaders first."""
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        while True:
            try:
                await attempt()
                return
            except NatsError:
                await asyncio.sleep(POLL_SECONDS)


def serving(edge: Peer) -> str:
    """The name of the server that holds the link."""
    return edge.log().rpartition("event=up hub=")[2].split()[0]


def test_any_server_of_a_cluster_is_killed_and_traffic_goes_on(cluster: list[Peer], tmp_path: Path) -> None:
    config = uplink(leaf_url(cluster[0]), no_randomize=True, **IMPATIENT)

    async def test(edge: Peer) -> None:
        async with client(edge) as here:
            context = here.jetstream(timeout=2.0)
            await until(lambda: context.add_stream(name="S", subjects=["s.>"], num_replicas=SERVERS))
            stored = 0
            # One that does not hold the link first, then the one that does, whichever that is, twice.
            for victim in (cluster[1], None, None):
                killed = victim or next(peer for peer in cluster if peer.directory.name == serving(edge))
                holds = killed.directory.name == serving(edge)
                ups = edge.log().count(LINK_UP)
                os.kill(killed.pid, signal.SIGKILL)
                await asyncio.to_thread(killed.wait_exit)
                if holds:
                    await asyncio.to_thread(edge.wait_for_log, LINK_UP, count=ups + 1)
                    assert serving(edge) != killed.directory.name
                other = next(peer for peer in cluster if peer is not killed)
                async with client(other) as there:
                    await settled_both_ways(there, here)
                await until(lambda: context.publish("s.x", b""))
                stored += 1
                killed.start()
                await asyncio.to_thread(nats_server_ready, killed)
                if not holds:
                    assert edge.log().count(LINK_UP) == ups
            state = (await context.stream_info("S")).state
            assert state.messages >= stored

    with gateway(tmp_path, config=config) as edge:
        edge.wait_for_log(LINK_UP)
        run(lambda: test(edge))


@contextmanager
def super_cluster(directory: Path) -> Iterator[dict[str, Peer]]:
    """Two clusters joined by gateways, a server each; A takes leafnodes."""
    ports = {name: free_port() for name in ("A", "B")}
    remotes = ", ".join(f'{{ name: {name}, url: "nats://127.0.0.1:{port}" }}' for name, port in ports.items())
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                nats_server(
                    directory / name,
                    f"server_name: {name}\n{ACCOUNTS}"
                    f'gateway {{ name: {name}, listen: "127.0.0.1:{port}", gateways: [ {remotes} ] }}\n'
                    f'cluster {{ name: {name}, listen: "127.0.0.1:{free_port()}" }}\n',
                    leafnodes=LEAF_AUTHORIZATION.replace("}", ", account: APP }"),
                )
            )
            for name, port in ports.items()
        }


def test_a_queue_group_serves_at_the_edge_then_in_the_near_cluster_then_in_the_far_one(tmp_path: Path) -> None:
    async def join(connection: Client, name: str, served: Counter[str]) -> Callable[[], Awaitable[None]]:
        async def serve(message: Msg) -> None:
            served[name] += 1
            await message.respond(name.encode())

        return (await connection.subscribe("geo", queue="crew", cb=serve)).unsubscribe

    async def test(edge: Peer, near: Peer, far: Peer) -> None:
        served: Counter[str] = Counter()
        async with AsyncExitStack() as stack:
            here, at_near, at_far, asks = [
                await stack.enter_async_context(client(peer)) for peer in (edge, near, far, edge)
            ]
            places = {"edge": here, "A": at_near, "B": at_far}
            members = {name: await join(connection, name, served) for name, connection in places.items()}
            for name, connection in places.items():
                if name != "edge":
                    await settled_both_ways(connection, here)
            for name in places:
                served.clear()
                for _ in range(20):
                    answer = await asks.request("geo", b"", timeout=PATIENCE_SECONDS)
                    assert answer.data == name.encode()
                assert served == {name: 20}
                await members[name]()
                for other in (at_near, at_far):
                    await settled_both_ways(other, here)

    with (
        super_cluster(tmp_path) as clusters,
        gateway(tmp_path / "edge", config=uplink(leaf_url(clusters["A"]), **IMPATIENT)) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        for one, other in (("A", "B"), ("B", "A")):
            clusters[one].wait_for_log(f'Outbound gateway connection to "{other}"')
        run(lambda: test(edge, clusters["A"], clusters["B"]))
