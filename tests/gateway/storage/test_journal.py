"""Group commit, and what happens while the disk does not take anything."""

import queue
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from gateway.storage.database import FILE_NAME, SUSPECT_SUFFIX
from gateway.storage.storage import Storage
from gateway.storage.stored_session import NEVER_EXPIRES, StoredSession
from protocols.message import make_message
from tests.gateway.storage.running_journal import drain, durable, page, running, until
from tests.patience import PATIENCE_SECONDS


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(tmp_path, 100_000, 100 << 20)
    yield storage
    storage.close()


def keep(storage: Storage, number: int, size: int = 10) -> None:
    assert storage.global_account.retained.keep(make_message(b"a.%d" % number, b"x" * size))


def stored_rows(storage: Storage, table: str = "retained") -> int:
    count: int = storage.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


class Loop:
    """A loop that makes the calls that other threads want made, and nothing else."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.made = 0
        self.rounds = 0

    def after(self) -> None:
        self.rounds += 1

    def run_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.calls.get(timeout=PATIENCE_SECONDS)()
            self.made += 1


def test_loop_of_any_kind_is_woken_once_to_begin_and_once_for_each_commit(storage: Storage):
    loop = Loop()
    done: list[int] = []
    storage.journal.start(loop.calls.put, loop.after)
    for number in range(10):
        keep(storage, number)
    storage.journal.when_durable(lambda: (keep(storage, 100), storage.journal.when_durable(lambda: done.append(1))))
    loop.run_until(lambda: bool(done))
    assert storage.journal.stop()
    assert (storage.journal.commits, loop.made, loop.rounds) == (2, 3, 2)
    assert stored_rows(storage) == 11


def test_journal_that_is_stopped_behind_a_commit_writes_it_and_can_go_on(storage: Storage):
    loop = Loop()
    done: list[int] = []
    storage.journal.start(loop.calls.put, loop.after)
    keep(storage, 1)
    storage.journal.when_durable(list)
    loop.calls.get(timeout=PATIENCE_SECONDS)()
    assert storage.journal.stop(60)
    assert storage.journal.pending_bytes == 0
    assert stored_rows(storage) == 1
    keep(storage, 2)
    storage.journal.start(loop.calls.put, loop.after)
    storage.journal.when_durable(lambda: done.append(1))
    loop.run_until(lambda: bool(done))
    assert storage.journal.stop()


def test_message_that_is_acknowledged_while_its_commit_is_about_to_begin_is_answered_and_never_written(
    storage: Storage,
):
    loop = Loop()
    sessions = storage.global_account.mqtt_sessions
    done: list[int] = []
    message = make_message(b"a", b"1")
    storage.journal.start(loop.calls.put, loop.after)
    sessions.enqueue(1, 1, message, 1)
    storage.journal.when_durable(lambda: done.append(1))
    loop.calls.get(timeout=PATIENCE_SECONDS)()
    assert done == []
    sessions.dequeue(1, 1, message)
    loop.run_until(lambda: bool(done))
    assert storage.journal.stop()
    assert (storage.journal.commits, loop.rounds) == (0, 1)


def test_commits_do_not_wait_for_acknowledgements_where_none_came(storage: Storage):
    loop = Loop()
    sessions = storage.global_account.mqtt_sessions
    done: list[int] = []
    storage.journal.start(loop.calls.put, loop.after)
    for sequence in range(1, 4):
        loop.made = 0
        sessions.enqueue(1, sequence, make_message(b"a", b"1"), 1)
        storage.journal.when_durable(lambda: done.append(loop.made))
        loop.run_until(lambda sequence=sequence: len(done) == sequence)  # type: ignore[misc]
    assert storage.journal.stop()
    assert done == [2, 1, 1]


def test_changes_that_nobody_waits_for_share_the_commit_of_one_that_somebody_waits_for(storage: Storage):
    loop = Loop()
    done: list[int] = []
    storage.journal.start(loop.calls.put, loop.after)
    keep(storage, 1)
    loop.calls.get(timeout=PATIENCE_SECONDS)()  # It waits for company.
    keep(storage, 2)
    storage.journal.when_durable(lambda: done.append(1))
    loop.run_until(lambda: bool(done))
    assert storage.journal.commits == 1
    keep(storage, 3)
    loop.run_until(lambda: storage.journal.commits == 2)  # It comes without, too.
    assert storage.journal.stop()
    assert stored_rows(storage) == 3


def test_writer_does_not_mind_a_loop_that_has_ended(storage: Storage):
    calls: list[Callable[[], None]] = []

    def ended(action: Callable[[], None]) -> None:
        if calls:
            raise trio.RunFinishedError
        calls.append(action)

    storage.journal.start(ended, list)
    keep(storage, 1)
    storage.journal.when_durable(list)
    calls[0]()
    assert storage.journal.stop(60)
    assert stored_rows(storage) == 1


def test_disk_that_hangs_does_not_hold_up_the_end(tmp_path: Path):
    storage = Storage(tmp_path, 100, 1 << 20)
    loop = Loop()
    busy = threading.Lock()
    busy.acquire()
    storage.database.connection.set_progress_handler(lambda: not busy.acquire(), 1)
    storage.journal.start(loop.calls.put, loop.after)
    keep(storage, 1)
    storage.journal.when_durable(list)
    loop.calls.get(timeout=PATIENCE_SECONDS)()
    assert not storage.journal.stop(0.01)
    assert not storage.close()
    busy.release()


def test_nothing_pending_is_durable_at_once(storage: Storage):
    called = []
    storage.journal.when_durable(lambda: called.append(1))
    assert called == [1]


async def test_actions_wait_for_the_commit_and_share_it(storage: Storage):
    called: list[int] = []
    for number in range(100):
        keep(storage, number)
        storage.journal.when_durable(lambda number=number: called.append(number))
    await trio.testing.wait_all_tasks_blocked()
    assert called == []
    async with running(storage.journal):
        await durable(storage.journal)
    assert called == list(range(100))
    assert storage.journal.commits == 1
    assert stored_rows(storage) == 100


async def test_actions_keep_their_order_when_a_batch_becomes_empty(storage: Storage):
    sessions = storage.global_account.mqtt_sessions
    message = make_message(b"a", b"1")
    called: list[int] = []
    sessions.enqueue(1, 1, message, 1)
    storage.journal.when_durable(lambda: called.append(1))
    sessions.dequeue(1, 1, message)
    storage.journal.when_durable(lambda: called.append(2))
    assert called == []
    async with running(storage.journal):
        await durable(storage.journal)
    assert called == [1, 2]
    assert storage.journal.commits == 0


def test_what_an_action_changes_waits_for_another_commit_where_the_batch_has_become_empty(storage: Storage):
    loop = Loop()
    sessions = storage.global_account.mqtt_sessions
    message = make_message(b"a", b"1")
    awaited: list[object] = []
    storage.journal.start(loop.calls.put, loop.after)
    sessions.enqueue(1, 1, message, 1)
    promised = storage.journal.awaited()
    storage.journal.when_durable(lambda: keep(storage, 1))
    storage.journal.when_durable(lambda: awaited.append(storage.journal.awaited()))
    sessions.dequeue(1, 1, message)
    loop.run_until(lambda: bool(awaited))
    assert promised is not None
    assert awaited[0] not in (None, promised)
    assert storage.journal.stop(60)


async def test_action_that_comes_while_only_pages_are_read_is_called(storage: Storage):
    async with running(storage.journal):
        for _ in range(100):
            storage.global_account.mqtt_sessions.read_page(1, 0, 10, 1000, lambda places: None)
            await trio.lowlevel.checkpoint()
            with trio.fail_after(PATIENCE_SECONDS):
                await durable(storage.journal)


async def test_action_that_raises_is_logged_and_stops_nobody(storage: Storage, caplog: pytest.LogCaptureFixture):
    keep(storage, 1)
    storage.journal.when_durable(lambda: 1 / 0)
    async with running(storage.journal):
        await durable(storage.journal)
    assert "ZeroDivisionError" in caplog.text


async def test_changes_are_counted_so_that_callers_see_whether_there_were_any(storage: Storage):
    before = storage.journal.changes
    storage.global_account.retained.keep(make_message(b"never.kept", b""))
    assert storage.journal.changes == before
    keep(storage, 1)
    assert storage.journal.changes > before


async def test_what_is_queued_and_taken_back_at_once_is_never_written(storage: Storage):
    sessions = storage.global_account.mqtt_sessions
    key = sessions.new_key()
    message = make_message(b"a", b"1")
    assert sessions.enqueue(key, 1, message, 1)
    sessions.dequeue(key, 1, message)
    assert storage.journal.batch.is_empty()
    assert storage.journal.pending_bytes == 0
    assert message.record is None


async def test_full_disk_keeps_everything_until_there_is_room(
    storage: Storage, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
):
    connection = storage.database.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    journal = storage.journal
    called = []
    async with running(journal):
        for number in range(200):
            keep(storage, number, 100)
        journal.when_durable(lambda: called.append("first"))
        await until(lambda: journal.fault is not None)
        assert journal.fault == "the disk is full"
        for number in range(100, 300):
            keep(storage, number, 101)
        storage.global_account.retained.keep(make_message(b"a.0", b""))
        journal.when_durable(lambda: called.append("second"))
        for _ in range(3):
            await drain(journal)  # Comes back although nothing could be written.
        assert called == []
        connection.execute("PRAGMA max_page_count = 100000")
        await durable(journal)
        assert called == ["first", "second"]
        assert journal.fault is None
        assert journal.pending_bytes == 0
    found = dict(connection.execute("SELECT subject, length(body) FROM retained"))
    assert found == {b"a.%d" % number: 100 if number < 100 else 101 for number in range(1, 300)}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_file_that_may_not_grow_recovers(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
):
    storage = Storage(tmp_path, 100_000, 100 << 20)
    journal = storage.journal
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with running(journal):
        keep(storage, 0)
        await durable(journal)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            for number in range(3000):
                keep(storage, number, 100)
            await until(lambda: journal.fault is not None)
            await drain(journal)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await durable(journal)
    assert journal.fault is None
    storage.close()
    storage = Storage(tmp_path, 100_000, 100 << 20)
    assert len(storage.global_account.retained) == 3000
    storage.close()


async def test_database_held_by_another_program_is_a_fault_that_passes(
    storage: Storage, tmp_path: Path, autojump_clock: trio.testing.MockClock
):
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with running(storage.journal):
        keep(storage, 1)
        await until(lambda: storage.journal.fault is not None)
        assert storage.journal.fault == "another program holds the database"
        other.execute("COMMIT")
        other.close()
        await durable(storage.journal)
    assert storage.journal.fault is None


async def test_read_only_database_is_opened_anew(storage: Storage, autojump_clock: trio.testing.MockClock):
    storage.database.connection.execute("PRAGMA query_only = ON")
    async with running(storage.journal):
        keep(storage, 1)
        await durable(storage.journal)
    assert storage.journal.faults == 1
    assert stored_rows(storage) == 1


async def test_so_much_that_waits_for_the_disk_is_bounded(tmp_path: Path):
    storage = Storage(tmp_path, 100_000, 100 << 20)
    storage.journal.max_pending_bytes = 10_000
    sessions = storage.global_account.mqtt_sessions
    key = sessions.new_key()
    taken = 0
    while storage.journal.reserve(message := make_message(b"a", b"x" * 100), 1, False):
        assert sessions.enqueue(key, taken + 1, message, 1)
        taken += 1
    assert 10 < taken < 30
    assert not sessions.enqueue(key, taken + 1, message, 1)
    assert not storage.global_account.retained.keep(message)
    assert storage.global_account.retained.refused == 1
    assert storage.journal.reserve(make_message(b"a", b""), 0, False)  # Nothing is to be kept of it.
    sessions.save(StoredSession(key, b"c", 4, NEVER_EXPIRES))  # Not refused: that would tear a session apart.
    async with running(storage.journal):
        await durable(storage.journal)
        assert storage.journal.reserve(message, 1, False)
        assert sessions.enqueue(key, taken + 1, message, 1)
        assert len(await page(sessions, key)) == taken + 1
    storage.close()


async def test_damage_while_running_stays_a_fault_and_the_next_start_sets_the_file_aside(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
):
    storage = Storage(tmp_path, 100_000, 100 << 20)
    for number in range(2000):
        keep(storage, number, 100)
    async with running(storage.journal):
        await durable(storage.journal)
        storage.database.connection.execute("PRAGMA wal_checkpoint(RESTART)")
        size = (tmp_path / FILE_NAME).stat().st_size
        with (tmp_path / FILE_NAME).open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        storage.database.connection.execute("PRAGMA shrink_memory")
        for number in range(2000):
            keep(storage, number, 90)
        await until(lambda: storage.journal.fault is not None)
        assert "damaged" in str(storage.journal.fault)
        await drain(storage.journal)
        assert (tmp_path / f"{FILE_NAME}{SUSPECT_SUFFIX}").exists()
    storage.close()
    storage = Storage(tmp_path, 100_000, 100 << 20)
    assert storage.database.set_aside is not None
    storage.close()


@pytest.mark.parametrize("change", ["UPDATE queue SET identifiers = '5!6'", "UPDATE message SET qos = 'high'"])
async def test_row_that_cannot_be_read_is_damage_and_not_tried_again(storage: Storage, tmp_path: Path, change: str):
    sessions = storage.global_account.mqtt_sessions
    key = sessions.new_key()
    sessions.save(StoredSession(key, b"c", 5, NEVER_EXPIRES))
    assert sessions.enqueue(key, 1, make_message(b"a", b"x"), 1)
    async with running(storage.journal):
        await durable(storage.journal)
        storage.database.connection.execute(change)
        sessions.read_page(key, 0, 10, 1000, list.clear)
        await until(lambda: storage.journal.fault is not None)
        assert "damaged" in str(storage.journal.fault)
        assert (tmp_path / f"{FILE_NAME}{SUSPECT_SUFFIX}").exists()
        assert storage.journal.faults == 1
    storage.close()
    again = Storage(tmp_path, 100_000, 100 << 20)
    assert again.database.set_aside is not None
    again.close()


async def test_cancelled_journal_keeps_what_it_had_not_written(storage: Storage):
    keep(storage, 1)
    async with running(storage.journal):
        pass
    async with running(storage.journal):
        await durable(storage.journal)
    assert stored_rows(storage) == 1
