"""Withdrawal: what a peer that has gone was subscribed to is taken back in turns; it may be hundreds of thousands."""

from collections.abc import Iterable
from itertools import islice

from gateway.dataplane.port import Receiver
from gateway.dataplane.router import Router
from gateway.runtime.turns import TURN_SECONDS, Turns

# Subscriptions that are taken back between two looks at the clock.
IN_A_ROW = 32


def withdraw(turns: Turns, router: Router, receivers: Iterable[Receiver]) -> None:
    """Unsubscribe them all, the first ones at once. Until then they must refuse what they are given."""
    left = iter(receivers)

    def step() -> bool:
        until = turns.clock() + TURN_SECONDS
        while True:
            some = list(islice(left, IN_A_ROW))
            for receiver in some:
                router.unsubscribe(receiver)
            if len(some) < IN_A_ROW:
                return False
            if turns.clock() > until:
                return True

    turns.begin(step)
