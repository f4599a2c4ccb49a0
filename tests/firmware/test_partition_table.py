"""Partition tables as MicroPython's firmware has them, and where the file system follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.partition_table import (
    TABLE_SIZE,
    Partition,
    PartitionTableError,
    Region,
    build_table,
    filesystem_region,
    needed_flash,
    parse_table,
)
from tests.firmware.synthetic_firmware import OTA_PARTITIONS, PARTITIONS

MEGABYTE = 1 << 20
# The first entries of a real table, as gen_esp32part.py writes them: nvs, phy_init, factory.
REAL_ENTRIES = bytes.fromhex(
    "aa50010200900000006000006e76730000000000000000000000000000000000"
    "aa50010100f00000001000007068795f696e6974000000000000000000000000"
    "aa5000000000010000001f00666163746f727900000000000000000000000000"
)


def test_table_of_the_four_megabyte_firmware_is_read():
    assert parse_table(REAL_ENTRIES.ljust(TABLE_SIZE, b"\xff")) == PARTITIONS


def test_table_that_is_built_begins_with_the_same_bytes():
    assert build_table(PARTITIONS).startswith(REAL_ENTRIES)


@pytest.mark.parametrize("partitions", [PARTITIONS, OTA_PARTITIONS])
def test_table_that_is_built_is_read_back(partitions):
    assert parse_table(build_table(partitions)) == partitions


def test_changed_byte_does_not_fit_the_digest():
    table = bytearray(build_table(PARTITIONS))
    table[5] ^= 1
    with pytest.raises(PartitionTableError, match="digest"):
        parse_table(bytes(table))


@pytest.mark.parametrize("data", [b"", b"\xff" * TABLE_SIZE, bytes(TABLE_SIZE), b"\xe9" * 100])
def test_what_is_no_table_is_told(data):
    with pytest.raises(PartitionTableError):
        parse_table(data)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(data):
    try:
        parse_table(data)
    except PartitionTableError:
        pass


@pytest.mark.parametrize(
    ("partitions", "megabytes", "region"),
    [
        (PARTITIONS, 4, Region(0x200000, 0x200000)),
        (PARTITIONS, 8, Region(0x200000, 0x600000)),
        (PARTITIONS, 16, Region(0x200000, 0xE00000)),
        (OTA_PARTITIONS, 4, Region(0x310000, 0xF0000)),
    ],
)
def test_filesystem_takes_what_lies_behind_the_last_partition(partitions, megabytes, region):
    assert filesystem_region(partitions, megabytes * MEGABYTE) == region


@pytest.mark.parametrize("label", ["vfs", "ffat"])
def test_listed_filesystem_is_used_as_it_is(label):
    listed = (*PARTITIONS, Partition(label, 1, 0x81, 0x200000, 0x100000))
    assert filesystem_region(listed, 16 * MEGABYTE) == Region(0x200000, 0x100000)


def test_no_filesystem_where_the_partitions_fill_the_flash():
    assert filesystem_region(PARTITIONS, 2 * MEGABYTE) is None
    assert needed_flash(PARTITIONS) == 2 * MEGABYTE
