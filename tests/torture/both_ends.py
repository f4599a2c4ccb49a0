"""Both ends of an integration, and what is done to them: they are killed or halted, the disk is full, and connections
are closed halfway.
"""

import asyncio
import contextlib
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from tests.integration.peers import Peer, read_ports_file, wait_until
from tests.torture.half_closing_proxy import HalfClosingProxy

SUBJECTS = 5
STREAM = "OUT"
HARM_SECONDS = (0.1, 1.0)
HALT_SECONDS = 2.0
PUBLISH_SECONDS = 2.0
# Between two messages, so that several kinds can be tortured side by side, and what came be read in a minute.
PAUSE_SECONDS = 0.01
DISK_BYTES = 512 << 20
RESTART_SECONDS = 300.0


@dataclass
class Outcome:
    """What was acknowledged to the publisher, what the other side has, in its order, and what was done to both."""

    acknowledged: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    harms: dict[str, int] = field(default_factory=dict)
    # What else is wrong, and what else there is to tell.
    wrong: list[str] = field(default_factory=list)
    told: str = ""
    # Whether nothing may come twice.
    once: bool = False

    def __str__(self) -> str:
        doubled = len(self.found) - len(set(self.found))
        return (
            f"{len(self.acknowledged):,} acknowledged, {len(self.found):,} there, {doubled} of them twice, "
            f"{self.told}{sum(self.harms.values())} faults {self.harms}"
        )

    def complaints(self) -> list[str]:
        seen = set(self.found)
        lost = [number for number in self.acknowledged if number not in seen]
        wrong = [*self.wrong]
        if lost:
            wrong.append(f"lost: {lost[:10]} and others, {len(lost)} of {len(self.acknowledged)}")
        if self.once and len(seen) < len(self.found):
            wrong.append(f"{len(self.found) - len(seen)} are there twice")
        for subject in range(SUBJECTS):
            firsts = list(dict.fromkeys(number for number in self.found if number % SUBJECTS == subject))
            if firsts != sorted(firsts):
                wrong.append(f"those of subject {subject} are not in order")
        return wrong


class Publisher(threading.Thread):
    """Publishes numbers, one after the other; a number whose acknowledgement did not come is not used again."""

    streams: tuple[tuple[str, str], ...] = ((STREAM, "sensors.>"),)
    subject = "sensors"

    def __init__(self, edge: Peer, outcome: Outcome) -> None:
        super().__init__()
        self._edge = edge
        self._outcome = outcome
        self.ended = threading.Event()

    def run(self) -> None:
        asyncio.run(self._publish())

    async def send(self, client: Client, stream: JetStreamContext, number: int) -> bool:
        """Whether it is acknowledged."""
        await stream.publish(f"{self.subject}.s{number % SUBJECTS}", b"%d" % number)
        return True

    async def _publish(self) -> None:
        number = 0
        while not self.ended.is_set():
            client = Client()
            try:
                options = {"allow_reconnect": False, "connect_timeout": 1, "error_cb": nothing}
                await asyncio.wait_for(client.connect(self._edge.url(), **options), PUBLISH_SECONDS)
                stream = client.jetstream(timeout=PUBLISH_SECONDS)
                for name, subject in self.streams:
                    await stream.add_stream(name=name, subjects=[subject])
                while not self.ended.is_set():
                    number += 1
                    if await asyncio.wait_for(self.send(client, stream, number), PUBLISH_SECONDS):
                        self._outcome.acknowledged.append(number)
                    await asyncio.sleep(PAUSE_SECONDS)
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


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A directory on a disk of its own where only root may make one, else on that of the machine."""
    directory.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield directory
        return
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def harm_all(
    edge: Peer, data: Path, far: Far, proxy: HalfClosingProxy, chance: random.Random, seconds: float, outcome: Outcome
) -> None:
    """`data` is the gateway's, on a disk of its own where `small_disk` could make one."""

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
        filler = data / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                room = os.statvfs(data)
                os.posix_fallocate(file.fileno(), file.tell(), max(room.f_bavail * room.f_frsize, 1))
                file.seek(0, os.SEEK_END)
        time.sleep(chance.uniform(0.2, 2.0))
        if chance.random() < 0.3:
            edge.kill()
        filler.unlink()
        if edge.is_dead():
            restart(edge)

    def fail_writes() -> None:
        """No file of the gateway's may grow."""
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (1 << 12, unlimited))
        time.sleep(chance.uniform(0.2, 1.0))
        resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))

    def half_close() -> None:
        proxy.half_close(chance.random() < 0.5)

    harms = {
        "gateway killed": kill_edge,
        "other side killed": kill_far,
        "halted": halt_far,
        "half closed": half_close,
        "writes fail": fail_writes,
    }
    if data.is_mount():
        harms["disk full"] = fill_disk
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
    # Of several kinds that are tortured side by side each has little of the processor.
    wait_until(lambda: ports.exists() or peer.is_dead(), f"start of {peer.name}", RESTART_SECONDS)
    peer.wait_ready(ports.exists)
    peer.ports = read_ports_file(ports) or {}


async def read_stream(peer: Peer, name: str, subjects: str) -> list[int]:
    """The numbers in a stream, in their order."""
    client = await nats.connect(peer.url(), allow_reconnect=False, connect_timeout=2)
    stream = client.jetstream(timeout=5)
    count = (await stream.stream_info(name)).state.messages
    found: list[int] = []
    consumer = await stream.subscribe(subjects, ordered_consumer=True)
    while len(found) < count:
        found.append(int((await consumer.next_msg(timeout=5)).data))
    await client.close()
    return found
