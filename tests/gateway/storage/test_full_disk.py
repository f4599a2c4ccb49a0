"""A disk that is full can be emptied by reading, and the room that was freed comes back. On a real disk of 2 MB."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.storage.database import FILE_NAME
from gateway.storage.reserve import FILE_NAME as RESERVE_NAME
from gateway.storage.reserve import Reserve
from gateway.storage.storage import Storage
from gateway.storage.stored_session import NEVER_EXPIRES, StoredSession
from protocols.message import Message, make_message
from tests.gateway.storage.running_journal import commit, drain, durable, running

FULL = "the disk is full"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


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


def test_freed_room_leaves_the_file_also_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.storage.journal.TIDY_SECONDS", 0.0)
    monkeypatch.setattr("gateway.storage.journal.FREE_PAGES", 16)
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


def test_reserve_is_taken_where_there_is_room_and_given_back(tmp_path: Path):
    reserve = Reserve(tmp_path)
    assert reserve.take()
    assert (tmp_path / RESERVE_NAME).stat().st_blocks * 512 >= reserve.bytes
    assert reserve.release()
    assert not reserve.release()
    assert not (tmp_path / RESERVE_NAME).exists()
