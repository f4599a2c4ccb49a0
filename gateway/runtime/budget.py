"""Budget: the memory that peers can make the gateway keep, counted by kind and held against one limit.

The rule is the same for all: a peer may hold at most a quarter of what is free then. One alone gets a fifth of the
limit, 25 that try get a 29th each, and there is always something left for those who want little: who is over its share
is refused or closed first. What is counted are estimates that are not too low.
"""

import os
from collections.abc import Callable
from pathlib import Path

# A peer may hold this part of what is free.
SHARE = 4
# Of the machine's memory, by default: the rest is for the process itself, what the allocator wastes, and others.
DEFAULT_PERCENT = 40

# What a session takes without anything in it, and the first bytes of its queue.
SESSION_BYTES = 6144
CONNECTION_BYTES = 8192
# What OpenSSL keeps besides of one inside TLS, and as long as the handshake takes.
TLS_BYTES = 18 * 1024
HANDSHAKE_BYTES = 48 * 1024
# A subscription without wildcards, and what each of its bytes and each token of one with wildcards takes besides.
SUBSCRIPTION_BYTES = 700
BYTES_PER_BYTE = 4
TOKEN_BYTES = 350
MESSAGE_BYTES = 300

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class Budget:
    """Bytes by kind, and who may have more. `elsewhere` are kinds with a limit and a count of their own."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kinds: dict[str, int] = {}
        self.elsewhere: dict[str, Callable[[], int]] = {}
        self.refused = 0
        self._counted = 0

    def used(self) -> int:
        return self._counted + sum([count() for count in self.elsewhere.values()])

    def by_kind(self) -> dict[str, int]:
        return self.kinds | {kind: count() for kind, count in self.elsewhere.items()}

    def grants(self, held: int, size: int) -> bool:
        """Whether who holds so many bytes may hold `size` more."""
        granted = (held + size) * SHARE <= self.limit - self.used() - size
        self.refused += not granted
        return granted

    def change(self, kind: str, size: int) -> None:
        """So many bytes more of a kind, or fewer."""
        self.kinds[kind] = self.kinds.get(kind, 0) + size
        self._counted += size


class Holding:
    """What one peer makes the gateway keep."""

    __slots__ = ("_budget", "_kinds", "bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._kinds: dict[str, int] | None = None
        self.bytes = 0

    def of(self, kind: str) -> int:
        return self._kinds.get(kind, 0) if self._kinds is not None else 0

    def ask(self, kind: str, size: int) -> bool:
        """Hold so many bytes more; False when that is more than the peer's share."""
        if not self._budget.grants(self.bytes, size):
            return False
        self.add(kind, size)
        return True

    def add(self, kind: str, size: int) -> None:
        """Hold so many bytes more, or fewer, whatever the share is."""
        if self._kinds is None:
            self._kinds = {}
        self._kinds[kind] = self._kinds.get(kind, 0) + size
        self.bytes += size
        self._budget.change(kind, size)

    def release(self) -> None:
        """Hold nothing any more."""
        kinds, self._kinds = self._kinds, None
        self.bytes = 0
        for kind, size in (kinds or {}).items():
            self._budget.change(kind, -size)


def subscription_bytes(subject: bytes, *names: bytes) -> int:
    """About how much a subscription takes, with what it is called."""
    size = SUBSCRIPTION_BYTES + BYTES_PER_BYTE * (len(subject) + sum(map(len, names)))
    if b"*" in subject or b">" in subject:
        size += TOKEN_BYTES * (subject.count(b".") + 1)
    return size


def machine_bytes() -> int:
    """The memory of this machine, or of the container that it is to us."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CGROUP_LIMITS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # No such limit; `max` is none either.
            continue
    return total


def default_limit() -> int:
    return machine_bytes() * DEFAULT_PERCENT // 100
