"""A real MicroPython on a serial line: from the device over the gateway to a NATS subscriber and back."""

import asyncio
import json
import re
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from tests.integration.peers import Peer, gateway
from tests.integration.serial_line import micropython, serial_line, serial_table
from tests.patience import PATIENCE_SECONDS

BAUD = 921_600


class Listener:
    """What a NATS client hears, by subject."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: dict[str, list[bytes]] = {}
        self._changed = asyncio.Condition()

    async def take(self, message: Msg) -> None:
        async with self._changed:
            self.heard.setdefault(message.subject, []).append(message.data)
            self._changed.notify_all()

    async def until(self, ready: Callable[[dict[str, list[bytes]]], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: ready(self.heard))

    async def states(self, *expected: str, name: str = "node-1") -> None:
        """Return when the presence subject has told these states, in turns and with the last one still true.

        A machine that stands still for seconds makes a device silent that nobody has touched: more turns are allowed.
        """

        def told() -> list[str]:
            return [json.loads(one)["state"] for one in self.heard.get(f"devices.{name}.presence", ())]

        await self.until(lambda _: len(told()) >= len(expected) and told()[-1] == expected[-1])
        states = told()
        assert states == (["online", "offline"] * len(states))[: len(states)]


@asynccontextmanager
async def listening(edge: Peer, *subjects: str) -> AsyncIterator[Listener]:
    client = await nats.connect(edge.url())
    listener = Listener(client)
    for subject in ("devices.>", *subjects):
        await client.subscribe(subject, cb=listener.take)
    await client.flush()
    try:
        yield listener
    finally:
        await client.close()


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


async def ask(listener: Listener, question: bytes) -> bytes:
    """A request that the device answers, repeated until it listens."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return (await listener.client.request("ask", question, timeout=2)).data
            except (NoRespondersError, nats.errors.TimeoutError):
                await asyncio.sleep(0.02)


def health(edge: Peer) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.ports['monitoring']}/healthz") as response:
        told: dict[str, Any] = json.load(response)
        return told


