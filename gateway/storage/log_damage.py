"""Damage of a database's log, the write-ahead log of SQLite: it takes the commits in front of a damaged place and is
silent about those behind. https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from pathlib import Path

# Magic number, version, page size, sequence number; the two salts; the two checksums of the rest.
HEADER = struct.Struct(">16s8sII")
# Page number, size of the database behind a commit and else 0; the two salts; the two checksums.
FRAME = struct.Struct(">II8s8x")
# Each commit is on the disk before the next one begins: a power cut can leave one that is written in part.
MOST_UNFINISHED = 1


def commits_behind(path: Path, frames: int, page_size: int) -> int:
    """How many commits a log holds behind the first `frames`, which are those that SQLite takes. Raises OSError."""
    lost = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        salts = salts_of(file.read(HEADER.size))
        number = frames
        while True:
            file.seek(HEADER.size + number * (FRAME.size + page_size))
            head = file.read(FRAME.size)
            if len(head) < FRAME.size:
                return lost
            _, committed, frame_salts = FRAME.unpack(head)
            # Where the header is damaged, the frames begin with the salts that it had.
            salts = salts or frame_salts
            # Frames with other salts are from before the log was begun anew.
            lost += committed > 0 and frame_salts == salts
            number += 1


def salts_of(header: bytes) -> bytes:
    """The salts of the frames behind a header; b"" for a header that is damaged."""
    if len(header) < HEADER.size:
        return b""
    _, salts, *checksums = HEADER.unpack(header)
    return salts if checksum(header[:24]) == tuple(checksums) else b""


def checksum(data: bytes) -> tuple[int, int]:
    """SQLite's checksum; the lowest bit of what a header begins with tells the order of bytes."""
    words = struct.unpack(f"{'>' if data[3] & 1 else '<'}{len(data) // 4}I", data)
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
