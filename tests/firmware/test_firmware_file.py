"""Firmware files: what is taken, and the sentence for everything that is not."""

import hashlib
from pathlib import Path

import pytest

from firmware.errors import DeviceError
from firmware.firmware_file import read_firmware
from tests.firmware.synthetic_firmware import PARTITIONS, firmware, image_header, write_firmware


@pytest.mark.parametrize("chip", ["ESP32", "ESP32-S3", "ESP32-C3", "ESP32-C5"])
def test_whole_firmware_is_taken_with_its_chip_and_table(tmp_path, chip):
    path = write_firmware(tmp_path, chip)
    found = read_firmware(path, hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert found.chip.name == chip
    assert found.partitions == PARTITIONS


def complaint(path: Path, data: bytes | None, sha256: str | None = None) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DeviceError) as caught:
        read_firmware(path, sha256)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"<!DOCTYPE html>" * 10, "begins with E9, not 3C"),
        (b"UF2\n" + bytes(600), ".uf2 file"),
        (image_header(0x77) + bytes(0x9000), "id 119"),
        (image_header(0) + bytes(5000), "ends before the partition table"),
        (image_header(0) + b"\xe9" * 0x20000, "partition table has no entry"),
        (firmware()[:0xE000], "no application"),
        (firmware() + bytes(0x200000), "longer than its own partition table"),
    ],
    ids=["absent", "empty", "page", "uf2", "chip", "short", "application", "broken off", "long"],
)
def test_wrong_file_is_told_in_a_sentence(tmp_path, data, text):
    assert text in complaint(tmp_path / "firmware.bin", data)


def test_wrong_digest_is_told_with_both(tmp_path):
    text = complaint(tmp_path / "firmware.bin", firmware(), "ab" * 32)
    assert hashlib.sha256(firmware()).hexdigest() in text
    assert "ab" * 32 in text


def test_directory_is_no_firmware(tmp_path):
    assert "is a directory" in complaint(tmp_path, None)
