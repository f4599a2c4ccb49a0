"""The time, for devices that have no clock: any request to `$LEAFGATE.time` is answered.

    nats request '$LEAFGATE.time' ''

The answer is two decimal numbers with a space between them, the seconds since 1970-01-01T00:00:00Z without leap
seconds, and the nanoseconds of the second begun: `1767225600 004217000`, always nine digits. A device adds half of the
time that the answer took. Requests from beyond an uplink are not answered: whoever is there has a clock nearer by.
"""

import time
from collections.abc import Callable

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from protocols.message import Message, make_message

SUBJECT = b"$LEAFGATE.time"


class TimeRequests(Receiver):
    """Answers the requests of one account. `clock` gives nanoseconds of unix time."""

    __slots__ = ("_account", "_clock")

    def __init__(self, account: Account, clock: Callable[[], int] = time.time_ns) -> None:
        super().__init__(Port(None), SUBJECT, b"")
        self.dear = SERVICE
        # The hub has a clock of its own, and so have the gateways behind it.
        self.local_only = True
        self._account = account
        self._clock = clock

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or source.leaf:
            return False
        answer = make_message(message.reply, b"%d %09d" % divmod(self._clock(), 1_000_000_000))
        self._account.answer(answer, source, self.port)
        return True