async def healthy_when(edge: Peer, expected: dict[str, Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await asyncio.to_thread(health, edge) != expected:  # noqa: ASYNC110 - HTTP tells nobody
            await asyncio.sleep(0.05)


def numbers(heard: list[bytes]) -> list[int]:
    return [int(one) for one in heard]


def test_device_publishes_answers_and_logs_over_a_line_with_bit_errors(tmp_path: Path):
    with (
        serial_line(tmp_path / "line", bit_errors=1e-4) as line,
        gateway(tmp_path / "edge", config=serial_table(line.name, baud=BAUD, user="alice")) as edge,
    ):

        async def story() -> None:
            async with listening(edge, "count") as listener:
                with micropython("serial_node.py", line.device.path, BAUD):
                    assert await ask(listener, b"1") == b"answer to 1"
                    await listener.until(lambda heard: len(heard.get("count", ())) >= 300)
                    counted = numbers(listener.heard["count"])
                    assert counted == list(range(len(counted)))
                    await listener.client.publish("stop")
                    await listener.states("online", "offline")
            about = json.loads(listener.heard["devices.node-1.presence"][0])
            assert about == {"state": "online", "name": "node-1", "port": str(line.name), "user": "alice"}
            assert b"hello from the boot loader" in listener.heard["devices.usb-node.log"]

        play(story)


def test_cable_pull_is_told_and_loses_nothing(tmp_path: Path):
    with (
        serial_line(tmp_path / "line", bit_errors=1e-5) as line,
        gateway(tmp_path / "edge", config=serial_table(line.name, baud=BAUD), monitoring=True) as edge,
    ):

        async def story() -> None:
            async with listening(edge, "count") as listener:
                device = stack.enter_context(micropython("serial_node.py", line.device.path, BAUD))
                assert device.poll() is None
                await listener.until(lambda heard: len(heard.get("count", ())) >= 100)
                await healthy_when(edge, {"status": "ok"})
                for cycle in range(1, 3):
                    line.pull_out()
                    await listener.states(*["online", "offline"] * cycle)
                    await healthy_when(edge, {"status": "degraded", "serial": {str(line.name): "not plugged in"}})
                    line.plug_in()
                    await listener.states(*["online", "offline"] * cycle, "online")
                    before = len(listener.heard["count"])
                    await listener.until(lambda heard, least=before: len(heard["count"]) >= least + 300)
                    assert await ask(listener, b"still there?") == b"answer to still there?"
                await healthy_when(edge, {"status": "ok"})
            counted = numbers(listener.heard["count"])
            assert counted == list(range(len(counted)))

        with ExitStack() as stack:
            play(story)


def test_device_that_restarts_gets_a_session_of_its_own(tmp_path: Path):
    with (
        serial_line(tmp_path / "line") as line,
        gateway(tmp_path / "edge", config=serial_table(line.name, baud=BAUD)) as edge,
    ):

        async def story() -> None:
            async with listening(edge, "count") as listener:
                for life in range(3):
                    with micropython("serial_node.py", line.device.path, BAUD):
                        await listener.until(lambda heard, life=life: heard.get("count", []).count(b"50") == life + 1)
                        assert await ask(listener, b"%d" % life) == b"answer to %d" % life
            counted = numbers(listener.heard["count"])
            assert counted.count(0) == 3
            assert len(re.findall("kind=nats-serial reason='.*' detail='the device began anew'", edge.log())) >= 2

        play(story)


def test_another_device_on_the_same_line_has_subjects_of_its_own(tmp_path: Path):
    with (
        serial_line(tmp_path / "line") as line,
        gateway(tmp_path / "edge", config=serial_table(line.name, baud=BAUD)) as edge,
    ):

        async def story() -> None:
            async with listening(edge) as listener:
                with micropython("tiny_tty.py", line.device.path):
                    assert await ask(listener, b"1") == b"answer to 1"
                with micropython("serial_node.py", line.device.path, BAUD):
                    await listener.states("online")
                    await listener.states("online", "offline", name="tiny-1")
                    assert await ask(listener, b"2") == b"answer to 2"

        play(story)


def test_gateway_that_restarts_is_found_again(tmp_path: Path):
    with (
        serial_line(tmp_path / "line") as line,
        micropython("serial_node.py", line.device.path, BAUD),
    ):
        for life in range(2):
            with gateway(tmp_path / "edge", config=serial_table(line.name, baud=BAUD)) as edge:

                async def story(edge: Peer = edge, life: int = life) -> None:
                    async with listening(edge) as listener:
                        assert await ask(listener, b"%d" % life) == b"answer to %d" % life

                play(story)
                assert edge.stop() == 0


def test_rate_is_found_and_raised(tmp_path: Path):
    settings = serial_table("NAME", baud=115_200, auto_baud=True, upgrade_baud=921_600)
    with (
        serial_line(tmp_path / "line", rated=True) as line,
        gateway(tmp_path / "edge", config=settings.replace("NAME", str(line.name))) as edge,
        micropython("serial_node.py", line.device.path, 230_400, "changes"),
    ):

        async def story() -> None:
            async with listening(edge, "count") as listener:
                await asyncio.to_thread(edge.wait_for_log, "event=baud rate=921600")
                assert await ask(listener, b"fast?") == b"answer to fast?"
                await listener.until(lambda heard: len(heard.get("count", ())) >= 100)
            assert line.device.rate() != 0
            counted = numbers(listener.heard["count"])
            assert counted == list(range(len(counted)))

        play(story)


def test_slow_device_slows_nobody_and_what_it_cannot_take_is_counted(tmp_path: Path):
    size, count = 1000, 2000
    with (
        serial_line(tmp_path / "line") as line,
        gateway(tmp_path / "edge", config=serial_table(line.name, baud=BAUD, queue_bytes=65_536)) as edge,
        micropython("serial_node.py", line.device.path, BAUD),
    ):

        async def story() -> None:
            async with listening(edge) as listener:
                await ask(listener, b"there?")
                line.broken = True
                await listener.client.subscribe("flood", cb=listener.take)
                for _ in range(count):
                    await listener.client.publish("flood", bytes(size))
                await listener.until(lambda heard: len(heard.get("flood", ())) == count)
                line.broken = False
                assert await ask(listener, b"after all?") == b"answer to after all?"

        play(story)
        edge.stop()
        assert "dropped=" in edge.log()
