"""A log that is damaged somewhere: SQLite goes on with what stands in front of that, and the log is kept."""

import resource
from pathlib import Path

import pytest

from gateway.storage.database import FILE_NAME, Database
from gateway.storage.log_damage import FRAME, HEADER

PAGE = 4096
COMMITS = 10
FRAME_SIZE = FRAME.size + PAGE


def leave(directory: Path, size: int = 10) -> Path:
    """What a crash leaves behind some commits; returns the log."""
    database = Database(directory / "running")
    # Nothing of the log is in the file yet, and it begins anew.
    database.connection.execute("PRAGMA wal_checkpoint(RESTART)")
    for number in range(COMMITS):
        row = ("$G", b"a.%d" % number, b"", 0, b"x" * size, 0, 0.0)
        database.connection.execute("INSERT INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    crashed = directory / "crashed"
    crashed.mkdir()
    for suffix in ("", "-wal"):
        name = f"{FILE_NAME}{suffix}"
        (crashed / name).write_bytes((directory / "running" / name).read_bytes())
    database.close()
    return crashed / f"{FILE_NAME}-wal"


def flip(log: Path, position: int) -> bytes:
    content = bytearray(log.read_bytes())
    content[position] ^= 4
    log.write_bytes(content)
    return bytes(content)


def start(log: Path) -> tuple[int, Path | None]:
    """How many rows are there, and what was set aside."""
    database = Database(log.parent)
    (count,) = database.connection.execute("SELECT count(*) FROM retained").fetchone()
    database.close()
    return count, database.set_aside


def test_whole_log_is_taken(tmp_path: Path):
    assert start(leave(tmp_path)) == (COMMITS, None)


@pytest.mark.parametrize("frame", [0, 1, COMMITS // 2, COMMITS - 3])
@pytest.mark.parametrize("offset", [8, 16, FRAME.size + 100])
def test_log_that_is_cut_short_by_damage_is_kept(tmp_path: Path, frame: int, offset: int):
    log = leave(tmp_path)
    damaged = flip(log, HEADER.size + frame * FRAME_SIZE + offset)
    count, kept = start(log)
    assert count == frame
    assert kept is not None
    assert kept.name.startswith(f"{log.name}.broken-")
    assert kept.read_bytes() == damaged


@pytest.mark.parametrize("position", [0, 8, 17, 25])
def test_log_with_a_damaged_header_is_kept(tmp_path: Path, position: int):
    log = leave(tmp_path)
    damaged = flip(log, position)
    count, kept = start(log)
    assert count == 0
    assert kept is not None
    assert kept.read_bytes() == damaged


@pytest.mark.parametrize("size", [10, 50_000])
def test_last_commit_that_is_written_in_part_is_no_damage(tmp_path: Path, size: int):
    log = leave(tmp_path, size)
    flip(log, log.stat().st_size - 5 * FRAME_SIZE if size > PAGE else log.stat().st_size - 1)
    assert start(log) == (COMMITS - 1, None)


@pytest.mark.parametrize("missing", [1, PAGE, FRAME_SIZE])
def test_log_that_ends_early_is_no_damage(tmp_path: Path, missing: int):
    log = leave(tmp_path)
    log.write_bytes(log.read_bytes()[:-missing])
    assert start(log) == (COMMITS - 1, None)


def test_full_disk_does_not_keep_the_gateway_from_starting(tmp_path: Path):
    log = leave(tmp_path, 50_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert start(log) == (COMMITS, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert start(log) == (COMMITS, None)


def test_what_was_left_from_before_the_log_began_anew_is_not_missed(tmp_path: Path):
    database = Database(tmp_path / "running")
    row = (b"", 0, b"x", 0, 0.0)
    for number in range(COMMITS):
        database.connection.execute("INSERT INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)", ("$G", b"a.%d" % number, *row))
    database.connection.execute("PRAGMA wal_checkpoint(RESTART)")
    database.connection.execute("INSERT INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)", ("$G", b"b", *row))
    (tmp_path / "crashed").mkdir()
    for suffix in ("", "-wal"):
        name = f"{FILE_NAME}{suffix}"
        (tmp_path / "crashed" / name).write_bytes((tmp_path / "running" / name).read_bytes())
    database.close()
    assert start(tmp_path / "crashed" / f"{FILE_NAME}-wal") == (COMMITS + 1, None)
