"""What a hub refuses does not cost the link: interest, messages, and more of both than it takes at once."""

import asyncio
import contextlib
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from nats.errors import NoRespondersError

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    clients,
    hub_and_edge,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.peers import Peer, gateway, nats_server, uplink, wait_until
from tests.integration.raw_peer import RawPeer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with hub_and_edge(tmp_path_factory.mktemp("pair"), protocols=("nats", "mqtt"), monitoring=True) as peers:
        yield peers


@pytest.fixture(scope="module")
def hub(pair: tuple[Peer, Peer]) -> Peer:
    return pair[0]


@pytest.fixture(scope="module")
def edge(pair: tuple[Peer, Peer]) -> Peer:
    return pair[1]


def monitored(edge: Peer, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.ports['monitoring']}{path}") as response:
        return json.load(response)


FORBIDDEN = (
    "$JS.API.x",
    "$JS.API.STREAM.NAMES",
    "$JS.API.*",
    "$JS.API.>",
    "$KV.b.key",
    "$KV.b.*",
    "$KV.>",
    "$OBJ.x",
    "$OBJ.>",
)


@pytest.mark.parametrize("queue", ["", "workers"])
def test_interest_in_the_jetstream_of_the_hub_does_not_cost_the_link(hub: Peer, edge: Peer, queue: str) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            for subject in FORBIDDEN:
                await at_edge.subscribe(subject, queue=queue)
            await settled_both_ways(at_hub, at_edge)

    run(test)
    assert "event=down" not in edge.log()
    assert "Permissions Violation" not in hub.log()


def test_interest_of_mqtt_clients_in_buckets_of_the_hub_does_not_cost_the_link(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            await settled_both_ways(at_hub, at_edge)

    subscriber = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    granted: list[object] = []
    subscriber.on_subscribe = lambda _client, _data, _id, codes, _properties: granted.extend(codes)
    subscriber.connect(*edge.address("mqtt"))
    subscriber.loop_start()
    subscriber.subscribe([("$KV/b/#", 0), ("$JS/API/x", 1), ("#", 0)])
    wait_until(lambda: len(granted) == 3, "SUBACK")
    run(test)
    subscriber.disconnect()
    subscriber.loop_stop()
    assert "event=down" not in edge.log()


@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
@pytest.mark.parametrize("qos", [0, 1])
def test_what_the_hub_would_not_take_of_mqtt_clients_is_counted_and_logged(
    hub: Peer, edge: Peer, version: int, qos: int
) -> None:
    def dropped() -> int:
        (link,) = monitored(edge, "/varz")["uplinks"]
        return int(link["dropped_msgs"])

    before = dropped()

    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            await at_hub.subscribe("large")
            await settled_both_ways(at_hub, at_edge)
            publisher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version)
            publisher.connect(*edge.address("mqtt"))
            publisher.loop_start()
            publisher.publish("large", b"x" * 200_001, qos).wait_for_publish(PATIENCE_SECONDS)
            await asyncio.to_thread(wait_until, lambda: dropped() > before, "count")
            publisher.disconnect()
            publisher.loop_stop()

    run(test)
    assert 'reason="the payload is over the other end\'s 200000 bytes"' in edge.log()
    assert dropped() == before + 1
    assert "event=down" not in edge.log()


def test_names_that_are_longer_than_a_line_of_the_hub_stay_here_and_the_link_up(hub: Peer, edge: Peer) -> None:
    """A topic may have 65,535 bytes, and its subject twice as many."""
    received: list[bytes] = []

    def say(text: str) -> None:
        publisher.publish(text, b"here").wait_for_publish(PATIENCE_SECONDS)

    publisher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    publisher.on_message = lambda _client, _data, message: received.append(message.topic)
    publisher.connect(*edge.address("mqtt"))
    publisher.loop_start()
    longest = "long/" + "." * 65_000

    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            await at_hub.subscribe("long.>")
            await settled_both_ways(at_hub, at_edge)
            publisher.subscribe([(longest, 0), ("long/+", 0)])
            await settled_both_ways(at_hub, at_edge)
            await asyncio.to_thread(say, longest)
            await asyncio.to_thread(wait_until, lambda: longest in received, "delivery at the edge")
            await settled_both_ways(at_hub, at_edge)

    run(test)
    publisher.disconnect()
    publisher.loop_stop()
    assert "event=down" not in edge.log()


