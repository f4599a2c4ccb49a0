"""`make torture-streams`: what clients of streams were promised holds, whatever happens to the gateway.

    python -m tests.torture.streams.campaign [--minutes N] [--seed N] [--only KIND] [--rows]

Publishers with ids, a pull and a push consumer, two workers of a queue, writers that compare and set keys, and keys
that live for a while, while the gateway is killed, stopped and cut from power (disk_record.py), writes are torn, the
disk is filled, bits are flipped in the database, the clock is set and clients are cut off. At the end of each round

 - every message that was acknowledged is in its stream under its number, each id once, and no number is missing;
 - consumers were given all of them, and nothing that was acknowledged for good came again, also from the work queue,
   which is empty;
 - what was written to each key is one chain, nobody saw an older value than was known before, and no key went before
   its time;

but for what the gateway itself has named as lost with damaged rows (`--rows`: damage the small tables, too). Prints
counts; exit status 1 and the complaints when that was not so. The seed says what is done and when; what it meets is up
to the machine.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.patience import LONG_SECONDS
from tests.torture.chunk_damage import named_rows
from tests.torture.harm import Harm
from tests.torture.harmed_gateway import GATEWAY, HarmedGateway
from tests.torture.rounds import failures, parser_of, run_rounds
from tests.torture.streams.connection import LostError
from tests.torture.streams.consumers import PullWorker, PushReader
from tests.torture.streams.faults import FAULTS, ROW_FAULTS, Faults
from tests.torture.streams.ledger import StreamLedger
from tests.torture.streams.publishers import Publisher
from tests.torture.streams.streams_site import (
    JOBS,
    LEASES,
    LOG,
    PULLED,
    PUSHED,
    PUSHED_TO,
    STATE,
    WORKERS,
    count_of,
    read_all,
    streams_site,
)
from tests.torture.streams.values import KeyWriter, Leaseholder, ValueLedger
from tests.torture.streams.visitors import Crowd, Visitor

ROUND_SECONDS = 120.0
SETTLE_SECONDS = LONG_SECONDS
POLL_SECONDS = 0.1
PREFIX = "leafgate-torture-streams-"
KEYS = ("a", "b", "c")


@dataclass
class Outcome(Harm):
    """`written` are values of keys, `confirmed` what consumers acknowledged for good."""

    confirmed: int = 0
    written: int = 0

    def report(self) -> str:
        return (
            f"{self.told_faults()}; {self.acknowledged} messages and {self.written} values acknowledged, "
            f"{self.confirmed} acknowledgements confirmed, {self.refused} refused, {self.excused} excused; "
            f"{self.findings}"
        )

    def add(self, other: "Outcome") -> None:
        self.add_harm(other)
        self.confirmed += other.confirmed
        self.written += other.written


class StreamTorture:
    """One round at a gateway that runs."""

    def __init__(self, place: HarmedGateway, seed: int, patience: float) -> None:
        self._place = place
        self._patience = patience
        self._address = place.gateway.address("nats")
        self._log, self._jobs = StreamLedger(LOG), StreamLedger(JOBS)
        self._state, self._leases = ValueLedger(STATE), ValueLedger(LEASES)
        seeds = itertools.count(seed)
        self._publishers = [
            Publisher("one", "log", self._log, next(seeds)),
            Publisher("two", "log", self._log, next(seeds)),
            Publisher("job", "jobs", self._jobs, next(seeds)),
        ]
        self._consumers: list[Visitor] = [
            PullWorker("reader", PULLED, self._log, next(seeds)),
            PushReader("pushed", PUSHED, PUSHED_TO, self._log, next(seeds)),
            PullWorker("worker1", WORKERS, self._jobs, next(seeds)),
            PullWorker("worker2", WORKERS, self._jobs, next(seeds)),
        ]
        self._writers: list[Visitor] = [
            KeyWriter("left", KEYS, self._state, next(seeds)),
            KeyWriter("right", KEYS, self._state, next(seeds)),
            Leaseholder("lease1", self._leases, next(seeds)),
            Leaseholder("lease2", self._leases, next(seeds)),
        ]
        self._visitors = [*self._publishers, *self._consumers, *self._writers]
        self._complaints: list[str] = []
        self._crowd = Crowd(self._address, self._visitors)
        self.faults = Faults(place, self._crowd, seed)

    def run(self, seconds: float, kinds: Mapping[str, int], least: int) -> Outcome:
        """Harm for so long, with so many faults of these kinds at least; then let all settle, and compare."""
        try:
            self.faults.harm(time.monotonic() + seconds, kinds, least)
            for publisher in (*self._publishers, *self._writers):
                publisher.stopping = True
            self._wait("unanswered", lambda: unsettled(self._publishers))
            self._excuse()
            for consumer in self._consumers:
                consumer.stopping = True
            self._settle()
            # What is settled stays so.
            self.faults.kill()
            self._settle()
            return self._compare()
        finally:
            self._crowd.close()

    def _settle(self) -> None:
        self._excuse()
        self._wait("not received", lambda: self._log.not_received(PULLED) or self._jobs.not_received(WORKERS))
        self._wait("unsettled", lambda: unsettled(self._consumers))
        if not self._jobs.forgot:
            self._wait("left in the work queue", self._left_in_queue)

    def _compare(self) -> Outcome:
        self._excuse()
        stored = asyncio.run(read_all(self._address, LOG))
        findings = self._log.compare(stored)
        for other in (self._jobs.delivered(), self._state.compare(), self._leases.compare()):
            findings.add(other)
        complaints = [*self._complaints, *self._crowd.faults, *findings.complaints()]
        complaints += failures(self._place.gateway.log())
        ledgers = self._log, self._jobs
        return Outcome(
            faults=self.faults.counts,
            findings=findings,
            acknowledged=sum(len(one.acknowledged) for one in ledgers),
            refused=sum(one.refused for one in ledgers),
            excused=sum(len(one.excused) for one in (*ledgers, self._state, self._leases)),
            complaints=complaints,
            confirmed=sum(len(confirmed) for one in ledgers for confirmed in one.confirmed.values()),
            written=sum(look.written for looks in self._state.looks.values() for look in looks),
        )

    def _excuse(self) -> None:
        """What the gateway's log names."""
        log = self._place.gateway.log()
        lost: dict[str, set[int]] = {}
        for stream, message in self.faults.damage.named(log):
            lost.setdefault(stream.removeprefix("jetstream/"), set()).add(message.sequence)
        for ledger in (self._log, self._jobs):
            ledger.excuse(lost.get(ledger.name, ()))
        for values in (self._state, self._leases):
            values.excused.update(lost.get(f"KV_{values.bucket}", ()))
        for stream, _ in named_rows(log):
            for ledger in (self._log, self._jobs):
                if stream == f"jetstream/{ledger.name}":
                    ledger.forgot = True

    def _wait(self, what: str, left: Callable[[], object]) -> None:
        """Wait until there is nothing left, or for a while."""
        give_up = time.monotonic() + self._patience
        while rest := left():
            if time.monotonic() > give_up:
                self._complaints.append(f"{what} after {self._patience:g} s: {str(rest)[:300]}")
                return
            time.sleep(POLL_SECONDS)

    def _left_in_queue(self) -> int:
        try:
            return asyncio.run(count_of(self._address, JOBS))
        except LostError:
            return -1


