"""Memory handling of the process, fitted to batches: they make thousands of objects and free them at their end."""

import ctypes
import gc
import logging
import time
from collections.abc import Callable

import trio

log = logging.getLogger("leafgate")

# A batch makes thousands of messages and frees them at its end: with the interpreter's own thresholds a third of the
# time would go into looking for cycles among them, where there are none. But to look at many more objects than these
# takes longer than others can wait; so what has been looked at is not looked at again.
GARBAGE_THRESHOLD = 10_000
# Buffers of a batch are larger than what the C library keeps by default: it would return them to the system after each
# batch and take page faults for the next, which doubles the time for messages of 128 bytes and more.
KEPT_BYTES = 16 << 20
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# What is dropped here leaves no cycles. Whatever does all the same is found now and then, when nothing has come for so
# long; the more there is, the more rarely.
SHORTEST_INTERVAL_SECONDS = 3600.0
SECONDS_BETWEEN_A_SECOND = 100_000
QUIET_SECONDS = 1.0
# Rounds that the loop takes in that time by itself.
FEW_ROUNDS = 10


def tune_memory() -> None:
    """Fit the interpreter's and the C library's memory handling to batches."""
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    gc.callbacks.append(settle)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc; other libraries do not give memory back that eagerly.
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def settle(phase: str, info: dict[str, int]) -> None:
    """What is left stays, as far as the collector is concerned: hundreds of thousands of subscriptions would have to be
    looked at with each full collection, in one step.
    """
    if phase == "stop":
        gc.freeze()


async def collect_in_quiet_moments(rounds: Callable[[], int]) -> None:
    """Look at everything now and then, in a moment in which the loop had no work: `rounds` counts how often it had."""
    interval = SHORTEST_INTERVAL_SECONDS
    while True:
        await trio.sleep(interval)
        busy = True
        while busy:
            before = rounds()
            await trio.sleep(QUIET_SECONDS)
            busy = rounds() - before > FEW_ROUNDS
        begun = time.perf_counter()
        gc.unfreeze()
        found = gc.collect()
        gc.freeze()
        seconds = time.perf_counter() - begun
        interval = max(SHORTEST_INTERVAL_SECONDS, SECONDS_BETWEEN_A_SECOND * seconds)
        log.debug("event=collected objects=%d seconds=%.3f", found, seconds)
