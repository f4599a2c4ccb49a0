"""The console left open for long while messages pass: what page and gateway take, from the beginning to the end.

    python -m tests.torture.console_open [--minutes N]

A short run of it is a test. It ends with 1 where one of them has grown, or where the page complained.
"""

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.integration.console_browser import console_browser
from tests.integration.node_peers import NodeClient
from tests.integration.peers import Peer, gateway
from tests.integration.raw_peer import RawPeer

SUBJECTS = 2000
MESSAGES_A_SECOND = 2000
BATCH = 50
ROOMS = ("now", "subjects?open=plant", "clients", "subjects?filter=plant.%3E", "devices", "settings")
# The page's own bound, and what both may be above where they were once all was seen: allocators keep some.
MOST_HEAP = 30 << 20
ROOM_TO_GROW = 1.25
ROOM_AT_LEAST = 4 << 20


class Sample(NamedTuple):
    """Bytes of the page's heap, and of the gateway's memory, without what comes and goes."""

    heap: int
    resident: int


@contextmanager
def traffic(edge: Peer) -> Iterator[None]:
    """Messages on many subjects, numbers and texts, as long as the context lasts."""
    stopped = threading.Event()
    peer = RawPeer(edge.address("nats"))
    peer.send(b'CONNECT {"verbose":false}\r\n')

    def publish() -> None:
        numbers = itertools.count()
        while not stopped.wait(BATCH / MESSAGES_A_SECOND):
            lines = []
            for number in itertools.islice(numbers, BATCH):
                payload = b"%d.5" % (number % 90)
                lines.append(b"PUB plant.%d.temp %d\r\n%b\r\n" % (number % SUBJECTS, len(payload), payload))
            # The gateway asks now and then whether somebody is there; an answer too many does no harm.
            peer.send(b"".join(lines) + b"PONG\r\n")

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        yield
    finally:
        stopped.set()
        publisher.join()
        peer.socket.close()


def visit(page: NodeClient, seconds: float) -> None:
    """Go through the rooms, and stay a while in each."""
    for room in ROOMS:
        page.call("go", place=f"#/{room}")
        time.sleep(seconds / len(ROOMS))


def sample(page: NodeClient, edge: Peer) -> Sample:
    pages = int(Path(f"/proc/{edge.pid}/statm").read_text().split()[1])
    return Sample(page.call("heap"), pages * 4096)


def endure(edge: Peer, page: NodeClient, rounds: int, seconds: float) -> list[Sample]:
    """Go through the rooms so often, each round taking so long; a sample behind each, in the room that it began in."""
    with traffic(edge):
        page.call("open", place="#/now", width=1280, height=800)
        page.call("see", text="Messages in")
        # A busy machine may not come to show everything in one round.
        visit(page, seconds)
        samples = []
        for _ in range(rounds):
            visit(page, seconds)
            page.call("go", place="#/now")
            samples.append(sample(page, edge))
        return samples


def has_grown(before: int, after: int) -> bool:
    return after > max(before * ROOM_TO_GROW, before + ROOM_AT_LEAST)


def faults(samples: list[Sample], complaints: list[str]) -> list[str]:
    """What is wrong with a run; the first sample is from when everything had been seen once."""
    first, last = samples[0], samples[-1]
    found = list(complaints)
    if last.heap > MOST_HEAP or has_grown(first.heap, last.heap):
        found.append(f"the page took {first.heap} bytes at first and takes {last.heap}")
    if has_grown(first.resident, last.resident):
        found.append(f"the gateway took {first.resident} bytes at first and takes {last.resident}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Leave the console open, and see whether anything grows.")
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes: float = parser.parse_args().minutes
    with (
        tempfile.TemporaryDirectory() as place,
        gateway(Path(place), protocols=("nats", "websocket")) as edge,
        console_browser(edge) as page,
    ):
        samples = endure(edge, page, max(2, round(minutes)), 60.0)
        wrong = faults(samples, page.call("complaints"))
    for number, one in enumerate(samples, 1):
        print(f"minute {number}: page {one.heap / 2**20:.1f} MiB, gateway {one.resident / 2**20:.1f} MiB")
    print("\n".join(wrong) or "nothing has grown")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
