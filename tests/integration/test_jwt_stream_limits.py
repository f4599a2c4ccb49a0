"""What the JWT of an account lets its streams take, at nats-server and here."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from tests.integration.jetstream_requests import Script
from tests.integration.jwt_peers import UNLIMITED, House, Key, jwt_maker
from tests.integration.leafnode_pair import PATIENCE_SECONDS, ignore_error, run
from tests.integration.peers import Peer, gateway, nats_server

MIB = 1 << 20
LIMITS: dict[str, dict[str, Any]] = {
    "open": {"disk_storage": -1, "mem_storage": -1, "streams": -1, "consumer": -1},
    "few": {"disk_storage": MIB, "mem_storage": MIB, "streams": 2, "consumer": 3, "max_ack_pending": 50},
    "sized": {
        "disk_storage": 8 * MIB,
        "mem_storage": 4 * MIB,
        "streams": 5,
        "consumer": 5,
        "max_bytes_required": True,
        "disk_max_stream_bytes": 4 * MIB,
        "mem_max_stream_bytes": MIB,
    },
    "disk": {"disk_storage": -1, "mem_storage": 0, "streams": -1, "consumer": -1},
    "none": {},
}
Users = dict[str, tuple[str, Key]]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Peer], Users]]:
    directory = tmp_path_factory.mktemp("stream-limits")
    users: Users = {}
    with jwt_maker() as maker:
        house = House(maker)
        system = house.account("SYS")
        for name, limits in LIMITS.items():
            key, issuer = Key("U"), house.account(name, limits=UNLIMITED | limits)
            users[name] = maker("user", "ann", seed=key, issuer=issuer), key
        store = directory / "nats" / "store"
        jetstream = f'\nserver_name: here\njetstream {{ store_dir: "{store}", domain: here }}\n'
        streams = '\n[streams]\ndomain = "here"\nmax-streams = 0\nmax-memory-bytes = 67108864\n'
        with (
            nats_server(directory / "nats", house.nats_config(system.public) + jetstream) as theirs,
            gateway(
                directory / "edge", config=house.gateway_config() + streams, data_directory=directory / "data"
            ) as ours,
        ):
            yield [theirs, ours], users


async def connected(peer: Peer, user: tuple[str, Key]) -> Client:
    token, key = user
    return await nats.connect(
        peer.url(),
        user_jwt_cb=token.encode,
        signature_cb=lambda nonce: key.sign(nonce.encode()).encode(),
        error_cb=ignore_error,
        allow_reconnect=False,
    )


async def script_of(script: Script) -> None:
    await script.request("INFO")
    for name, more in (
        ("A", {}),
        ("B", {"max_bytes": MIB // 2}),
        ("B", {"max_bytes": 3 * MIB}),
        ("C", {"max_bytes": 6 * MIB}),
        ("D", {"storage": "memory"}),
        ("D", {"storage": "memory", "max_bytes": MIB // 2}),
        ("E", {"storage": "memory", "max_bytes": 2 * MIB}),
        ("F", {"max_consumers": 4, "max_bytes": 1000}),
        ("G", {"max_bytes": 1000}),
    ):
        await script.request(f"STREAM.CREATE.{name}", {"name": name} | more)
    for pending in (0, 40, 60):
        config = {"durable_name": f"P{pending}", "ack_policy": "explicit", "max_ack_pending": pending}
        await script.request(f"CONSUMER.CREATE.B.P{pending}", {"stream_name": "B", "config": config})
    await script.request("INFO")
    await script.request("STREAM.NAMES")


@pytest.mark.parametrize("name", [name for name in LIMITS if name != "none"])
def test_limits_are_those_of_nats_server(servers: tuple[list[Peer], Users], name: str) -> None:
    peers, users = servers

    async def test() -> None:
        answers = []
        for peer in peers:
            client = await connected(peer, users[name])
            script = Script(client)
            await script_of(script)
            answers.append(script.answers)
            await client.close()
        theirs, ours = answers
        differing = [(step, theirs[step], ours.get(step)) for step in theirs if ours.get(step) != theirs[step]]
        assert not differing, "\n".join(json.dumps(one) for one in differing)

    run(test)


def test_an_account_without_storage_has_no_streams(servers: tuple[list[Peer], Users]) -> None:
    """nats-server says so; here nobody answers, so that a hub behind a link may."""
    (theirs, ours), users = servers

    async def test() -> None:
        client = await connected(theirs, users["none"])
        answer = await client.request("$JS.API.INFO", timeout=PATIENCE_SECONDS)
        assert json.loads(answer.data)["error"]["err_code"] == 10039
        await client.close()
        client = await connected(ours, users["none"])
        with pytest.raises(NoRespondersError):
            await client.request("$JS.API.INFO", timeout=PATIENCE_SECONDS)
        await client.close()

    run(test)


def test_an_account_is_full_when_its_streams_are(servers: tuple[list[Peer], Users]) -> None:
    """Beside nats-server only the number of the fault is the same: what a message takes on the disk is not."""
    peers, users = servers

    async def test() -> None:
        for peer in peers:
            client = await connected(peer, users["few"])
            js = client.jetstream(timeout=PATIENCE_SECONDS)
            names = [info.config.name for info in await js.streams_info()]
            subject = names[0]
            found = None
            for _ in range(30):
                answer = await client.request(subject, bytes(100_000), timeout=PATIENCE_SECONDS)
                found = json.loads(answer.data).get("error", {}).get("err_code")
                if found:
                    break
            assert found == 10002
            await client.close()

    asyncio.run(test())
