"""Cursors: what is acknowledged, in whatever order, and what a stream gives back behind them."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.streams.cursor import Cursor
from gateway.storage.streams.limits import Limits
from tests.gateway.storage.streams.running_store import durable, opened, settled


@given(st.integers(0, 5), st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5))))
def test_cursor_knows_what_a_set_would(floor: int, runs: list[tuple[int, int]]):
    cursor = Cursor("c", floor, lambda _: None)
    acknowledged = set(range(1, floor + 1))
    for first, more in runs:
        assert cursor.acknowledge_run(first, first + more)
        acknowledged |= set(range(first, first + more + 1))
        for known in (cursor, loaded(cursor)):
            assert [one for one in range(1, 60) if known.is_acknowledged(one)] == sorted(acknowledged)
            assert known.floor + 1 not in acknowledged
            assert known.runs <= len(runs)


def loaded(cursor: Cursor) -> Cursor:
    """As it comes back from the disk."""
    again = Cursor(cursor.name, cursor.floor, lambda _: None)
    again.load_runs(cursor.runs_bytes())
    return again


def test_cursor_refuses_more_gaps_than_it_may_remember(monkeypatch):
    monkeypatch.setattr("gateway.storage.streams.cursor.MOST_RUNS", 3)
    cursor = Cursor("c", 0, lambda _: None)
    assert [cursor.acknowledge(number) for number in (2, 4, 6, 8)] == [True, True, True, False]
    assert not cursor.is_acknowledged(8)
    assert cursor.acknowledge(7)
    assert cursor.acknowledge(1)
    assert (cursor.floor, cursor.runs) == (2, 2)
    assert cursor.acknowledge(9)


async def test_cursor_and_what_it_left_are_there_after_a_restart(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", Limits(keep_acknowledged=False))
        cursor = stream.cursor("forward")
        for _ in range(1000):
            stream.append(b"a", b"", b"x")
        await durable(store)
        cursor.acknowledge_through(500)
        cursor.acknowledge(700)
        cursor.set_note("mine")
        stream.cursor("other", 600)
        stream.cursor("third")
        stream.remove_cursor("third")
        await settled(store)
        assert (stream.first, stream.messages) == (501, 500)
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert sorted(stream.cursors) == ["forward", "other"]
        cursor = stream.cursor("forward")
        assert (cursor.floor, cursor.note) == (500, "mine")
        assert [one for one in range(501, 1001) if cursor.is_acknowledged(one)] == [700]
        assert (stream.first, stream.messages, stream.cursor("other").floor) == (501, 500, 600)
        cursor.acknowledge_through(1000)
        stream.cursor("other").acknowledge_through(1000)
        await settled(store)
        assert stream.messages == 0
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert stream.append(b"a", b"", b"") == 1001
