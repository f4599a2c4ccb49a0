"""The part of `make torture-sinks` that is Home Assistant's discovery: the configuration changes while the gateway and
the one that listens are killed, halted and cut off, and the disk is full.

Behind every few changes the listener must come to know what is configured then, and nothing else, whatever happened on
the way; and so must one that comes only then. As a Home Assistant that begins anew it knows nothing of what it heard in
an earlier connection.
"""

import asyncio
import contextlib
import json
import logging
import random
import sys
import threading
import time
from pathlib import Path

import aiomqtt

from gateway.errors import ControlError
from gateway.reloading.asking import ask
from tests.integration.peers import Peer, free_port, gateway, running
from tests.patience import LONG_SECONDS
from tests.torture.both_ends import Far, Outcome, harm_all, small_disk
from tests.torture.half_closing_proxy import HalfClosingProxy

DEVICES = 12
# At most so many changes come before it is waited for what came of them, and the seconds between two.
MOST_CHANGES = 4
CHANGE_SECONDS = (0.05, 0.5)
AGREE_SECONDS = LONG_SECONDS
FENCE = "fence"
LISTENER = '[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:{port}"\n'
DEVICE = """
[[home-assistant.devices]]
id = "d{number}"
subject = "devices.d{number}"
[[home-assistant.devices.entities]]
id = "t"
component = "sensor"
name = "{name}"
state = ".t"
"""


class Heard:
    """What the listener knows: the name of the entity of each topic, as its last connection has told."""

    def __init__(self, file: Path) -> None:
        self.messages = 0
        self.connections = 0
        self._file = file
        self._read = 0
        self._known: dict[str, str] = {}

    def known(self) -> dict[str, str]:
        if self._file.exists():
            with self._file.open("rb") as file:
                file.seek(self._read)
                whole, found, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(found)
            for line in whole.splitlines():
                self._take(line)
        return self._known

    def _take(self, line: bytes) -> None:
        try:
            what = json.loads(line)
        except ValueError:  # It was killed while it wrote.
            return
        if not what:
            self.connections += 1
            self._known = {}
            return
        self.messages += 1
        topic, payload = what
        if payload:
            self._known[topic] = json.loads(payload)["name"]
        else:
            self._known.pop(topic, None)


class Changes(threading.Thread):
    """Writes other configurations, and waits every few for what the listener makes of them."""

    def __init__(
        self, edge: Peer, control: Path, port: int, heard: Heard, chance: random.Random, outcome: Outcome
    ) -> None:
        super().__init__()
        file = edge.directory / "leafgate.toml"
        self._port = port
        self._file = file
        self._control = control
        self._rest = file.read_text()
        self._heard = heard
        self._random = chance
        self._outcome = outcome
        self.versions = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            for _ in range(self._random.randint(1, MOST_CHANGES)):
                wanted = self._change()
                time.sleep(self._random.uniform(*CHANGE_SECONDS))
            self._agree(wanted)

    def _retained(self) -> dict[str, str]:
        with contextlib.suppress(OSError, aiomqtt.MqttError, TimeoutError):
            return asyncio.run(asyncio.wait_for(read_retained(self._port), 5))
        return {"nobody answers": ""}

    def _change(self) -> dict[str, str]:
        self.versions += 1
        chosen = self._random.sample(range(DEVICES), self._random.randrange(DEVICES + 1))
        text = self._rest + "[home-assistant]\n"
        text += "".join(DEVICE.format(number=number, name=f"version {self.versions}") for number in chosen)
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.rename(self._file)
        # It looks by itself, too, where it cannot be asked just now.
        with contextlib.suppress(ControlError):
            ask(self._control, "reload")
        return {f"homeassistant/sensor/d{number}/t/config": f"version {self.versions}" for number in chosen}

    def _agree(self, wanted: dict[str, str]) -> None:
        self._outcome.acknowledged.append(self.versions)
        give_up = time.monotonic() + AGREE_SECONDS
        while self._heard.known() != wanted or (retained := self._retained()) != wanted:
            if time.monotonic() > give_up:
                known = self._heard.known() if self._heard.known() != wanted else retained
                missing = sorted(topic for topic, name in wanted.items() if known.get(topic) != name)
                extra = sorted(set(known) - set(wanted))
                self._outcome.wrong.append(f"version {self.versions}: {missing} not told, {extra} not taken back")
                return
            time.sleep(0.02)
        self._outcome.found.append(self.versions)


async def read_retained(port: int) -> dict[str, str]:
    """The name of the entity of each topic, as a new client is told."""
    found: dict[str, str] = {}
    # That the gateway is killed meanwhile is told by what is raised.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    silent = logging.getLogger("silent")
    silent.setLevel(logging.CRITICAL)
    async with aiomqtt.Client("127.0.0.1", port, timeout=2, logger=silent) as client:
        await client.subscribe("homeassistant/+/+/+/config", 1)
        await client.subscribe(FENCE, 1)
        await client.publish(FENCE, qos=1)
        async for message in client.messages:
            if str(message.topic) == FENCE:
                return found
            assert isinstance(message.payload, bytes)
            if message.payload:
                found[str(message.topic)] = json.loads(message.payload)["name"]
            else:
                found.pop(str(message.topic), None)
    return found


def torture_discovery(directory: Path, seconds: float, seed: int) -> Outcome:
    outcome, port, file = Outcome(), free_port(), directory / "heard"
    chance = random.Random(seed)
    program = Path(__file__).with_name("assistant.py")
    with HalfClosingProxy(port) as proxy, contextlib.ExitStack() as stack:
        place = directory / "assistant"
        place.mkdir(parents=True)
        assistant = Peer("assistant", place, [sys.executable, str(program), str(proxy.port), str(file)], {})
        config = LISTENER.format(port=port)
        data = stack.enter_context(small_disk(directory / "data"))
        edge = stack.enter_context(gateway(directory / "edge", config=config, data_directory=data))
        assistant.start()
        stack.enter_context(running(assistant))
        heard = Heard(file)
        changes = Changes(edge, data / "control.sock", port, heard, random.Random(chance.random()), outcome)
        changes.start()
        try:
            harm_all(edge, data, Far(assistant, port, assistant.start, list), proxy, chance, seconds, outcome)
        finally:
            changes.ended.set()
            changes.join()
        outcome.told = (
            f"{changes.versions} configurations, {heard.messages:,} heard in {heard.connections} connections, "
        )
        if outcome.complaints():
            print(edge.log()[-6000:])
    return outcome
