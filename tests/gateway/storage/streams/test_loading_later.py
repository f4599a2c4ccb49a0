"""Large streams that are loaded while the store is in use: what they are then, and what the others are meanwhile."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
import trio

from gateway.errors import StorageError
from gateway.storage.streams import loader, store
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.streams.store import StreamStore
from tests.gateway.storage.streams.running_store import durable, opened, read_all, settled

LARGE = "large/"
COUNT = 50


@pytest.fixture(autouse=True)
def all_are_large() -> Iterator[None]:
    with patch.object(store, "MOST_AT_ONCE", COUNT - 1):
        yield


def may_wait(name: str) -> bool:
    return name.startswith(LARGE)


async def fill(store: StreamStore, name: str, count: int = COUNT) -> None:
    stream = store.get("$G", name) or store.create("$G", name, note=name)
    for number in range(count):
        stream.append(b"a.%d" % (number % 3), b"", b"%d" % number)
    stream.cursor("place").acknowledge_through(stream.last - 5)
    await settled(store)


async def test_what_is_loaded_later_is_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, f"{LARGE}one")
        await fill(store, "two")
        await fill(store, f"{LARGE}small", 3)
    async with opened(tmp_path, may_wait=may_wait) as store:
        assert {one.name for one in store.streams()} == {"two", f"{LARGE}small"}
        (found,) = store.unloaded("$G")
        assert (found.name, found.note) == (f"{LARGE}one", f"{LARGE}one")
        assert store.unloaded("other") == []
        # Everything else goes on.
        await fill(store, "two")
        await fill(store, "three")
        stream = await store.load(found)
        assert store.unloaded("$G") == []
        assert store.get("$G", f"{LARGE}one") is stream
        assert (stream.first, stream.last, stream.messages) == (1, COUNT, COUNT)
        assert [message.payload for message in await read_all(stream)] == [b"%d" % one for one in range(COUNT)]
        assert stream.cursor("place").floor == COUNT - 5
        assert stream.append(b"a.1", b"", b"more") == COUNT + 1
        await durable(store)
    async with opened(tmp_path) as store:
        counts = {one.name: one.messages for one in store.streams()}
        assert counts == {f"{LARGE}one": COUNT + 1, "two": 2 * COUNT, "three": COUNT, f"{LARGE}small": 3}


async def test_one_that_is_not_loaded_keeps_its_number(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, f"{LARGE}one")
    async with opened(tmp_path, may_wait=may_wait) as store:
        (found,) = store.unloaded("$G")
        for name in ("two", "three"):
            await fill(store, name)
        store.remove_unloaded(found)
        await settled(store)
        assert store.unloaded("$G") == []
    async with opened(tmp_path) as store:
        assert {one.name: one.messages for one in store.streams()} == {"two": COUNT, "three": COUNT}
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT count(DISTINCT key >> 48) FROM chunk").fetchone() == (2,)


async def test_what_is_wrong_with_one_is_written_anew_once_it_is_loaded(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, f"{LARGE}one")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE stream SET seal = seal + 1")
        connection.execute("UPDATE cursor SET floor = 3")
    async with opened(tmp_path, may_wait=may_wait) as store:
        (found,) = store.unloaded("$G")
        commits = store.commits.commits
        stream = await store.load(found)
        assert stream.messages == COUNT
        assert stream.cursor("place").floor == 0
        await settled(store)
        assert store.commits.commits > commits
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert (stream.name, stream.note, stream.messages) == (f"{LARGE}one", f"{LARGE}one", COUNT)


async def test_a_store_ends_while_one_is_loaded(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, f"{LARGE}one")
    begun = threading.Event()

    def load_for_ever(connection: sqlite3.Connection, *_: object) -> None:
        begun.set()
        while True:
            connection.execute("SELECT 1").fetchall()

    async with opened(tmp_path, may_wait=may_wait) as store, trio.open_nursery() as nursery:
        (found,) = store.unloaded("$G")
        with patch.object(loader, "load_stream", load_for_ever):
            nursery.start_soon(store.load, found)
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
            assert store.stop()


async def test_a_damaged_database_is_looked_at_whole_by_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, f"{LARGE}one")
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    async with opened(tmp_path, may_wait=may_wait) as store:
        (found,) = store.unloaded("$G")
        with patch.object(loader, "load_stream", side_effect=error), pytest.raises(StorageError, match="malformed"):
            await store.load(found)
        assert store.unloaded("$G") == [found]
    assert (tmp_path / f"{FILE_NAME}.suspect").exists()
