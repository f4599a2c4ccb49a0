"""OwnLog: lines of the gateway's own log, published on a subject: for a sink, a stream, whoever listens."""

import logging
from collections import deque

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.runtime.logs import fields_of
from gateway.runtime.runtime import Runtime
from protocols.message import make_message

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Lines that wait to be published: written in other threads, or many at once.
MOST_LINES = 1000
ROOT = "leafgate"


class OwnLog(logging.Handler):
    """A line is a JSON object: time, level, logger, message, and what stands in it as key=value. What is logged while
    lines are published stays out: it could be about them, for ever.
    """

    def __init__(self, runtime: Runtime, account: Account, subject: bytes, level: str) -> None:
        super().__init__(LEVELS[level])
        self._runtime = runtime
        self._account = account
        self._subject = subject
        self._lines: deque[bytes] = deque(maxlen=MOST_LINES)
        self._is_publishing = False
        self._is_waiting = False
        self._token = trio.lowlevel.current_trio_token()

    def open(self) -> None:
        logging.getLogger(ROOT).addHandler(self)

    def close(self) -> None:
        logging.getLogger(ROOT).removeHandler(self)
        self._lines.clear()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """From any thread."""
        if self._is_publishing:
            return
        self._lines.append(msgspec.json.encode(fields_of(record)))
        if not self._is_waiting:
            self._is_waiting = True
            try:
                self._token.run_sync_soon(self._publish)
            except trio.RunFinishedError:
                pass

    def _publish(self) -> None:
        self._is_waiting = False
        self._is_publishing = True
        try:
            while self._lines:
                self._account.publish(make_message(self._subject, self._lines.popleft()))
            self._runtime.switch.flush()
        finally:
            self._is_publishing = False
