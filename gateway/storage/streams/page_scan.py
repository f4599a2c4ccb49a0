"""Page scan: the rows in the pages of a database file, whatever leads to them is like. Rows that were removed
may be among them. https://www.sqlite.org/fileformat2.html, 1.6 and 2.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

LEAF = 0x0D  # of a table with row ids
FILE_HEADER = 100
LEAF_HEADER = 8
POINTER = struct.Struct(">I")
# The sizes of integers by their serial type; from 12 on a type is a blob's or a text's, which is of odd number.
INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
FIRST_BLOB = 12
MOST_ROW_BYTES = 256 << 20


def scan(path: Path, page_size: int) -> Iterator[tuple[int, list[Any]]]:
    """Row ids, and the columns behind them: integers, text and bytes. What makes no sense is passed over. Raises
    OSError.
    """
    with path.open("rb") as file:
        pages = path.stat().st_size // page_size
        for number in range(1, pages + 1):
            page = read_page(file, page_size, number)
            begin = FILE_HEADER if number == 1 else 0
            if page[begin] != LEAF:
                continue
            cells = int.from_bytes(page[begin + 3 : begin + 5], "big")
            for at in range(begin + LEAF_HEADER, min(begin + LEAF_HEADER + 2 * cells, page_size - 1), 2):
                try:
                    yield read_cell(file, page, int.from_bytes(page[at : at + 2], "big"), pages)
                except (IndexError, ValueError, struct.error):
                    continue


def read_cell(file: BinaryIO, page: bytes, at: int, pages: int) -> tuple[int, list[Any]]:
    """Raises IndexError, ValueError and struct.error where it is none."""
    size, at = read_number(page, at)
    row_id, at = read_number(page, at)
    if size > MOST_ROW_BYTES:
        raise ValueError("no row of ours")
    usable = len(page)
    local = size
    if size > usable - 35:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = local if local <= usable - 35 else least
    pieces = [page[at : at + local]]
    if local < size:
        (following,) = POINTER.unpack_from(page, at + local)
        left = size - local
        while left > 0:
            if not 1 < following <= pages:
                raise ValueError("the row ends nowhere")
            more = read_page(file, usable, following)
            (following,) = POINTER.unpack_from(more)
            pieces.append(more[4 : 4 + left])
            left -= usable - 4
    return row_id, read_record(b"".join(pieces))


def read_record(record: bytes) -> list[Any]:
    end, at = read_number(record, 0)
    kinds = []
    while at < end:
        kind, at = read_number(record, at)
        kinds.append(kind)
    values: list[Any] = []
    at = end
    for kind in kinds:
        if kind >= FIRST_BLOB:
            size = (kind - FIRST_BLOB) // 2
            value: Any = record[at : at + size]
            values.append(value.decode() if kind % 2 else value)
        elif kind in (0, 8, 9):
            size = 0
            values.append(None if kind == 0 else kind - 8)
        elif kind in INTEGER_SIZES:
            size = INTEGER_SIZES[kind]
            values.append(int.from_bytes(record[at : at + size], "big", signed=True))
        else:
            raise ValueError("no column of ours")
        at += size
    return values


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, and where it ends."""
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | data[at], at + 1


def read_page(file: BinaryIO, page_size: int, number: int) -> bytes:
    file.seek((number - 1) * page_size)
    return file.read(page_size)
