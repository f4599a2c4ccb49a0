"""The store as a whole: accounts, names, limits, clocks, ids, commits, faults, and what it counts."""

import shutil
from pathlib import Path

import pytest
import trio

from gateway.storage.streams.limits import Discard, Limits, Refusal, RefusedError
from gateway.storage.streams.schema import FILE_NAME
from gateway.storage.streams.store import StreamStore
from tests.gateway.storage.streams.running_store import attempted, durable, nothing, opened, read_all, settled


async def test_streams_belong_to_accounts_and_are_removed_with_all_they_hold(tmp_path: Path):
    async with opened(tmp_path) as store:
        for account in ("a", "b"):
            stream = store.create(account, "s", note=account)
            stream.cursor("c")
            for _ in range(100):
                stream.append(b"a", b"", account.encode())
            await durable(store)
        removed = store.get("a", "s")
        assert removed is not None
        store.remove(removed)
        assert store.get("a", "s") is None
        with pytest.raises(RefusedError) as caught:
            removed.append(b"a", b"", b"")
        assert caught.value.refusal is Refusal.CLOSED
        again = store.create("a", "s")
        assert again.append(b"a", b"", b"new") == 1
        await settled(store)
    async with opened(tmp_path) as store:
        (other,), (again,) = store.streams("b"), store.streams("a")
        assert (other.note, other.messages, again.messages) == ("b", 100, 1)
        assert [message.payload for message in await read_all(again)] == [b"new"]
        assert [message.payload for message in await read_all(other)] == [b"b"] * 100
        (chunks,) = store.database.connection.execute("SELECT count(*) FROM chunk").fetchone()
        assert chunks == 2


async def test_stream_that_was_removed_is_gone_although_the_process_was_killed(tmp_path: Path):
    (tmp_path / "running").mkdir()
    async with opened(tmp_path / "running") as store:
        stream = store.create("a", "s")
        for _ in range(70):
            for _ in range(130):
                stream.append(b"a", b"", b"x")
            await durable(store)
        store.remove(stream)
        await durable(store)
        shutil.copytree(tmp_path / "running", tmp_path / "killed")
    async with opened(tmp_path / "killed") as store:
        assert store.streams() == []
        await settled(store)
        assert store.database.connection.execute("SELECT count(*) FROM chunk").fetchone() == (0,)
        assert store.database.connection.execute("SELECT count(*) FROM stream").fetchone() == (0,)


async def test_time_of_a_message_never_goes_back_and_age_takes_no_notice(tmp_path: Path):
    wall, age = 1_000, 0.0
    clocks = {"wall_ns": lambda: wall, "age_clock": lambda: age}
    async with opened(tmp_path, **clocks) as store:
        stream = store.create("$G", "s", Limits(max_age=10.0))
        for wall in (1_000, 5_000, 2_000, 6_000):  # noqa: B007 -- the clock reads it
            stream.append(b"a", b"", b"")
            await durable(store)
            age += 4.0
        assert [message.time_ns for message in await read_all(stream)] == [1_000, 5_000, 5_000, 6_000]
        assert stream.oldest_age == 16.0
        store.tidy()
        assert (stream.first, stream.messages, stream.discarded) == (3, 2, 2)
        await settled(store)
    wall = 10
    async with opened(tmp_path, **clocks) as store:
        (stream,) = store.streams()
        stream.append(b"a", b"", b"")
        await durable(store)
        assert [message.time_ns for message in await read_all(stream)] == [5_000, 6_000, 6_000]
        assert stream.sequence_at(5_500) == 4
        assert stream.sequence_at(7_000) == 6
        wall = 10**18
        store.tidy()
        assert stream.messages == 3


async def test_ids_are_never_used_again_although_a_backup_comes_back(tmp_path: Path):
    """What was appended behind the backup had the same numbers."""
    (tmp_path / "running").mkdir()
    async with opened(tmp_path / "running") as store:
        stream = store.create("$G", "s")
        stream.append(b"a", b"", b"")
        await settled(store)
        shutil.copytree(tmp_path / "running", tmp_path / "backup")
        stream.append(b"a", b"", b"")
        await durable(store)
        ids = [stream.message_id(1), stream.message_id(2)]
    async with opened(tmp_path / "backup") as store:
        (stream,) = store.streams()
        assert stream.append(b"a", b"", b"") == 2
        assert stream.message_id(1) == ids[0]
        assert stream.message_id(2) not in ids


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (Limits(max_messages=3, discard=Discard.NEW), Refusal.MESSAGES),
        (Limits(max_bytes=100, discard=Discard.NEW), Refusal.BYTES),
        (Limits(max_per_subject=3, discard_new_per_subject=True), Refusal.PER_SUBJECT),
        (Limits(max_message_bytes=30), Refusal.TOO_LARGE),
    ],
)
async def test_message_that_is_refused_changes_nothing(limits: Limits, refusal: Refusal):
    async with opened(None) as store:
        stream = store.create("$G", "s", limits)
        with pytest.raises(RefusedError) as caught:  # noqa: PT012 -- some are taken
            for size in range(8, 50):
                stream.append(b"a", b"", b"x" * size)
        assert caught.value.refusal is refusal
        before = stream.last
        await durable(store)
        assert [message.sequence for message in await read_all(stream)] == list(range(1, before + 1))
        with pytest.raises(RefusedError):
            stream.append(b"a", b"", b"x" * 50)
        assert (stream.last, stream.messages, stream.discarded) == (before, before, 0)


