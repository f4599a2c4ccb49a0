"""The seal of a row of a small table: a checksum in its last column. SQLite has none, and a bit that flips in a cursor
would pass over messages that nobody has had.
"""

import zlib
from typing import Any


def sealed(*values: Any) -> tuple[Any, ...]:
    """The values of a row, and behind them its seal."""
    return (*values, seal(values))


def is_sealed(row: tuple[Any, ...]) -> bool:
    """Whether a row is as it was written."""
    return bool(seal(row[:-1]) == row[-1])


def seal(values: tuple[Any, ...]) -> int:
    """CRC-32 of the values as Python writes them: integers, text and bytes are always written the same way."""
    return zlib.crc32(repr(values).encode())
