"""Retained messages and a key-value bucket that are the same: MQTT clients on one side, nats-py's KV on the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from nats.js.errors import KeyDeletedError, KeyNotFoundError
from nats.js.kv import KeyValue

from tests.integration.leafnode_pair import client, run
from tests.integration.mqtt_peers import PahoClient, paho_client
from tests.integration.peers import Peer, gateway, read_ports_file
from tests.patience import PATIENCE_SECONDS

POLL_SECONDS = 0.02
CONFIG = '[streams]\n[mqtt]\nretained-bucket = "STATE"\n'


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    with gateway(directory, protocols=("nats", "mqtt"), config=CONFIG, data_directory=directory / "data") as peer:
        yield peer


async def value_of(bucket: KeyValue, key: str) -> bytes | None:
    try:
        return (await bucket.get(key)).value
    except (KeyNotFoundError, KeyDeletedError):
        return None


async def await_value(bucket: KeyValue, key: str, value: bytes | None) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await value_of(bucket, key) != value:  # noqa: ASYNC110 -- it comes by another way
            await asyncio.sleep(POLL_SECONDS)


def with_bucket(edge: Peer, do: Callable[[KeyValue], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with client(edge) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            while True:
                try:
                    bucket = await js.key_value("STATE")
                    break
                except Exception:  # noqa: BLE001 -- it is made just now
                    await asyncio.sleep(0.05)
            await do(bucket)

    run(connected)


def retained(edge: Peer, topic: str) -> bytes | None:
    """What a new subscriber gets."""
    with paho_client(edge) as newcomer:
        newcomer.subscribe(topic, 1)
        newcomer.publish("fence", b"", 1)
        newcomer.subscribe("fence/of/all", 1)
        newcomer.publish("fence/of/all", b"fence", 1)
        found = newcomer.next_message()
        return found.payload if found.topic == topic else None


def test_retained_messages_are_keys(edge: Peer) -> None:
    with paho_client(edge) as publisher:
        publisher.publish("lamps/hall", b"on", 1, retain=True)
        publisher.publish("lamps/hall", b"passing", 1)

        async def look(bucket: KeyValue) -> None:
            await await_value(bucket, "lamps.hall", b"on")
            publisher.publish("lamps/hall", b"off", 1, retain=True)
            await await_value(bucket, "lamps.hall", b"off")
            publisher.publish("lamps/hall", b"", 1, retain=True)
            await await_value(bucket, "lamps.hall", None)

        with_bucket(edge, look)


def test_keys_are_retained_messages(edge: Peer) -> None:
    with paho_client(edge) as subscriber:
        subscriber.subscribe("doors/#", 1)

        async def put(bucket: KeyValue) -> None:
            await bucket.put("doors.front", b"open")
            assert await asyncio.to_thread(subscriber.next_pair) == ("doors/front", b"open")
            assert await asyncio.to_thread(retained, edge, "doors/front") == b"open"
            await bucket.put("doors.front", b"closed")
            assert await asyncio.to_thread(subscriber.next_pair) == ("doors/front", b"closed")
            await bucket.delete("doors.front")
            assert await asyncio.to_thread(subscriber.next_pair) == ("doors/front", b"")
            assert await asyncio.to_thread(retained, edge, "doors/front") is None

        with_bucket(edge, put)
        subscriber.nothing_more()


def test_both_end_with_the_same_when_both_write(edge: Peer) -> None:
    """Whatever the order, and nothing goes round: the stream stands still behind the last write."""
    with paho_client(edge) as publisher:

        async def write(bucket: KeyValue) -> None:
            async with asyncio.TaskGroup() as both:
                for number in range(100):
                    both.create_task(bucket.put("race.key", b"bucket %d" % number))
                both.create_task(asyncio.to_thread(publish_many, publisher))
            await bucket.put("race.end", b"end")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await asyncio.to_thread(retained, edge, "race/end") != b"end":
                    pass
                last = -1
                while True:
                    entry, kept = await bucket.get("race.key"), await asyncio.to_thread(retained, edge, "race/key")
                    if entry.value == kept and entry.revision == last:
                        break
                    last = entry.revision or 0
            assert (await bucket.status()).values <= 10

        with_bucket(edge, write)


def publish_many(publisher: PahoClient) -> None:
    for number in range(100):
        publisher.publish("race/key", b"retained %d" % number, 1, retain=True)


def test_what_came_while_one_was_not_looking_is_there_after_a_kill(tmp_path: Path) -> None:
    plain = "[streams]\n"
    data = tmp_path / "data"
    with (
        gateway(tmp_path, protocols=("nats", "mqtt"), config=plain, data_directory=data) as edge,
        paho_client(edge) as publisher,
    ):
        publisher.publish("before/it", b"was there", 1, retain=True)
    with gateway(tmp_path, protocols=("nats", "mqtt"), config=CONFIG, data_directory=data) as edge:

        async def look(bucket: KeyValue) -> None:
            await await_value(bucket, "before.it", b"was there")
            await bucket.put("then.it", b"came")
            edge.kill()

        with_bucket(edge, look)
        (tmp_path / "ports.json").unlink()
        edge.start()
        edge.wait_ready((tmp_path / "ports.json").exists)
        edge.ports = read_ports_file(tmp_path / "ports.json") or {}
        while retained(edge, "then/it") != b"came":
            pass
        assert retained(edge, "before/it") == b"was there"
