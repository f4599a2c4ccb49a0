"""The measurements of a server that has nothing to do: until its first answer, at rest, over a minute."""

import time
from dataclasses import dataclass

from measures import Effort, Outcome, Site, connect
from server_process import ServerProcess

_SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Start:
    """Processor milliseconds of the whole process until it has greeted its first client, and MiB a moment later."""

    protocol: str

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        _be_greeted(site.server, self.protocol)
        cpu = site.server.cpu_seconds()
        time.sleep(_SETTLE_SECONDS)
        return Outcome({"cpu": cpu * 1e3, "memory": site.server.resident_bytes() / 2**20})


@dataclass(frozen=True)
class Rest:
    """Processor milliseconds of a minute without a connection; a shorter span is scaled up."""

    protocol: str

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        _be_greeted(site.server, self.protocol)
        time.sleep(_SETTLE_SECONDS)
        cpu, begin = site.server.cpu_seconds(), time.perf_counter()
        time.sleep(effort.idle_seconds)
        used = (site.server.cpu_seconds() - cpu) / (time.perf_counter() - begin)
        return Outcome({"cpu": used * 60e3})


def _be_greeted(server: ServerProcess, protocol: str) -> None:
    """PONG or CONNACK has come."""
    connect(server, protocol).stream.close()
