"""Summaries of chunks: a start that reads them finds the same as one that reads every chunk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
import trio

from gateway.storage.streams import loading, stored_stream
from gateway.storage.streams.limits import Limits
from gateway.storage.streams.schema import FILE_NAME, MIGRATIONS
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from tests.gateway.storage.streams.running_store import durable, opened, read_all, settled

SUBJECTS = [b"rooms.%d" % number for number in range(7)]


@pytest.fixture(autouse=True)
def few_chunks_each() -> Iterator[None]:
    """Chunks of a few messages, and summaries of a few chunks."""
    with (
        patch("gateway.storage.streams.chunk.MOST_MESSAGES", 5),
        patch.object(stored_stream, "FOLDED_AT_ONCE", 3),
        patch.object(stored_stream, "SUMMARISED_AT_ONCE", 4),
    ):
        yield


def execute(directory: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection, connection:
        return connection.execute(statement, values).fetchall()


async def fill(stream: Stream, store: StreamStore, count: int, begin: int = 0) -> None:
    for number in range(begin, begin + count):
        header = b"NATS/1.0\r\nA: 1\r\n\r\n" if number % 50 == 3 else b""
        stream.append(SUBJECTS[number % len(SUBJECTS)], header, b"%d" % number * 40)
        if number % 30 == 29:
            await durable(store)
    await settled(store)


def known(stream: Stream) -> object:
    """All that a start finds out."""
    contents = stream.contents
    directory = contents.directory
    entries = [directory.entry(number)[:6] for number in range(len(directory))]
    assert stream.subjects is not None
    states = [(one, stream.subject(one)) for one in SUBJECTS]
    counts = [(one, state.messages, state.first, state.last) for one, state in states if state is not None]
    numbers = stream.first, stream.last, stream.last_ns, stream.messages, stream.size, contents.gapless
    return numbers, entries, directory.live, directory.size, sorted(contents.holes.changed), counts


async def loaded(directory: Path, by_summaries: bool) -> tuple[object, list[object], int]:
    """What is known after a start, what is read, and of how many chunks the content was looked at."""
    looked_at = 0
    read_row = loading.read_row

    def counted(connection: sqlite3.Connection, statement: str, key: int) -> object:
        nonlocal looked_at
        looked_at += statement == loading.WHOLE
        return read_row(connection, statement, key)

    none = (lambda connection, stream: []) if not by_summaries else loading.load_summaries
    with patch.object(loading, "load_summaries", none), patch.object(loading, "read_row", counted):
        async with opened(directory) as store:
            (stream,) = store.streams()
            return known(stream), [*await read_all(stream)], looked_at


async def test_start_by_summaries_finds_what_the_chunks_hold(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store.create("$G", "s"), store, 400)
    assert execute(tmp_path, "SELECT count(*) FROM summary") == [(19,)]
    found, messages, looked_at = await loaded(tmp_path, True)
    expected, same, all_chunks = await loaded(tmp_path, False)
    assert found == expected
    assert messages == same
    assert all_chunks == 80
    assert looked_at < 10


async def test_what_is_deleted_and_dropped_later_is_gone_after_a_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        await fill(stream, store, 400)
        for sequence in (31, 111, 112, 113, 114, 115, 222):  # One chunk is empty then.
            message = await stream.get(sequence)
            assert message is not None
            assert stream.delete(message)
        stream.purge(33)
        await settled(store)
    found, messages, looked_at = await loaded(tmp_path, True)
    expected, same, all_chunks = await loaded(tmp_path, False)
    assert found == expected
    assert messages == same
    assert looked_at < all_chunks


async def test_chunks_that_are_folded_are_summarised_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        for number in range(90):
            stream.append(SUBJECTS[number % 7], b"", b"x" * 200)
            await settled(store)
    found, messages, _ = await loaded(tmp_path, True)
    assert (found, messages) == (await loaded(tmp_path, False))[:2]
    assert execute(tmp_path, "SELECT count(*) FROM summary")[0] > (0,)


@pytest.mark.parametrize("column", ["chunks", "subjects", "seal", "last"])
async def test_damaged_summary_is_passed_over(tmp_path: Path, column: str) -> None:
    async with opened(tmp_path) as store:
        await fill(store.create("$G", "s"), store, 200)
    worse = f"CAST(substr({column}, 1, 20) || x'ff' || substr({column}, 22) AS BLOB)"
    value = worse if column in ("chunks", "subjects") else f"{column} + 1"
    execute(tmp_path, f"UPDATE summary SET {column} = {value}")
    found, messages, looked_at = await loaded(tmp_path, True)
    assert (found, messages, looked_at) == await loaded(tmp_path, False)


async def test_file_without_summaries_opens_and_gets_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store.create("$G", "s"), store, 200)
    for table in ("summary", "departed", "deletion"):
        execute(tmp_path, f"DROP TABLE {table}")
    execute(tmp_path, f"PRAGMA user_version = {len(MIGRATIONS) - 3}")
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        before = known(stream)
        await fill(stream, store, 60, 200)
        await settled(store)
    assert before is not None
    assert execute(tmp_path, "SELECT count(*) FROM summary")[0] > (8,)
    assert (await loaded(tmp_path, True))[:2] == (await loaded(tmp_path, False))[:2]


async def test_stream_that_knows_no_subjects_is_found_without_a_look_into_chunks(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store.create("$G", "s", Limits(subjects=False)), store, 400)
    rows = 0
    load_rows = loading.load_rows

    def counted(connection, stream, low, high, gone):
        nonlocal rows
        before = len(stream.contents.directory)
        load_rows(connection, stream, low, high, gone)
        rows += len(stream.contents.directory) - before

    with patch.object(loading, "load_rows", counted):
        async with opened(tmp_path) as store:
            (stream,) = store.streams()
            assert (stream.messages, stream.last, len(stream.contents.directory)) == (400, 400, 80)
    assert rows < 10


async def test_streams_of_which_each_place_is_known_have_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store.create("$G", "s", Limits(max_per_subject=50)), store, 200)
        await trio.lowlevel.checkpoint()
    assert execute(tmp_path, "SELECT count(*) FROM summary") == [(0,)]
    assert (await loaded(tmp_path, True))[:2] == (await loaded(tmp_path, False))[:2]
