"""`make torture-sinks`: events and numbers leave the gateway while both ends are killed or halted, the disk is full,
and connections are closed halfway.

    python -m tests.torture.sinks [--minutes N] [--seed N] [--kind KIND]

Somebody publishes into a stream out of which a sink reads. At the end everything that was acknowledged is at the other
side: in a stream of a second gateway (fluent, so that both ends of the protocol are shown), in Prometheus or InfluxDB.
There each is once; events may come twice, but for that they are in order.
"""

import argparse
import asyncio
import contextlib
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nats
import nats.errors

from tests.integration.number_peers import influx_rows, influxdb, prometheus, ready, series
from tests.integration.peers import Peer, free_port, gateway, read_ports_file
from tests.torture.half_closing_proxy import HalfClosingProxy

SUBJECTS = 5
STREAM, COLLECTED = "OUT", "IN"
HARM_SECONDS = (0.3, 1.5)
HALT_SECONDS = 2.0
DRAIN_SECONDS = 60.0
PUBLISH_SECONDS = 2.0
KEYS = f'stream = "{STREAM}"\nbatch-max-seconds = 0.05\nretry-max-seconds = 0.2\nanswer-timeout-seconds = 1.5\n'


@dataclass
class Outcome:
    """What was acknowledged to the publisher, what the other side has, in its order, and what was done to both."""

    acknowledged: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    harms: dict[str, int] = field(default_factory=dict)

    def complaints(self, once: bool) -> list[str]:
        seen = set(self.found)
        lost = [number for number in self.acknowledged if number not in seen]
        wrong = [f"lost: {lost[:10]} and others, {len(lost)} of {len(self.acknowledged)}"] if lost else []
        if once and len(seen) < len(self.found):
            wrong.append(f"{len(self.found) - len(seen)} are there twice")
        for subject in range(SUBJECTS):
            firsts = list(dict.fromkeys(number for number in self.found if number % SUBJECTS == subject))
            if firsts != sorted(firsts):
                wrong.append(f"those of subject {subject} are not in order")
        return wrong


class Publisher(threading.Thread):
    """Publishes numbers, one after the other; a number whose acknowledgement did not come is not used again."""

    def __init__(self, edge: Peer, outcome: Outcome) -> None:
        super().__init__()
        self._edge = edge
        self._outcome = outcome
        self.ended = threading.Event()

    def run(self) -> None:
        asyncio.run(self._publish())

    async def _publish(self) -> None:
        number = 0
        while not self.ended.is_set():
            client = nats.NATS()
            try:
                options = {"allow_reconnect": False, "connect_timeout": 1, "error_cb": nothing}
                await asyncio.wait_for(client.connect(self._edge.url(), **options), PUBLISH_SECONDS)
                stream = client.jetstream(timeout=PUBLISH_SECONDS)
                await stream.add_stream(name=STREAM, subjects=["sensors.>"])
                while not self.ended.is_set():
                    number += 1
                    sent = stream.publish(f"sensors.s{number % SUBJECTS}", b"%d" % number)
                    await asyncio.wait_for(sent, PUBLISH_SECONDS)
                    self._outcome.acknowledged.append(number)
            except Exception:  # noqa: BLE001 -- whatever it is, the gateway is being harmed
                await asyncio.sleep(0.05)
            finally:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(client.close(), 1)


async def nothing(_: Exception) -> None:
    """Errors are what this is about."""


class Far:
    """The other side: the port that the sink is to speak to, how it is started again, and what it has."""

    def __init__(self, peer: Peer, port: int, start: Callable[[], None], read: Callable[[], list[int]]) -> None:
        self.peer = peer
        self.port = port
        self.start = start
        self.read = read


def torture(directory: Path, kind: str, seconds: float, seed: int) -> Outcome:
    outcome = Outcome()
    with contextlib.ExitStack() as stack:
        far, keys = FARS[kind](stack, directory / "far")
        proxy = stack.enter_context(HalfClosingProxy(far.port))
        config = f"[streams]\n{keys.format(port=proxy.port)}{KEYS}"
        data = directory / "data"
        edge = stack.enter_context(gateway(directory / "edge", config=config, data_directory=data))
        publisher = Publisher(edge, outcome)
        publisher.start()
        try:
            harm_all(edge, far, proxy, random.Random(seed), seconds, outcome)
        finally:
            publisher.ended.set()
            publisher.join()
        give_up = time.monotonic() + DRAIN_SECONDS
        wanted = set(outcome.acknowledged)
        while not wanted <= set(outcome.found) and time.monotonic() < give_up:
            time.sleep(0.1)
            with contextlib.suppress(OSError, nats.errors.Error):
                outcome.found = far.read()
        if not wanted <= set(outcome.found):
            print(edge.log()[-6000:])
    return outcome


