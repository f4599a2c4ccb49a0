"""Liveness: whether a NATS client says in time who it is, and whether it is still there afterwards."""

import random
from collections.abc import Callable

import trio

from gateway.runtime.deadlines import Deadline
from gateway.transport.connection import Connection, expect_introduction
from protocols.close_reason import CloseReason
from protocols.nats.framing import encode_error
from protocols.nats.heartbeats import PING

# A first PING soon after CONNECT measures the round trip; the spread keeps many clients from pinging at once.
FIRST_PING_SECONDS = 2.0
FIRST_PING_SPREAD = 0.4


class Liveness:
    """Closes the connection of a client that is not there (any more). `rtt` is its round trip in seconds, once known;
    `has_spoken` is whether it has come in and said something.
    """

    __slots__ = ("_connection", "_deadline", "_pinged_at", "_pings_out", "has_spoken", "rtt")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deadline: Deadline | None = None
        self._pings_out = 0
        self._pinged_at = 0.0
        self.has_spoken = False
        self.rtt: float | None = None

    @property
    def is_patient(self) -> bool:
        """Whether nothing is asked of the client but an answer to PING."""
        return self._deadline is not None and self._deadline.action == self._ping

    def be_patient(self) -> None:
        """It need not say who it is."""
        self._ping_in(self._interval)

    def expect_words(self) -> None:
        """It has to say who it is, and has its time for that."""
        self._deadline = expect_introduction(self._connection, self._deadline, self._check_spoke)

    def hear(self) -> None:
        """Who has come in says something for the first time: it is a client, and pinged from now on."""
        self.has_spoken = True
        self._connection.introduce()
        self._pings_out = 0
        self._ping_in(min(FIRST_PING_SECONDS + random.random() * FIRST_PING_SPREAD, self._interval))

    def pong(self) -> None:
        if self._pings_out:
            self.rtt = trio.current_time() - self._pinged_at
        self._pings_out = 0

    def settings_changed(self) -> None:
        if not self.is_patient:
            self.expect_words()
            return
        assert self._deadline is not None
        # The interval may be a shorter one; the spread keeps all clients from being pinged at once.
        seconds = self._interval * random.uniform(0.5, 1.0)
        if self._deadline.when > trio.current_time() + seconds:
            self._ping_in(seconds)

    def end(self) -> None:
        self._connection.runtime.deadlines.cancel(self._deadline)

    @property
    def _interval(self) -> float:
        return self._connection.runtime.settings.timeouts.ping_interval_seconds

    def _check_spoke(self, now: float) -> None:
        if not self.has_spoken:
            self._close(CloseReason.AUTHENTICATION_TIMEOUT, "Authentication Timeout")

    def _ping(self, now: float) -> None:
        """Ping a client that was silent for an interval; one that left too many pings unanswered is gone."""
        connection = self._connection
        quiet = now - connection.last_activity
        if quiet < self._interval and self.rtt is not None:
            self._pings_out = 0
        else:
            self._pings_out += 1
            if self._pings_out > connection.runtime.settings.timeouts.ping_max:
                connection.registry.stale_connections += 1
                self._close(CloseReason.STALE_CONNECTION, "Stale Connection")
                return
            self._pinged_at = now
            connection.outbox.write(PING)
        self._call_in(self._interval, self._ping)

    def _ping_in(self, seconds: float) -> None:
        self._connection.runtime.deadlines.cancel(self._deadline)
        self._call_in(seconds, self._ping)

    def _call_in(self, seconds: float, action: Callable[[float], None]) -> None:
        self._deadline = self._connection.runtime.deadlines.call_at(trio.current_time() + seconds, action)

    def _close(self, reason: CloseReason, error: str) -> None:
        self._connection.close(reason, "", encode_error(error))
