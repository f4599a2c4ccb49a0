"""Backup: the databases of a data directory, copied while a gateway uses them, and brought back.

Both are copied as they were at one moment (within milliseconds): a read transaction is held on each until it is copied.
The gateway goes on meanwhile; its logs grow by what it writes. Streams of a backup that is brought back go on with
numbers that were given out before, under a new epoch.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gateway.errors import StorageError
from gateway.storage.database import FILE_NAME, SUFFIXES, SUSPECT_SUFFIX, take_directory
from gateway.storage.schema import MIGRATIONS
from gateway.storage.streams.schema import FILE_NAME as STREAMS_FILE_NAME
from gateway.storage.streams.schema import MIGRATIONS as STREAM_MIGRATIONS

FORMAT, VERSION = "leafgate-backup", 1
MANIFEST = "backup.json"
KNOWN = {FILE_NAME: len(MIGRATIONS), STREAMS_FILE_NAME: len(STREAM_MIGRATIONS)}
PAGES_AT_ONCE = 1024
BUSY_SECONDS = 10.0
READ_SIZE = 1 << 20

Progress = Callable[[float], None]


class Copied(NamedTuple):
    """A database in a backup; `schema` is the version of its tables."""

    name: str
    bytes: int
    sha256: str
    schema: int


def back_up(directory: Path, target: Path, version: str, progress: Progress) -> list[Copied]:
    """Copy the databases of a directory into a new one, `target`, which is there only once it is whole. `version` is
    that of the gateway. Raises StorageError.
    """
    names = [name for name in KNOWN if (directory / name).is_file()]
    if not names:
        raise StorageError(f"data-directory: there is no database in {directory}")
    if target.exists():
        raise StorageError(f"{target} is there already")
    part = target.with_name(f"{target.name}.part")
    try:
        part.mkdir(mode=0o700, parents=True)
        copied = _copy_all(directory, names, part, progress)
        told = {"format": FORMAT, "version": VERSION, "leafgate": version, "created": datetime.now(UTC).isoformat()}
        manifest = part / MANIFEST
        manifest.write_text(json.dumps(told | {"files": [one._asdict() for one in copied]}, indent=2) + "\n")
        sync(manifest)
        sync(part)
        part.rename(target)
        sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{target}: the backup failed: {error}") from None
    finally:
        if part.is_dir():
            for one in part.iterdir():
                one.unlink()
            part.rmdir()
    return copied


def _copy_all(directory: Path, names: list[str], part: Path, progress: Progress) -> list[Copied]:
    with ExitStack() as stack:
        sources = []
        for name in names:
            uri = f"{(directory / name).absolute().as_uri()}?mode=rw"
            source = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
            sources.append(stack.enter_context(closing(source)))
        # From here on both are read as they are now.
        for source in sources:
            source.execute("BEGIN")
        for source in sources:
            source.execute("SELECT count(*) FROM meta").fetchone()
        copied = []
        for number, (name, source) in enumerate(zip(names, sources, strict=True)):

            def tell(status: int, remaining: int, total: int, done: int = number) -> None:
                progress((done + 1 - remaining / max(total, 1)) / len(names))

            copied.append(_copy(source, part / name, tell))
            source.execute("ROLLBACK")
        return copied


def _copy(source: sqlite3.Connection, target: Path, tell: Callable[[int, int, int], None]) -> Copied:
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        source.backup(copy, pages=PAGES_AT_ONCE, progress=tell, sleep=0)
        # Nobody writes to it: it needs no log of its own to be read.
        copy.execute("PRAGMA journal_mode = DELETE")
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StorageError(f"{target.name} is damaged: {verdict}; the gateway says more when it starts")
        (schema,) = copy.execute("PRAGMA user_version").fetchone()
    sync(target)
    return Copied(target.name, target.stat().st_size, digest(target), schema)


def restore(source: Path, directory: Path, force: bool, progress: Progress) -> list[Copied]:
    """Bring a backup back into a data directory that no gateway uses. With `force` databases that are there are put
    aside, under names that end in `.before-restore`. Raises StorageError.
    """
    copied = read_manifest(source)
    locks = take_directory(directory)
    try:
        there = [directory / name for name in KNOWN if (directory / name).exists()]
        if there and not force:
            raise StorageError(f"data-directory: {directory} has {there[0].name}; with --force it is put aside")
        for number, one in enumerate(copied):
            _bring_back(source / one.name, directory, one)
            progress((number + 1) / (len(copied) + 1))
        for name in KNOWN:
            _put_aside(directory, name)
        for one in copied:
            (directory / f"{one.name}.restoring").rename(directory / one.name)
        sync(directory)
        progress(1.0)
    except OSError as error:
        raise StorageError(f"data-directory: cannot write to {directory}: {error}") from None
    finally:
        for lock in locks:
            os.close(lock)
    return copied


def _bring_back(source: Path, directory: Path, expected: Copied) -> None:
    target = directory / f"{source.name}.restoring"
    with source.open("rb") as read, target.open("wb") as write:
        while piece := read.read(READ_SIZE):
            write.write(piece)
    target.chmod(0o600)
    if os.getuid() == 0:  # For the user whose directory it is.
        owner = directory.stat()
        os.chown(target, owner.st_uid, owner.st_gid)
    sync(target)
    if digest(target) != expected.sha256:
        target.unlink()
        raise StorageError(f"{source} is not as it was written: its checksum is another one")


def _put_aside(directory: Path, name: str) -> None:
    """With its log: a database without it is another one."""
    for suffix in SUFFIXES:
        there = directory / f"{name}{suffix}"
        if there.exists():
            there.replace(directory / f"{name}.before-restore{suffix}")
    (directory / f"{name}{SUSPECT_SUFFIX}").unlink(missing_ok=True)


def read_manifest(source: Path) -> list[Copied]:
    """What a backup says that it has. Raises StorageError."""
    try:
        told = json.loads((source / MANIFEST).read_bytes())
        if told["format"] != FORMAT or told["version"] != VERSION:
            raise ValueError("another format")
        copied = [Copied(**one) for one in told["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{source} is no backup of `leafgate backup`: {error}") from None
    for one in copied:
        if one.name not in KNOWN:
            raise StorageError(f"{source}: {one.name} is nothing that this version knows")
        if one.schema > KNOWN[one.name]:
            raise StorageError(f"{source}: {one.name} was written by a newer version (leafgate {told['leafgate']})")
        if not (source / one.name).is_file():
            raise StorageError(f"{source}: {one.name} is missing")
    return copied


def digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_SIZE):
            found.update(piece)
    return found.hexdigest()


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
