"""A gateway that stores and forwards, its hub with JetStream, and what the hub's streams hold."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from tests.integration.leafnode_pair import IMPATIENT, LEAF_AUTHORIZATION, PATIENCE_SECONDS, leaf_url
from tests.integration.peers import Peer, gateway, nats_server, uplink, wait_until

# Shorter than any outage of a test: ids alone would not keep a message from being stored twice.
DUPLICATE_WINDOW = 0.1


def buffer(subjects: tuple[str, ...] = ("sensors.>",), **keys: Any) -> str:
    """A table of the configuration; keys with underscores."""
    lines = ["[[store-and-forward]]", f"subjects = {json.dumps(subjects)}"]
    lines += [f"{key.replace('_', '-')} = {toml(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


@contextmanager
def hub_with_jetstream(directory: Path, more: str = "", domain: str = "") -> Iterator[Peer]:
    """One that keeps what it acknowledges, whoever kills it."""
    options = f'store_dir: "{directory / "store"}", sync_interval: always' + (f", domain: {domain}" if domain else "")
    config = f"server_name: hub\njetstream {{ {options} }}\n{more}\n"
    with nats_server(directory, config, leafnodes=LEAF_AUTHORIZATION) as hub:
        yield hub


@contextmanager
def storing_gateway(directory: Path, hub: Peer, config: str = "", **options: Any) -> Iterator[Peer]:
    """A gateway with an uplink `cloud` to the hub; `config` are its buffers, and more."""
    links = uplink(leaf_url(hub), name="cloud", **IMPATIENT)
    options = {"protocols": ("nats", "mqtt"), "data_directory": directory / "data", "monitoring": True} | options
    with gateway(directory, config=links + (config or buffer()), **options) as edge:
        yield edge


async def make_stream(
    hub: Client,
    name: str = "SENSORS",
    subjects: tuple[str, ...] = ("sensors.>",),
    window: float = DUPLICATE_WINDOW,
    **keys: Any,
) -> None:
    config = StreamConfig(name=name, subjects=list(subjects), duplicate_window=window, **keys)
    await hub.jetstream().add_stream(config)


async def stored(hub: Client, name: str = "SENSORS") -> list[tuple[str, bytes]]:
    """Subject and payload of all messages in a stream, in order."""
    return [(subject, payload) for subject, payload, _ in await stored_whole(hub, name)]


async def stored_whole(hub: Client, name: str = "SENSORS") -> list[tuple[str, bytes, dict[str, str]]]:
    """The same with headers."""
    jetstream = hub.jetstream()
    state = (await jetstream.stream_info(name)).state
    found: list[tuple[str, bytes, dict[str, str]]] = []
    if not state.messages:
        return found
    subscription = await jetstream.pull_subscribe(">", stream=name, config=ConsumerConfig(ack_policy=AckPolicy.NONE))
    while len(found) < state.messages:
        messages = await subscription.fetch(min(1000, state.messages - len(found)), PATIENCE_SECONDS)
        found += [(one.subject, one.data, dict(one.header or {})) for one in messages]
    await subscription.unsubscribe()
    return found


async def stored_count(hub: Client, count: int, name: str = "SENSORS", seconds: float = 3 * PATIENCE_SECONDS) -> None:
    """Return once a stream has so many messages."""
    async with asyncio.timeout(seconds):
        while (await hub.jetstream().stream_info(name)).state.messages < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def fetched(edge: Peer, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.ports['monitoring']}{path}") as response:
        text: str = response.read().decode()
        return text


def monitored(edge: Peer, path: str = "/varz") -> Any:
    return json.loads(fetched(edge, path))


def buffer_state(edge: Peer, name: str = "cloud") -> dict[str, Any]:
    return next(one for one in monitored(edge)["store_and_forward"] if one["name"] == name)


def wait_for_buffer(edge: Peer, what: str, **wanted: Any) -> dict[str, Any]:
    """Return once the buffer's state has these values."""
    wait_until(lambda: wanted.items() <= buffer_state(edge, wanted.get("name", "cloud")).items(), what)
    return buffer_state(edge, wanted.get("name", "cloud"))


def wait_until_empty(edge: Peer, name: str = "cloud") -> None:
    wait_for_buffer(edge, "an empty buffer", name=name, messages=0)
