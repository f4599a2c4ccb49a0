"""The long form of bad input for MQTT: damaged packets by the million, against a gateway of its own or a running one.

    python -P -m tests.fuzz.mqtt_campaign [--packets N] [--seed N] [--connections N] [--address HOST:PORT --pid PID]

Two healthy clients ask and answer all the while. Exit status 1 when they are disturbed, when the gateway does not end
a connection in time, logs a traceback, or needs more memory than at the begin by more than `--spare-kib`.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.mqtt_conformance.hostile import Offence, random_offences
from tests.integration.mqtt_conformance.raw_client import Clients, RawClient
from tests.integration.mqtt_conformance.request_and_reply import RequestAndReply
from tests.integration.peers import gateway

MOST_PACKETS = 1_000_000
MOST_GROWTH_KIB = 16 * 1024
REPORTS = 20
# What a gateway needs for its caches, whose bounds are reached while the first packets come.
WARM_UP = 0.2
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.05
CONFIG = """
[mqtt]
max-sessions = 2000
max-retained-messages = 2000
[logging]
level = "error"
"""


class FaultError(Exception):
    """The gateway did not stand it."""


@dataclass(frozen=True)
class Target:
    address: tuple[str, int]
    pid: int
    log: Callable[[], str]


def resident_kib(pid: int) -> int:
    """VmRSS of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise FaultError(f"process {pid} has no memory")


@contextmanager
def own_gateway() -> Iterator[Target]:
    with (
        tempfile.TemporaryDirectory() as directory,
        gateway(Path(directory), protocols=("mqtt",), config=CONFIG) as peer,
    ):
        yield Target(peer.address("mqtt"), peer.pid, peer.log)


class Source:
    """Hands out offences to several threads, at most so many."""

    def __init__(self, seed: int, most: int) -> None:
        self.given = 0
        self._most = most
        self._offences = random_offences(random.Random(seed))
        self._lock = threading.Lock()

    def end(self) -> None:
        with self._lock:
            self._most = self.given

    def __iter__(self) -> "Source":
        return self

    def __next__(self) -> Offence:
        with self._lock:
            if self.given >= self._most:
                raise StopIteration
            self.given += 1
            return next(self._offences)


def offend(address: tuple[str, int], offence: Offence) -> None:
    with RawClient(address, offence.version, patience=PATIENCE_SECONDS) as peer:
        try:
            peer.send(offence.prelude, offence.bad)
            peer.send_eof()
        except OSError:
            pass  # Closed before it had heard everything.
        peer.remaining_bytes()


def work(address: tuple[str, int], source: Source) -> None:
    for offence in source:
        offend(address, offence)


class Watch:
    """Prints how it goes and remembers how much memory was needed after the warm-up."""

    def __init__(self, target: Target, source: Source, packets: int, healthy: RequestAndReply) -> None:
        self._target = target
        self._source = source
        self._packets = packets
        self._healthy = healthy
        self._begun = time.monotonic()
        self._next = 0
        self.warm_kib: int | None = None

    def look(self) -> None:
        given = self._source.given
        if given < self._next and given < self._packets:
            return
        self._next = given + self._packets // REPORTS
        memory = resident_kib(self._target.pid)
        if self.warm_kib is None and given >= WARM_UP * self._packets:
            self.warm_kib = memory
        rate = given / max(time.monotonic() - self._begun, 1e-9)
        rounds = self._healthy.rounds
        print(f"{given:>9} packets  {rate:>6.0f}/s  {memory:>8} KiB  {rounds:>8} healthy rounds", flush=True)

    def growth_kib(self) -> int:
        assert self.warm_kib is not None
        return resident_kib(self._target.pid) - self.warm_kib


def run(target: Target, packets: int, seed: int, connections: int, spare_kib: int) -> None:
    source = Source(seed, packets)
    with Clients(target.address, PATIENCE_SECONDS) as clients, ThreadPoolExecutor(connections + 1) as pool:
        healthy = RequestAndReply(clients)
        watch = Watch(target, source, packets, healthy)
        going = pool.submit(healthy.go_on)
        try:
            workers = [pool.submit(work, target.address, source) for _ in range(connections)]
            while not all(worker.done() for worker in workers):
                watch.look()
                if going.done():
                    break
                time.sleep(LOOK_SECONDS)
        finally:
            source.end()
            healthy.end()
        for future in (going, *workers):
            future.result()
        healthy.exchange()
        watch.look()
    if "Traceback" in target.log():
        raise FaultError("there is a traceback in the log")
    growth = watch.growth_kib()
    print(f"memory grew by {growth} KiB after the warm-up")
    if growth > spare_kib:
        raise FaultError(f"memory grew by {growth} KiB, more than {spare_kib}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Send damaged MQTT packets to a gateway and watch it.")
    parser.add_argument("--packets", type=int, default=MOST_PACKETS, help="how many; default: %(default)d")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 48), help="default: any")
    parser.add_argument("--connections", type=int, default=8, help="at a time; default: %(default)d")
    parser.add_argument(
        "--spare-kib", type=int, default=16 * 1024, help="growth that is let pass; default: %(default)d"
    )
    parser.add_argument("--address", help="of a gateway that runs already, with its --pid")
    parser.add_argument("--pid", type=int)
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    try:
        if asked.address:
            host, _, port = asked.address.rpartition(":")
            target = Target((host, int(port)), asked.pid, lambda: "")
            run(target, asked.packets, asked.seed, asked.connections, asked.spare_kib)
        else:
            with own_gateway() as target:
                run(target, asked.packets, asked.seed, asked.connections, asked.spare_kib)
    except (FaultError, AssertionError, OSError, EOFError) as fault:
        print(f"fault with seed {asked.seed}: {fault or type(fault).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
