import math
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.runtime.deadlines import REBUILD_AT, Deadlines


class Diary:
    """What was called, and when."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, str]] = []
        self.rounds: list[float] = []

    def note(self, name: str) -> Callable[[float], None]:
        return lambda now: self.entries.append((now, name))

    def after(self) -> None:
        self.rounds.append(trio.current_time())


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
async def deadlines(nursery: trio.Nursery, diary: Diary) -> Deadlines:
    kept = Deadlines()
    nursery.start_soon(kept.run, diary.after)
    await wait_all_tasks_blocked()
    return kept


async def test_calls_are_made_in_their_order_at_their_time(
    deadlines: Deadlines, diary: Diary, autojump_clock: MockClock
):
    for when in (3.0, 1.0, 2.0, 1.5):
        deadlines.call_at(when, diary.note(str(when)))
    await trio.sleep(10)
    assert diary.entries == [(1.0, "1.0"), (1.5, "1.5"), (2.0, "2.0"), (3.0, "3.0")]


async def test_earlier_deadline_wakes_the_sleeper_sooner(deadlines: Deadlines, diary: Diary, autojump_clock: MockClock):
    deadlines.call_at(100.0, diary.note("late"))
    await trio.sleep(1)
    deadlines.call_at(5.0, diary.note("early"))
    await trio.sleep(5)
    assert diary.entries == [(5.0, "early")]


async def test_deadline_in_the_past_is_called_at_once(deadlines: Deadlines, diary: Diary, autojump_clock: MockClock):
    await trio.sleep(10)
    deadlines.call_at(5.0, diary.note("past"))
    await wait_all_tasks_blocked()
    assert diary.entries == [(10.0, "past")]


async def test_cancelled_deadline_is_not_called(deadlines: Deadlines, diary: Diary, autojump_clock: MockClock):
    first = deadlines.call_at(1.0, diary.note("first"))
    second = deadlines.call_at(2.0, diary.note("second"))
    deadlines.cancel(first)
    deadlines.cancel(first)
    deadlines.cancel(None)
    await trio.sleep(10)
    deadlines.cancel(second)  # too late, and no harm
    assert diary.entries == [(2.0, "second")]


async def test_what_is_due_together_ends_in_one_round(deadlines: Deadlines, diary: Diary, autojump_clock: MockClock):
    for name in "abc":
        deadlines.call_at(1.0, diary.note(name))
    deadlines.call_at(2.0, diary.note("d"))
    await trio.sleep(10)
    assert sorted(name for _, name in diary.entries) == ["a", "b", "c", "d"]
    assert diary.rounds == [1.0, 2.0]


async def test_call_may_set_and_cancel_others(deadlines: Deadlines, diary: Diary, autojump_clock: MockClock):
    victim = deadlines.call_at(1.0, diary.note("victim"))

    def act(now: float) -> None:
        deadlines.cancel(victim)
        deadlines.call_at(now, diary.note("at once"))
        deadlines.call_at(now + 1, diary.note("later"))

    deadlines.call_at(0.5, act)
    await trio.sleep(10)
    assert diary.entries == [(0.5, "at once"), (1.5, "later")]


async def test_failing_call_disturbs_nobody_and_is_logged(
    deadlines: Deadlines, diary: Diary, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
):
    def fail(now: float) -> None:
        raise ZeroDivisionError("a bug in a session")

    deadlines.call_at(1.0, fail)
    deadlines.call_at(1.0, diary.note("neighbour"))
    deadlines.call_at(2.0, diary.note("later"))
    await trio.sleep(10)
    assert diary.entries == [(1.0, "neighbour"), (2.0, "later")]
    assert "a bug in a session" in caplog.text


async def test_many_cancelled_deadlines_do_not_lose_the_others(
    deadlines: Deadlines, diary: Diary, autojump_clock: MockClock
):
    kept = []
    for number in range(4 * REBUILD_AT):
        deadline = deadlines.call_at(1000.0 + number, diary.note(str(number)))
        if number % 100 == 0:
            kept.append((1000.0 + number, str(number)))
        else:
            deadlines.cancel(deadline)
    await trio.sleep(1000 + 4 * REBUILD_AT)
    assert diary.entries == kept


async def test_without_deadlines_nothing_happens(deadlines: Deadlines, diary: Diary, autojump_clock: MockClock):
    await trio.sleep(1000)
    assert (diary.entries, diary.rounds) == ([], [])
    deadlines.call_at(math.inf, diary.note("never"))
    await trio.sleep(1000)
    assert diary.entries == []
