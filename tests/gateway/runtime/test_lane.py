"""A lane has one place in the turns, and its addresses take turns in it."""

import logging

import pytest

from gateway.runtime.lane import Lane
from gateway.runtime.turns import Turns


class Rig:
    """Turns, a lane in them, and what was done in which order."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.lane = Lane(self.turns)
        self.done: list[str] = []

    def add(self, address: str, name: str) -> None:
        self.lane.add(address, lambda: self.done.append(name))

    def leave(self, name: str, slices: int) -> None:
        """Work of somebody else's."""
        left = slices

        def step() -> bool:
            nonlocal left
            left -= 1
            self.done.append(name)
            return left > 0

        self.turns.add(step)

    def take_all(self) -> list[str]:
        while self.turns:
            self.turns.take()
        return self.done


def test_others_wait_for_one_piece_and_not_for_all():
    rig = Rig()
    for number in range(1500):
        rig.add("10.0.0.1", f"hello {number}")
    rig.leave("batch", 3)
    done = rig.take_all()
    assert done[:6] == ["hello 0", "batch", "hello 1", "batch", "hello 2", "batch"]
    assert done[6:] == [f"hello {number}" for number in range(3, 1500)]


def test_addresses_take_turns():
    rig = Rig()
    for number in range(3):
        rig.add("many", f"many {number}")
    rig.add("one", "one 0")
    rig.add("two", "two 0")
    assert rig.take_all() == ["many 0", "one 0", "two 0", "many 1", "many 2"]


def test_work_that_adds_work_is_in_the_lane_once():
    rig = Rig()
    rig.lane.add("a", lambda: rig.add("a", "second"))
    rig.turns.take()
    assert len(rig.turns) == 1
    assert rig.take_all() == ["second"]
    assert not rig.turns


def test_work_that_fails_holds_up_nobody(caplog: pytest.LogCaptureFixture):
    def fail() -> None:
        raise ValueError("broken")

    rig = Rig()
    rig.lane.add("a", fail)
    rig.add("a", "next")
    with caplog.at_level(logging.ERROR):
        assert rig.take_all() == ["next"]
    assert "event=turn-failed" in caplog.text
    rig.add("a", "later")
    assert rig.take_all() == ["next", "later"]
