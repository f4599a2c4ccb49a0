"""`make torture`: persistent sessions and QoS 1/2 traffic while the gateway is killed at random instants.

    python -m tests.torture.campaign [--minutes N] [--seed N]

At the end of each round every acknowledged message has reached every subscriber, QoS 2 once, in order; retained values
are the last ones. Prints counts; exit status 1 and the complaints when that was not so.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.integration.mqtt_servers import REFERENCE, mqtt_server
from tests.integration.peers import Peer
from tests.torture.draining import DRAIN_SECONDS, drain
from tests.torture.ledger import Ledger
from tests.torture.publisher import Publisher
from tests.torture.subscriber import Subscriber, read_retained

# Sessions that are offline for long must not lose what they wait for to a limit.
CONFIG = "[mqtt]\nmax-queued-messages = 1000000\n"
LIFE_SECONDS = (0.2, 2.0)
FINAL_KILLS = 2
# What was sent is all remembered until a round is over.
ROUND_SECONDS = 60.0
SHOWN_COMPLAINTS = 20

# Name, protocol level, QoS, and how long it stays on or off the line at most.
SUBSCRIBERS = (
    ("steady 5 qos 2", 5, 2, 0.0),
    ("steady 3.1.1 qos 1", 4, 1, 0.0),
    ("restless 5 qos 1", 5, 1, 0.5),
    ("restless 3.1.1 qos 2", 4, 2, 0.5),
    ("sleepy 5 qos 2", 5, 2, 4.0),
)
PUBLISHER_VERSIONS = (4, 5, 5)


@dataclass
class Outcome:
    """What happened, and the complaints: none when all went well."""

    ledger: Ledger
    kills: int = 0
    retained_checks: int = 0
    connections: int = 0
    complaints: list[str] = field(default_factory=list)

    def report(self) -> str:
        sent = self.ledger.sent.values()
        inboxes = self.ledger.inboxes
        return (
            f"sent {len(sent)}, acknowledged {self.ledger.acknowledged()}, refused {self.ledger.refused}, "
            f"delivered {sum(len(inbox.arrivals) for inbox in inboxes)} to {len(inboxes)} subscribers, "
            f"repeated with QoS 1 {sum(inbox.duplicates for inbox in inboxes)}, kills {self.kills}, "
            f"connections {self.connections}, retained values read {self.retained_checks}, "
            f"complaints {len(self.complaints)}"
        )


class Torture:
    """One run against a server that is already there."""

    def __init__(self, server: Peer, seed: int, kills_allowed: bool) -> None:
        self._server = server
        self._random = random.Random(seed)
        self._kills_allowed = kills_allowed
        self._address = server.address("mqtt")
        ledger = Ledger()
        self.outcome = Outcome(ledger)
        seeds = iter(range(seed, seed + 1000))
        self._subscribers = [
            Subscriber(self._address, name, version, qos, restless, ledger, next(seeds))
            for name, version, qos, restless in SUBSCRIBERS
        ]
        self._publishers = [
            Publisher(self._address, index, version, ledger, next(seeds))
            for index, version in enumerate(PUBLISHER_VERSIONS)
        ]

    async def run(self, seconds: float, kills: int, least: int) -> Outcome:
        """For so long, and until so many kills and acknowledged messages; then drain and compare."""
        async with trio.open_nursery() as clients:
            for subscriber in self._subscribers:
                clients.start_soon(subscriber.run)
            with trio.move_on_after(DRAIN_SECONDS) as waiting:
                for subscriber in self._subscribers:
                    await subscriber.subscribed.wait()
            if waiting.cancelled_caught:
                self.outcome.ledger.faults.append("not all subscribers could subscribe")
            else:
                await self._torture(clients, seconds, kills, least)
            clients.cancel_scope.cancel()
        self.outcome.connections = sum(client.connections for client in (*self._subscribers, *self._publishers))
        self.outcome.complaints = self.outcome.ledger.complaints()
        return self.outcome

    async def _torture(self, clients: trio.Nursery, seconds: float, kills: int, least: int) -> None:
        for subscriber in self._subscribers:
            clients.start_soon(subscriber.wander)
        for publisher in self._publishers:
            clients.start_soon(publisher.run)
            clients.start_soon(publisher.produce)
        end = trio.current_time() + seconds
        while (
            trio.current_time() < end
            or (self._kills_allowed and self.outcome.kills < kills)
            or self.outcome.ledger.acknowledged() < least
        ):
            await trio.sleep(self._random.uniform(*LIFE_SECONDS))
            await self._kill()
            await self._compare_retained()
        for publisher in self._publishers:
            publisher.stopping = True
        for subscriber in self._subscribers:
            subscriber.settle()
        await drain(self._publishers, self.outcome.ledger)
        # What was settled must stay settled.
        for _ in range(FINAL_KILLS):
            await self._kill()
            await drain(self._publishers, self.outcome.ledger)
        await self._compare_retained()

    async def _kill(self) -> None:
        if self._kills_allowed:
            await trio.to_thread.run_sync(self._server.kill)
            self.outcome.kills += 1
            await trio.to_thread.run_sync(self._server.start)
            await trio.to_thread.run_sync(self._server.wait_ports)

    async def _compare_retained(self) -> None:
        ledger = self.outcome.ledger
        kept_before = dict(ledger.last_kept)
        values = await read_retained(self._address, set(kept_before))
        ledger.complain_of_retained(values, kept_before)
        self.outcome.retained_checks += len(kept_before)


def torture(directory: Path, seconds: float, kills: int, seed: int, least: int = 0) -> Outcome:
    """Start a server in the directory and torture it. mosquitto as the reference is not killed."""
    with mqtt_server(directory, ("mqtt",), config=CONFIG) as server:
        return trio.run(Torture(server, seed, not REFERENCE).run, seconds, kills, least)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the gateway while persistent sessions exchange messages.")
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)g")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the first round; default: any")
    asked = parser.parse_args()
    end = time.monotonic() + asked.minutes * 60
    for seed in itertools.count(asked.seed):
        left = end - time.monotonic()
        if left <= 0:
            return 0
        with tempfile.TemporaryDirectory(prefix="leafgate-torture-") as directory:
            outcome = torture(Path(directory), min(left, ROUND_SECONDS), 1, seed)
        print(f"seed {seed}: {outcome.report()}", flush=True)
        if outcome.complaints:
            print(*outcome.complaints[:SHOWN_COMPLAINTS], sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
