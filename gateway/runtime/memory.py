"""Memory handling of the process, fitted to batches: they make thousands of objects and free them at their end."""

import ctypes
import gc

# A batch makes thousands of messages and frees them at its end: with the interpreter's own thresholds a third of the
# time would go into looking for cycles among them, where there are none.
GARBAGE_THRESHOLDS = (50_000, 10, 5)
# Buffers of a batch are larger than what the C library keeps by default: it would return them to the system after each
# batch and take page faults for the next, which doubles the time for messages of 128 bytes and more.
KEPT_BYTES = 16 << 20
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def tune_memory() -> None:
    """Fit the interpreter's and the C library's memory handling to batches."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc; other libraries do not give memory back that eagerly.
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
