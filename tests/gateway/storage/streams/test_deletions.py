"""What is deleted from many chunks at once is one row on the disk, and what each chunk misses is known all the same."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from gateway.storage.streams import deletions
from gateway.storage.streams import stored_stream as streams
from gateway.storage.streams.limits import Limits
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from tests.gateway.storage.streams.running_store import durable, opened, read_all, settled

COUNT = 100


@pytest.fixture(autouse=True)
def chunks_of_five() -> Iterator[None]:
    with patch("gateway.storage.streams.chunk.MOST_MESSAGES", 5):
        yield


def execute(directory: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection, connection:
        return connection.execute(statement).fetchall()


def tables(directory: Path) -> tuple[object, object]:
    """How many bitmaps there are, and how many rows of deletions."""
    (bitmaps,), (rows,) = (execute(directory, f"SELECT count(*) FROM {one}")[0] for one in ("gone", "deletion"))
    return bitmaps, rows


async def fill(store: StreamStore) -> Stream:
    stream = store.create("$G", "s", Limits(subjects=True))
    for number in range(COUNT):
        stream.append(b"s.%d" % (number % 3), b"", b"payload")
    await durable(store)
    return stream


async def delete(stream: Stream, sequences: Sequence[int]) -> None:
    for sequence in sequences:
        message = await stream.get(sequence)
        assert message is not None
        assert stream.delete(message)


async def numbers(stream: Stream) -> list[int]:
    return [message.sequence for message in await read_all(stream)]


def but(*gone: Sequence[int]) -> list[int]:
    return [one for one in range(1, COUNT + 1) if not any(one in some for some in gone)]


async def test_many_chunks_share_a_row_and_few_have_their_bitmaps(tmp_path: Path):
    many, few = range(1, COUNT, 6), (2, 3, 99)
    async with opened(tmp_path) as store:
        stream = await fill(store)
        await delete(stream, many)
        await settled(store)
        assert tables(tmp_path) == (0, 1)
        await delete(stream, few)
        await settled(store)
        assert tables(tmp_path) == (2, 1)
        size = stream.size
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert (await numbers(stream), stream.size) == (but(many, few), size)
        counted = sum(state.messages for one in range(3) if (state := stream.subject(b"s.%d" % one)))
        assert counted == stream.messages == len(but(many, few))
        await delete(stream, [4])
        await settled(store)
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert await numbers(stream) == but(many, few, (4,))


async def test_rows_go_once_the_bitmaps_tell_it(tmp_path: Path):
    first, second = range(1, COUNT, 6), range(2, COUNT, 6)
    with (
        patch.object(deletions, "MOST_DELETIONS", 30),
        patch.object(deletions, "DELETIONS_OF_CHUNK", 1),
        patch.object(deletions, "BITMAPS_AT_ONCE", 3),
    ):
        async with opened(tmp_path) as store:
            stream = await fill(store)
            for some in (first, second):
                await delete(stream, some)
                await durable(store)
            assert tables(tmp_path) == (3, 2)
        async with opened(tmp_path) as store:  # In the middle of it.
            (stream,) = store.streams()
            assert await numbers(stream) == but(first, second)
            stream.touch(False)
            await settled(store)
            assert tables(tmp_path) == (20, 0)
        async with opened(tmp_path) as store:
            (stream,) = store.streams()
            assert await numbers(stream) == but(first, second)


async def test_what_a_fold_left_out_is_not_counted_twice(tmp_path: Path):
    gone = range(1, COUNT, 3)
    async with opened(tmp_path) as store:
        stream = await fill(store)
        await delete(stream, gone)
        await settled(store)
        assert tables(tmp_path)[1] == 1
        with patch.object(streams, "FOLDED_AT_ONCE", 10), patch.object(streams, "MOST_WASTED", 0):
            await delete(stream, range(2, COUNT, 3))  # More than half of it.
            await settled(store)
        size = stream.size
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert (await numbers(stream), stream.size) == (but(gone, range(2, COUNT, 3)), size)


async def test_a_damaged_row_is_told_and_what_it_deleted_is_back(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    first, second = range(1, COUNT, 6), range(2, COUNT, 6)
    async with opened(tmp_path) as store:
        stream = await fill(store)
        for some in (first, second):
            await delete(stream, some)
            await settled(store)
    execute(tmp_path, "UPDATE deletion SET seal = seal + 1 WHERE key & 0xFFFF = 1")
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert await numbers(stream) == but(second)
        assert "event=row-damaged account=$G stream=s what='what was deleted with one commit'" in caplog.text
        await delete(stream, range(3, COUNT, 6))
        await settled(store)
    assert tables(tmp_path) == (0, 3)


async def test_nothing_is_left_of_a_stream_that_is_removed(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = await fill(store)
        await delete(stream, range(1, COUNT, 6))
        await settled(store)
        store.remove(stream)
        await settled(store)
    assert tables(tmp_path) == (0, 0)


async def test_what_goes_from_the_front_is_counted_once(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = await fill(store)
        await delete(stream, range(1, COUNT, 6))
        await settled(store)
        stream.purge(51)
        await settled(store)
        subjects = [stream.subject(b"s.%d" % one) for one in range(3)]
        left = [one for one in but(range(1, COUNT, 6)) if one >= 51]
        assert [state and state.messages for state in subjects] == [
            len([one for one in left if one % 3 == (number + 1) % 3]) for number in range(3)
        ]
