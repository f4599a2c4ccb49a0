"""A hub and a gateway with streams of their own, and how to see whether one stream is a copy of another."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from tests.integration.leafnode_pair import IMPATIENT, LEAF_AUTHORIZATION, LINK_UP, leaf_url
from tests.integration.peers import Peer, gateway, nats_server, uplink
from tests.patience import LONG_SECONDS, PATIENCE_SECONDS

STREAMS = '[streams]\ndomain = "edge"\n'
SECONDS = PATIENCE_SECONDS
POLL_SECONDS = 0.05

Told = dict[str, Any]


@contextmanager
def hub_and_edge_with_streams(directory: Path) -> Iterator[tuple[Peer, Peer]]:
    """In the domains `hub` and `edge`."""
    config = f'server_name: hub\njetstream {{ store_dir: "{directory / "store"}", domain: hub }}\n'
    with nats_server(directory / "hub", config, leafnodes=LEAF_AUTHORIZATION) as hub:
        edge_config = uplink(leaf_url(hub), **IMPATIENT) + STREAMS
        with gateway(directory / "edge", config=edge_config, data_directory=directory / "data") as edge:
            edge.wait_for_log(LINK_UP)
            yield hub, edge


async def ask(client: Client, subject: str, asked: Any = None, domain: str = "") -> Told:
    """Ask the API; without an answer again, for links come and go."""
    payload = b"" if asked is None else json.dumps(asked).encode()
    prefix = f"$JS.{domain}.API" if domain else "$JS.API"
    while True:
        try:
            answer = await client.request(f"{prefix}.{subject}", payload, timeout=5)
            told: Told = json.loads(answer.data)
            return told
        except (NoRespondersError, NatsTimeoutError):
            await asyncio.sleep(POLL_SECONDS)


async def create(client: Client, name: str, **config: Any) -> Told:
    told = await ask(client, f"STREAM.CREATE.{name}", {"name": name} | config)
    assert "error" not in told, told
    return told


def external(domain: str, deliver: str = "") -> Told:
    return {"external": {"api": f"$JS.{domain}.API", "deliver": deliver}}


async def fill(client: Client, subject: str, begin: int, end: int) -> None:
    """Publish numbers, each acknowledged."""
    for number in range(begin, end):
        told = await client.request(subject, b"%d" % number, timeout=SECONDS)
        assert b'"seq"' in told.data, told.data
        assert b"error" not in told.data, told.data


async def state(client: Client, stream: str) -> Told:
    told = await ask(client, f"STREAM.INFO.{stream}")
    found: Told = told["state"]
    return found


async def until(client: Client, stream: str, last: int) -> None:
    """Return once a stream has come to a sequence. nats-server waits longer and longer between two attempts to read an
    origin that was not there.
    """

    async def look() -> None:
        while (await state(client, stream))["last_seq"] < last:  # noqa: ASYNC110 - another process moves it
            await asyncio.sleep(POLL_SECONDS)

    try:
        await asyncio.wait_for(look(), LONG_SECONDS)
    except TimeoutError:
        raise AssertionError(
            f"{stream} does not come to {last}: {await ask(client, f'STREAM.INFO.{stream}')}"
        ) from None


async def messages(client: Client, stream: str) -> list[Told]:
    """Everything in a stream, in order."""
    found = await state(client, stream)
    every = []
    for sequence in range(found["first_seq"], found["last_seq"] + 1):
        told = await ask(client, f"STREAM.MSG.GET.{stream}", {"seq": sequence})
        if "message" in told:
            every.append(told["message"])
    return every
