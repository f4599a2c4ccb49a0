"""Process: what the gateway takes of its machine."""

import os
import resource
import time

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int:
    """Resident memory now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


class CpuShare:
    """How much of a core was used between two looks, in percent."""

    def __init__(self) -> None:
        self._seconds = cpu_seconds()
        self._taken = time.monotonic()

    def look(self) -> float:
        """Since the last look, or the start."""
        seconds, now = cpu_seconds(), time.monotonic()
        spent, passed = seconds - self._seconds, now - self._taken
        self._seconds, self._taken = seconds, now
        return round(100 * spent / passed, 1) if passed > 0 else 0.0
