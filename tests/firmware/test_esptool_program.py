"""The real esptool against the fake chip: identities, a write that is verified, and what each fault is told as."""

import contextlib
import os
import random
from pathlib import Path

import pytest

from firmware.errors import DeviceError
from firmware.esptool_program import Esptool, explain
from tests.firmware.fake_esp32 import ESP32, ESP32_C3, ESP32_S3, MEGABYTE, FakeEsp32, Faults
from tests.firmware.micropython_board import require_esptool


@pytest.fixture(autouse=True)
def _esptool_is_there(monkeypatch):
    require_esptool(monkeypatch)


OFFSET = 0x10000
SECOND_SIZE = 0x20000
# Does not shrink: some ten blocks of esptool's.
CONTENT = random.Random(5).randbytes(150_000)


@pytest.fixture
def content(tmp_path) -> Path:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize(
    ("chip", "megabytes"), [(ESP32, 4), (ESP32, 16), (ESP32_C3, 4), (ESP32_C3, 8), (ESP32_S3, 8), (ESP32_S3, 16)]
)
def test_chip_mac_and_flash_size_are_found(chip, megabytes):
    with FakeEsp32(chip, megabytes * MEGABYTE) as board:
        found = Esptool(board.port).probe()
    assert (found.chip, found.mac, found.flash_size) == (chip.name, "24:0a:c4:de:ad:be", megabytes * MEGABYTE)


@pytest.mark.parametrize("chip", [ESP32, ESP32_C3, ESP32_S3], ids=lambda chip: chip.name)
def test_what_is_written_is_in_the_flash_and_progress_grows_to_one(content, tmp_path, chip):
    second = tmp_path / "second.bin"
    second.write_bytes(bytes(SECOND_SIZE))
    seen: list[float] = []
    with FakeEsp32(chip) as board:
        Esptool(board.port, 921_600).write([(OFFSET, content), (0x200000, second)], seen.append)
        assert board.flash[OFFSET : OFFSET + len(CONTENT)] == CONTENT
        assert board.flash[0x200000 : 0x200000 + SECOND_SIZE] == bytes(SECOND_SIZE)
        assert 921_600 in board.baud_rates
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 5


def test_flash_is_read_and_erased(tmp_path):
    with FakeEsp32() as board:
        board.flash[0x8000:0x8004] = b"abcd"
        tool = Esptool(board.port)
        assert tool.read(0x8000, 16, tmp_path / "read") == b"abcd" + b"\xff" * 12
        tool.erase()
        assert board.flash.count(0xFF) == len(board.flash)


@pytest.mark.parametrize("faults", [Faults(corrupt_block=4), Faults(drop_reply_to_block=3)], ids=["corrupt", "dropped"])
def test_lost_reply_and_corrupted_block_are_survived(content, faults):
    with FakeEsp32(faults=faults) as board:
        Esptool(board.port).write([(OFFSET, content)], lambda _: None)
        assert board.flash[OFFSET : OFFSET + len(CONTENT)] == CONTENT


def test_port_of_a_board_that_went_away_is_nobody_elses(content):
    """Else the next attempt writes to the terminal of whoever opens one meanwhile."""
    with FakeEsp32(faults=Faults(unplug_at_block=4)) as board, contextlib.ExitStack() as others:
        with pytest.raises(DeviceError):
            Esptool(board.port).write([(OFFSET, content)], lambda _: None)
        assert not os.path.exists(board.port)
        for _ in range(8):
            master, slave = os.openpty()
            others.callback(os.close, master)
            others.callback(os.close, slave)
            assert os.ttyname(slave) != board.port


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        (Faults(wrong_digest=True), "is not what was sent; use a shorter cable"),
        (Faults(corrupt_flash_at=OFFSET + 50_000), "is not what was sent; use a shorter cable"),
        (Faults(unplug_at_block=4), "the board went away in the middle; check cable and power"),
        (Faults(silent_from_block=4), "the transfer broke off; check cable and power"),
        (Faults(silent=True), "the board does not answer; hold its BOOT button"),
    ],
    ids=["digest", "worn flash", "unplugged", "hung", "silent"],
)
def test_fault_is_told_with_what_to_do(content, faults, text):
    with FakeEsp32(faults=faults) as board, pytest.raises(DeviceError) as caught:
        Esptool(board.port).write([(OFFSET, content)], lambda _: None)
    assert text in str(caught.value)
    assert board.port in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failure_that_nobody_foresaw_is_told_in_the_words_of_esptool():
    output = "esptool v5\nConnecting...\nA fatal error occurred: the moon is full\n\n"
    assert str(explain(output, "/dev/x")) == "/dev/x: esptool failed: A fatal error occurred: the moon is full"
    assert str(explain("", "/dev/x")) == "/dev/x: esptool failed: nothing"
