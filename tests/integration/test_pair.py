"""Two gateways of a pair: what clients, sessions and streams of one find at the other when it is killed."""

import asyncio
import contextlib
import json
import queue
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import urlopen

import aiomqtt
import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError
from paho.mqtt.packettypes import PacketTypes

from tests.integration.leafnode_pair import ignore_error, run
from tests.integration.mqtt5_peers import NEVER_EXPIRES, Paho5Client, paho5_client, properties
from tests.integration.node_peers import node_client
from tests.integration.pair_boxes import PATIENCE_SECONDS, Box, await_pair, two_boxes
from tests.integration.peers import wait_until
from tests.integration.raw_peer import RawPeer

LASTING = {"SessionExpiryInterval": NEVER_EXPIRES}


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    with two_boxes(tmp_path_factory.mktemp("pair"), "[streams]\n", 'streams = ["ORDERS*", "KV_*"]') as both:
        yield both


@pytest.fixture(params=["the first dies", "the second dies"])
def dying(request: pytest.FixtureRequest, boxes: tuple[Box, Box]) -> Iterator[tuple[Box, Box]]:
    """The one that is to be killed, and the other one; both are there again at the end."""
    first, second = boxes
    victim, other = (first, second) if "first" in request.param else (second, first)
    try:
        yield victim, other
    finally:
        if victim.is_dead():
            victim.come_back()
        await_pair(first, second)


def told(box: Box) -> dict[str, Any]:
    """What a gateway says of the pair."""
    with urlopen(box.url("monitoring", "http") + "/varz") as answer:
        found: dict[str, Any] = json.load(answer)["pair"]
    return found


def await_copies(box: Box, messages: int) -> None:
    """Return once so many messages of the other gateway's sessions are here too."""
    wait_until(lambda: told(box)["messages"] == messages, f"{messages} copies at {box.name}", PATIENCE_SECONDS)


def await_told(box: Box) -> None:
    wait_until(lambda: told(box)["untold"] == 0, f"{box.name} has told everything", PATIENCE_SECONDS)


@asynccontextmanager
async def nats_client(box: Box) -> AsyncIterator[Client]:
    options = {"reconnect_time_wait": 0.05, "max_reconnect_attempts": -1, "allow_reconnect": True}
    connection = await nats.connect(box.url(), error_cb=ignore_error, **options)
    try:
        yield connection
    finally:
        await connection.close()


def payloads(client: Paho5Client, count: int) -> list[bytes]:
    return [client.next_message().payload for _ in range(count)]


def test_nats_clients_move_to_the_other_gateway(dying: tuple[Box, Box]) -> None:
    victim, other = dying

    async def talk() -> None:
        async with nats_client(victim) as subscriber, nats_client(victim) as publisher:
            assert f"127.0.0.1:{other.ports['nats']}" in {one.netloc for one in publisher.discovered_servers}
            moved = asyncio.Queue[bytes]()

            async def take(message: Any) -> None:
                moved.put_nowait(message.data)

            await subscriber.subscribe("moved.>", cb=take)
            await subscriber.flush()
            await publisher.publish("moved.before", b"before")
            assert await asyncio.wait_for(moved.get(), PATIENCE_SECONDS) == b"before"
            victim.kill()
            while moved.empty():
                if publisher.is_connected:
                    await publisher.publish("moved.after", b"after")
                await asyncio.sleep(0.02)
            assert moved.get_nowait() == b"after"
            assert subscriber.connected_url is not None
            assert subscriber.connected_url.port == other.ports["nats"]

    run(talk)


@pytest.mark.parametrize("dying", ["the first dies"], indirect=True)
def test_clients_over_websocket_move_to_the_other_gateway(dying: tuple[Box, Box]) -> None:
    victim, other = dying
    with node_client("roaming_client.mjs", victim.url("websocket", "ws")) as client:
        client.call("subscribe", subject="roaming.>")
        client.call("publish", subject="roaming.here", payload="before")
        assert client.next_message()["payload"] == "before"
        victim.kill()
        there = str(other.ports["websocket"])
        wait_until(lambda: there in client.call("server"), "nats.js at the other", PATIENCE_SECONDS)
        client.call("publish", subject="roaming.there", payload="after")
        assert client.next_message()["payload"] == "after"


