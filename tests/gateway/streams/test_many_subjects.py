"""A stream with very many subjects: what is told of them all is looked up in turns."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
import trio
import trio.testing

from gateway.runtime.turns import STEPS_IN_A_ROW, OwnTurn, Turns, in_order
from gateway.streams.selection import Selection
from gateway.streams.telling import WRITTEN_AT_ONCE, counts_in_turns

T = TypeVar("T")
MANY = 20 * STEPS_IN_A_ROW


def hasty() -> Turns:
    """Turns by a clock at which every look is the end of one."""
    turns = Turns()
    times = iter(range(100_000))
    turns.clock = lambda: float(next(times))
    return turns


async def with_turns(turns: Turns, work: Awaitable[T]) -> tuple[T, int]:
    """What some work comes to, and how many turns it took."""
    found: list[T] = []

    async def wait() -> None:
        found.append(await work)

    taken = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        while not found:
            await trio.testing.wait_all_tasks_blocked()
            taken += 1
            turns.take()
            await trio.testing.wait_all_tasks_blocked()
    return found[0], taken


class Stored:
    """As much of a stream as a selection looks at."""

    def __init__(self) -> None:
        self.subjects: dict[bytes, Any] = {b"s.%d" % number: self for number in range(MANY)}


async def test_subjects_that_a_filter_matches_are_looked_for_in_turns() -> None:
    turns = hasty()
    selection = Selection([b"s.*"], [b">"])
    found, taken = await with_turns(turns, selection.subjects_in_turns(Stored(), OwnTurn(turns)))  # type: ignore[arg-type]
    assert len(found) == MANY
    assert taken >= MANY // STEPS_IN_A_ROW


async def test_very_many_are_put_in_order_in_turns() -> None:
    turns = hasty()
    numbers = [number * 7919 % 10_007 for number in range(10_000)]
    found, taken = await with_turns(turns, in_order(numbers, turns))
    assert found == sorted(numbers)
    assert taken >= len(numbers) // STEPS_IN_A_ROW


async def test_what_very_many_have_is_written_in_turns() -> None:
    turns = hasty()
    counts = [(b"s.%d" % number, number) for number in range(3 * WRITTEN_AT_ONCE + 1)]
    found, taken = await with_turns(turns, counts_in_turns(counts, OwnTurn(turns)))
    assert taken >= 3
    assert msgspec.json.decode(found) == {subject.decode(): count for subject, count in counts}
    few, _ = await with_turns(turns, counts_in_turns([(b'a"b', 1)], OwnTurn(turns)))
    assert msgspec.json.encode({"subjects": few}) == b'{"subjects":{"a\\"b":1}}'
