"""Guarding: tasks of streams whose fault harms nobody else."""

import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("leafgate.streams")


async def guarded(task: Callable[[], Awaitable[None]]) -> None:
    """A fault of one must not end the others."""
    try:
        await task()
    except Exception:
        log.exception("event=stream-task-failed")
