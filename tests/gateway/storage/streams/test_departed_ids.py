"""Ids of deleted messages are on the disk with the commit that deletes these, for as long as somebody says."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.storage.streams.departed_ids import LONGEST, DepartedId, decode, encode
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.streams.stream import Stream
from tests.gateway.storage.streams.running_store import durable, opened, settled

ONE, TWO, THREE = (DepartedId(number, 1000 * number, b"id-%d" % number) for number in (1, 2, 3))


async def write(directory: Path) -> None:
    async with opened(directory) as store:
        stream = store.create("plant", "s")
        for _ in range(3):
            stream.append(b"a", b"", b"payload")
        await durable(store)
        for ids in ((TWO,), (THREE, ONE)):
            for one in ids:
                await forget(stream, one)
            await settled(store)


async def forget(stream: Stream, one: DepartedId) -> None:
    message = await stream.get(one.sequence)
    assert message is not None
    assert stream.delete(message)
    stream.departed.note(one)


def rows(directory: Path) -> int:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM departed").fetchone()
        return int(count)


async def test_they_are_found_in_the_order_of_their_messages(tmp_path: Path):
    await write(tmp_path)
    assert rows(tmp_path) == 2
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert stream.departed.take() == [ONE, TWO, THREE]
        assert stream.departed.take() == []


async def test_they_go_once_no_repeat_can_come(tmp_path: Path):
    await write(tmp_path)
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert not stream.departed.expire(2000)
        assert stream.departed.expire(2001)
        stream.touch(False)
        await settled(store)
        assert rows(tmp_path) == 1
        store.remove(stream)
        await settled(store)
    assert rows(tmp_path) == 0


async def test_a_damaged_row_is_told_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    await write(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE departed SET seal = seal + 1 WHERE key & 0xFFFF = 1")
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert stream.departed.take() == [ONE, THREE]
        assert "event=row-damaged what='ids of stream 1'" in caplog.text
        stream.departed.note(TWO)
        stream.touch(False)
        await settled(store)
    assert rows(tmp_path) == 3


def test_what_is_encoded_is_decoded() -> None:
    ids = [ONE, DepartedId(1 << 47, (1 << 63) - 1, b""), DepartedId(4, 0, bytes(LONGEST))]
    assert decode(encode(ids)) == ids
