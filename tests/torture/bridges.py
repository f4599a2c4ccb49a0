"""`make torture-bridges`: QoS 1 and 2 traffic over a bridge while its connection is cut and both ends are killed.

    python -m tests.torture.bridges [--minutes N] [--seed N]

Publishers and subscribers are on both sides of a bridge whose topics go both ways. At the end of each round every
acknowledged message has reached the subscriber of each side, QoS 2 once, in order. Where mosquitto is the far side,
only losses count, and doubles of what it was sent: 2.0 sends a QoS 2 message again after its PUBREL when its connection
is cut twice, and lets new messages overtake those that wait for its subscriber.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from pathlib import Path

import trio

from tests.integration.mqtt_servers import mqtt_server
from tests.integration.peers import Peer, free_port
from tests.torture.campaign import CONFIG, ROUND_SECONDS, SHOWN_COMPLAINTS, Outcome
from tests.torture.cutting_proxy import CuttingProxy
from tests.torture.draining import drain
from tests.torture.ledger import Ledger
from tests.torture.publisher import Publisher
from tests.torture.subscriber import Subscriber

LIFE_SECONDS = (0.2, 1.5)
NEAR, FAR = "near", "far"
# Where each publisher is, and its protocol level.
PUBLISHERS = ((NEAR, 5), (NEAR, 4), (FAR, 5))
NEAR_PUBLISHERS = frozenset(index for index, (side, _) in enumerate(PUBLISHERS) if side == NEAR)
UP = "event=up url="
TOPICS = '{ filter = "torture/#", direction = "both", qos = 2 }'
BRIDGE = """
[[bridges]]
name = "far"
urls = ["mqtt://127.0.0.1:{port}"]
version = "{version}"
topics = [{topics}]
reconnect-min-seconds = 0.02
reconnect-max-seconds = 0.1
keep-alive-seconds = 5
answer-timeout-seconds = 2
"""


class BridgeTorture:
    """`killed` are the servers that may be killed: both where both are gateways."""

    def __init__(self, near: Peer, far: Peer, killed: list[Peer], proxy: CuttingProxy, seed: int) -> None:
        self._random = random.Random(seed)
        self._killed = killed
        self._proxy = proxy
        self._near = near
        ledger = Ledger()
        self.outcome = Outcome(ledger)
        addresses = {NEAR: near.address("mqtt"), FAR: far.address("mqtt")}
        seeds = iter(range(seed, seed + 100))
        self._subscribers = [
            Subscriber(address, side, 5, 2, 0.0, ledger, next(seeds)) for side, address in addresses.items()
        ]
        self._publishers = [
            Publisher(addresses[side], index, version, ledger, next(seeds))
            for index, (side, version) in enumerate(PUBLISHERS)
        ]

    async def run(self, seconds: float, kills: int, least: int) -> Outcome:
        """For so long, and until so many kills and acknowledged messages; then drain and compare."""
        async with trio.open_nursery() as clients:
            clients.start_soon(self._proxy.run)
            for subscriber in self._subscribers:
                clients.start_soon(subscriber.run)
            for subscriber in self._subscribers:
                await subscriber.subscribed.wait()
            # The far side promises nothing before the bridge has subscribed there.
            await trio.to_thread.run_sync(self._near.wait_for_log, UP)
            self._proxy.cutting = True
            for publisher in self._publishers:
                clients.start_soon(publisher.run)
                clients.start_soon(publisher.produce)
            await self._torture(seconds, kills, least)
            clients.cancel_scope.cancel()
        self.outcome.connections = sum(client.connections for client in (*self._subscribers, *self._publishers))
        self.outcome.complaints = self.outcome.ledger.complaints()
        return self.outcome

    async def _torture(self, seconds: float, kills: int, least: int) -> None:
        end = trio.current_time() + seconds
        while trio.current_time() < end or self.outcome.kills < kills or self.outcome.ledger.acknowledged() < least:
            await trio.sleep(self._random.uniform(*LIFE_SECONDS))
            if self._killed:
                victim = self._random.choice(self._killed)
                await trio.to_thread.run_sync(victim.kill)
                self.outcome.kills += 1
                await trio.to_thread.run_sync(victim.start)
                await trio.to_thread.run_sync(victim.wait_ports)
        for publisher in self._publishers:
            publisher.stopping = True
        self._proxy.cutting = False
        await drain(self._publishers, self.outcome.ledger)


def complaints_beside_mosquitto(outcome: Outcome) -> list[str]:
    """What is not mosquitto's doing."""
    found = [one for one in outcome.complaints if ": lost " in one or "settled" in one]
    far = next(inbox for inbox in outcome.ledger.inboxes if inbox.name == FAR)
    doubled = [key for key, one in far.arrivals.items() if one.qos == 2 and one.count > 1 and key[0] in NEAR_PUBLISHERS]
    return found + [f"{key} came to mosquitto more than once" for key in doubled]


def torture(
    directory: Path, seconds: float, kills: int, seed: int, version: str, broker: bool, least: int = 0
) -> tuple[Outcome, int]:
    """A gateway with a bridge to another one, or to mosquitto where `broker`, which is not killed. Returns the number
    of cuts, too.
    """
    port = free_port()
    with mqtt_server(directory / FAR, ("mqtt",), config=CONFIG, reference=broker) as far:
        config = CONFIG + BRIDGE.format(port=port, version=version, topics=TOPICS)
        with mqtt_server(directory / NEAR, ("mqtt",), config=config, reference=False) as near:
            proxy = CuttingProxy(port, far.address("mqtt"), seed)
            campaign = BridgeTorture(near, far, [near] if broker else [near, far], proxy, seed)
            outcome = trio.run(campaign.run, seconds, kills, least)
            if broker:
                outcome.complaints = complaints_beside_mosquitto(outcome)
            return outcome, proxy.cuts


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut a bridge and kill its ends while messages pass.")
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)g")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the first round; default: any")
    asked = parser.parse_args()
    end = time.monotonic() + asked.minutes * 60
    for seed in itertools.count(asked.seed):
        left = end - time.monotonic()
        if left <= 0:
            return 0
        version, broker = (("5", False), ("3.1.1", False), ("5", True), ("3.1.1", True))[seed % 4]
        with tempfile.TemporaryDirectory(prefix="leafgate-torture-") as directory:
            outcome, cuts = torture(Path(directory), min(left, ROUND_SECONDS), 1, seed, version, broker)
        other = "mosquitto" if broker else "gateway"
        print(f"seed {seed}, {version} to {other}: {outcome.report()}, cuts {cuts}", flush=True)
        if outcome.complaints:
            print(*outcome.complaints[:SHOWN_COMPLAINTS], sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
