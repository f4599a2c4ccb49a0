"""The index of a database's log, which SQLite shares between processes in the file `-shm`: it tells whether file and
log together still hold the whole database. (SQLite, "WAL-mode File Format", 2.)
"""

import os
import struct
from pathlib import Path

from gateway.storage.log_damage import FRAME, HEADER

INDEX_SUFFIX = "-shm"
# The header stands there twice, in the machine's byte order: whoever writes it is seen by the two being different.
HEADER_SIZE = 48
FIELDS = struct.Struct("=HII")  # size of a page, frames in the log, pages in the database
FIELDS_AT = 14
# How many frames were copied into the file.
COPIED = struct.Struct("=I")
COPIED_AT = 2 * HEADER_SIZE
LARGEST_PAGE = 65_536
LOOKS = 16
PAGE_NUMBER = struct.Struct(">I")


def holds_all(path: Path, log: Path) -> bool:
    """Whether every page of the newest state is in the file, or in the log that has not been copied there yet. Another
    program that makes the file smaller, by VACUUM say, leaves it so; one that cuts it does not. Raises OSError.
    """
    index = path.with_name(path.name + INDEX_SUFFIX)
    found = read_index(index) if index.exists() else None
    if found is None:
        return False
    page_size, frames, pages, copied = found
    frame_size = FRAME.size + page_size
    log_size = os.stat(log).st_size if log.exists() else 0
    if copied < frames and log_size < HEADER.size + frames * frame_size:
        return False
    there = path.stat().st_size // page_size
    if pages - there > frames - copied:
        return False
    missing = set(range(there + 1, pages + 1))
    if missing:
        with log.open("rb") as file:
            for frame in range(copied, frames):
                file.seek(HEADER.size + frame * frame_size)
                missing.discard(PAGE_NUMBER.unpack(file.read(PAGE_NUMBER.size))[0])
    return not missing


def read_index(path: Path) -> tuple[int, int, int, int] | None:
    """Bytes of a page, frames in the log, pages in the database, and frames that were copied; None where it makes no
    sense, or is being written each time. Raises OSError.
    """
    for _ in range(LOOKS):
        with path.open("rb") as file:
            index = file.read(COPIED_AT + COPIED.size)
        first, second = index[:HEADER_SIZE], index[HEADER_SIZE:COPIED_AT]
        if len(index) == COPIED_AT + COPIED.size and first == second:
            size, frames, pages = FIELDS.unpack_from(first, FIELDS_AT)
            return (LARGEST_PAGE if size == 1 else size), frames, pages, COPIED.unpack_from(index, COPIED_AT)[0]
    return None
