"""A full disk of 4 MB: what is appended is refused, everything else goes on, and freed room comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from gateway.storage.database import Database
from gateway.storage.streams.limits import Limits, Refusal, RefusedError
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from tests.gateway.storage.full_disk import fill_disk, mount_small_disk, unmount
from tests.gateway.storage.running_journal import until
from tests.gateway.storage.streams.running_store import durable, opened, read_all, settled
from tests.patience import PATIENCE_SECONDS


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not mount_small_disk(tmp_path, "4m"):
        pytest.skip("a small disk cannot be mounted here")
    yield tmp_path
    unmount(tmp_path)


async def fill(store: StreamStore, stream: Stream, size: int = 1000) -> Refusal:
    """Append until there is no room; what was taken is durable."""
    while True:
        try:
            for _ in range(10):
                stream.append(b"a", b"", b"x" * size)
        except RefusedError as error:
            await durable(store)
            return error.refusal
        await durable(store)


@pytest.mark.parametrize("beside_sessions", [True, False])
async def test_full_disk_refuses_messages_and_can_be_emptied(
    small_disk: Path, caplog: pytest.LogCaptureFixture, beside_sessions: bool
):
    sessions = Database(small_disk) if beside_sessions else None
    async with opened(small_disk) as store:
        stream = store.create("$G", "s", Limits(keep_acknowledged=False))
        cursor = stream.cursor("forward")
        assert await fill(store, stream) is Refusal.FULL
        assert store.obstacle() == "the disk is full"
        assert stream.messages > 500
        before = stream.last
        with pytest.raises(RefusedError):
            stream.append(b"a", b"", b"")
        assert stream.last == before
        stream.tail.clear()
        messages = await read_all(stream)
        assert [message.sequence for message in messages] == list(range(1, stream.last + 1))
        assert stream.delete(messages[5])
        for message in messages[: len(messages) - 10 : 10]:
            cursor.acknowledge_through(message.sequence)
            await durable(store)
        await settled(store)
        assert store.commits.fault is None
        assert store.obstacle() is None
        assert stream.append(b"a", b"", b"x" * 1000) == before + 1
        await durable(store)
        assert stream.messages < 30
    async with opened(small_disk) as store:
        (stream,) = store.streams()
        assert stream.last == before + 1
        assert len(await read_all(stream)) == stream.messages < 30
    events = [record.message.split()[0] for record in caplog.records]
    assert events == ["event=disk-full", "event=not-stored", "event=disk-has-room"]
    if sessions is not None:
        sessions.close()


@pytest.mark.parametrize("size", [1000, 400_000])
async def test_room_that_others_free_is_found_although_nothing_is_written(small_disk: Path, size: int):
    """Small messages find the disk full; a large one is more than the reserve has room for, and is not tried."""
    async with opened(small_disk) as store:
        stream = store.create("$G", "s")
        filler = fill_disk(small_disk)
        stream.append(b"a", b"", b"x")
        await settled(store)
        assert await fill(store, stream, size) is Refusal.FULL
        await settled(store)
        filler.unlink()
        with trio.fail_after(PATIENCE_SECONDS):
            await until(lambda: store.commits.refusal(size) is None)
        assert store.obstacle() is None
        stream.append(b"a", b"", b"x" * size)
        await durable(store)
        assert store.commits.fault is None


async def test_room_below_the_quota_is_found_although_nothing_is_written(tmp_path: Path):
    async with opened(tmp_path, max_bytes=1 << 20) as store:
        stream = store.create("$G", "s", Limits(keep_acknowledged=False))
        cursor = stream.cursor("forward")
        assert await fill(store, stream) is Refusal.QUOTA
        cursor.acknowledge_through(stream.last)
        await settled(store)
        with trio.fail_after(PATIENCE_SECONDS):
            await until(lambda: store.commits.refusal(1000) is None)
        stream.append(b"a", b"", b"x" * 1000)
        await durable(store)


async def test_freed_room_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.storage.attempt.TIDY_SECONDS", 0.0)
    monkeypatch.setattr("gateway.storage.attempt.FREE_PAGES", 16)
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        for _ in range(1000):
            stream.append(b"a", b"", b"x" * 3000)
        await durable(store)
        store.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert (tmp_path / FILE_NAME).stat().st_size > 3_000_000
        stream.purge()
        await settled(store)
        for _ in range(5):
            stream.append(b"a", b"", b"x")
            await durable(store)
        assert (tmp_path / FILE_NAME).stat().st_size < 400_000


async def test_quota_counts_what_the_disk_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.storage.streams.commits.MEASURE_SECONDS", 0.0)
    async with opened(tmp_path, max_bytes=1 << 20) as store:
        stream = store.create("$G", "s", Limits(keep_acknowledged=False))
        cursor = stream.cursor("forward")
        assert await fill(store, stream) is Refusal.QUOTA
        assert stream.messages > 800
        cursor.acknowledge_through(stream.last - 100)
        await settled(store)
        assert await fill(store, stream) is Refusal.QUOTA
        assert stream.messages > 800


async def test_memory_is_bounded_too():
    async with opened(None, max_bytes=1 << 20) as store:
        stream = store.create("$G", "s", Limits())
        assert await fill(store, stream) is Refusal.QUOTA
        assert stream.messages > 800
