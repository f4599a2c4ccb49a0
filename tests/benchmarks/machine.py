"""The machine a run happens on: which core does what, the descriptor limit, and the line that names it in a report."""

import datetime
import os
import platform
import resource
import tempfile
from pathlib import Path


class LoadError(Exception):
    """A measurement that cannot be believed: a server ended, closed a connection, or lost messages."""


class UnsupportedError(Exception):
    """The server says itself that it cannot do what a row measures: no figure, and no failure either."""


def cores() -> tuple[int, int]:
    """The core for the server under test and the core for the load; the same one twice on a single-core machine."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


def raise_descriptor_limit() -> None:
    """Lift the soft limit on open files to the hard one; servers started later inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_possible(asked: int) -> int:
    """As many of these connections as this process and a server, which has the same limit, can hold open at once."""
    spare = 200
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return asked if soft == resource.RLIM_INFINITY else min(asked, soft - spare)


def disk_directory() -> Path:
    """A directory for temporary files on a real disk; raises LoadError where there is memory only."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    for candidate in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()):
        above = [(len(point), kind) for point, kind in mounts if candidate.resolve().is_relative_to(point)]
        if above and max(above)[1] not in ("tmpfs", "ramfs"):
            return candidate
    raise LoadError("no directory for temporary files is on a disk: /tmp, /var/tmp and this one are in memory")


def machine_line() -> str:
    """One line: processor, cores, memory, kernel, Python, date."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (
        f"{model} ({platform.machine()}), {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}, {today}"
    )
