"""What the clients of streams were promised, and what is wrong with what they were given.

Everything happens in one thread; `tick` numbers what happens there. A message is known by its publisher and its number,
with which its payload begins.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from tests.torture.harm import Findings
from tests.torture.uplink.ledger import Key


class Stored(NamedTuple):
    """A message as a stream has it."""

    sequence: int
    key: Key


class StreamLedger:
    """Of one stream. `acknowledged` has the sequence of every message that its publisher was promised; `received` what
    each consumer got, `confirmed` what of it was acknowledged for good, and when. `excused` are sequences that the
    gateway has named as lost; `repeated` is what came again behind that, `doubled` what came as two messages.
    `forgot`: the gateway has said that something of what it knew about deliveries and deletions is lost; then messages
    may be back.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged: dict[Key, int] = {}
        self.refused = 0
        self.received: dict[str, set[int]] = defaultdict(set)
        self.confirmed: dict[str, dict[int, int]] = defaultdict(dict)
        self.excused: set[int] = set()
        self.forgot = False
        self.doubled: list[object] = []
        self.repeated: list[object] = []
        self._places: dict[Key, int] = {}
        self._ticks = 0

    def tick(self) -> int:
        self._ticks += 1
        return self._ticks

    def acknowledge(self, key: Key, sequence: int) -> None:
        self.acknowledged[key] = sequence

    def receive(self, consumer: str, sequence: int, asked_at: int, key: Key | None) -> None:
        """A message came in answer to what was asked for at a tick."""
        self.received[consumer].add(sequence)
        if key is not None and self._places.setdefault(key, sequence) != sequence:
            self.doubled.append((self.name, key, "came from two places", self._places[key], sequence))
        confirmed_at = self.confirmed[consumer].get(sequence)
        if confirmed_at is not None and confirmed_at < asked_at:
            self.repeated.append((self.name, consumer, sequence, "came after its acknowledgement was confirmed"))

    def confirm(self, consumer: str, sequence: int) -> None:
        """The gateway has answered an acknowledgement."""
        self.confirmed[consumer].setdefault(sequence, self.tick())

    def excuse(self, sequences: Iterable[int]) -> None:
        self.excused.update(sequences)

    def not_received(self, consumer: str) -> list[int]:
        """What was promised, and has not come."""
        got = self.received[consumer] | self.excused
        return sorted(sequence for sequence in self.acknowledged.values() if sequence not in got)

    def delivered(self) -> Findings:
        """What is wrong with what consumers got."""
        found = Findings(doubled=[*self.doubled, *(() if self.forgot else self.repeated)])
        for consumer in self.received:
            found.lost += [(self.name, consumer, sequence, "never came") for sequence in self.not_received(consumer)]
        return found

    def compare(self, stored: Iterable[Stored]) -> Findings:
        """`stored` is all that the stream has; nothing was deleted from it."""
        found = self.delivered()
        there = {}
        keys: Counter[Key] = Counter()
        before = 0
        for sequence, key in stored:
            found.disordered += [
                (self.name, missing, "is missing")
                for missing in range(before + 1, sequence)
                if missing not in self.excused
            ]
            before = sequence
            there[sequence] = key
            keys[key] += 1
        found.doubled += [(self.name, key, "is there twice") for key, count in keys.items() if count > 1]
        promised: dict[int, Key] = {}
        for key, sequence in self.acknowledged.items():
            if sequence in promised:
                found.doubled.append((self.name, sequence, "was given to two messages", key, promised[sequence]))
            promised[sequence] = key
            if sequence not in self.excused and there.get(sequence) != key:
                found.lost.append((self.name, key, sequence))
        return found
