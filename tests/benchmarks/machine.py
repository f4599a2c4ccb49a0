"""The machine a run happens on: which core does what, the descriptor limit, and the line that names it in a report."""

import datetime
import os
import platform
import resource
from pathlib import Path


class LoadError(Exception):
    """A measurement that cannot be believed: a server ended, closed a connection, or lost messages."""


def cores() -> tuple[int, int]:
    """The core for the server under test and the core for the load; the same one twice on a single-core machine."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


def raise_descriptor_limit() -> None:
    """Lift the soft limit on open files to the hard one; servers started later inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
