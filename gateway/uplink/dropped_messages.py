"""Dropped messages: what a link kept back because the other end would not take it, counted and told by its reason."""

import logging
from typing import Protocol

import trio

from gateway.runtime.deadlines import Deadline, Deadlines

# The first is told at once, further ones no more often than this.
REPORT_SECONDS = 60.0


class Labelled(Protocol):
    @property
    def label(self) -> str: ...


class DroppedMessages:
    """`total` counts since the start. A reason is one of few texts. `kind` is what the log calls the link."""

    def __init__(self, deadlines: Deadlines, link: Labelled, log: logging.Logger, kind: str) -> None:
        self._log = log
        self._kind = kind
        self.total = 0
        self._deadlines = deadlines
        self._link = link
        self._untold: dict[str, int] = {}
        self._deadline: Deadline | None = None

    def count(self, reason: str) -> None:
        self.total += 1
        self._untold[reason] = self._untold.get(reason, 0) + 1
        if self._deadline is None:
            self._report(trio.current_time())

    def _report(self, now: float) -> None:
        """Tell what was not told, one line a reason, and look again later as long as there is something."""
        self._deadline = None
        for reason, count in self._untold.items():
            text = "%s=%s event=dropped count=%d total=%d reason=%r"
            self._log.warning(text, self._kind, self._link.label, count, self.total, reason)
        if self._untold:
            self._untold.clear()
            self._deadline = self._deadlines.call_at(now + REPORT_SECONDS, self._report)
