"""A firmware file as micropython.org offers it: bootloader, partition table and application in one `.bin`."""

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from firmware.chips import BY_IMAGE_ID, Chip
from firmware.errors import DeviceError
from firmware.partition_table import (
    TABLE_OFFSET,
    TABLE_SIZE,
    Partition,
    PartitionTableError,
    needed_flash,
    parse_table,
)

IMAGE_MAGIC = 0xE9
IMAGE_HEADER_SIZE = 24
CHIP_ID_AT = 12
UF2_MAGIC = b"UF2\n"
APPLICATION_TYPE = 0
# Larger than any flash that MicroPython's boards have.
MAX_FILE_SIZE = 32 << 20
SHA256_TEXT = re.compile(r"[0-9A-Fa-f]{64}")
WHERE_FROM = "take the .bin of your board from micropython.org/download"


@dataclass(frozen=True, slots=True)
class FirmwareFile:
    """A file that was checked; it goes to `chip.bootloader_offset` of the flash."""

    path: Path
    chip: Chip
    size: int
    sha256: str
    partitions: tuple[Partition, ...]


def read_firmware(path: Path, expected_sha256: str | None = None) -> FirmwareFile:
    """Check a firmware file. Raises DeviceError for what is no complete firmware, or not the one that was asked for."""
    if expected_sha256 is not None and not SHA256_TEXT.fullmatch(expected_sha256.strip()):
        raise DeviceError(f"--sha256: {expected_sha256!r} is no SHA-256, which has 64 hexadecimal digits")
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if expected_sha256 is not None and sha256 != expected_sha256.strip().lower():
        raise DeviceError(f"{path}: SHA-256 is {sha256}, expected {expected_sha256}; download the file again")
    if data.startswith(UF2_MAGIC):
        raise DeviceError(f"{path}: this is a .uf2 file for boards that show up as a drive; {WHERE_FROM}")
    if len(data) < IMAGE_HEADER_SIZE or data[0] != IMAGE_MAGIC:
        raise DeviceError(
            f"{path}: this is no ESP32 firmware (an image begins with E9, not {data[:1].hex().upper()}); {WHERE_FROM}"
        )
    chip = _chip(path, data)
    partitions = _partitions(path, data, chip)
    _check_application(path, data, chip, partitions)
    return FirmwareFile(path, chip, len(data), sha256, partitions)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_SIZE:
            raise DeviceError(f"{path}: this is no ESP32 firmware (it is larger than any flash); {WHERE_FROM}")
        data = path.read_bytes()
    except OSError as error:
        raise DeviceError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if not data:
        raise DeviceError(f"{path}: the file is empty; download it again")
    return data


def _chip(path: Path, data: bytes) -> Chip:
    image_id: int = struct.unpack_from("<H", data, CHIP_ID_AT)[0]
    chip = BY_IMAGE_ID.get(image_id)
    if chip is None:
        raise DeviceError(f"{path}: made for a chip with the id {image_id}, which this version does not know")
    return chip


def _partitions(path: Path, data: bytes, chip: Chip) -> tuple[Partition, ...]:
    start = TABLE_OFFSET - chip.bootloader_offset
    table = data[start : start + TABLE_SIZE]
    if not table:
        raise DeviceError(f"{path}: ends before the partition table; this is an application or a part of a download")
    try:
        return parse_table(table)
    except PartitionTableError as error:
        hint = f"an update file (.app-bin) has none; {WHERE_FROM}"
        raise DeviceError(f"{path}: the partition table {error}; {hint}") from None


def _check_application(path: Path, data: bytes, chip: Chip, partitions: tuple[Partition, ...]) -> None:
    """The first application must be there, for the same chip; a download that broke off ends before it."""
    application = next((part for part in partitions if part.kind == APPLICATION_TYPE), None)
    if application is None:
        raise DeviceError(f"{path}: the partition table lists no application; {WHERE_FROM}")
    start = application.offset - chip.bootloader_offset
    if len(data) < start + IMAGE_HEADER_SIZE or data[start] != IMAGE_MAGIC:
        raise DeviceError(f"{path}: no application at {application.offset:#x}; download the file again")
    if chip.bootloader_offset + len(data) > needed_flash(partitions):
        raise DeviceError(f"{path}: longer than its own partition table allows; {WHERE_FROM}")
