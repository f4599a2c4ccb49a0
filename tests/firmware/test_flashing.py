"""What is checked before a byte is written, and what lies in the flash afterwards."""

import pytest

from firmware.errors import DeviceError
from firmware.esptool_program import Esptool
from firmware.firmware_file import read_firmware
from firmware.flashing import plan_flash, write_flash
from firmware.partition_table import Partition, Region, build_table
from tests.firmware.fake_esp32 import ESP32, ESP32_C3, ESP32_S3, MEGABYTE, FakeEsp32
from tests.firmware.micropython_board import require_esptool
from tests.firmware.synthetic_firmware import OTA_PARTITIONS, PARTITIONS, write_firmware


@pytest.fixture(autouse=True)
def _esptool_is_there(monkeypatch):
    require_esptool(monkeypatch)


@pytest.mark.parametrize(
    ("chip", "megabytes", "partitions", "region"),
    [
        (ESP32, 4, PARTITIONS, Region(0x200000, 0x200000)),
        (ESP32, 4, OTA_PARTITIONS, Region(0x310000, 0xF0000)),
        (ESP32_C3, 8, PARTITIONS, Region(0x200000, 0x600000)),
        (ESP32_S3, 16, PARTITIONS, Region(0x200000, 0xE00000)),
    ],
    ids=["4 MB", "two applications", "C3 with 8 MB", "S3 with 16 MB"],
)
def test_firmware_and_filesystem_go_where_chip_and_flash_want_them(tmp_path, chip, megabytes, partitions, region):
    firmware = read_firmware(write_firmware(tmp_path, chip.name, partitions))
    with FakeEsp32(chip, megabytes * MEGABYTE) as board:
        tool = Esptool(board.port)
        plan = plan_flash(tool, firmware, tmp_path)
        assert plan.filesystem == region
        write_flash(tool, plan, {"/main.py": b"print()"}, tmp_path, lambda _: None)
        start = firmware.chip.bootloader_offset
        assert board.flash[start : start + firmware.size] == firmware.path.read_bytes()
        assert board.flash[region.offset + 8 : region.offset + 16] == b"littlefs"
    assert (tmp_path / "filesystem.bin").stat().st_mode & 0o777 == 0o600


def test_board_that_has_firmware_keeps_it(tmp_path):
    with FakeEsp32() as board:
        table = build_table(OTA_PARTITIONS)
        board.flash[0x8000 : 0x8000 + len(table)] = table
        tool = Esptool(board.port)
        plan = plan_flash(tool, None, tmp_path)
        write_flash(tool, plan, {"/main.py": b""}, tmp_path, lambda _: None)
        assert plan.filesystem == Region(0x310000, 0xF0000)
        assert board.flash[0x8000 : 0x8000 + len(table)] == table
        assert board.flash[0x310008:0x310010] == b"littlefs"


def refusal(tmp_path, board: FakeEsp32, chip: str | None, partitions: tuple[Partition, ...] = PARTITIONS) -> str:
    """Why a plan is refused; nothing may have been written."""
    firmware = None if chip is None else read_firmware(write_firmware(tmp_path, chip, partitions))
    with board, pytest.raises(DeviceError) as caught:
        plan_flash(Esptool(board.port), firmware, tmp_path)
    assert board.blocks == 0
    return str(caught.value)


def test_firmware_for_another_chip_is_told_with_both(tmp_path):
    text = refusal(tmp_path, FakeEsp32(ESP32_C3), "ESP32-S3")
    assert "ESP32-S3.bin is for ESP32-S3, the board is ESP32-C3; take the file for ESP32-C3" in text


@pytest.mark.parametrize(
    ("flash_size", "partitions", "text"),
    [
        (2 * MEGABYTE, PARTITIONS, "leaves nothing of 2 MB"),
        (2 * MEGABYTE, OTA_PARTITIONS, "wants 3.062 MB of flash, the board has 2 MB"),
    ],
)
def test_too_little_flash_is_told(tmp_path, flash_size, partitions, text):
    assert text in refusal(tmp_path, FakeEsp32(ESP32, flash_size), "ESP32", partitions)


def test_blank_board_needs_a_firmware(tmp_path):
    assert "has no firmware" in refusal(tmp_path, FakeEsp32(), None)
