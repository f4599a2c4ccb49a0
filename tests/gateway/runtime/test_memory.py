"""Garbage collection: how much the collector looks at in one step, counted in objects."""

import gc
import weakref
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from gateway.runtime import memory
from gateway.runtime.memory import FEW_ROUNDS, GARBAGE_THRESHOLD, SHORTEST_INTERVAL_SECONDS, collect_in_quiet_moments

# Many times what is looked at in one go.
MANY = 40 * GARBAGE_THRESHOLD
MOST_AT_ONCE = 1.1 * GARBAGE_THRESHOLD


@pytest.fixture
def tuned() -> Iterator[None]:
    before = gc.get_threshold()
    memory.tune_memory()
    try:
        yield
    finally:
        gc.callbacks.remove(memory.settle)
        gc.set_threshold(*before)
        gc.unfreeze()


class Kept:
    """Something that the collector follows, as a subscription."""

    def __init__(self) -> None:
        self.other: object = [self]


def test_however_much_is_kept_the_collector_looks_at_little_at_once(tuned: None):
    looked: list[int] = []

    def count(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looked.append(sum(len(gc.get_objects(generation)) for generation in range(info["generation"] + 1)))

    gc.callbacks.append(count)
    try:
        kept = [[number] for number in range(MANY)]
    finally:
        gc.callbacks.remove(count)
    assert len(kept) == MANY
    assert len(looked) > 20
    assert max(looked) < MOST_AT_ONCE


def test_circles_that_are_dropped_soon_are_found(tuned: None):
    circle = Kept()
    gone = weakref.ref(circle)
    del circle
    young = [[number] for number in range(2 * GARBAGE_THRESHOLD)]
    assert young
    assert gone() is None


async def test_circles_that_were_kept_are_found_in_a_quiet_moment(tuned: None, autojump_clock: MockClock):
    circle = Kept()
    gone = weakref.ref(circle)
    gc.collect()  # It is old now.
    del circle
    gc.collect()
    assert gone() is not None
    rounds = 0

    def count() -> int:
        nonlocal rounds
        rounds += FEW_ROUNDS + 1 if trio.current_time() < busy_until else 0
        return rounds

    busy_until = trio.current_time() + SHORTEST_INTERVAL_SECONDS + 30
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect_in_quiet_moments, count)
        await trio.sleep(SHORTEST_INTERVAL_SECONDS + 20)
        assert gone() is not None
        await trio.sleep(20)
        assert gone() is None
        nursery.cancel_scope.cancel()
