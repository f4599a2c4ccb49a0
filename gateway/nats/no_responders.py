"""No responders: the answer to a request that nobody listens to, which its client gets to its own subscription."""

from gateway.accounts.account import Account
from gateway.dataplane.port import Port
from gateway.runtime.turns import Turns
from protocols.message import Message, make_message
from protocols.nats.server import no_responders_header

# Where the way to a subscription is as long as it can only be made on purpose, so many are answered at the same time.
MOST_UNHEARD = 16


class NoResponders:
    """Of one client."""

    __slots__ = ("_turns", "_waiting")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        # Requests for whose answer a subscription is still looked for.
        self._waiting = 0

    def answer(self, request: Message, port: Port, account: Account) -> int:
        """Answer a request of the port's with 503; returns at how many receivers was looked."""
        answer = make_message(request.reply, b"", header=no_responders_header(request.subject))
        source = account.port
        telling = account.router.begin_telling(answer, port, b"", True)
        if telling.go_on(source) and self._waiting < MOST_UNHEARD:
            self._waiting += 1

            def step() -> bool:
                if telling.go_on(source):
                    return True
                self._waiting -= 1
                return False

            self._turns.add(step)
        looked: int = telling.looked
        return looked
