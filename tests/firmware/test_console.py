"""The console of a board: its lines, its end, and a terminal that has no say over ours."""

import pytest

from firmware.console import Console, printable
from firmware.errors import DeviceError
from tests.firmware.fake_esp32 import FakeEsp32
from tests.firmware.micropython_board import require_esptool


@pytest.fixture(autouse=True)
def _pyserial_is_there():
    require_esptool()


def read(console: Console, count: int) -> list[str]:
    lines: list[str] = []
    while len(lines) < count:
        lines += console.read_lines()
    return lines


def test_lines_come_whole_however_they_are_cut():
    with FakeEsp32() as board:
        console = Console(board.port)
        board.say(b"ets Jul 29 2019\r\nleafgate: star")
        assert read(console, 1) == ["ets Jul 29 2019"]
        board.say(b"ting slot a\r\n")
        assert read(console, 1) == ["leafgate: starting slot a"]
        console.close()


def test_board_that_goes_away_is_told():
    with FakeEsp32() as board:
        console = Console(board.port)
        board.unplug()
        with pytest.raises(DeviceError, match="the board went away; check its cable"):
            read(console, 1)
        console.close()


def test_console_in_use_is_told():
    with FakeEsp32() as board:
        console = Console(board.port)
        with pytest.raises(DeviceError, match="in use"):
            Console(board.port)
        console.close()


def test_what_a_terminal_would_act_on_is_not_printed():
    assert printable(b"\x1b[2Jhi\x07 \xff\r") == "�[2Jhi� �"
