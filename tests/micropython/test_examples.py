"""The examples for boards, each as a maker has it, on a real MicroPython with the hardware of `board_modules`; a NATS
client at the real gateway sees what they do.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from tests.integration.peers import Peer, gateway
from tests.integration.serial_line import serial_line, serial_table
from tests.micropython.unix_port import LIBRARY, PATIENCE_SECONDS, Board, find

EXAMPLES = LIBRARY / "examples"
HARDWARE = Path(__file__).parent / "board_modules"
LINES_OF_A_PAGE = 55
CONVERSION = "    await asyncio.sleep_ms(750)  # as long as it takes at 12 bits"
AT_HOME = 'GATEWAY = "nats://192.168.1.10:4222"'


@contextmanager
def example(directory: Path, name: str, *changes: tuple[str, str], **environment: str) -> Iterator[Board]:
    """An example with lines of it changed, running as main.py."""
    text = (EXAMPLES / name).read_text()
    for line, replacement in changes:
        assert f"\n{line}\n" in text
        text = text.replace(line, replacement)
    program = directory / "main.py"
    program.write_text(text)
    process = subprocess.Popen(
        [find("micropython"), "-X", "heapsize=128k", str(program)],
        env=os.environ | environment | {"MICROPYPATH": f"{HARDWARE}:{LIBRARY}:.frozen"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    board = Board(process)
    try:
        yield board
    finally:
        board.kill()


@asynccontextmanager
async def listening(edge: Peer, subject: str) -> AsyncIterator[tuple[Client, AsyncIterator[tuple[str, bytes]]]]:
    """A NATS client and what it hears, as subject and data."""
    client = await nats.connect(edge.url())
    subscription = await client.subscribe(subject)
    await client.flush()

    async def heard() -> AsyncIterator[tuple[str, bytes]]:
        async for message in subscription.messages:
            yield message.subject, message.data

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield client, heard()
    finally:
        await client.close()


async def ask(client: Client, subject: str, data: bytes = b"") -> bytes:
    """The board's answer, once it listens."""
    while True:
        try:
            return (await client.request(subject, data, timeout=PATIENCE_SECONDS)).data
        except NoRespondersError:
            await asyncio.sleep(0.02)


def test_temperature_is_published_once_there_is_a_sensor_and_again_and_again(tmp_path: Path):
    async def story(edge: Peer) -> None:
        async with listening(edge, "sensors.>") as (_, heard):
            changes = (
                (AT_HOME, f'GATEWAY = "{edge.url()}"'),
                ("SECONDS = 10", "SECONDS = 0.05"),
                (CONVERSION, CONVERSION.replace("750", "50")),
            )
            with example(tmp_path, "temperature_sensor.py", *changes) as board:
                subject, data = await anext(heard)
                assert (subject, json.loads(data)["state"]) == ("sensors.shed.presence", "online")
                assert await anext(heard) == ("sensors.shed.temperature", b"22.5")
                assert await anext(heard) == ("sensors.shed.temperature", b"23.5")
                assert "network shed\n" in board.printed
                assert len([line for line in board.printed if line.startswith("no temperature:")]) == 2
            subject, data = await anext(heard)
            while subject == "sensors.shed.temperature":
                subject, data = await anext(heard)
            assert json.loads(data)["state"] == "offline"

    with gateway(tmp_path / "edge") as edge:
        asyncio.run(story(edge))


def test_relay_switches_when_asked_and_tells_its_state(tmp_path: Path):
    async def story(edge: Peer) -> None:
        async with listening(edge, "relays.pump.state") as (client, heard):
            with example(tmp_path, "relay.py", (AT_HOME, f'GATEWAY = "{edge.url()}"')) as board:
                assert await anext(heard) == ("relays.pump.state", b"off")
                assert await ask(client, "relays.pump.get") == b"off"
                assert await ask(client, "relays.pump.set", b" ON\n") == b"on"
                board.until("pin 26 is 1")
                assert await anext(heard) == ("relays.pump.state", b"on")
                assert await ask(client, "relays.pump.set", b"perhaps") == b"say on or off"
                assert await ask(client, "relays.pump.get") == b"on"
                await client.publish("relays.pump.set", b"off")
                await client.flush()
                board.until("pin 26 is 0")
                assert await anext(heard) == ("relays.pump.state", b"off")
            # Who comes when the board is off the air is told all the same.
            inbox = client.new_inbox()
            answers = await client.subscribe(inbox)
            await client.publish("$LEAFGATE.retained.get", b"relays.pump.*", reply=inbox)
            told = {}
            async for message in answers.messages:
                if not message.data:
                    break
                told[message.headers["Mqtt-Retained-Subject"]] = message.data
            assert told["relays.pump.state"] == b"off"

    with gateway(tmp_path / "edge") as edge:
        asyncio.run(story(edge))


def test_serial_node_counts_and_is_asked_without_a_network(tmp_path: Path):
    async def story(edge: Peer, tty: str) -> None:
        async with listening(edge, "nodes.node-1.count") as (client, heard):
            with example(tmp_path, "serial_node.py", ("SECONDS = 1", "SECONDS = 0.02"), UART_1=tty) as board:
                for number in range(5):
                    assert await anext(heard) == ("nodes.node-1.count", b"%d" % number)
                assert await ask(client, "nodes.node-1.light", b"on") == b"done"
                board.until("pin 2 is 1")
                assert await ask(client, "nodes.node-1.light", b"off") == b"done"
                board.until("pin 2 is 0")

    with (
        serial_line(tmp_path / "line") as line,
        gateway(tmp_path / "edge", config=serial_table(line.name, baud=921_600)) as edge,
    ):
        asyncio.run(story(edge, line.device.path))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_is_a_page_long(path: Path):
    assert len(path.read_text().splitlines()) <= LINES_OF_A_PAGE
