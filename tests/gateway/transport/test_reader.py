"""The reader's rounds: whoever sends what takes long is served behind the others, with all like it in one turn."""

import os
from collections.abc import Iterator

import pytest
import trio

from gateway.dataplane.outbox import Outbox, Switch
from gateway.runtime.turns import TURN_SECONDS, Turns
from gateway.transport.reader import Reader


class Ready:
    """Somebody whose descriptor always has something to read."""

    introduced = True

    def __init__(self, heavy: bool) -> None:
        self.heavy = heavy
        self.served = 0
        self.longest = 0.0
        self.fileno = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def read_ready(self) -> int:
        self.served += 1
        return 1

    def batch_done(self, size: int, begun: float, now: float) -> None:
        self.longest = max(self.longest, now - begun)

    def write_ready(self) -> None:
        """Nothing waits for room."""

    def hold(self, congested: Outbox) -> None:
        """Nothing is sent."""

    def pause(self) -> None:
        """Nothing is sent."""

    def resume(self) -> None:
        """It was never paused."""


class Crowd:
    """A reader and some who are ready; a look at its clock takes half a turn."""

    def __init__(self) -> None:
        self.now = 0.0
        turns = Turns()
        turns.clock = self.tick
        self.reader = Reader(Switch(), turns)
        self.members: list[Ready] = []

    def tick(self) -> float:
        self.now += TURN_SECONDS / 2
        return self.now

    def join(self, heavy: bool, count: int, introduced: bool = True) -> list[Ready]:
        came = [Ready(heavy) for _ in range(count)]
        for one in came:
            one.introduced = introduced
            self.reader.add(one.fileno, one)
        self.members += came
        return came


@pytest.fixture
async def crowd() -> "Iterator[Crowd]":
    crowd = Crowd()
    yield crowd
    for one in crowd.members:
        crowd.reader.remove(one.fileno)
        os.close(one.fileno)
    crowd.reader.close()


async def test_those_who_send_much_have_one_turn_together_and_go_round(crowd: Crowd):
    """However many they are, a round is not longer for that."""
    heavy = crowd.join(True, 30)
    quiet = crowd.join(False, 5)
    crowd.reader.poll(0.0)
    assert [one.served for one in quiet] == [1] * 5
    served = sum(one.served for one in heavy)
    assert 0 < served < 6
    for _ in range(29):
        crowd.reader.poll(0.0)
    assert [one.served for one in quiet] == [30] * 5
    counts = [one.served for one in heavy]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) < 30 * 6


@pytest.mark.parametrize("introduced", [True, False])
async def test_as_many_as_a_round_is_enough_for_are_served_in_the_order_in_which_they_came(
    crowd: Crowd, introduced: bool
):
    """What one of them publishes behind another one's subscription is for that one, too."""
    came = crowd.join(introduced, 2, introduced)
    order: list[int] = []
    for number, one in enumerate(came):

        def note(number: int = number) -> int:
            order.append(number)
            return 1

        one.read_ready = note  # type: ignore[method-assign]
    for _ in range(4):
        crowd.reader.poll(0.0)
    assert order == [0, 1] * 4


async def test_whoever_was_slow_to_be_let_in_does_not_send_much_for_that(crowd: Crowd):
    (new,) = crowd.join(False, 1, introduced=False)
    read_ready = new.read_ready

    def slow() -> int:
        end = trio.current_time() + TURN_SECONDS
        while trio.current_time() < end:
            pass
        new.introduced = True
        return read_ready()

    new.read_ready = slow  # type: ignore[method-assign]
    crowd.reader.poll(0.0)
    assert (new.served, new.longest) == (1, 0.0)
    crowd.reader.poll(0.0)
    assert new.longest >= TURN_SECONDS


async def test_quiet_ones_come_before_those_who_send_much(crowd: Crowd):
    heavy = crowd.join(True, 1)[0]
    quiet = crowd.join(False, 1)[0]
    order: list[str] = []
    for name, one in (("heavy", heavy), ("quiet", quiet)):

        def note(name: str = name) -> int:
            order.append(name)
            return 1

        one.read_ready = note  # type: ignore[method-assign]
    crowd.reader.poll(0.0)
    assert order == ["quiet", "heavy"]
