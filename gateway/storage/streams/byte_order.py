"""Numbers as they stand in a row: little-endian."""

import sys
from array import array


def little_endian(numbers: "array[int]") -> "array[int]":
    """To or from the order in which they stand in a row."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
