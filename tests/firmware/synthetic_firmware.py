"""Stands in for the firmware of micropython.org, which is in no package registry: true headers, random code."""

import random
import struct
from pathlib import Path

from firmware.chips import BY_NAME
from firmware.partition_table import TABLE_OFFSET, Partition, build_table

IMAGE_MAGIC = 0xE9
# Long enough for a dozen blocks of a transfer.
APPLICATION_SIZE = 150_000
# As in MicroPython's 4 MB firmware: no file system is listed, it begins behind `factory`.
PARTITIONS = (
    Partition("nvs", 1, 2, 0x9000, 0x6000),
    Partition("phy_init", 1, 1, 0xF000, 0x1000),
    Partition("factory", 0, 0, 0x10000, 0x1F0000),
)
OTA_PARTITIONS = (
    Partition("nvs", 1, 2, 0x9000, 0x4000),
    Partition("otadata", 1, 0, 0xD000, 0x2000),
    Partition("phy_init", 1, 1, 0xF000, 0x1000),
    Partition("ota_0", 0, 0x10, 0x10000, 0x180000),
    Partition("ota_1", 0, 0x11, 0x190000, 0x180000),
)


def image_header(chip_id: int, flash_size_code: int = 2) -> bytes:
    """One segment, DIO at 40 MHz, 4 MB; chip id at byte 12; the extended header ends without an appended hash."""
    return struct.pack("<BBBBI4xH10x", IMAGE_MAGIC, 1, 2, flash_size_code << 4, 0x40080000, chip_id).ljust(24, b"\0")


def firmware(chip_name: str = "ESP32", partitions: tuple[Partition, ...] = PARTITIONS) -> bytes:
    """A whole `.bin` for a chip, as it goes to the bootloader's offset."""
    chip = BY_NAME[chip_name]
    noise = random.Random(chip.image_id)
    start = chip.bootloader_offset
    bootloader = image_header(chip.image_id) + noise.randbytes(20_000)
    application = image_header(chip.image_id) + noise.randbytes(APPLICATION_SIZE)
    flash = bytearray(b"\xff") * (0x10000 - start)
    flash[: len(bootloader)] = bootloader
    table = build_table(partitions)
    flash[TABLE_OFFSET - start : TABLE_OFFSET - start + len(table)] = table
    return bytes(flash) + application


def write_firmware(directory: Path, chip_name: str = "ESP32", partitions: tuple[Partition, ...] = PARTITIONS) -> Path:
    path = directory / f"{chip_name}.bin"
    path.write_bytes(firmware(chip_name, partitions))
    return path