class StrictHub:
    """A hub, played here, that refuses interest below `odd` and had said nothing of it. `told` is what it was told."""

    INFO = b'INFO {"server_id":"N1","server_name":"strict","proto":3,"client_id":%d,"max_payload":1000000%b} \r\n'

    def __init__(self) -> None:
        self.told: list[list[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"nats-leaf://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_SECONDS)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rwb", buffering=0) as stream:
                    self._converse(stream, len(self.told) + 1)

    def _converse(self, stream: Any, number: int) -> None:
        told: list[bytes] = []
        self.told.append(told)
        stream.write(self.INFO % (number, b',"info_on_connect":true'))
        stream.readline()
        stream.write(self.INFO % (number, b',"info_on_connect":true,"connect_info":true,"remote_account":"A"'))
        while line := stream.readline():
            told.append(line)
            if line.startswith(b"LS+ odd."):
                subject = line[4:].split()[0]
                stream.write(b"-ERR 'Permissions Violation for Subscription to \"%b\"'\r\n" % subject)
                return


def test_what_a_hub_refuses_unforeseen_is_logged_once_and_not_told_again(tmp_path: Path) -> None:
    strict = StrictHub()
    try:
        with gateway(tmp_path, config=uplink(strict.url, **IMPATIENT), monitoring=True) as edge:
            edge.wait_for_log(LINK_UP)
            with RawPeer(edge.address("nats")) as subscriber:
                subscriber.send(b"SUB odd.one 1\r\nSUB odd.two crew 2\r\nSUB fine 3\r\nPING\r\n")
                # The hub closes the link over each; from then on it stays.
                edge.wait_for_log(LINK_UP, count=3)
                wait_until(lambda: b"LS+ fine\r\n" in strict.told[-1], "interest")
                subscriber.send(b"UNSUB 1\r\nSUB odd.one 4\r\nSUB also.fine 5\r\n")
                wait_until(lambda: b"LS+ also.fine\r\n" in strict.told[-1], "interest")
                assert len(strict.told) == 3
                assert not any(b"odd" in line for line in strict.told[-1])
            assert edge.log().count("event=interest-refused") == 2
            (link,) = monitored(edge, "/varz")["uplinks"]
            assert (link["up"], link["refused_interest"]) == (True, 2)
    finally:
        strict.close()


def test_a_hub_that_is_away_shows_in_health(tmp_path: Path) -> None:
    with (
        nats_server(tmp_path / "hub", leafnodes=LEAF_AUTHORIZATION) as hub,
        gateway(tmp_path / "edge", config=uplink(leaf_url(hub), **IMPATIENT), monitoring=True) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        assert monitored(edge, "/healthz") == {"status": "ok"}
        hub.kill()
        wait_until(lambda: monitored(edge, "/healthz")["status"] == "degraded", "degraded health")
        assert "down for" in json.dumps(monitored(edge, "/healthz"))
        (link,) = monitored(edge, "/varz")["uplinks"]
        assert (link["up"], link["flaps"], bool(link["last_error"])) == (False, 1, True)


def test_seventy_megabytes_of_interest_neither_keep_the_link_down_nor_hold_up_others(tmp_path: Path) -> None:
    lead = b"x" * 4000

    async def test(hub: Peer, edge: Peer, flooder: RawPeer) -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            subscription = await at_hub.subscribe("ask")

            async def answer() -> None:
                async for message in subscription.messages:
                    await message.respond(b"here")

            answering = asyncio.create_task(answer())
            # The hub's interest has to come first.
            while True:
                try:
                    reply = await at_edge.request("ask", b"", timeout=PATIENCE_SECONDS, old_style=True)
                    break
                except NoRespondersError:
                    await asyncio.sleep(0.05)
            assert reply.data == b"here"
            await settled_both_ways(at_hub, at_edge)
            heard = asyncio.create_task(asyncio.to_thread(flooder.read_through, b"last\r\n"))
            while not heard.done():
                await at_hub.publish((lead + b".17499").decode(), b"last")
                await asyncio.sleep(0.05)
            await heard
            answering.cancel()

    limits = "[limits]\nmax-pending-bytes = 4194304\nmax-control-line-bytes = 8192\n"
    with (
        nats_server(tmp_path / "hub", leafnodes=LEAF_AUTHORIZATION) as hub,
        gateway(tmp_path / "edge", config=limits + uplink(leaf_url(hub), **IMPATIENT), monitoring=True) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        hub.kill()
        edge.wait_for_log("event=down")
        with RawPeer(edge.address("nats")) as flooder:
            flooder.send(b'CONNECT {"verbose":false}\r\n')
            for number in range(17_500):
                flooder.send(b"SUB %b.%d %d\r\n" % (lead, number, number))
            flooder.send(b"PING\r\n")
            flooder.read_through(b"PONG\r\n")
            hub.start()
            edge.wait_for_log(LINK_UP, count=2)
            run(lambda: test(hub, edge, flooder))
        assert edge.log().count("event=down") == 1
