"""Losses: messages that did not get to their client, told of once a minute with their causes, one line a client."""

import logging

import trio

from gateway.mqtt.bridge_ids import label_of
from gateway.mqtt.sending_port import SendingPort
from gateway.runtime.deadlines import Deadlines

log = logging.getLogger("leafgate.mqtt")

REPORT_SECONDS = 60.0
# Of how many clients there is a line each; the others are one line together.
IN_DETAIL = 10


class Losses:
    """Those of one account's sessions since the last report."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        # By client identifier: the session, and how many were lost by cause.
        self._losers: dict[bytes, tuple[SendingPort, dict[str, int]]] = {}

    def note(self, session: SendingPort, cause: str) -> None:
        """A message did not get to a session's client. It is counted there; here it gets into the log."""
        if not self._losers:
            self._deadlines.call_at(trio.current_time() + REPORT_SECONDS, self._report)
        loser = self._losers.get(session.client_id)
        if loser is None or loser[0] is not session:  # The client began anew: what it lost before is told with that.
            loser = self._losers[session.client_id] = (session, loser[1] if loser is not None else {})
        loser[1][cause] = loser[1].get(cause, 0) + 1

    def _report(self, now: float) -> None:
        losers = list(self._losers.values())
        self._losers.clear()
        for session, causes in losers[:IN_DETAIL]:
            log.warning(
                "event=dropped %s messages=%d total=%d reason=%r",
                label_of(session.client_id),
                sum(causes.values()),
                session.dropped,
                ", ".join(f"{count}: {cause}" for cause, count in causes.items()),
            )
        others = losers[IN_DETAIL:]
        if others:
            count = sum(sum(causes.values()) for _, causes in others)
            log.warning("event=dropped sessions=%d messages=%d", len(others), count)
