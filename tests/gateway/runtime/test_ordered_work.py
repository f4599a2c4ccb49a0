"""Work of several owners: in the order of each, in turns, within a bound."""

from collections.abc import Callable

import pytest

from gateway.dataplane.outbox import Switch
from gateway.runtime.ordered_work import MOST_WAITING_BYTES, OrderedWork
from gateway.runtime.turns import TURN_SECONDS, Turns


class Publisher:
    def __init__(self) -> None:
        self.pauses = 0

    def pause(self) -> None:
        self.pauses += 1

    def resume(self) -> None:
        self.pauses -= 1


class Place:
    """Work whose every step takes a whole turn."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.switch = Switch()
        self.work = OrderedWork(self.turns, self.switch)
        self.done: list[str] = []
        self.now = 0.0
        self.turns.clock = lambda: self.now

    def steps(self, name: str, count: int) -> Callable[[], bool]:
        left = count

        def step() -> bool:
            nonlocal left
            left -= 1
            self.now += 2 * TURN_SECONDS
            self.done.append(name)
            return left > 0

        return step


def test_first_step_is_taken_at_once_and_one_more_each_turn():
    place = Place()
    place.work.begin("a", 1, place.steps("x", 3))
    assert place.done == ["x"]
    place.turns.take()
    assert place.done == ["x", "x"]
    place.turns.take()
    assert (place.done, len(place.turns)) == (["x"] * 3, 0)


def test_work_of_one_owner_keeps_its_order_and_owners_take_turns():
    place = Place()
    place.work.begin("a", 1, place.steps("a1", 2))
    place.work.begin("a", 1, place.steps("a2", 1))
    place.work.begin("a", 1, place.steps("a3", 1))
    place.work.begin("b", 1, place.steps("b1", 3))
    while place.turns:
        place.turns.take()
    assert place.done == ["a1", "b1", "a1", "b1", "a2", "b1", "a3"]


def test_what_a_first_step_leads_to_comes_behind_the_rest_of_it():
    place = Place()
    place.work.begin("a", 1, place.steps("first", 2))

    def nested() -> bool:
        place.work.begin("b", 1, place.steps("inner", 2))
        place.done.append("outer")
        return place.done.count("outer") < 2

    place.work.begin("b", 1, nested)
    while place.turns:
        place.turns.take()
    of_b = [name for name in place.done if name != "first"]
    assert of_b[:3] == ["inner", "outer", "outer"]


def test_connection_whose_batch_led_to_it_is_read_again_at_its_end():
    place = Place()
    publisher = Publisher()
    place.switch.publisher = publisher
    place.work.begin("a", 1, place.steps("x", 2))
    place.work.begin("a", 1, place.steps("y", 1))
    place.switch.publisher = None
    assert publisher.pauses == 2
    place.turns.take()
    assert publisher.pauses == 1
    place.turns.take()
    assert publisher.pauses == 0


def test_what_is_more_than_may_wait_is_done_at_once_and_in_order():
    place = Place()
    place.work.begin("a", 1, place.steps("x", 3))
    place.work.begin("a", MOST_WAITING_BYTES, place.steps("y", 3))
    assert place.done == ["x"] * 3 + ["y"] * 3
    place.turns.take()
    assert (len(place.turns), place.work._bytes) == (0, 0)


def test_fault_in_a_step_ends_that_work_alone(caplog: pytest.LogCaptureFixture):
    place = Place()

    def broken() -> bool:
        if place.done:
            raise ValueError("broken")
        place.done.append("begun")
        return True

    place.work.begin("a", 1, broken)
    place.work.begin("a", 1, place.steps("next", 1))
    while place.turns:
        place.turns.take()
    assert place.done == ["begun", "next"]
    assert "event=turn-failed" in caplog.text


def test_at_the_end_nothing_waits_any_more():
    place = Place()
    publisher = Publisher()
    place.switch.publisher = publisher
    place.work.begin("a", 1, place.steps("x", 3))
    place.work.begin("a", 1, place.steps("y", 1))
    place.work.hurry()
    place.work.begin("b", 1, place.steps("z", 2))
    assert place.done == ["x"] * 3 + ["y"] + ["z"] * 2
    assert publisher.pauses == 0
