"""Damage costs the chunk that it is in, said aloud: never the stream, never a start."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.storage.streams.limits import Limits
from gateway.storage.streams.schema import FILE_NAME
from tests.gateway.storage.streams.running_store import durable, opened, read_all


async def write(directory: Path, messages: int = 2000, subjects: bool = True) -> None:
    async with opened(directory) as store:
        stream = store.create("$G", "s", Limits(subjects=subjects))
        stream.cursor("forward").acknowledge_through(1)
        for number in range(1, messages + 1):
            stream.append(b"a.%d" % (number % 5), b"", b"%d" % number * 20)
            if number % 100 == 0:
                await durable(store)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def place_of(directory: Path, sequence: int) -> int:
    """Where the payload of a message stands in the file."""
    return (directory / FILE_NAME).read_bytes().index(b"%d" % sequence * 3)


@pytest.mark.parametrize("subjects", [True, False])
async def test_flipped_bit_costs_one_chunk(tmp_path: Path, caplog: pytest.LogCaptureFixture, subjects: bool):
    await write(tmp_path, subjects=subjects)
    flip(tmp_path / FILE_NAME, place_of(tmp_path, 1234))
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        found = [message.sequence for message in await read_all(stream)]
        assert found == [*range(1, 1201), *range(1301, 2001)]
        assert (stream.messages, stream.lost) == (1900, 100)
        assert (store.damaged_chunks, store.lost_messages) == (1, 100)
        assert await stream.get(1234) is None
        assert stream.append(b"a.1", b"", b"") == 2001
        await durable(store)
        assert [message.sequence for message in await read_all(stream, 1301)] == [*range(1301, 2002)]
        if subjects:
            state = stream.subject(b"a.1")
            assert state is not None
            assert state.messages == 381
        assert store.commits.fault is None
    events = [record.message.split()[0] for record in caplog.records]
    assert events == ["event=chunk-damaged"]


async def test_flipped_bits_anywhere_lose_little_and_stop_no_start(tmp_path: Path):
    """Each in a copy of the same file; what is lost is said, what is not is as it was written."""
    (tmp_path / "sound").mkdir()
    await write(tmp_path / "sound")
    sound = (tmp_path / "sound" / FILE_NAME).read_bytes()
    chance = random.Random(3)
    for number in range(60):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / FILE_NAME).write_bytes(sound)
        flip(directory / FILE_NAME, chance.randrange(len(sound)))
        async with opened(directory) as store:
            (stream,) = store.streams()
            messages = await read_all(stream)
            assert all(one.payload == b"%d" % one.sequence * 20 for one in messages)
            sequences = [one.sequence for one in messages]
            assert sequences == sorted(set(sequences))
            assert len(messages) == stream.messages
            lost = 2000 - len(messages)
            assert lost == 0 or store.damaged_chunks or store.database.set_aside
            assert lost <= 400
            assert stream.append(b"a", b"", b"1") > 0
            await durable(store)


async def test_torn_log_keeps_what_stands_in_front(tmp_path: Path):
    """What a disk leaves that lied about its syncs: the log is cut in the middle of a commit."""
    (tmp_path / "running").mkdir()
    async with opened(tmp_path / "running") as store:
        stream = store.create("$G", "s")
        for number in range(1, 101):
            stream.append(b"a", b"", b"%d" % number * 20)
            await durable(store)
        log = (tmp_path / "running" / f"{FILE_NAME}-wal").read_bytes()
        file = (tmp_path / "running" / FILE_NAME).read_bytes()
    for number, size in enumerate(range(len(log), len(log) // 2, -2777)):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / FILE_NAME).write_bytes(file)
        (directory / f"{FILE_NAME}-wal").write_bytes(log[:size])
        async with opened(directory) as store:
            (stream,) = store.streams()
            messages = await read_all(stream)
            assert [one.sequence for one in messages] == list(range(1, len(messages) + 1))
            assert len(messages) >= size // len(log) * 100


async def test_damaged_chunk_is_dropped_when_its_turn_comes(tmp_path: Path):
    await write(tmp_path)
    flip(tmp_path / FILE_NAME, place_of(tmp_path, 1234))
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert stream.purge(1501) == 1400
        await durable(store)
        while store.commits.awaited() is not None:
            await durable(store)
        assert [message.sequence for message in await read_all(stream)] == [*range(1501, 2001)]
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM chunk").fetchone() == (5,)


async def test_damaged_tables_cost_what_is_in_them(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """One page after the other is overwritten: whatever it held, the other chunks are there, under their numbers."""
    (tmp_path / "sound").mkdir()
    await write(tmp_path / "sound", 20_000)
    sound = (tmp_path / "sound" / FILE_NAME).read_bytes()
    for page in range(30):
        directory = tmp_path / str(page)
        directory.mkdir()
        content = bytearray(sound)
        content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
        (directory / FILE_NAME).write_bytes(content)
        async with opened(directory) as store:
            (stream,) = store.streams()
            messages = await read_all(stream)
            assert all(one.payload == b"%d" % one.sequence * 20 for one in messages)
            # A page may hold the beginnings of several chunks.
            assert len(messages) >= 18_000, page
            assert stream.append(b"a", b"", b"1") == 20_001
            await durable(store)


@pytest.mark.parametrize("change", ["UPDATE cursor SET floor = 1234", "UPDATE stream SET first = 1234"])
async def test_value_that_flipped_passes_over_no_message(tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture):
    await write(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute(change)
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert len(await read_all(stream)) == 2000
        assert stream.cursor("forward").floor == (0 if "cursor" in change else 1)
        assert stream.append(b"a", b"", b"") == 2001
    assert [record.message.split()[0] for record in caplog.records] == ["event=row-damaged"]
