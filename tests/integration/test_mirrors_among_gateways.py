"""Streams of gateways and a nats-server below one gateway: mirrors of each other, and partitions of one stream."""

import base64
from collections.abc import Iterator

import pytest

from tests.integration.leafnode_pair import IMPATIENT, LINK_UP, clients, run, settled_both_ways
from tests.integration.leafnode_spokes import SPOKE_UP, hub, remote, spoke
from tests.integration.mirror_pair import create, external, messages, until
from tests.integration.peers import Peer, gateway, uplink
from tests.patience import PATIENCE_SECONDS

STREAMS = '[streams]\ndomain = "{}"\n'
PARTITIONS = 3
KEYS = 20


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer, Peer]]:
    directory = tmp_path_factory.mktemp("gateways")
    with hub(directory / "site", STREAMS.format("hub"), data_directory=directory / "site-data") as site:
        link = uplink(f"nats-leaf://127.0.0.1:{site.ports['leafnode']}", **IMPATIENT)
        with (
            gateway(
                directory / "edge", config=link + STREAMS.format("edge"), data_directory=directory / "data"
            ) as edge,
            spoke(directory / "spoke", remote(site), jetstream=True) as server,
        ):
            edge.wait_for_log(LINK_UP)
            site.wait_for_log(SPOKE_UP, count=2)
            yield site, edge, server


async def publish(connection: object, subject: str, count: int) -> None:
    for number in range(count):
        await connection.request(f"{subject}.k{number % KEYS}", b"%d" % number, timeout=PATIENCE_SECONDS)  # type: ignore[attr-defined]


def contents(message: dict[str, str]) -> tuple[str, str]:
    return message["subject"], message["data"]


def test_every_server_has_copies_of_the_streams_of_all_others(peers: tuple[Peer, Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*peers) as connections:
            for one in connections[1:]:
                await settled_both_ways(connections[0], one)
            domains = dict(zip(("hub", "edge", "spoke"), connections, strict=True))
            for domain, origin in domains.items():
                await create(origin, f"OF-{domain}", subjects=[f"of.{domain}.>"])
            for domain in domains:
                for other, copy in domains.items():
                    if other != domain:
                        await create(copy, f"AT-{other}-{domain}", mirror={"name": f"OF-{domain}"} | external(domain))
            for domain, origin in domains.items():
                await publish(origin, f"of.{domain}", 50)
            for domain, origin in domains.items():
                every = await messages(origin, f"OF-{domain}")
                for other, copy in domains.items():
                    if other != domain:
                        await until(copy, f"AT-{other}-{domain}", 50)
                        assert await messages(copy, f"AT-{other}-{domain}") == every

    run(test)


def test_a_stream_is_shared_out_among_servers_by_its_keys(peers: tuple[Peer, Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*peers) as connections:
            for one in connections[1:]:
                await settled_both_ways(connections[0], one)
            transform = {"src": "orders.*", "dest": f"part.{{{{partition({PARTITIONS},1)}}}}.$1"}
            await create(connections[0], "ORDERS", subjects=["orders.*"], subject_transform=transform)
            for number, connection in enumerate(connections):
                source = {"name": "ORDERS", "filter_subject": f"part.{number}.*"}
                await create(connection, f"PART{number}", sources=[source | (external("hub") if number else {})])
            await publish(connections[1], "orders", 300)
            every = await messages(connections[0], "ORDERS")
            assert len(every) == 300
            for number, connection in enumerate(connections):
                mine = [one for one in every if one["subject"].startswith(f"part.{number}.")]
                assert mine, "each of the partitions has some keys"
                await until(connection, f"PART{number}", len(mine))
                found = await messages(connection, f"PART{number}")
                assert [(one["subject"], one["data"]) for one in found] == [
                    (one["subject"], one["data"]) for one in mine
                ]
            # A key is in one partition only, and in its order there.
            by_key: dict[str, list[int]] = {}
            for one in every:
                by_key.setdefault(one["subject"], []).append(int(base64.b64decode(one["data"])))
            assert len(by_key) == KEYS
            assert all(numbers == sorted(numbers) for numbers in by_key.values())

    run(test)