def unsettled(visitors: list[Publisher] | list[Visitor]) -> list[str]:
    return [one.name for one in visitors if not one.settled]


def torture(
    directory: Path,
    seconds: float,
    seed: int,
    kinds: Mapping[str, int] = FAULTS,
    launcher: tuple[str, ...] = GATEWAY,
    least: int = 1,
    patience: float = SETTLE_SECONDS,
) -> Outcome:
    """A round at a gateway of its own below the directory; `launcher` as in HarmedGateway. What has not settled after
    `patience` seconds is a complaint.
    """
    with streams_site(directory, launcher) as place:
        return StreamTorture(place, seed, patience).run(seconds, kinds, least)


def main() -> int:
    parser = parser_of("Harm a gateway with streams in every way.")
    parser.add_argument("--only", choices=FAULTS | ROW_FAULTS, help="of the faults, these alone")
    parser.add_argument("--rows", action="store_true", help="damage rows of small tables, too")
    asked = parser.parse_args()
    kinds = {asked.only: 1} if asked.only else FAULTS | ROW_FAULTS if asked.rows else FAULTS
    total = Outcome()
    return run_rounds(asked, ROUND_SECONDS, PREFIX, partial(torture, kinds=kinds), total, total.add)


if __name__ == "__main__":
    sys.exit(main())
