"""The part of `make torture-sinks` that is Modbus: a register is written and polled while the device and the gateway
are killed, halted and cut off, and the disk is full.

A number that the gateway has said was written is in the device, in its order. What is polled goes into a stream: there
is nothing that the register did not hold, in another order than it did. At the end the stream has what the register
holds, and whoever comes then is told that the device is there.
"""

import asyncio
import contextlib
import importlib.util
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from tests.integration.peers import Peer, free_port, gateway, missing_peer, running
from tests.patience import LONG_SECONDS
from tests.torture.both_ends import Far, Outcome, Publisher, harm_all, read_stream, small_disk
from tests.torture.half_closing_proxy import HalfClosingProxy

SETTLE_SECONDS = LONG_SECONDS
CONFIG = """
[streams]
[[modbus]]
name = "pump"
url = "tcp://127.0.0.1:{port}"
subject = "plant.pump"
poll-seconds = 0.02
answer-timeout-seconds = 0.4
retry-max-seconds = 0.2
publish = "changes"
[[modbus.registers]]
name = "level"
address = 0
type = "u32"
writable = true
"""


class Writer(Publisher):
    streams = (("POLLED", "plant.pump.level"),)

    async def send(self, client: Client, stream: JetStreamContext, number: int) -> bool:
        answer = await client.request("plant.pump.level.set", b"%d" % number, timeout=5)
        return bool(json.loads(answer.data).get("ok"))


def torture_registers(directory: Path, seconds: float, seed: int) -> Outcome:
    if importlib.util.find_spec("pymodbus") is None:
        missing_peer("pymodbus (PyPI: pymodbus)")
    outcome, port, file = Outcome(), free_port(), directory / "written"
    program = Path(__file__).with_name("pump.py")
    pump = Peer("pump", directory, [sys.executable, str(program), str(port), str(file)], {"modbus": port})

    def start() -> None:
        pump.start()
        pump.wait_ports()

    def written() -> list[int]:
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    start()
    with running(pump), HalfClosingProxy(port) as proxy, small_disk(directory / "data") as data:
        config = CONFIG.format(port=proxy.port)
        with gateway(directory / "edge", config=config, data_directory=data) as edge:
            writer = Writer(edge, outcome)
            writer.start()
            try:
                harm_all(edge, data, Far(pump, port, start, written), proxy, random.Random(seed), seconds, outcome)
            finally:
                writer.ended.set()
                writer.join()
            settle(edge, written, outcome)
            # What was refused, or not answered, may be written all the same, as late as the device likes.
            promised = set(outcome.acknowledged)
            outcome.found = [number for number in written() if number in promised]
            if outcome.complaints():
                print(edge.log()[-6000:])
    return outcome


def settle(edge: Peer, written: Callable[[], list[int]], outcome: Outcome) -> None:
    """Wait until the stream ends with what the device holds and the device is told to be there; look at the rest."""
    polled: list[int] = []
    presence = ""
    give_up = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError, nats.errors.Error):
            polled = asyncio.run(read_stream(edge, "POLLED", "plant.pump.level"))
            presence = asyncio.run(retained(edge, "plant.pump.presence"))
            if polled[-1:] == written()[-1:] and presence == "online":
                break
        time.sleep(0.1)
    held = [0, *written()]
    outcome.told = f"{len(polled):,} polled, "
    if polled[-1:] != held[-1:]:
        outcome.wrong.append(f"the register holds {held[-1]}, and last polled was {polled[-1:]}")
    if presence != "online":
        outcome.wrong.append(f"the device is told to be {presence or 'nothing'}")
    at = 0
    for number in polled:
        try:
            at = held.index(number, at)
        except ValueError:
            outcome.wrong.append(f"{number} was polled, and the register did not hold it then")
            break


async def retained(edge: Peer, subject: str) -> str:
    """The state that is retained on a subject."""
    client = await nats.connect(edge.url(), allow_reconnect=False, connect_timeout=2)
    answer = await client.request("$LEAFGATE.retained.get", subject.encode(), timeout=5)
    await client.close()
    return str(json.loads(answer.data or b"{}").get("state", ""))
