"""Folding: messages that came one by one end in few rows, and what is gone is left out of them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from gateway.storage.streams.chunk import FEW_MESSAGES, MOST_MESSAGES
from gateway.storage.streams.folding import FOLDED_AT_ONCE
from gateway.storage.streams.limits import Limits
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.streams.stored_stream import HOLLOW_AT_ONCE
from tests.gateway.storage.streams.running_store import durable, opened, read_all, settled


def rows(directory: Path, statement: str) -> int:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        (count,) = connection.execute(statement).fetchone()
        return int(count)


async def test_messages_that_came_one_by_one_end_in_few_rows(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        for number in range(1, 641):
            stream.append(b"a", b"", b"%d" % number)
            await durable(store)
        await settled(store)
        assert len(stream.contents.directory) == 10
        stream.tail.clear()
        assert [int(message.payload) for message in await read_all(stream)] == list(range(1, 641))
    assert rows(tmp_path, "SELECT count(*) FROM chunk") == 10
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert [int(message.payload) for message in await read_all(stream)] == list(range(1, 641))


@pytest.mark.parametrize(("limits", "messages"), [(Limits(), 64), (Limits(max_per_subject=1), FEW_MESSAGES)])
async def test_where_single_messages_are_looked_for_chunks_stay_small(tmp_path: Path, limits: Limits, messages: int):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", limits)
        for number in range(640):
            stream.append(b"a.%d" % number, b"", b"%d" % number)
            await durable(store)
        await settled(store)
        for number in range(640, 640 + 10 * MOST_MESSAGES):
            stream.append(b"a.%d" % number, b"", b"%d" % number)
        await settled(store)
        whole = FEW_MESSAGES if limits.is_exact else MOST_MESSAGES
        assert len(stream.contents.directory) == 640 // messages + 10 * MOST_MESSAGES // whole


async def test_what_puts_leave_behind_goes_by_itself_where_they_go_on(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", Limits(max_per_subject=1))
        most = 0
        for number in range((3 * HOLLOW_AT_ONCE + 5) * FEW_MESSAGES):
            stream.append(b"a.%d" % (number % FEW_MESSAGES), b"", b"")
            if number % FEW_MESSAGES == FEW_MESSAGES - 1:
                await durable(store)
                most = max(most, rows(tmp_path, "SELECT count(*) FROM chunk"))
        assert HOLLOW_AT_ONCE // 2 < most <= HOLLOW_AT_ONCE + 2
        assert stream.messages == FEW_MESSAGES
        last = stream.last
    assert rows(tmp_path, "SELECT count(*) FROM chunk") > 1
    async with opened(tmp_path) as store:  # What was not dropped is gone all the same.
        (stream,) = store.streams()
        assert stream.messages == FEW_MESSAGES
        assert [one.sequence for one in await read_all(stream)] == [*range(last - FEW_MESSAGES + 1, last + 1)]
        await settled(store)
        assert rows(tmp_path, "SELECT count(*) FROM chunk") == 1


async def test_a_chunk_of_which_all_is_gone_is_not_read_again(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", Limits(max_per_subject=1))
        for number in range(10):
            stream.append(b"a.%d" % number, b"", b"")
        await settled(store)
        statements: list[str] = []
        store.database.connection.set_trace_callback(statements.append)
        for number in range(10):
            stream.append(b"a.%d" % number, b"", b"")
        await settled(store)
        assert not any(one.startswith("DELETE FROM chunk") for one in statements)  # It is not in the way.
        store.tidy()
        await settled(store)
        assert any(one.startswith("DELETE FROM chunk") for one in statements)
        assert not any("body FROM chunk" in one for one in statements)
        assert [one.sequence for one in await read_all(stream)] == [*range(11, 21)]


async def test_chunks_are_joined_as_far_as_they_fit_together(tmp_path: Path):
    several = MOST_MESSAGES // 3
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        for number in range(FOLDED_AT_ONCE * several):
            stream.append(b"a.%d" % (number % 9), b"NATS/1.0\r\n\r\n" if number % 2 else b"", b"%d" % number)
            if number % several == several - 1:
                await durable(store)
        await settled(store)
        assert len(stream.contents.directory) == -(-FOLDED_AT_ONCE // 3)
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        for number, message in enumerate(await read_all(stream)):
            assert message.sequence == number + 1
            assert message.subject == b"a.%d" % (number % 9)
            assert bool(message.header) == bool(number % 2)
            assert message.payload == b"%d" % number
        assert stream.last_ns == message.time_ns


async def test_chunks_that_age_apart_stay_apart(tmp_path: Path):
    now = 0.0
    async with opened(tmp_path, age_clock=lambda: now) as store:
        stream = store.create("$G", "s", Limits(max_age=640.0))
        for number in range(640):
            now = float(number)
            stream.append(b"a", b"", b"")
            await durable(store)
        await settled(store)
        now = 640.0 + 99.5
        stream.enforce()
        assert stream.first == 101
        assert stream.messages == 540


async def test_messages_that_are_gone_give_their_room_back(tmp_path: Path):
    """Of many messages on few subjects only the last of each is kept, among others that stay."""
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", Limits(max_per_subject=1))
        for number in range(20_000):
            if number % 200 == 0:
                stream.append(b"b.%d" % number, b"", b"x" * 200)
                await durable(store)
            stream.append(b"a.%d" % (number % 100), b"", b"x" * 200)
        await settled(store)
        for _ in range(20):
            stream.append(b"a", b"", b"")
            await settled(store)
        assert stream.messages == 201
        assert stream.contents.holes.size < 1 << 20
        stream.tail.clear()
        assert len(await read_all(stream)) == 201
    assert rows(tmp_path, "SELECT sum(length(body)) FROM chunk") < 1_200_000


async def test_what_is_deleted_while_a_fold_waits_for_its_commit_does_not_come_back(tmp_path: Path):
    copied = trio.Event()

    def copy() -> None:
        copy_database(tmp_path / "one", tmp_path / "two")
        copied.set()

    (tmp_path / "one").mkdir()
    async with opened(tmp_path / "one") as store:
        stream = store.create("$G", "s")
        for _ in range(FOLDED_AT_ONCE):
            stream.append(b"a", b"", b"x")
            stream.append(b"a", b"", b"x")
            await durable(store)
        message = await stream.get(10)
        assert message is not None
        assert stream.delete(message)
        store.commits.when_durable(copy)
        await copied.wait()
        assert rows(tmp_path / "two", "SELECT count(*) FROM chunk") == 1  # They are folded.
    async with opened(tmp_path / "two") as store:
        (stream,) = store.streams()
        assert not stream.is_there(10)
        assert stream.messages == 2 * FOLDED_AT_ONCE - 1


def copy_database(source: Path, target: Path) -> None:
    target.mkdir()
    with (
        closing(sqlite3.connect(source / FILE_NAME)) as original,
        closing(sqlite3.connect(target / FILE_NAME)) as copied,
    ):
        original.backup(copied)
