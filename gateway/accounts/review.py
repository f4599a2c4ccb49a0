"""Review: what a peer is subscribed to is looked at again, in turns, when its rights change."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from gateway.runtime.turns import TURN_SECONDS, Turns

T = TypeVar("T")
# Subscriptions that are looked at between two looks at the clock.
IN_A_ROW = 32


def review(turns: Turns, subscriptions: Iterable[T], look: Callable[[T], None]) -> None:
    """Look at them all, the first ones at once."""
    left = iter(subscriptions)

    def step() -> bool:
        until = turns.clock() + TURN_SECONDS
        for count, one in enumerate(left, 1):
            look(one)
            if count % IN_A_ROW == 0 and turns.clock() > until:
                return True
        return False

    turns.begin(step)