def harm_all(
    edge: Peer, far: Far, proxy: HalfClosingProxy, chance: random.Random, seconds: float, outcome: Outcome
) -> None:
    def kill_edge() -> None:
        edge.kill()
        restart(edge)

    def kill_far() -> None:
        far.peer.kill()
        time.sleep(chance.uniform(0, 0.5))
        far.start()

    def halt_far() -> None:
        far.peer.send_signal(signal.SIGSTOP)
        time.sleep(HALT_SECONDS)
        far.peer.send_signal(signal.SIGCONT)

    def fill_disk() -> None:
        """No file of the gateway's may grow, as on a disk that is full."""
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (1 << 16, unlimited))
        time.sleep(chance.uniform(0.2, 1.0))
        resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))

    def half_close() -> None:
        proxy.half_close(chance.random() < 0.5)

    harms = {
        "gateway killed": kill_edge,
        "other side killed": kill_far,
        "halted": halt_far,
        "half closed": half_close,
        "disk full": fill_disk,
    }
    end = time.monotonic() + seconds
    left = list(harms)  # Each of them once before any comes again.
    while time.monotonic() < end or left:
        time.sleep(chance.uniform(*HARM_SECONDS))
        name = left.pop(chance.randrange(len(left))) if left else chance.choice(list(harms))
        harms[name]()
        outcome.harms[name] = outcome.harms.get(name, 0) + 1


def restart(peer: Peer) -> None:
    ports = peer.directory / "ports.json"
    ports.unlink(missing_ok=True)
    peer.start()
    peer.wait_ready(ports.exists)
    peer.ports = read_ports_file(ports) or {}


# The other sides.


def fluent_far(stack: contextlib.ExitStack, directory: Path) -> tuple[Far, str]:
    port = free_port()
    listener = f'[[listeners]]\nprotocol = "fluent"\naddress = "127.0.0.1:{port}"\n'
    listener += 'fluent = { subject = "far.{{tag}}", payload-field = "message" }\n[streams]'
    hub = stack.enter_context(gateway(directory, config=listener, data_directory=directory / "data", name="hub"))
    asyncio.run(make_stream(hub))
    keys = '[[fluent]]\nname = "t"\nurls = ["tcp://127.0.0.1:{port}"]\n'
    return Far(hub, port, lambda: restart(hub), lambda: asyncio.run(read_stream(hub))), keys


async def make_stream(hub: Peer) -> None:
    client = await nats.connect(hub.url())
    await client.jetstream().add_stream(name=COLLECTED, subjects=["far.>"])
    await client.close()


async def read_stream(hub: Peer) -> list[int]:
    client = await nats.connect(hub.url(), allow_reconnect=False, connect_timeout=2)
    stream = client.jetstream(timeout=5)
    count = (await stream.stream_info(COLLECTED)).state.messages
    found: list[int] = []
    consumer = await stream.subscribe("far.>", ordered_consumer=True)
    while len(found) < count:
        found.append(int((await consumer.next_msg(timeout=5)).data))
    await client.close()
    return found


def prometheus_far(stack: contextlib.ExitStack, directory: Path) -> tuple[Far, str]:
    database = stack.enter_context(prometheus(directory))

    def start() -> None:
        database.start()
        ready(database)

    def read() -> list[int]:
        samples = [one for _, found in series(database, '{__name__=~"s[0-4]"}[1d]') for one in found]
        return [int(value) for _, value in sorted(samples)]

    keys = '[[remote-write]]\nname = "t"\nurl = "http://127.0.0.1:{port}"\n'
    return Far(database, database.ports["http"], start, read), keys


def influx_far(stack: contextlib.ExitStack, directory: Path) -> tuple[Far, str]:
    database = stack.enter_context(influxdb(directory))

    def start() -> None:
        database.start()
        ready(database, "/ping")

    def read() -> list[int]:
        rows = influx_rows(database, "SELECT value FROM /s[0-4]/")
        return [int(row["value"]) for row in sorted(rows, key=lambda row: row["time"])]

    keys = '[[influx]]\nname = "t"\nurl = "http://127.0.0.1:{port}"\ndatabase = "site"\n'
    return Far(database, database.ports["http"], start, read), keys


FARS = {"fluent": fluent_far, "remote-write": prometheus_far, "influx": influx_far}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kind", choices=FARS, action="append")
    arguments = parser.parse_args()
    kinds = arguments.kind or list(FARS)
    wrong = False
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="leafgate-sinks-") as directory:
            outcome = torture(Path(directory), kind, arguments.minutes * 60 / len(kinds), arguments.seed)
        complaints = outcome.complaints(kind != "fluent")
        doubled = len(outcome.found) - len(set(outcome.found))
        print(
            f"{kind}: seed {arguments.seed}, {len(outcome.acknowledged):,} acknowledged, {len(outcome.found):,} there, "
            f"{doubled} of them twice, {outcome.harms}, {complaints or 'nothing lost'}",
            flush=True,
        )
        wrong = wrong or bool(complaints)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
