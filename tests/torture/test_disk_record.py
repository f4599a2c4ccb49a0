"""A record of a disk, and what may be left of it: by records made by hand, and by those of a real program."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.disk_record import (
    HEAD,
    SOURCE,
    Kept,
    Kind,
    Loss,
    build_preload,
    contents,
    legal_state,
    read_records,
)

PROGRAM = """
import os, sys
os.chdir("/")
directory = sys.argv[1]
file = os.open(f"{directory}/log", os.O_RDWR | os.O_CREAT)
os.write(file, b"synced")
os.fsync(file)
os.pwrite(file, b"forgotten", 6)
with open(f"{directory}/new", "wb") as new:
    new.write(b"content")
    new.flush()
    os.fdatasync(new.fileno())
os.rename(f"{directory}/new", f"{directory}/named")
os.unlink(f"{directory}/old")
os.ftruncate(file, 3)
"""


def record(kind: Kind, file: int, place: int = 0, data: bytes = b"") -> bytes:
    return HEAD.pack(len(data), kind, file, place) + data


def test_synced_writes_stay_and_others_may_go() -> None:
    log = (
        record(Kind.OPENED, 1, 0, b"a")
        + record(Kind.WRITTEN, 1, 0, b"one")
        + record(Kind.SYNCED, 1)
        + record(Kind.WRITTEN, 1, 3, b"two")
        + record(Kind.WRITTEN, 1, 6, b"three")
    )
    assert legal_state({}, log, Loss.ALL, 1) == {"a": b"one"}
    assert legal_state({}, log, Loss.NOTHING, 1) == {"a": b"onetwothree"}
    tails = {legal_state({}, log, Loss.TAIL, seed)["a"] for seed in range(50)}
    assert tails == {b"one", b"onetwo", b"onetwothree"}
    some = {legal_state({}, log, Loss.SOME, seed)["a"] for seed in range(50)}
    assert some == tails | {b"one\0\0\0three"}


def test_a_write_is_torn_between_sectors_only() -> None:
    log = record(Kind.OPENED, 1, 0, b"a") + record(Kind.WRITTEN, 1, 500, b"x" * 1048) + record(Kind.OPENED, 2, 0, b"b")
    seen = {legal_state({"a": Kept(1, b"")}, log, Loss.SECTORS, seed)["a"] for seed in range(100)}
    parts = [(500, 512), (512, 1024), (1024, 1536), (1536, 1548)]
    for state in seen:
        assert all(len(set(state[begin:end])) <= 1 for begin, end in parts)
    assert len(seen) > 4


def test_names_are_kept_in_their_order() -> None:
    log = (
        record(Kind.OPENED, 1, 0, b"new")
        + record(Kind.WRITTEN, 1, 0, b"1")
        + record(Kind.SYNCED, 1)
        + record(Kind.RENAMED, 0, 0, b"new\0a")
        + record(Kind.REMOVED, 0, 0, b"b")
    )
    base = {"a": Kept(3, b"0"), "b": Kept(4, b"0")}
    assert legal_state(base, log, Loss.ALL, 1) == {"a": b"0", "b": b"0", "new": b"1"}
    assert legal_state(base, log, Loss.NOTHING, 1) == {"a": b"1"}
    assert legal_state(base, log + record(Kind.SYNCED, 99), Loss.ALL, 1) == {"a": b"1"}  # The directory's.
    assert legal_state(base, log, Loss.TAIL, 1).keys() <= {"a", "b", "new"}


def test_record_that_was_cut_off_is_left_out() -> None:
    log = record(Kind.OPENED, 1, 0, b"a") + record(Kind.WRITTEN, 1, 0, b"12345")
    for size in range(len(log)):
        assert len(list(read_records(log[:size]))) == (size >= HEAD.size + 1)


def test_real_program_is_recorded(tmp_path: Path) -> None:
    library = build_preload(SOURCE, tmp_path)
    if library is None:
        pytest.skip("there is no gcc to make a library that records the disk")
    data = tmp_path / "data"
    data.mkdir()
    (data / "old").write_bytes(b"old")
    base = contents(data)
    log = tmp_path / "record"
    environment = {"LD_PRELOAD": str(library), "RECORD_DIRECTORY": str(data), "RECORD_LOG": str(log)}
    subprocess.run([sys.executable, "-c", PROGRAM, data], env=environment, check=True)
    records = log.read_bytes()
    assert legal_state(base, records, Loss.NOTHING, 1) == {name: one.content for name, one in contents(data).items()}
    assert {name: one.content for name, one in contents(data).items()} == {"log": b"syn", "named": b"content"}
    assert legal_state(base, records, Loss.ALL, 1) == {"log": b"synced", "new": b"content", "old": b"old"}
    chance = random.Random(1)
    for _ in range(20):
        state = legal_state(base, records, Loss.SOME, chance.randrange(1000))
        assert state["log"].startswith(b"syn")
