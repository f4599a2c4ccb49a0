"""Devices on serial lines that are users of the configuration by the port that they are at."""

import asyncio
import json
from pathlib import Path
from urllib.request import urlopen

import nats

from tests.integration.peers import Peer, gateway
from tests.integration.serial_line import micropython, serial_line, serial_table
from tests.integration.test_serial_lines import say
from tests.integration.test_serial_link import BAUD, Listener, ask, play

USERS = """
[authentication]
timeout-seconds = 5
[[accounts]]
name = "plant"
[[users]]
name = "board"
account = "plant"
connection-types = ["serial"]
[[users]]
name = "anna"
password = "wonderland"
account = "plant"
[[users]]
name = "bert"
password = "plain-words"
"""


async def listener_of(edge: Peer, login: str, *subjects: str) -> Listener:
    listener = Listener(await nats.connect(edge.url().replace("//", f"//{login}@")))
    for subject in subjects or ("devices.>",):
        await listener.client.subscribe(subject, cb=listener.take)
    await listener.client.flush()
    return listener


def users_of(edge: Peer) -> dict[str, str]:
    with urlopen(f"{edge.url('monitoring', 'http')}/connz?auth=1") as answer:
        found = json.load(answer)["connections"]
    return {one.get("authorized_user", ""): one.get("account", "") for one in found}


def test_device_is_the_user_of_its_port_in_that_users_account(tmp_path: Path):
    with serial_line(tmp_path / "line") as line:
        table = USERS + serial_table(line.name, baud=BAUD, user="board")
        with gateway(tmp_path / "edge", config=table, monitoring=True) as edge:

            async def story() -> None:
                mine = await listener_of(edge, "anna:wonderland")
                others = await listener_of(edge, "bert:plain-words", ">")
                with micropython("serial_node.py", line.device.path, BAUD):
                    assert (await ask(mine, b"hello")).endswith(b"hello")
                    await mine.states("online")
                    told = json.loads(mine.heard["devices.node-1.presence"][0])
                    assert told["user"] == "board"
                    assert (await asyncio.to_thread(users_of, edge))["board"] == "plant"
                await others.client.flush()
                assert others.heard == {}
                await mine.client.close()
                await others.client.close()

            play(story)


def test_lines_of_a_device_are_in_its_users_account(tmp_path: Path):
    with serial_line(tmp_path / "line") as line:
        table = USERS + serial_table(line.name, protocol="lines", name="thermometer", user="board")
        with gateway(tmp_path / "edge", config=table) as edge:

            async def story() -> None:
                mine = await listener_of(edge, "anna:wonderland")
                others = await listener_of(edge, "bert:plain-words", ">")
                edge.wait_for_log("event=open")
                say(line, b"temp=21.5\n")
                await mine.until(lambda heard: heard.get("devices.thermometer.temp") == [b"21.5"])
                await others.client.flush()
                assert others.heard == {}
                await mine.client.close()
                await others.client.close()

            play(story)


def test_device_without_a_user_has_to_log_in_where_users_are_asked_for(tmp_path: Path):
    users = USERS.replace('name = "board"', 'name = "board"\npassword = "boards-words"')
    with (
        serial_line(tmp_path / "line") as line,
        gateway(tmp_path / "edge", config=users + serial_table(line.name, baud=BAUD)) as edge,
        micropython("serial_node.py", line.device.path, BAUD),
    ):
        edge.wait_for_log("event=refused kind=nats-serial")