@pytest.mark.parametrize("dying", ["the second dies"], indirect=True)
def test_aiomqtt_goes_on_at_the_other_gateway(dying: tuple[Box, Box]) -> None:
    victim, other = dying
    name = f"aiomqtt-{victim.name}"

    def connected(box: Box) -> aiomqtt.Client:
        lasting = properties(PacketTypes.CONNECT, **LASTING)
        session: dict[str, Any] = {"clean_start": False, "properties": lasting, "protocol": aiomqtt.ProtocolVersion.V5}
        return aiomqtt.Client("127.0.0.1", box.ports["mqtt"], identifier=name, **session)

    async def talk() -> None:
        with contextlib.suppress(aiomqtt.MqttError):  # It leaves no better than it was left.
            async with connected(victim) as client:
                await client.subscribe(f"{name}/#", qos=1)
                await asyncio.to_thread(await_told, victim)
                victim.kill()
                await anext(aiter(client.messages))
        async with connected(other) as client:
            await client.publish(f"{name}/after", b"after", qos=1)
            message = await asyncio.wait_for(anext(aiter(client.messages)), PATIENCE_SECONDS)
            assert message.payload == b"after"

    run(talk)


def test_session_with_what_waits_in_it_is_at_the_other_gateway(dying: tuple[Box, Box]) -> None:
    victim, other = dying
    name = f"kept-{victim.name}"
    with paho5_client(victim, name, **LASTING) as client, paho5_client(other) as publisher:
        client.ask(f"{name}/#", qos=1)
        publisher.tell(f"{name}/seen", b"seen", qos=1)
        assert payloads(client, 1) == [b"seen"]
        client.leave(SessionExpiryInterval=NEVER_EXPIRES)
        for number in range(30):
            publisher.tell(f"{name}/waits", b"%d" % number, qos=1)
        await_copies(other, 30)
        victim.kill()
        wait_until(lambda: not other.sees_the_other(), "the end of the other", PATIENCE_SECONDS)
        publisher.tell(f"{name}/meanwhile", b"meanwhile", qos=1)
        assert client.open(other, clean=False, **LASTING) == 0
        assert client.session_present
        assert payloads(client, 31) == [b"%d" % number for number in range(30)] + [b"meanwhile"]
        publisher.tell(f"{name}/now", b"now", qos=1)
        assert payloads(client, 1) == [b"now"]
        # The dead one returns with what it had: the session is not its any more, and comes back when it is asked for.
        victim.come_back()
        await_pair(victim, other)
        await_told(other)
        publisher.tell(f"{name}/once", b"once", qos=1)
        assert payloads(client, 1) == [b"once"]
        client.leave(SessionExpiryInterval=NEVER_EXPIRES)
        publisher.tell(f"{name}/last", b"last", qos=1)
        await_copies(victim, 1)
        assert client.open(victim, clean=False, **LASTING) == 0
        assert client.session_present
        assert payloads(client, 1) == [b"last"]
        client.nothing_more()
        client.leave(SessionExpiryInterval=0)


def test_client_that_moves_while_both_live_takes_its_session_along(boxes: tuple[Box, Box]) -> None:
    first, second = boxes
    with paho5_client(first, "roamer", **LASTING) as client, paho5_client(first) as publisher:
        client.ask("roam/#", qos=2)
        await_told(first)
        for turn, here in enumerate((second, first, second)):
            successor = Paho5Client("roamer")
            assert successor.open(here, clean=False, **LASTING) == 0
            assert successor.session_present
            client.wait_disconnected()
            client.close()
            client = successor
            # While it moves both gateways take messages for it: then one may come twice.
            publisher.tell("roam/there", b"%d" % turn, qos=2)
            came = [b""]
            while came[-1] != b"%d" % turn:
                came += payloads(client, 1)
            assert came == sorted(came)
            await_told(here)
        client.leave(SessionExpiryInterval=0)
        client.close()


