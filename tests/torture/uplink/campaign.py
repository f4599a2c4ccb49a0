"""`make torture-uplink`: what publishers were promised is in the hub's stream, whatever happens in between.

    python -m tests.torture.uplink.campaign [--minutes N] [--seed N] [--only KIND] [--shared]

Publishers by MQTT QoS 1 and 2, by NATS with acknowledgements, and boards with an outbox over TCP and a serial line
number their messages, while the line to the hub is cut, half closed, held up and swallowed, hub and gateway are killed,
power is cut (disk_record.py), the disk is filled, bits are flipped in the database and the clock is set. At the end of
each round every message that was acknowledged is in the hub's stream, once, and in order for each publisher, but for
those that the gateway itself has named as lost with damaged rows. Prints counts; exit status 1 and the complaints when
that was not so. The seed says what is done and when; what it meets is up to the machine.
"""

import itertools
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from tests.integration.serial_line import MICROPYTHON, serial_line
from tests.patience import LONG_SECONDS
from tests.torture.harm import Harm
from tests.torture.harmed_gateway import GATEWAY
from tests.torture.rounds import failures, parser_of, run_rounds
from tests.torture.uplink.boards import BoardPublisher
from tests.torture.uplink.edge_site import Site, site
from tests.torture.uplink.faults import MACHINE_FAULTS, Faults, in_thread
from tests.torture.uplink.hub_proxy import HubProxy
from tests.torture.uplink.ledger import UplinkLedger, key_of
from tests.torture.uplink.publishers import SUBJECT, MqttPublisher, NatsPublisher, Stranger

ROUND_SECONDS = 45.0
SETTLE_SECONDS = LONG_SECONDS
POLL_SECONDS = 0.1
PREFIX = "leafgate-torture-"
# Name and QoS.
MQTT_PUBLISHERS = (("once", 1), ("exactly", 2))


@dataclass
class Outcome(Harm):
    """`stored` is what the hub has, `by_publisher` what each was promised."""

    stored: int = 0
    by_publisher: dict[str, int] = field(default_factory=dict)

    def report(self) -> str:
        publishers = ", ".join(f"{name} {count}" for name, count in sorted(self.by_publisher.items()))
        return (
            f"{self.told_faults()}; acknowledged {self.acknowledged} ({publishers}), refused {self.refused}, "
            f"stored {self.stored}, excused {self.excused}; {self.findings}"
        )

    def add(self, other: "Outcome") -> None:
        self.add_harm(other)
        self.stored += other.stored
        for name, count in other.by_publisher.items():
            self.by_publisher[name] = self.by_publisher.get(name, 0) + count


