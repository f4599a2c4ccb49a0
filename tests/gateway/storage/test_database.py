"""Who may open a data directory, which versions are understood, and what becomes of a damaged file."""

import os
import sqlite3
from pathlib import Path

import pytest

from gateway.errors import StorageError
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.storage.database import FILE_NAME, SESSIONS, SUSPECT_SUFFIX, Database
from gateway.storage.schema import MIGRATIONS
from gateway.storage.storage import Storage
from protocols.message import make_message

ROOMY = (1000, 1 << 20)


def fill(directory: Path, count: int) -> None:
    """A closed database with some rows that take more than a page."""
    database = Database(directory)
    rows = [(DEFAULT_ACCOUNT, b"a.%d" % n, b"", 0, b"x" * 100, 0, 0.0) for n in range(count)]
    database.connection.executemany("INSERT INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    database.close()


def overwrite(path: Path, at: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(size))


def test_directory_is_made_for_its_owner_alone(tmp_path: Path):
    directory = tmp_path / "some" / "where"
    Database(directory).close()
    assert directory.stat().st_mode & 0o777 == 0o700


def test_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"^data-directory: cannot write to .*file/sub: "):
        Database(tmp_path / "file" / "sub")


def test_second_gateway_on_a_directory_is_refused(tmp_path: Path):
    database = Database(tmp_path)
    with pytest.raises(StorageError, match=rf"in use by another gateway \(process {os.getpid()}\)"):
        Database(tmp_path)
    database.close()
    Database(tmp_path).close()


def test_every_commit_is_synced(tmp_path: Path):
    database = Database(tmp_path)
    assert database.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    database.close()


def test_newer_database_is_refused_and_not_touched(tmp_path: Path):
    fill(tmp_path, 10)
    path = tmp_path / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="written by a newer leafgate"):
        Database(tmp_path)
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == [FILE_NAME, "leafgate.lock", "leafgate.reserve"]


def test_newer_version_that_stands_in_the_log_is_refused_too(tmp_path: Path):
    database = Database(tmp_path)
    database.connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    for suffix in ("", "-wal"):
        (tmp_path / f"copy{suffix}").write_bytes((tmp_path / f"{FILE_NAME}{suffix}").read_bytes())
    database.close()
    for suffix in ("", "-wal"):
        (tmp_path / f"copy{suffix}").rename(tmp_path / f"{FILE_NAME}{suffix}")
    with pytest.raises(StorageError, match="written by a newer leafgate"):
        Database(tmp_path)


def test_database_of_another_program_is_refused(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StorageError, match="is a database of another program"):
        Database(tmp_path)


def test_empty_file_becomes_a_database(tmp_path: Path):
    (tmp_path / FILE_NAME).touch()
    database = Database(tmp_path)
    assert database.connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert database.set_aside is None
    database.close()


def test_database_of_an_older_version_is_migrated_and_keeps_its_rows(tmp_path: Path):
    fill(tmp_path, 10)
    further = (*MIGRATIONS, ("ALTER TABLE retained ADD COLUMN origin TEXT", "UPDATE retained SET origin = 'old'"))
    database = Database(tmp_path, SESSIONS._replace(migrations=further))
    assert database.connection.execute("SELECT DISTINCT origin, count(*) FROM retained").fetchall() == [("old", 10)]
    database.close()
    with pytest.raises(StorageError, match=f"schema version {len(further)}, this one knows {len(MIGRATIONS)}"):
        Database(tmp_path)


def test_migration_that_fails_leaves_the_old_version(tmp_path: Path):
    fill(tmp_path, 10)
    broken = (*MIGRATIONS, ("CREATE TABLE extra (a)", "INSERT INTO missing VALUES (1)"))
    with pytest.raises(StorageError, match="no such table: missing"):
        Database(tmp_path, SESSIONS._replace(migrations=broken))
    database = Database(tmp_path)
    assert database.connection.execute("SELECT count(*) FROM retained").fetchone() == (10,)
    assert database.connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'").fetchone() == (0,)
    database.close()


def test_file_that_is_no_database_is_set_aside(tmp_path: Path):
    content = b"not a database at all" * 1000
    (tmp_path / FILE_NAME).write_bytes(content)
    database = Database(tmp_path)
    assert database.set_aside is not None
    assert database.set_aside.name.startswith(f"{FILE_NAME}.broken-")
    assert database.set_aside.read_bytes() == content
    assert database.connection.execute("SELECT count(*) FROM session").fetchone() == (0,)
    database.close()


def test_damaged_pages_are_found_and_the_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    fill(tmp_path, 1000)
    size = (tmp_path / FILE_NAME).stat().st_size
    overwrite(tmp_path / FILE_NAME, 4096 * 8, size - 4096 * 8)
    damaged = (tmp_path / FILE_NAME).read_bytes()
    storage = Storage(tmp_path, *ROOMY)
    assert storage.database.set_aside is not None
    assert storage.database.set_aside.read_bytes() == damaged
    assert len(storage.global_account.retained) == 0
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert storage.global_account.retained.keep(make_message(b"a", b"1"))
    storage.close()


def test_damage_that_only_loading_finds_sets_the_file_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.storage.database.MOST_CHECKED_BYTES", 0)
    fill(tmp_path, 1000)
    size = (tmp_path / FILE_NAME).stat().st_size
    overwrite(tmp_path / FILE_NAME, 4096 * 20, size - 4096 * 20)  # Behind the small tables.
    database = Database(tmp_path)
    assert database.set_aside is None
    database.close()
    storage = Storage(tmp_path, *ROOMY)
    assert storage.database.set_aside is not None
    assert len(storage.global_account.retained) == 0
    storage.close()


def test_large_file_is_looked_at_as_a_whole_when_damage_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.storage.database.MOST_CHECKED_BYTES", 0)
    fill(tmp_path, 1000)
    database = Database(tmp_path)
    database.suspect()
    database.close()
    size = (tmp_path / FILE_NAME).stat().st_size
    overwrite(tmp_path / FILE_NAME, 4096 * 10, size - 4096 * 10)
    database = Database(tmp_path)
    assert database.set_aside is not None
    assert not (tmp_path / f"{FILE_NAME}{SUSPECT_SUFFIX}").exists()
    database.close()


def test_without_a_directory_everything_is_in_memory():
    storage = Storage(None, *ROOMY)
    assert storage.global_account.restored == []
    assert storage.database.path is None
    storage.close()