def test_stream_is_served_from_its_mirror(dying: tuple[Box, Box]) -> None:
    victim, other = dying
    name = f"ORDERS-{victim.name}"

    async def talk() -> None:
        async with nats_client(victim) as there, nats_client(other) as here:
            await there.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
            js = here.jetstream(timeout=PATIENCE_SECONDS)
            for number in range(20):  # Over the link: the stream is at the victim.
                await js.publish(f"{name}.{number}", b"%d" % number)
            await mirrored(here, name, 20)
            victim.kill()
            reader = await js.subscribe(f"{name}.>", ordered_consumer=True, stream=name)
            assert [(await reader.next_msg(PATIENCE_SECONDS)).data for _ in range(20)] == [
                b"%d" % number for number in range(20)
            ]
            await reader.unsubscribe()
            with pytest.raises(NoStreamResponseError):
                await js.publish(f"{name}.20", b"20")
            victim.come_back()
            while True:
                try:
                    await js.publish(f"{name}.20", b"20")
                    break
                except NoStreamResponseError:
                    await asyncio.sleep(0.05)
            await mirrored(here, name, 21)

    run(talk)


async def mirrored(client: Client, stream: str, messages: int) -> None:
    """Return once a stream here has so many messages."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = json.loads((await client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=PATIENCE_SECONDS)).data)
            if answer.get("state", {}).get("messages") == messages:
                assert "mirror" in answer["config"]
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("dying", ["the first dies"], indirect=True)
def test_gateway_that_ends_sends_its_clients_to_the_other(dying: tuple[Box, Box]) -> None:
    victim, other = dying
    name = f"sent-{victim.name}"
    with paho5_client(victim, f"{name}-away", **LASTING) as away, paho5_client(victim, f"{name}-there") as there:
        away.ask(f"{name}/#", qos=1)
        away.leave(SessionExpiryInterval=NEVER_EXPIRES)
        references: queue.Queue[tuple[int, str | None]] = queue.Queue()

        def hear(_client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
            references.put((reason.value, getattr(properties, "ServerReference", None)))

        there.paho.on_disconnect = hear
        with paho5_client(other) as publisher:
            for number in range(50):
                publisher.tell(f"{name}/n", b"%d" % number, qos=1)
        assert victim.stop() == 0
        assert references.get(timeout=PATIENCE_SECONDS) == (0x9C, f"127.0.0.1:{other.ports['mqtt']}")
        # Nothing was waited for: it ends behind what it has to hand over.
        assert away.open(other, clean=False, **LASTING) == 0
        assert away.session_present
        assert payloads(away, 50) == [b"%d" % number for number in range(50)]
        away.leave(SessionExpiryInterval=0)


def next_servers(peer: RawPeer) -> list[str]:
    """What the next INFO says of servers."""
    line = b""
    while not line.startswith(b"INFO "):
        line = peer.read_through(b"\r\n")
    servers: list[str] = json.loads(line.removeprefix(b"INFO "))["connect_urls"]
    return servers


def test_clients_are_told_of_the_other_gateway_as_it_comes_and_goes(boxes: tuple[Box, Box]) -> None:
    first, second = boxes
    raw = RawPeer(first.address("nats"))
    raw.send(b'CONNECT {"protocol":1}\r\n')
    own, other = (f"127.0.0.1:{one.ports['nats']}" for one in boxes)
    assert next_servers(raw) == [own, other]
    try:
        second.kill()
        assert next_servers(raw) == [own]
    finally:
        second.come_back()
    assert next_servers(raw) == [own, other]
    raw.socket.close()
    await_pair(first, second)