class UplinkTorture:
    """One round at a site that runs."""

    def __init__(self, site: Site, tty: str | None, seed: int) -> None:
        self.ledger = UplinkLedger()
        self._site = site
        self._proxy = HubProxy(site.proxy_port, site.hub.address("leafnode"), seed)
        self.faults = Faults(site, self._proxy, seed)
        gateway = site.gateway
        seeds = itertools.count(seed)
        self._mqtt = [
            MqttPublisher(gateway.address("mqtt"), name, qos, self.ledger, next(seeds)) for name, qos in MQTT_PUBLISHERS
        ]
        self._nats = NatsPublisher(gateway.url(), "nats", self.ledger, next(seeds))
        self._boards: list[BoardPublisher] = []
        self._wheres = {"board": gateway.url(), "serial": tty} if MICROPYTHON.exists() else {}

    async def run(self, seconds: float, kinds: Mapping[str, int], shared: bool, least: int) -> Outcome:
        """Harm for so long, with machine faults of these kinds and at least so many; then let all settle, and compare.
        `shared`: somebody else feeds the stream, too.
        """
        with ExitStack() as stack:
            if shared:
                stack.callback(Stranger(self._site.hub.url()).close)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._proxy.run)
                await self._publish_through_faults(seconds, kinds, least)
                # From here on nobody publishes, so the ledger and the hub's stream tell of the same time.
                await self._wait_until_drained()
                # What is settled stays so.
                await self.faults.kill_and_start()
                await self._wait_until_drained()
                outcome = await self._compare()
                nursery.cancel_scope.cancel()
        return outcome

    async def _publish_through_faults(self, seconds: float, kinds: Mapping[str, int], least: int) -> None:
        with ExitStack() as stack:
            async with trio.open_nursery() as nursery:
                for publisher in self._mqtt:
                    nursery.start_soon(publisher.run)
                    nursery.start_soon(publisher.produce)
                stack.callback(self._nats.close)
                self._nats.start()
                for name, where in self._wheres.items():
                    if where is not None:
                        subject = f"{SUBJECT}.{name}"
                        board = BoardPublisher(where, name, subject, self._site.directory, self.ledger)
                        self._boards.append(board)
                        stack.callback(board.close)
                async with trio.open_nursery() as line:
                    line.start_soon(self.faults.harm_line)
                    await self.faults.harm_machines(trio.current_time() + seconds, kinds, least)
                    line.cancel_scope.cancel()
                await self._settle()
                nursery.cancel_scope.cancel()

    async def _settle(self) -> None:
        for publisher in (*self._mqtt, self._nats, *self._boards):
            if isinstance(publisher, MqttPublisher):
                publisher.stopping = True
            else:
                publisher.stop()
        unsettled = await self._wait(lambda: [one.name for one in self._publishers() if not one.settled])
        if unsettled:
            self.ledger.faults.append(f"not answered within {SETTLE_SECONDS:g} s: {unsettled}")

    async def _wait_until_drained(self) -> None:
        left = None
        with trio.move_on_after(SETTLE_SECONDS):
            while (left := await in_thread(self._site.backlog)) != 0:  # noqa: ASYNC110 -- it is asked from outside
                await trio.sleep(POLL_SECONDS)
            return
        self.ledger.faults.append(f"{left} messages still wait for the hub after {SETTLE_SECONDS:g} s")

    async def _wait(self, busy: Callable[[], list[str]]) -> list[str]:
        """Wait until there is nothing left, or for a while; returns what is left."""
        with trio.move_on_after(SETTLE_SECONDS):
            while busy():  # noqa: ASYNC110 -- threads and processes, which tell nobody here
                await trio.sleep(POLL_SECONDS)
        return busy()

    async def _compare(self) -> Outcome:
        ledger = self.ledger
        named = self.faults.damages.named(self._site.gateway.log())
        ledger.excuse(key for key in (key_of(one.message.payload) for one in named) if key is not None)
        stored = await trio.to_thread.run_sync(self._site.stored)
        findings = ledger.compare(stored)
        return Outcome(
            faults=self.faults.counts,
            findings=findings,
            acknowledged=ledger.count(),
            refused=sum(map(len, ledger.refused.values())),
            excused=len(ledger.excused),
            complaints=[*ledger.faults, *findings.complaints()],
            stored=len(stored),
            by_publisher={name: len(numbers) for name, numbers in ledger.acknowledged.items()},
        )

    def _publishers(self) -> list[MqttPublisher | NatsPublisher | BoardPublisher]:
        return [*self._mqtt, self._nats, *self._boards]


def torture(
    directory: Path,
    seconds: float,
    seed: int,
    kinds: Mapping[str, int] = MACHINE_FAULTS,
    launcher: tuple[str, ...] = GATEWAY,
    shared: bool = False,
    least: int = 1,
) -> Outcome:
    """A round at a site of its own below the directory; `launcher` as in Site. `shared`: the hub's stream is fed by
    somebody else, too. On a busy machine it goes on until there were `least` faults of machines.
    """
    with ExitStack() as stack:
        line = stack.enter_context(serial_line(directory / "line"))
        place = stack.enter_context(site(directory, line.name, launcher))
        round_ = UplinkTorture(place, line.device.path, seed)
        outcome = trio.run(round_.run, seconds, kinds, shared, least)
        outcome.complaints += failures(place.gateway.log())
        return outcome


def main() -> int:
    parser = parser_of("Harm an uplink that stores and forwards in every way.")
    parser.add_argument("--only", choices=MACHINE_FAULTS, help="of the faults of machines, these alone")
    parser.add_argument("--shared", action="store_true", help="somebody else feeds the hub's stream, too")
    asked = parser.parse_args()
    kinds = {asked.only: 1} if asked.only else MACHINE_FAULTS
    total = Outcome()
    one = partial(torture, kinds=kinds, shared=asked.shared)
    return run_rounds(asked, ROUND_SECONDS, PREFIX, one, total, total.add)


if __name__ == "__main__":
    sys.exit(main())
