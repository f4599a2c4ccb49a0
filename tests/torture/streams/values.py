"""Keys and values: writers that compare and set, readers, keys with a lifetime; and whether what they saw is linear."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.torture.harm import Findings
from tests.torture.streams.connection import Connection
from tests.torture.streams.publishers import told_by
from tests.torture.streams.visitors import Visitor

BREATH_SECONDS = 0.03
LIFETIME_SECONDS = 3


class Value(NamedTuple):
    """What a key has: its revision, and that which the writer saw before."""

    revision: int
    parent: int


@dataclass
class Look:
    """Somebody was told of a value, in an answer to what was asked between two ticks."""

    value: Value
    begun: int
    ended: int
    written: bool


@dataclass
class ValueLedger:
    """Of one bucket. `excused` are revisions that the gateway has named as lost; `early` are keys that were gone before
    their time, with their revision and what was there in its place.
    """

    bucket: str
    looks: dict[str, list[Look]] = field(default_factory=lambda: defaultdict(list))
    excused: set[int] = field(default_factory=set)
    early: list[tuple[str, int, int]] = field(default_factory=list)
    ticks: int = 0

    def tick(self) -> int:
        self.ticks += 1
        return self.ticks

    def compare(self) -> Findings:
        """Whether there is one order of all that was done to each key, which fits what everybody saw."""
        found = Findings()
        found.lost += [(self.bucket, *one, "went early") for one in self.early if one[1] not in self.excused]
        for key, looks in self.looks.items():
            written = sorted({one.value.revision for one in looks if one.written} - self.excused)
            for look in looks:
                between = [one for one in written if look.value.parent < one < look.value.revision]
                if between:
                    found.disordered.append((self.bucket, key, look.value, "was set although there was", between[0]))
            found.lost += [(self.bucket, key, *problem) for problem in self._backward(looks)]
        return found

    def _backward(self, looks: list[Look]) -> Iterable[tuple[object, ...]]:
        """Looks that show less than what was there before they began."""
        events = sorted([(one.ended, 1, one) for one in looks] + [(one.begun, 0, one) for one in looks], key=when)
        floor = 0
        for _, is_end, look in events:
            if is_end:
                if look.value.revision not in self.excused:
                    floor = max(floor, look.value.revision)
            elif look.value.revision < floor:
                yield look.value, "behind revision", floor


def when(event: tuple[int, int, Look]) -> tuple[int, int]:
    return event[:2]


class KeyWriter(Visitor):
    """Reads a key and sets it, if nobody else has meanwhile; several do so with the same keys."""

    def __init__(self, name: str, keys: tuple[str, ...], ledger: ValueLedger, seed: int) -> None:
        super().__init__(name, seed)
        self._keys = keys
        self._ledger = ledger

    @property
    def settled(self) -> bool:
        return self.stopping

    async def visit(self, connection: Connection) -> None:
        ledger, key = self._ledger, self.random.choice(self._keys)
        subject = f"$KV.{ledger.bucket}.{key}"
        begun = ledger.tick()
        answer = await connection.request(f"$JS.API.DIRECT.GET.KV_{ledger.bucket}.{subject}")
        if answer.status not in (0, 404):
            await asyncio.sleep(BREATH_SECONDS)
            return
        value = Value(0, 0)
        if not answer.status:
            value = Value(int(answer.fields["Nats-Sequence"]), int(answer.payload.split(b" ")[0]))
        ledger.looks[key].append(Look(value, begun, ledger.tick(), False))
        if not self.stopping and self.random.random() < 0.8:
            begun = ledger.tick()
            expected = {"Nats_Expected_Last_Subject_Sequence": str(value.revision)}
            payload = b"%d %b" % (value.revision, self.name.encode())
            told = told_by(await connection.request(subject, payload, **expected))
            if told is not None and "error" not in told:
                new = Value(told["seq"], value.revision)
                ledger.looks[key].append(Look(new, begun, ledger.tick(), True))
        await asyncio.sleep(self.random.random() * BREATH_SECONDS)


class Leaseholder(Visitor):
    """Puts keys that live for a while, and looks whether they do. It alone writes to its key."""

    def __init__(self, name: str, ledger: ValueLedger, seed: int) -> None:
        super().__init__(name, seed)
        self._ledger = ledger
        self._held: tuple[float, int] | None = None

    @property
    def settled(self) -> bool:
        return self.stopping

    async def visit(self, connection: Connection) -> None:
        ledger = self._ledger
        subject = f"$KV.{ledger.bucket}.{self.name}"
        if self._held is None or self.random.random() < 0.1:
            before = time.monotonic()
            self._held = None  # Until it is known whether it is there.
            told = told_by(await connection.request(subject, b"held", Nats_TTL=f"{LIFETIME_SECONDS}s"))
            if told is not None and "error" not in told:
                self._held = before, told["seq"]
        else:
            before, revision = self._held
            answer = await connection.request(f"$JS.API.DIRECT.GET.KV_{ledger.bucket}.{subject}")
            if answer.status in (0, 404) and time.monotonic() < before + LIFETIME_SECONDS:
                there = 0 if answer.status else int(answer.fields["Nats-Sequence"])
                if there != revision:
                    ledger.early.append((self.name, revision, there))
            elif time.monotonic() >= before + LIFETIME_SECONDS:
                self._held = None
        await asyncio.sleep(self.random.random() * BREATH_SECONDS)
