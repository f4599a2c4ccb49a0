"""Files that are taken away from under a running gateway: nothing is acknowledged that a crash would lose."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from gateway.errors import StorageError
from gateway.storage.database import FILE_NAME, LOCK_NAME, Database
from gateway.storage.storage import Storage
from protocols.message import make_message
from tests.gateway.storage.running_journal import drain, durable, running

LOG = f"{FILE_NAME}-wal"


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


@pytest.mark.parametrize("name", [FILE_NAME, LOG])
@pytest.mark.parametrize(("change", "told"), [(Path.unlink, "removed"), (replace, "replaced"), (cut, "was cut")])
async def test_file_that_was_changed_from_outside_stops_all_acknowledgements(
    tmp_path: Path, name: str, change: Callable[[Path], None], told: str, caplog: pytest.LogCaptureFixture
):
    storage = Storage(tmp_path, 100, 10_000)
    journal = storage.journal
    retained = storage.global_account.retained
    called: list[int] = []
    async with running(journal):
        for number in range(20):
            retained.keep(make_message(b"a.%d" % number, b"x" * 100))
        await durable(journal)
        storage.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        retained.keep(make_message(b"a", b"1"))
        await durable(journal)
        change(tmp_path / name)
        retained.keep(make_message(b"a", b"2"))
        journal.when_durable(lambda: called.append(1))
        for _ in range(3):
            await drain(journal)
        assert called == []
        assert journal.fault is not None
        assert told in journal.fault
        assert str(tmp_path / name) in journal.fault
    assert len([one for one in caplog.records if "storage-fault" in one.message and one.exc_info is None]) == 1
    storage.close()


async def test_file_that_is_back_is_written_again(tmp_path: Path):
    storage = Storage(tmp_path, 100, 10_000)
    journal = storage.journal
    async with running(journal):
        (tmp_path / FILE_NAME).rename(tmp_path / "away")
        storage.global_account.retained.keep(make_message(b"a", b"1"))
        await drain(journal)
        assert journal.fault is not None
        (tmp_path / "away").rename(tmp_path / FILE_NAME)
        await durable(journal)
        assert journal.fault is None
    storage.close()


STATEMENTS = ["PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)"]


@pytest.mark.parametrize("statements", STATEMENTS)
async def test_file_that_another_program_made_smaller_with_sqlite_is_as_good_as_before(tmp_path: Path, statements: str):
    storage = Storage(tmp_path, 1000, 1 << 30)
    journal = storage.journal
    retained = storage.global_account.retained
    shell = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 5.0, isolation_level=None).executescript(sys.argv[2])"
    async with running(journal):
        for number in range(500):
            retained.keep(make_message(b"a.%d" % number, bytes(2000)))
        await durable(journal)
        storage.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        for number in range(450):
            retained.keep(make_message(b"a.%d" % number, b""))
        await durable(journal)
        storage.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        sizes = [(tmp_path / name).stat().st_size for name in (FILE_NAME, LOG)]
        await trio.run_process([sys.executable, "-c", shell, tmp_path / FILE_NAME, statements])
        assert any((tmp_path / name).stat().st_size < size for name, size in zip((FILE_NAME, LOG), sizes, strict=True))
        for number in range(10):
            retained.keep(make_message(b"b.%d" % number, b"1"))
            await durable(journal)
            assert journal.fault is None
    storage.close()
    storage = Storage(tmp_path, 1000, 1 << 30)
    assert len(storage.global_account.retained) == 60
    storage.close()


async def test_page_that_is_missing_is_no_other_programs_vacuum(tmp_path: Path):
    storage = Storage(tmp_path, 1000, 1 << 30)
    journal = storage.journal
    retained = storage.global_account.retained
    async with running(journal):
        for number in range(100):
            retained.keep(make_message(b"a.%d" % number, bytes(2000)))
        await durable(journal)
        storage.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        for number in range(20):  # In the log there are pages, but not the last one.
            retained.keep(make_message(b"a.%d" % number, b"1"))
        await durable(journal)
        path = tmp_path / FILE_NAME
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 4096)
        retained.keep(make_message(b"b", b"1"))
        await drain(journal)
        assert journal.fault is not None
        assert "was cut" in journal.fault
    storage.close()


def test_second_gateway_is_refused_although_the_lock_file_was_removed(tmp_path: Path):
    database = Database(tmp_path)
    (tmp_path / LOCK_NAME).unlink()
    with pytest.raises(StorageError, match=r"in use by another gateway\Z"):
        Database(tmp_path)
    database.close()
    Database(tmp_path).close()


def test_database_without_a_byte_is_worth_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    Database(tmp_path).close()
    assert caplog.records == []
    cut(tmp_path / FILE_NAME)
    Database(tmp_path).close()
    assert [record.message.split()[0] for record in caplog.records] == ["event=database-empty"]
