"""Batches that are too large for one transaction, and changes that can never be written."""

import sqlite3
from pathlib import Path

import pytest

from gateway.storage import batch as batches
from gateway.storage.storage import Storage
from gateway.storage.stored_session import NEVER_EXPIRES, StoredSession
from protocols.message import make_message
from protocols.mqtt.packets import Subscription
from tests.gateway.storage.running_journal import commit, durable, running


def stored(storage: Storage, table: str) -> int:
    count: int = storage.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def fill(storage: Storage, count: int, size: int) -> int:
    sessions = storage.global_account.mqtt_sessions
    key = sessions.new_key()
    sessions.save(StoredSession(key, b"c", 5, NEVER_EXPIRES))
    for sequence in range(1, count + 1):
        sessions.save_subscription(key, Subscription(b"a/%d" % sequence, 1))
        assert sessions.enqueue(key, sequence, make_message(b"a", b"%d" % sequence * size), 1)
        assert storage.global_account.retained.keep(make_message(b"r.%d" % sequence, b"x" * size))
    return key


def test_large_batch_is_written_in_parts_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batches, "MOST_AT_ONCE", 5000)
    storage = Storage(tmp_path, 1000, 1 << 20)
    written: list[str] = []
    storage.database.connection.set_trace_callback(written.append)
    key = fill(storage, 100, 10)
    commit(storage.journal)
    assert len([statement for statement in written if statement.startswith("INSERT INTO batch")]) > 10
    sessions = storage.global_account.mqtt_sessions
    sessions.delete(key)
    for sequence in range(1, 101):
        storage.global_account.retained.keep(make_message(b"r.%d" % sequence, b"new"))
    commit(storage.journal)
    storage.close()
    storage = Storage(tmp_path, 1000, 1 << 20)
    assert [stored(storage, table) for table in ("session", "subscription", "queue", "message", "retained")] == [
        0,
        0,
        0,
        0,
        100,
    ]
    storage.close()


@pytest.mark.parametrize("count", [1, 127, 128, 129, 300])
def test_many_rows_are_written_as_few_are(tmp_path: Path, count: int):
    storage = Storage(tmp_path, 1000, 1 << 20)
    retained = storage.global_account.retained
    for number in range(count):
        retained.keep(make_message(b"r.%d" % number, b"old"))
    commit(storage.journal)
    for number in range(0, count, 2):  # Removed and put again, in one batch.
        retained.keep(make_message(b"r.%d" % number, b""))
        retained.keep(make_message(b"r.%d" % number, b"new"))
    for number in range(1, count, 2):
        retained.keep(make_message(b"r.%d" % number, b"newer"))
    commit(storage.journal)
    found = dict(storage.database.connection.execute("SELECT subject, body FROM retained"))
    assert found == {b"r.%d" % number: b"newer" if number % 2 else b"new" for number in range(count)}
    storage.close()


def test_transaction_that_fails_half_way_leaves_nothing(tmp_path: Path):
    storage = Storage(tmp_path, 1000, 1 << 20)
    for number in range(300):
        storage.global_account.retained.keep(make_message(b"r.%d" % number, b"x"))
    rows = storage.journal.batch.retained.added
    victim = list(rows)[200]  # Others are written before and behind it.
    rows[victim] = (*rows[victim][:-1], None)  # No real number.
    connection = storage.database.connection
    with pytest.raises(sqlite3.IntegrityError):
        storage.journal.batch._insert(connection)
    assert not connection.in_transaction
    assert stored(storage, "retained") == 0
    storage.close()


def test_parts_promise_nothing_that_a_later_one_keeps():
    storage = Storage(None, 1000, 1 << 20)
    fill(storage, 5, 10)
    ids = storage.global_account.published_ids
    ids.note(b"id", ids.next())
    kinds = [one.table.name for part in storage.journal.batch._parts(500) for one in part.tables() if one.added]
    assert kinds == sorted(kinds, key=["session", "subscription", "message", "queue", "retained", "published"].index)
    storage.close()


@pytest.mark.parametrize("count", [1, 50])
async def test_change_that_can_never_be_written_is_set_apart_and_blocks_nobody(
    tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture
):
    storage = Storage(tmp_path, 1000, 1 << 20)
    storage.database.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 30_000)
    journal = storage.journal
    retained = storage.global_account.retained
    called: list[str] = []
    async with running(journal):
        for number in range(count):
            retained.keep(make_message(b"r.%d" % number, b"x" * 100))
        retained.keep(make_message(b"large", b"x" * 40_000))
        journal.when_durable(lambda: called.append("kept"), lambda: called.append("refused"))
        await durable(journal)
        assert called == ["refused"]
        assert (journal.fault, journal.set_apart, journal.pending_bytes) == (None, 1, 0)
        assert stored(storage, "retained") == count
        retained.keep(make_message(b"next", b"x"))
        journal.when_durable(lambda: called.append("kept"), lambda: called.append("refused"))
        await durable(journal)
        assert called == ["refused", "kept"]
    [line] = [record.message for record in caplog.records]
    assert "event=change-set-apart" in line
    assert "xxxx" not in line
    storage.close()
