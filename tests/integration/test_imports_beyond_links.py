"""What an account imports goes over its own links as it does at a nats-server, and no further: one script for both."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from tests.integration.leafnode_pair import IMPATIENT, PATIENCE_SECONDS, client, interest_settled
from tests.integration.peers import Peer, free_port, gateway, nats_server, uplink

HUB = """
server_name: hub
accounts {{
    PLANT {{ users: [ {{ user: plant, password: pw }} ] }}
    OFFICE {{ users: [ {{ user: office, password: pw }} ] }}
}}
leafnodes {{ listen: "127.0.0.1:{port}", authorization {{ users: [
    {{ user: to-plant, password: pw, account: PLANT }}, {{ user: to-office, password: pw, account: OFFICE }}
] }} }}
"""
NATS_SERVER = """
server_name: edge
accounts {{
    plant {{
        users: [ {{ user: plant, password: pw }} ]
        exports: [ {{ stream: "telemetry.>" }}, {{ service: calc }} ]
    }}
    office {{ users: [ {{ user: office, password: pw }} ], imports: [
        {{ stream: {{ account: plant, subject: "telemetry.>" }}, prefix: plant }},
        {{ service: {{ account: plant, subject: calc }} }}
    ] }}
}}
leafnodes {{ remotes: [ {remotes} ] }}
"""
GATEWAY = """
[[accounts]]
name = "plant"
exports = [{ stream = "telemetry.>" }, { service = "calc" }]
[[accounts]]
name = "office"
[[accounts.imports]]
stream = "telemetry.>"
account = "plant"
prefix = "plant"
[[accounts.imports]]
service = "calc"
account = "plant"
""" + "".join(f'[[users]]\nname = "{name}"\npassword = "pw"\naccount = "{name}"\n' for name in ("plant", "office"))
BOTH, PLANT, OFFICE = ("plant", "office"), ("plant",), ("office",)


def remote_url(account: str, port: int) -> str:
    return f"nats-leaf://to-{account}:pw@127.0.0.1:{port}"


@contextmanager
def edge_server(kind: str, directory: Path, linked: tuple[str, ...], port: int) -> Iterator[Peer]:
    """With a link of each of the accounts to the hub's account of that name."""
    if kind == "gateway":
        links = "".join(uplink(remote_url(name, port), account=name, **IMPATIENT) for name in linked)
        with gateway(directory, config=GATEWAY + links) as peer:
            peer.wait_for_log("event=up", count=len(linked))
            yield peer
    else:
        remotes = ", ".join(f'{{ url: "{remote_url(name, port)}", account: {name} }}' for name in linked)
        with nats_server(directory, NATS_SERVER.format(remotes=remotes)) as peer:
            peer.wait_for_log("Leafnode connection created", count=len(linked))
            yield peer


async def answer(message: Msg) -> None:
    await message.respond(json.dumps(dict(message.header or {})).encode())


async def asked(requester: Client) -> str:
    """What the service was told of who asks, or that there is none."""
    try:
        header = json.loads((await requester.request("calc", timeout=PATIENCE_SECONDS)).data)
    except NoRespondersError:
        return "nobody"
    told: str = json.loads(header.get("Nats-Request-Info", "{}")).get("acc", "")
    return told


async def play(hub: Peer, edge: Peer, linked: tuple[str, ...]) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        far, here = {}, {}
        for name in BOTH:
            far[name] = await stack.enter_async_context(client(hub, user=name, password="pw"))
            here[name] = await stack.enter_async_context(client(edge, user=name, password="pw"))
        heard: dict[str, list[str]] = {"office at the hub": [], "office at the edge": []}
        for where, peers in (("office at the hub", far), ("office at the edge", here)):

            async def note(message: Msg, where: str = where) -> None:
                heard[where].append(message.subject)

            await peers["office"].subscribe("plant.telemetry.>", cb=note)
            await peers["office"].flush()

        async def settle() -> None:
            for name in linked:
                await interest_settled(here[name], far[name])
                await interest_settled(far[name], here[name])

        def last_is_missing() -> bool:
            return "office" in linked and "plant.telemetry.last" not in heard["office at the hub"]

        await settle()
        await here["plant"].publish("telemetry.edge", b"")
        await here["plant"].flush()
        await far["plant"].publish("telemetry.hub", b"")
        await far["plant"].flush()
        # What is last has everything before it in front of it.
        await settle()
        await here["plant"].publish("telemetry.last", b"")
        await here["plant"].flush()
        wanted = 2 + ("plant" in linked)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(heard["office at the edge"]) < wanted or last_is_missing():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        found: dict[str, Any] = {where: sorted(subjects) for where, subjects in heard.items()}
        await here["plant"].subscribe("calc", cb=answer)
        await here["plant"].flush()
        await settle()
        found["office asks here"] = await asked(here["office"])
        if "office" in linked:
            found["office asks from the hub"] = await asked(far["office"])
        return found


@pytest.mark.parametrize("linked", [BOTH, PLANT, OFFICE])
def test_imported_streams_and_services_reach_beyond_links_as_they_do_at_a_nats_server(
    tmp_path: Path, linked: tuple[str, ...]
) -> None:
    port = free_port()
    with nats_server(tmp_path / "hub", HUB.format(port=port)) as hub:
        found = {}
        for kind in ("nats-server", "gateway"):
            with edge_server(kind, tmp_path / kind, linked, port) as edge:
                found[kind] = asyncio.run(play(hub, edge, linked))
    assert found["gateway"] == found["nats-server"]
    from_the_edge = ["plant.telemetry.edge", "plant.telemetry.last"]
    assert found["gateway"]["office at the hub"] == (from_the_edge if "office" in linked else [])
