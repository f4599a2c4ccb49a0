"""The partition table of an ESP32: 32-byte entries at 0x8000 of the flash, closed by their MD5.

Where the file system goes follows from the table and from the size of the flash together: see `filesystem_region`.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TABLE_OFFSET = 0x8000
TABLE_SIZE = 0xC00
SECTOR_SIZE = 4096

ENTRY = struct.Struct("<2sBBII16sI")
ENTRY_MAGIC = b"\xaa\x50"
DIGEST_MAGIC = b"\xeb\xeb" + b"\xff" * 14
END_OF_TABLE = b"\xff\xff"

DATA_TYPE = 1
# Where MicroPython looks for a file system, in this order; `ffat` on boards with a USB bootloader.
FILESYSTEM_LABELS = ("vfs", "ffat")


class PartitionTableError(ValueError):
    """The bytes are no partition table. The text completes "the partition table …"."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry; offset and size in bytes."""

    label: str
    kind: int
    subtype: int
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of flash, in bytes."""

    offset: int
    size: int


def parse_table(data: bytes) -> tuple[Partition, ...]:
    """The entries of a table. Raises PartitionTableError when there is none, or when its digest does not fit."""
    partitions: list[Partition] = []
    for start in range(0, min(len(data), TABLE_SIZE) - ENTRY.size + 1, ENTRY.size):
        entry = data[start : start + ENTRY.size]
        if entry.startswith(DIGEST_MAGIC):
            if hashlib.md5(data[:start], usedforsecurity=False).digest() != entry[16:]:
                raise PartitionTableError("does not fit its own digest")
            continue
        if entry.startswith(END_OF_TABLE):
            break
        if not entry.startswith(ENTRY_MAGIC):
            raise PartitionTableError(f"has no entry at byte {start}")
        _, kind, subtype, offset, size, label, flags = ENTRY.unpack(entry)
        name = label.partition(b"\0")[0].decode("utf-8", "replace")
        partitions.append(Partition(name, kind, subtype, offset, size, flags))
    if not partitions:
        raise PartitionTableError("is empty")
    return tuple(partitions)


def build_table(partitions: Iterable[Partition]) -> bytes:
    """The table as it stands in flash, padded with 0xFF to TABLE_SIZE."""
    entries = b"".join(
        ENTRY.pack(ENTRY_MAGIC, part.kind, part.subtype, part.offset, part.size, part.label.encode(), part.flags)
        for part in partitions
    )
    digest = DIGEST_MAGIC + hashlib.md5(entries, usedforsecurity=False).digest()
    return (entries + digest).ljust(TABLE_SIZE, b"\xff")


def filesystem_region(partitions: Sequence[Partition], flash_size: int) -> Region | None:
    """Where MicroPython keeps its files, or None when there is no room for any.

    Current firmware lists no file system: it takes what lies between the last partition and the end of the flash. The
    file system in an image must have exactly this size, or the board reports it as corrupted.
    """
    for label in FILESYSTEM_LABELS:
        for partition in partitions:
            if partition.kind == DATA_TYPE and partition.label == label:
                return Region(partition.offset, partition.size)
    end = max(partition.end for partition in partitions)
    offset = -(-end // SECTOR_SIZE) * SECTOR_SIZE
    size = (flash_size - offset) // SECTOR_SIZE * SECTOR_SIZE
    return Region(offset, size) if size > 0 else None


def needed_flash(partitions: Sequence[Partition]) -> int:
    """The smallest flash that holds every partition of the table, in bytes."""
    return max(partition.end for partition in partitions)
