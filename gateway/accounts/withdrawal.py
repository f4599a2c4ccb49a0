"""Withdrawal: what a peer that has gone was subscribed to is taken back in turns; it may be hundreds of thousands."""

from collections.abc import Iterable
from itertools import islice

from gateway.dataplane.port import Receiver
from gateway.dataplane.router import Router
from gateway.runtime.turns import TURN_SECONDS, Turns

# Subscriptions that are taken back between two looks at the clock.
IN_A_ROW = 32


def withdraw(turns: Turns, router: Router, receivers: Iterable[Receiver]) -> None:
    """Unsubscribe them all, a few at once. Until then they must refuse what they are given."""
    left = iter(receivers)

    def take_some() -> bool:
        some = list(islice(left, IN_A_ROW))
        for receiver in some:
            router.unsubscribe(receiver)
        return len(some) == IN_A_ROW

    def step() -> bool:
        until = turns.clock() + TURN_SECONDS
        while take_some():
            if turns.clock() > until:
                return True
        return False

    if take_some():  # Many peers may go in one round: the others are for later.
        turns.add(step)
