"""Drops: messages that somebody did not take, counted and told by their reason."""

import logging
from functools import partial

import trio

from gateway.runtime.deadlines import Deadline, Deadlines

# The first is told at once, further ones no more often than this; so long the gateway is said to be degraded.
REPORT_SECONDS = 60.0
RECENT_SECONDS = 600.0
# Of a subject so much is shown.
SHOWN_BYTES = 256


class Drops:
    """`counts` are since the start, by reason: few texts. Lines of the log begin with `label`, as in buffer=cloud."""

    def __init__(self, deadlines: Deadlines, log: logging.Logger, label: str) -> None:
        self.counts: dict[str, int] = {}
        self._deadlines = deadlines
        self._log = log
        self._label = label
        self._last_at = 0.0
        self._last_reason = ""
        # By reason what was not told yet, with an example, and until when its line waits.
        self._untold: dict[str, tuple[int, str]] = {}
        self._silent: dict[str, Deadline] = {}

    def count(self, reason: str, messages: int = 1, example: str = "") -> None:
        """So many messages are gone; `example` says which one, for the log."""
        self.counts[reason] = self.counts.get(reason, 0) + messages
        before = self._untold.get(reason)
        self._untold[reason] = (messages, example) if before is None else (before[0] + messages, before[1])
        self._last_at = trio.current_time()
        self._last_reason = reason
        if reason not in self._silent:
            # Behind the turn: of many at once one line tells.
            self._wait(reason, self._last_at)

    def recent(self) -> str:
        """What was dropped lately, in words; "" for nothing."""
        if not self._last_reason or trio.current_time() - self._last_at > RECENT_SECONDS:
            return ""
        return f"messages are lost: {self._last_reason} ({self.counts[self._last_reason]} since the start)"

    def close(self) -> None:
        for deadline in self._silent.values():
            self._deadlines.cancel(deadline)
        self._silent.clear()
        for reason in list(self._untold):
            self._tell(reason)

    def _wait(self, reason: str, until: float) -> None:
        self._silent[reason] = self._deadlines.call_at(until, partial(self._report, reason))

    def _report(self, reason: str, now: float) -> None:
        """Tell what was not told, and look again later; where there was nothing, the next one is told at once."""
        del self._silent[reason]
        if reason in self._untold:
            self._tell(reason)
            self._wait(reason, now + REPORT_SECONDS)

    def _tell(self, reason: str) -> None:
        messages, example = self._untold.pop(reason)
        self._log.warning(
            "%s event=dropped messages=%d total=%d reason=%r%s",
            self._label,
            messages,
            self.counts[reason],
            reason,
            f" first={example!r}" if example else "",
        )


def example_of(subject: bytes) -> str:
    """A subject, as a line of the log shows it."""
    return subject[:SHOWN_BYTES].decode("utf-8", "replace")
