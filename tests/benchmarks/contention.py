"""How much of the two cores went to programs that are no part of a measurement; a shared machine needs this told."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from server_process import ServerProcess

# Columns of /proc/stat, proc(5): user, nice, system, and time that the hypervisor gave to others. Softirq stays out:
# on the loopback it is the measured traffic itself.
_COUNTED = (1, 2, 3, 8)


class Contention:
    """Watches these cores from its making on. The measurement is `servers`, this process and its ended children."""

    def __init__(self, cores: Sequence[int], servers: Sequence[ServerProcess]) -> None:
        self._cores = frozenset(cores)
        self._servers = servers
        self._begin = time.monotonic()
        self._used_before = self._used()
        self._own_before = self._own()

    def foreign_share(self) -> float:
        """The share of one core that others used meanwhile, both cores together (0.0 to 2.0, to about 0.02)."""
        elapsed = time.monotonic() - self._begin
        foreign = (self._used() - self._used_before) - (self._own() - self._own_before)
        return max(0.0, foreign / elapsed)

    def _used(self) -> float:
        names = {f"cpu{core}" for core in self._cores}
        ticks = 0
        for line in Path("/proc/stat").read_text().splitlines():
            fields = line.split()
            if fields[0] in names:
                ticks += sum(int(fields[column]) for column in _COUNTED)
        return ticks / os.sysconf("SC_CLK_TCK")

    def _own(self) -> float:
        ours = os.times()
        load = ours.user + ours.system + ours.children_user + ours.children_system
        return load + sum(server.cpu_seconds() for server in self._servers)
