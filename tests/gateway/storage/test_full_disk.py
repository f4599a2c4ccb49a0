"""A disk that is full can be emptied by reading, and the room that was freed comes back. On a real disk of 2 MB."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from gateway.storage.database import FILE_NAME
from gateway.storage.reserve import FILE_NAME as RESERVE_NAME
from gateway.storage.reserve import Reserve
from gateway.storage.storage import Storage
from gateway.storage.stored_session import NEVER_EXPIRES, StoredSession
from protocols.message import Message, make_message
from tests.gateway.storage.full_disk import fill_disk, mount_small_disk, unmount
from tests.gateway.storage.running_journal import commit, drain, durable, running, until
from tests.patience import PATIENCE_SECONDS

FULL = "the disk is full"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not mount_small_disk(tmp_path, "2m"):
        pytest.skip("a small disk cannot be mounted here")
    yield tmp_path
    unmount(tmp_path)


async def fill(storage: Storage) -> tuple[int, list[Message]]:
    """Queue messages until there is no room; what was taken is durable."""
    sessions = storage.global_account.mqtt_sessions
    key = sessions.new_key()
    sessions.save(StoredSession(key, b"c", 5, NEVER_EXPIRES))
    messages: list[Message] = []
    while storage.journal.obstacle() is None:
        for _ in range(10):
            message = make_message(b"a", b"x" * 1000)
            if storage.journal.reserve(message, 1, False):
                assert sessions.enqueue(key, len(messages) + 1, message, 1)
                messages.append(message)
        await drain(storage.journal)
    return key, messages


async def test_full_disk_takes_no_more_and_can_be_emptied(small_disk: Path, caplog: pytest.LogCaptureFixture):
    storage = Storage(small_disk, 1000, 1 << 20)
    journal = storage.journal
    sessions = storage.global_account.mqtt_sessions
    async with running(journal):
        key, messages = await fill(storage)
        assert (journal.fault, journal.obstacle()) == (None, FULL)
        assert len(messages) > 500
        refused = make_message(b"a", b"1")
        assert not journal.reserve(refused, 0, True)
        assert not storage.global_account.retained.keep(refused)
        for sequence, message in enumerate(messages, 1):
            sessions.save(StoredSession(key, b"c", 5, NEVER_EXPIRES))  # Its owner comes and reads it.
            sessions.dequeue(key, sequence, message)
            await durable(journal)
        assert (journal.fault, journal.obstacle()) == (None, None)
    assert (small_disk / RESERVE_NAME).exists()
    events = [record.message.split()[0] for record in caplog.records]
    assert events == ["event=disk-full", "event=not-stored", "event=disk-has-room"]
    storage.close()


async def test_disk_that_is_full_at_the_start_can_be_emptied_too(small_disk: Path):
    storage = Storage(small_disk, 1000, 1 << 20)
    async with running(storage.journal):
        key, messages = await fill(storage)
    storage.close()
    (small_disk / "of somebody else").write_bytes(b"")
    storage = Storage(small_disk, 1000, 1 << 20)
    sessions = storage.global_account.mqtt_sessions
    async with running(storage.journal):
        for sequence in range(1, len(messages) + 1):
            message = make_message(b"a", b"")
            message.record = sequence
            sessions.dequeue(key, sequence, message)
            await durable(storage.journal)
        assert storage.journal.obstacle() is None
    storage.close()


@pytest.mark.parametrize("size", [1000, 200_000])
async def test_room_that_others_free_is_found_although_nothing_is_written(small_disk: Path, size: int):
    """Small messages find the disk full; a large one is more than the reserve has room for, and is not tried."""
    storage = Storage(small_disk, 10_000, 1 << 30)
    journal, retained = storage.journal, storage.global_account.retained
    async with running(journal):
        filler = fill_disk(small_disk)
        assert retained.keep(make_message(b"first", b"1"))
        await durable(journal)
        number = 0
        while journal.reserve(make_message(b"a.%d" % number, bytes(size)), 0, True):
            assert retained.keep(make_message(b"a.%d" % number, bytes(size)))
            await drain(journal)
            number += 1
        await durable(journal)
        filler.unlink()
        with trio.fail_after(PATIENCE_SECONDS):
            await until(lambda: journal.reserve(make_message(b"a", bytes(size)), 0, True))
        assert (journal.fault, journal.obstacle()) == (None, None)
        assert retained.keep(make_message(b"a", bytes(size)))
        await durable(journal)
    storage.close()


def test_freed_room_leaves_the_file_also_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.storage.attempt.TIDY_SECONDS", 0.0)
    monkeypatch.setattr("gateway.storage.attempt.FREE_PAGES", 16)
    monkeypatch.setattr("gateway.storage.database.SHRINK_PAGES", 100)
    storage = Storage(tmp_path, 10_000, 1 << 30)
    retained = storage.global_account.retained
    for number in range(1000):
        retained.keep(make_message(b"a.%d" % number, b"x" * 3000))
    commit(storage.journal)
    storage.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert (tmp_path / FILE_NAME).stat().st_size > 3_000_000
    for number in range(1000):
        retained.keep(make_message(b"a.%d" % number, b""))
    commit(storage.journal)
    storage.close()
    storage = Storage(tmp_path, 10_000, 1 << 30)
    for number in range(20):
        storage.global_account.retained.keep(make_message(b"b", b"%d" % number))
        commit(storage.journal)
    assert (tmp_path / FILE_NAME).stat().st_size < 300_000
    assert storage.journal.fault is None
    storage.close()


async def test_deletion_is_taken_on_a_full_disk_with_the_places_it_needs(small_disk: Path):
    storage = Storage(small_disk, 1000, 1 << 20)
    journal = storage.journal
    account = storage.global_account
    async with running(journal):
        assert account.retained.keep(make_message(b"a", b"1"))
        await fill(storage)
        assert journal.reserve(make_message(b"a", b""), 10, False, makes_room=True)
        assert not journal.reserve(make_message(b"a", b""), 1000, False, makes_room=True)
        for _ in range(1000):
            journal.reserve(make_message(b"a", b""), 10, False, makes_room=True)
        assert not journal.reserve(make_message(b"a", b""), 10, False, makes_room=True)
        assert account.retained.keep(make_message(b"a", b""))
        await durable(journal)
    storage.close()
    storage = Storage(small_disk, 1000, 1 << 20)
    assert len(storage.global_account.retained) == 0
    storage.close()


async def test_no_more_waits_for_the_disk_than_it_has_room_for(small_disk: Path):
    storage = Storage(small_disk, 1000, 1 << 30)
    journal = storage.journal
    free = storage.database.room()
    assert free is not None
    assert not journal.reserve(make_message(b"a", bytes(free)), 0, True)
    async with running(journal):
        key = storage.global_account.mqtt_sessions.new_key()
        taken = 0
        while True:  # All in one batch, for nothing is written in between.
            message = make_message(b"a", b"x" * 1000)
            if not journal.reserve(message, 1, False):
                break
            taken += 1
            assert storage.global_account.mqtt_sessions.enqueue(key, taken, message, 1)
        assert taken > 100
        await durable(journal)
        assert journal.fault is None
    storage.close()


async def test_what_makes_room_is_written_though_the_rest_of_its_batch_does_not_fit(small_disk: Path):
    storage = Storage(small_disk, 1000, 1 << 30)
    journal = storage.journal
    retained = storage.global_account.retained
    async with running(journal):
        for number in range(300):
            assert retained.keep(make_message(b"old.%d" % number, bytes(3000)))
        await durable(journal)
        for number in range(300):
            retained.keep(make_message(b"old.%d" % number, b""))
        for number in range(500):  # Reserved when there was room, which somebody else took.
            retained.keep(make_message(b"new.%d" % number, bytes(3000)))
        await drain(journal)
        assert journal.fault == FULL
    storage.close()
    with sqlite3.connect(small_disk / FILE_NAME) as connection:
        found = connection.execute("SELECT count(*) FROM retained WHERE CAST(subject AS TEXT) LIKE 'old.%'").fetchone()
    assert found == (0,)


OLD = 200


def make_old_file(directory: Path) -> None:
    """A database as it was before files could become smaller."""
    Storage(directory, 10_000, 1 << 30).close()
    with sqlite3.connect(directory / FILE_NAME, isolation_level=None) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        for number in range(OLD):
            row = ("$G", b"old.%d" % number, b"", 0, bytes(3000), 0, 0.0)
            connection.execute("INSERT INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)


def test_file_from_before_files_could_become_smaller_becomes_smaller(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    make_old_file(tmp_path)
    caplog.set_level("INFO")
    storage = Storage(tmp_path, 10_000, 1 << 30)
    assert "event=database-rewritten" in caplog.text
    assert len(storage.global_account.retained) == OLD
    for number in range(OLD):
        storage.global_account.retained.keep(make_message(b"old.%d" % number, b""))
    commit(storage.journal)
    while storage.database.shrink(0):
        pass
    assert (tmp_path / FILE_NAME).stat().st_size < 200_000
    assert storage.journal.fault is None
    storage.close()


@pytest.mark.parametrize(("name", "value"), [("MOST_REWRITTEN_BYTES", 100_000), ("REWRITE_SECONDS", -1.0)])
def test_file_that_takes_long_to_write_anew_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: float
):
    make_old_file(tmp_path)
    monkeypatch.setattr(f"gateway.storage.database.{name}", value)
    storage = Storage(tmp_path, 10_000, 1 << 30)
    assert "event=database-cannot-shrink" in caplog.text
    assert "PRAGMA auto_vacuum = INCREMENTAL; VACUUM" in caplog.text
    assert len(storage.global_account.retained) == OLD
    storage.close()


def test_reserve_is_taken_where_there_is_room_and_given_back(tmp_path: Path):
    reserve = Reserve(tmp_path)
    assert reserve.take()
    assert (tmp_path / RESERVE_NAME).stat().st_blocks * 512 >= reserve.bytes
    assert reserve.release()
    assert not reserve.release()
    assert not (tmp_path / RESERVE_NAME).exists()
