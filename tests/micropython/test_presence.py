"""Presence of a real MicroPython at the gateway, as NATS and MQTT clients see it."""

import asyncio
import json
from contextlib import AbstractContextManager
from pathlib import Path

import nats
import pytest

from tests.integration.mqtt_peers import paho_client
from tests.integration.mqtt_servers import mqtt_server
from tests.integration.peers import Peer, gateway
from tests.micropython.unix_port import PATIENCE_SECONDS, Board, board

SUBJECT = "sheds.one.presence"
ONLINE = {"state": "online", "name": "one"}
OFFLINE = {"state": "offline", "name": "one"}
PROTOCOLS = ("nats", "websocket", "mqtt")


def node(url: str, subject: str = SUBJECT) -> AbstractContextManager[Board]:
    return board("node.py", url, json.dumps({"name": "one", "presence": subject}))


def retained(edge: Peer) -> object:
    """What an MQTT client that comes now is told."""
    with paho_client(edge) as client:
        client.subscribe(SUBJECT.replace(".", "/"))
        message = client.next_message()
        assert message.retain
    del client.paho  # closes its inner sockets when it goes, and its callbacks hold it
    return json.loads(message.payload)


async def watch(edge: Peer, device: Board, end: str) -> list[object]:
    """What a NATS client hears of the device until it is offline, which it is by the end named."""
    client = await nats.connect(edge.url())
    subscription = await client.subscribe(SUBJECT)
    await client.flush()
    heard: list[object] = []
    if end == "stop":
        await client.publish("stop")
    else:
        device.kill()
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for message in subscription.messages:
            heard.append(json.loads(message.data))
            if heard[-1] == OFFLINE:
                break
    await client.close()
    return heard


@pytest.mark.parametrize("protocol", ["nats", "websocket"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_presence_is_told_whatever_way_the_connection_ends(tmp_path: Path, protocol: str, end: str):
    with gateway(tmp_path, protocols=PROTOCOLS) as edge:
        with node(edge.url(protocol, "ws" if protocol == "websocket" else "nats")) as device:
            device.until("connected")
            assert retained(edge) == ONLINE
            assert asyncio.run(watch(edge, device, end)) == [OFFLINE]
        assert retained(edge) == OFFLINE


def test_presence_of_before_a_kill_of_the_gateway_is_taken_back(tmp_path: Path):
    with mqtt_server(tmp_path, reference=False) as edge:
        with node(edge.url()) as device:
            device.until("connected")
            assert retained(edge) == ONLINE
            with paho_client(edge) as client:
                client.publish("later", b"is on the disk, and so is what came before", qos=1, retain=True)
            del client.paho
            edge.kill()
        edge.start()
        edge.wait_ports()
        assert retained(edge) == OFFLINE


def test_subject_that_nobody_may_be_present_on_is_refused(tmp_path: Path):
    with gateway(tmp_path) as edge:
        for subject in ("$SYS.presence", "a..b", "a.*", "a b", ".a"):
            with node(edge.url(), subject) as device:
                assert "Invalid Presence Subject" in device.until("error")


def test_two_boards_of_one_name_are_warned_of(tmp_path: Path):
    with gateway(tmp_path) as edge, node(edge.url()) as first:
        first.until("connected")
        assert "event=twin" not in edge.log()
        with node(edge.url()) as second:
            second.until("connected")
            edge.wait_for_log(f"event=twin presence={SUBJECT!r}")
