"""What an uplink's publishers were promised, and what is wrong with what the hub's stream holds.

A message is known by its publisher and its number, and its payload begins with both. Each publisher counts up from 0,
and writes to one subject.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.torture.harm import Findings

Key = tuple[str, int]


def payload_of(key: Key, padding: int = 0) -> bytes:
    return b"%b %d %b" % (key[0].encode(), key[1], b"." * padding)


def key_of(payload: bytes) -> Key | None:
    """None for what no publisher of ours has written."""
    name, _, rest = payload.partition(b" ")
    number = rest.partition(b" ")[0]
    return (name.decode(), int(number)) if number.isdigit() and name.isalnum() else None


class UplinkLedger:
    """Lives in the process of the harness, which nobody kills. Threads may write to it: each to its own publishers.

    `faults` are sentences noted while the torture ran.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[str, set[int]] = defaultdict(set)
        self.refused: dict[str, set[int]] = defaultdict(set)
        # How many numbers each publisher has used.
        self.sent: dict[str, int] = {}
        self.excused: set[Key] = set()
        self.faults: list[str] = []

    def send(self, key: Key) -> None:
        """A number is used, or used again."""
        self.sent[key[0]] = max(self.sent.get(key[0], 0), key[1] + 1)

    def acknowledge(self, key: Key) -> None:
        self.acknowledged[key[0]].add(key[1])

    def refuse(self, key: Key) -> None:
        """The gateway has said that it does not take it; nothing was promised."""
        self.refused[key[0]].add(key[1])

    def excuse(self, keys: Iterable[Key]) -> None:
        """The gateway has named these as lost, after damage that was done to its database."""
        self.excused.update(keys)

    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def missing(self, stored: set[Key]) -> list[Key]:
        """What was acknowledged, and is neither stored nor excused."""
        return [
            (name, number)
            for name, numbers in self.acknowledged.items()
            for number in sorted(numbers)
            if (name, number) not in stored and (name, number) not in self.excused
        ]

    def compare(self, stored: Iterable[Key]) -> Findings:
        """`stored` is what the hub has, in its order. What was not acknowledged may be there once, or not."""
        found = Findings()
        counts: Counter[Key] = Counter()
        highest: dict[str, int] = defaultdict(lambda: -1)
        for key in stored:
            counts[key] += 1
            name, number = key
            if number >= self.sent.get(name, 0):
                found.unknown.append(key)
            if counts[key] > 1:
                found.doubled.append(key)
            elif number < highest[name]:
                found.disordered.append((key, highest[name]))
            highest[name] = max(highest[name], number)
        found.lost = self.missing(set(counts))
        return found
