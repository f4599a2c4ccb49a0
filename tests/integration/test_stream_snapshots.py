"""Streams are copied with the `nats` command, from the gateway to a nats-server and the other way, and back."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.integration.jetstream_pair import STREAMS, nats_server_and_gateway
from tests.integration.jetstream_requests import Script, both
from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, clients, run
from tests.integration.mirror_pair import ask, create, fill, messages, state
from tests.integration.peers import Peer, gateway
from tests.integration.test_jetstream_command import nats as command

MESSAGES = 3000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with nats_server_and_gateway(tmp_path_factory.mktemp("snapshots")) as peers:
        yield peers


async def fill_stream(connection: Client, name: str) -> None:
    """Messages of all kinds, some of them deleted, and a consumer that has come to its middle."""
    await create(connection, name, subjects=[f"{name}.>"], allow_msg_ttl=True, allow_rollup_hdrs=True)
    js = connection.jetstream(timeout=PATIENCE_SECONDS)
    for number in range(MESSAGES):
        headers = {"Own": f"header {number}"} if number % 3 == 0 else None
        await connection.publish(f"{name}.{number % 7}", b"%d" % number * (number % 90), headers=headers)
    await connection.flush()
    await fill(connection, f"{name}.last", 0, 3)
    for sequence in (5, 6, 7, MESSAGES + 3):
        await ask(connection, f"STREAM.MSG.DELETE.{name}", {"seq": sequence})
    pull = await js.pull_subscribe(f"{name}.3", durable="C", stream=name)
    for message in await pull.fetch(20, timeout=PATIENCE_SECONDS):
        if message.metadata.sequence.consumer % 2:
            await message.ack_sync(PATIENCE_SECONDS)


async def picture(connection: Client, name: str) -> dict[str, Any]:
    """All that there is to see of a stream and its consumer."""
    told = (await ask(connection, f"STREAM.INFO.{name}", {"subjects_filter": ">", "deleted_details": True}))["state"]
    told.pop("bytes")
    # When a message came that is there no more is not kept.
    told.pop("last_ts")
    consumer = await ask(connection, f"CONSUMER.INFO.{name}.C")
    names = ("ack_floor", "num_pending", "num_ack_pending")
    config = {key: value for key, value in consumer["config"].items() if key != "metadata"}
    # When something was done is not kept.
    floor = {key: consumer["ack_floor"][key] for key in ("consumer_seq", "stream_seq")}
    seen = {key: consumer[key] for key in names} | {"ack_floor": floor}
    return {"state": told, "consumer": seen, "config": config, "messages": await messages(connection, name)}


async def fill_and_look(peer: Peer, name: str) -> dict[str, Any]:
    async with client(peer) as connection:
        await fill_stream(connection, name)
        return await picture(connection, name)


async def delete(peer: Peer, name: str) -> None:
    async with client(peer) as connection:
        await ask(connection, f"STREAM.DELETE.{name}")


async def look_again(peer: Peer, name: str, seen: dict[str, Any]) -> None:
    """It is what it was, and goes on from there."""
    async with client(peer) as connection:
        assert await picture(connection, name) == seen
        last = (await state(connection, name))["last_seq"]
        await fill(connection, f"{name}.3", 0, 1)
        assert (await state(connection, name))["last_seq"] == last + 1


@pytest.mark.parametrize("way", ["gateway-to-nats-server", "nats-server-to-gateway", "gateway-to-gateway"])
def test_a_stream_is_the_same_where_its_snapshot_was_brought(pair: tuple[Peer, Peer], tmp_path: Path, way: str) -> None:
    theirs, ours = pair
    origin, _, target = way.partition("-to-")
    first, second = (ours if place == "gateway" else theirs for place in (origin, target))
    name, copy = way.upper(), tmp_path / "copy"
    seen = asyncio.run(fill_and_look(first, name))
    command(first, "stream", "backup", name, str(copy), "--no-progress", "--consumers")
    if first is second:
        asyncio.run(delete(first, name))
    command(second, "stream", "restore", str(copy), "--no-progress")
    asyncio.run(look_again(second, name, seen))


def test_what_cannot_be_a_snapshot_is_refused_as_nats_server_does(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.S", {"name": "S", "subjects": ["s"]})
        await script.publish("s", b"1")
        await script.request("STREAM.SNAPSHOT.S")
        await script.request("STREAM.SNAPSHOT.S", b"{nonsense")
        await script.request("STREAM.SNAPSHOT.S", {"deliver_subject": ""})
        await script.request("STREAM.SNAPSHOT.S", {"deliver_subject": "a.*"})
        await script.request("STREAM.SNAPSHOT.NOPE", {"deliver_subject": "a"})
        await script.request("STREAM.RESTORE.S")
        await script.request("STREAM.RESTORE.S", b"{nonsense")
        await script.request("STREAM.RESTORE.S", {"config": {"name": "S", "subjects": ["s"]}, "state": {}})
        await script.request("STREAM.RESTORE.S", {"config": {"name": "OTHER"}, "state": {}})
        await script.request("STREAM.RESTORE.R", {"config": {"name": "R", "max_age": 1}, "state": {}})
        await script.request("STREAM.DELETE.S")

    async def test() -> None:
        async with clients(*pair) as connections:
            theirs, ours = await both(connections, scenario)
            assert ours == theirs

    run(test)


async def begin_restore(connection: Client, name: str) -> str:
    told = await ask(connection, f"STREAM.RESTORE.{name}", {"config": {"name": name, "subjects": [name]}, "state": {}})
    subject: str = told["deliver_subject"]
    return subject


async def snapshot(connection: Client, name: str) -> bytes:
    """All pieces of a snapshot, in small ones."""
    inbox = connection.new_inbox()
    pieces = await connection.subscribe(inbox)
    asked = {"deliver_subject": inbox, "chunk_size": 1024, "window_size": 4096}
    await ask(connection, f"STREAM.SNAPSHOT.{name}", asked)
    found = b""
    while True:
        piece = await pieces.next_msg(PATIENCE_SECONDS)
        if not piece.data:
            assert (piece.headers or {}).get("Status") == "204"
            return found
        found += piece.data
        if piece.reply:
            await connection.publish(piece.reply, b"")


def test_a_snapshot_that_is_cut_short_or_harmed_makes_no_stream(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with client(pair[1]) as connection:
            await create(connection, "HARM", subjects=["HARM"])
            await fill(connection, "HARM", 0, 500)
            whole = await snapshot(connection, "HARM")
            await ask(connection, "STREAM.DELETE.HARM")
            middle = len(whole) // 2
            flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
            for harmed in (whole[:-1], whole[:middle], whole[10:], flipped, whole + whole, b"nonsense" * 100, b""):
                subject = await begin_restore(connection, "HARM")
                for start in range(0, len(harmed), 1000):
                    told = await connection.request(subject, harmed[start : start + 1000], timeout=PATIENCE_SECONDS)
                    if told.data:
                        break
                else:
                    told = await connection.request(subject, b"", timeout=PATIENCE_SECONDS)
                assert json.loads(told.data)["error"]["err_code"] == 10062
                assert (await ask(connection, "STREAM.INFO.HARM"))["error"]["err_code"] == 10059
            subject = await begin_restore(connection, "HARM")
            for start in range(0, len(whole), 1000):
                await connection.request(subject, whole[start : start + 1000], timeout=PATIENCE_SECONDS)
            told = await connection.request(subject, b"", timeout=PATIENCE_SECONDS)
            assert json.loads(told.data)["state"]["messages"] == 500
            await ask(connection, "STREAM.DELETE.HARM")

    run(test)


def test_what_a_restart_has_cut_short_is_gone(tmp_path: Path) -> None:
    async def begin(peer: Peer) -> None:
        async with client(peer) as connection:
            await create(connection, "CUT", subjects=["CUT"])
            await fill(connection, "CUT", 0, 500)
            whole = await snapshot(connection, "CUT")
            await ask(connection, "STREAM.DELETE.CUT")
            subject = await begin_restore(connection, "CUT")
            for start in range(0, len(whole) // 2, 1000):
                await connection.request(subject, whole[start : start + 1000], timeout=PATIENCE_SECONDS)

    async def see(peer: Peer) -> None:
        async with client(peer) as connection:
            assert (await ask(connection, "STREAM.NAMES"))["streams"] is None
            await create(connection, "CUT", subjects=["CUT"])
            await fill(connection, "CUT", 0, 1)

    data = tmp_path / "data"
    with gateway(tmp_path / "one", config=STREAMS, data_directory=data) as peer:
        asyncio.run(begin(peer))
        peer.kill()
    with gateway(tmp_path / "two", config=STREAMS, data_directory=data) as peer:
        asyncio.run(see(peer))
        assert "event=partial-stream-removed" in peer.log()
