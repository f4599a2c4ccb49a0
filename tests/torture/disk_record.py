"""A power cut: what a disk may hold of a directory once it has forgotten what was not synced.

record_disk.c is preloaded into the gateway and records every write, truncation, sync, removal and renaming below its
data directory. `legal_state` replays the record and tells what a cut of power could have left of the directory. That
was chosen over a file system of our own (FUSE): it needs no privileges, costs the gateway microseconds, and one record
gives any number of states.

Why it is sound. POSIX promises only what was synced; the states made here are a subset of what it allows:

 - What was written to a file before its last sync that has returned is there. A sync is recorded behind its return, so
   none counts that had not happened.
 - Of what was written or cut off since, anything may be there: nothing, all, a prefix, any part of it, and of a single
   write some sectors of 512 bytes and others not. SQLite relies on no more (it takes for granted that a write harms
   nothing beside it, "powersafe overwrite", which holds here).
 - Names are kept as file systems with a journal do it: a sync of a file keeps its own name, a sync of the directory all
   of them, and of the changes since then a prefix is there, for a journal keeps their order.

It is complete enough to catch a sync that is missing: nothing of what no sync covers is kept in `Loss.ALL`.
"""

import enum
import random
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("record_disk.c")
HEAD = struct.Struct("=IIQQ")
SECTOR = 512


class Kind(enum.IntEnum):
    """As in record_disk.c."""

    OPENED = ord("O")
    WRITTEN = ord("W")
    CUT = ord("T")
    SYNCED = ord("S")
    REMOVED = ord("U")
    RENAMED = ord("R")


class Loss(enum.Enum):
    """What a cut takes of that which was not synced."""

    ALL = "all"
    NOTHING = "nothing"
    TAIL = "tail"
    SOME = "some"
    SECTORS = "sectors"


class Record(NamedTuple):
    """`file` is an inode, `place` an offset, or a size for CUT; `data` what was written, or names."""

    kind: Kind
    file: int
    place: int
    data: bytes


class Kept(NamedTuple):
    """A file as it was when the record began: its inode, and what it held."""

    file: int
    content: bytes


@dataclass(slots=True)
class File:
    """What the disk has for sure, and what it may have, in the order in which that was done."""

    content: bytearray = field(default_factory=bytearray)
    pending: list[Record] = field(default_factory=list)

    def do(self, record: Record) -> None:
        if record.kind is Kind.CUT:
            grown = record.place - len(self.content)
            self.content[record.place :] = bytes(max(grown, 0))
        else:
            if len(self.content) < record.place:
                self.content.extend(bytes(record.place - len(self.content)))
            self.content[record.place : record.place + len(record.data)] = record.data

    def sync(self) -> None:
        for record in self.pending:
            self.do(record)
        self.pending.clear()

    def lose(self, loss: Loss, chance: random.Random) -> bytes:
        """Its content after the cut."""
        kept = self.pending
        if loss is Loss.ALL:
            kept = []
        elif loss is Loss.TAIL:
            kept = kept[: chance.randrange(len(kept) + 1)]
        elif loss is Loss.SOME:
            kept = [one for one in kept if chance.random() < 0.5]
        elif loss is Loss.SECTORS:
            kept = [part for one in kept for part in sectors(one) if chance.random() < 0.7]
        for record in kept:
            self.do(record)
        return bytes(self.content)


class Disk:
    """The directory as it was when the record began, which all counts as synced, and what is recorded since."""

    def __init__(self, base: Mapping[str, Kept]) -> None:
        self._files = {one.file: File(bytearray(one.content)) for one in base.values()}
        # What names stand for, what the disk knows of that for sure, and the changes since: None is for a name that is
        # gone. A change is there as a whole or not at all.
        self._names = {name: one.file for name, one in base.items()}
        self._sure = dict(self._names)
        self._changes: list[dict[str, int | None]] = []

    def do(self, record: Record) -> None:
        match record.kind:
            case Kind.OPENED:
                self._open(record)
            case Kind.WRITTEN | Kind.CUT:
                if record.file in self._files:
                    self._files[record.file].pending.append(record)
            case Kind.SYNCED:
                self._sync(record.file)
            case Kind.REMOVED:
                self._change({record.data.decode(): None})
            case Kind.RENAMED:
                old, new = record.data.decode().split("\0")
                if old in self._names:
                    self._change({old: None, new: self._names[old]})

    def after_cut(self, loss: Loss, chance: random.Random) -> dict[str, bytes]:
        """Contents by name. The disk is of no more use behind it."""
        changes = self._changes
        if loss is Loss.ALL:
            changes = []
        elif loss is not Loss.NOTHING:
            changes = changes[: chance.randrange(len(changes) + 1)]
        names = dict(self._sure)
        for change in changes:
            apply(change, names)
        return {name: self._files[file].lose(loss, chance) for name, file in names.items()}

    def _open(self, record: Record) -> None:
        name = record.data.decode()
        if not name:
            return  # The directory itself; what is no file of ours is taken for it.
        if self._names.get(name) != record.file:
            self._files[record.file] = File()
            self._change({name: record.file})
        if record.place:
            self._files[record.file].pending.append(Record(Kind.CUT, record.file, 0, b""))

    def _sync(self, file: int) -> None:
        """A file's sync keeps its name, and what was changed before that; the directory's keeps all."""
        kept = len(self._changes)
        if file in self._files:
            self._files[file].sync()
            kept = max((index + 1 for index, one in enumerate(self._changes) if file in one.values()), default=0)
        for change in self._changes[:kept]:
            apply(change, self._sure)
        del self._changes[:kept]

    def _change(self, change: dict[str, int | None]) -> None:
        apply(change, self._names)
        self._changes.append(change)


def apply(change: dict[str, int | None], names: dict[str, int]) -> None:
    for name, file in change.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def sectors(record: Record) -> Iterator[Record]:
    """The parts of a write that a disk does in one."""
    if record.kind is Kind.CUT:
        yield record
        return
    begin = 0
    while begin < len(record.data):
        end = begin + SECTOR - (record.place + begin) % SECTOR
        yield record._replace(place=record.place + begin, data=record.data[begin:end])
        begin = end


def read_records(log: bytes) -> Iterator[Record]:
    """What was recorded; a record that the process could not write to its end is left out."""
    position = 0
    while position + HEAD.size <= len(log):
        size, kind, file, place = HEAD.unpack_from(log, position)
        position += HEAD.size
        if position + size > len(log):
            return
        yield Record(Kind(kind), file, place, log[position : position + size])
        position += size


def contents(directory: Path) -> dict[str, Kept]:
    """Of the files in a directory; sockets are none."""
    return {one.name: Kept(one.stat().st_ino, one.read_bytes()) for one in directory.iterdir() if one.is_file()}


def put_back(directory: Path, state: dict[str, bytes]) -> None:
    """Make the directory hold this and nothing else."""
    for one in directory.iterdir():
        one.unlink()
    for name, content in state.items():
        (directory / name).write_bytes(content)


def legal_state(base: Mapping[str, Kept], log: bytes, loss: Loss, seed: int) -> dict[str, bytes]:
    """What may be in the directory when power is cut at the end of a record that began with `base`."""
    disk = Disk(base)
    for record in read_records(log):
        disk.do(record)
    return disk.after_cut(loss, random.Random(seed))


def build_preload(source: Path, directory: Path) -> Path | None:
    """Compile a library to preload; None where there is no compiler."""
    library = directory / f"{source.stem}.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        return None
    return library