async def test_subjects_are_bounded():
    async with opened(None) as store:
        stream = store.create("$G", "s", Limits(max_subjects=2))
        for subject in (b"a", b"b", b"a"):
            stream.append(subject, b"", b"")
        with pytest.raises(RefusedError) as caught:
            stream.append(b"c", b"", b"")
        assert caught.value.refusal is Refusal.SUBJECTS
        await durable(store)
        stream.purge()
        await settled(store)
        stream.append(b"c", b"", b"")


async def test_oldest_give_way_to_bytes():
    async with opened(None) as store:
        stream = store.create("$G", "s", Limits(max_bytes=100_000))
        for number in range(2000):
            stream.append(b"a", b"", b"x" * 1000)
            assert stream.size <= 100_000
            if number % 7 == 0:
                await durable(store)
        await settled(store)
        assert 50 < stream.messages < 100
        assert len(await read_all(stream)) == stream.messages


async def test_what_is_wanted_is_found_in_memory_and_on_the_disk(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        for number in range(1, 20_001):
            stream.append(b"rare" if number == 15_000 else b"a.%d" % (number % 100), b"", b"")
        await durable(store)
        for _ in range(2):
            found = await stream.next_matching(1, b"rare".__eq__)
            assert found is not None
            assert found.sequence == 15_000
            assert await stream.next_matching(15_001, b"rare".__eq__) is None
            last = await stream.last_of(b"rare")
            assert last == found == await stream.get(15_000)
            assert await stream.get(20_001) is None
            stream.tail.clear()


async def test_last_of_a_subject_waits_for_its_commit():
    async with opened(None) as store:
        stream = store.create("$G", "s")
        stream.append(b"a", b"", b"1")
        found = await stream.last_of(b"a")
        assert found is not None
        assert found.payload == b"1"


async def test_commits_keep_their_interval_and_one_wakes_all(tmp_path: Path):
    async with opened(tmp_path, commit_interval=3600.0) as store:
        stream = store.create("$G", "s")
        stream.append(b"a", b"", b"1")
        await durable(store)  # The first waits for nothing.
        assert store.commits.commits == 1
        done = trio.Event()
        stream.append(b"a", b"", b"2")
        store.commits.when_durable(done.set)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert (stream.committed, done.is_set()) == (1, False)
        await attempted(store)  # Who ends does not wait.
        assert (stream.committed, done.is_set()) == (2, True)


async def test_fault_keeps_what_was_taken_and_refuses_more(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        stream.append(b"a", b"", b"1")
        await durable(store)
        (tmp_path / FILE_NAME).rename(tmp_path / "away")
        stream.append(b"a", b"", b"2")
        await attempted(store)
        assert store.commits.fault is not None
        with pytest.raises(RefusedError) as caught:
            stream.append(b"a", b"", b"3")
        assert caught.value.refusal is Refusal.FAULT
        assert stream.committed == 1
        (tmp_path / "away").rename(tmp_path / FILE_NAME)
        await durable(store)
        assert store.commits.fault is None
        assert stream.append(b"a", b"", b"3") == 3
        await durable(store)
        assert [message.payload for message in await read_all(stream)] == [b"1", b"2", b"3"]
        statistics = store.statistics()
        assert (statistics.messages, statistics.faults, statistics.refused, statistics.obstacle) == (3, 1, 1, None)
        assert stream.statistics().messages == 3
    events = [record.message.split()[0] for record in caplog.records]
    assert events == ["event=storage-fault", "event=not-stored", "event=storage-recovered"]


def test_store_that_does_not_run_takes_and_keeps_in_memory(tmp_path: Path):
    store = StreamStore(tmp_path)
    stream = store.create("$G", "s")
    assert stream.append(b"a", b"", b"") == 1
    assert store.commits.mark() > 0
    assert stream.committed == 0

    async def run() -> None:
        store.start(trio.lowlevel.current_trio_token().run_sync_soon, nothing)
        await durable(store)
        assert stream.committed == 1

    trio.run(run)
    assert store.close()
