"""The watchdog of a board, and its restart when it is without a server, on a real MicroPython with a fake chip."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from firmware.device_files import AGENT_FILES, CLIENT_PACKAGE, START_FILES
from tests.firmware.micropython_board import RESET, micropython
from tests.micropython.scripted_server import ScriptedServer
from tests.patience import PATIENCE_SECONDS

PROGRAM = Path(__file__).parent / "micropython" / "guarded_start.py"
NOBODY = "nats://127.0.0.1:1"
CHIPS = {
    "esp32": ["watchdog 120000"],
    "stm32": ["watchdog 32000"],
    "rp2350": ["watchdog 16000"],
    "rp2040": ["watchdog 8300"],
    "esp8266": ["watchdog as it is"],
    "none": [],
}
APPLICATION = """
import agent
import asyncio
import boot_slots
import time
agent.GUARD_SECONDS = 0.01
async def run(device):
{body}
    raise SystemExit
"""
BUSY = """
    print("busy")
    begin = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), begin) < 100:
        pass
    print("done")
"""
IDLE = """
    print("idle")
    await asyncio.sleep_ms(100)
    print("done")
"""


class GuardedBoard:
    """A board whose file system is a directory: slots a and b hold the same."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.status = 0
        shutil.copytree(START_FILES, directory, dirs_exist_ok=True)
        for slot in ("a", "b"):
            shutil.copytree(AGENT_FILES, directory / slot)
            shutil.copytree(CLIENT_PACKAGE, directory / slot / "leafgate")
        self.settings(servers=[NOBODY])

    def settings(self, **fields: object) -> None:
        (self.directory / "device.json").write_text(json.dumps({"name": "pump", "prefix": "devices"} | fields))

    def start(self, body: str, chip: str = "esp32", choice: str = "a") -> list[str]:
        """What it prints until the application has ended or the board was reset."""
        (self.directory / "slot").write_text(choice + "\n")
        for slot in ("a", "b"):
            (self.directory / slot / "application.py").write_text(APPLICATION.format(body=body))
        line = [micropython(), "-X", "heapsize=1m", str(PROGRAM), str(self.directory), chip]
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        self.status = done.returncode
        return (done.stdout + done.stderr).splitlines()


@pytest.fixture
def board(tmp_path: Path) -> GuardedBoard:
    return GuardedBoard(tmp_path)


def between(printed: list[str], first: str, last: str) -> list[str]:
    return printed[printed.index(first) + 1 : printed.index(last)]


@pytest.mark.parametrize("choice", ["a", "a b 0"])
@pytest.mark.parametrize("chip", CHIPS)
def test_watchdog_counts_as_long_as_the_chip_can(board: GuardedBoard, chip: str, choice: str):
    printed = board.start("    print('runs')", chip, choice)
    assert [line for line in printed if line.startswith("watchdog")] == CHIPS[chip]
    assert "runs" in printed
    assert board.status == 0


@pytest.mark.parametrize("choice", ["a", "a b 0"])
def test_watchdog_is_fed_by_the_event_loop_alone(board: GuardedBoard, choice: str):
    # A hundred turns of the loop, of which a busy machine may let go of many.
    idle = IDLE.replace("sleep_ms(100)", "sleep_ms(1000)")
    printed = board.start("    boot_slots.mark_good()" + idle + BUSY, choice=choice)
    assert between(printed, "idle", "done").count("fed") > 2
    assert between(printed, "busy", "done") == []
    assert "timer" not in printed


def test_application_that_hangs_at_its_import_is_guarded(board: GuardedBoard):
    printed = board.start("    pass\nprint('imported')\nif True:")
    assert between(printed, "leafgate: starting slot a", "imported") == ["watchdog 120000", "fed"]


def test_trial_that_does_not_end_in_time_restarts_the_board(board: GuardedBoard):
    body = "    boot_slots.TRIAL_MILLISECONDS = 50\n    await asyncio.sleep(60)"
    for start in (0, 1):
        assert board.start(body, "none", f"a b {start}")[-2:] == ["leafgate: slot b has not proved itself", "reset"]
        assert board.status == RESET
    assert board.start("    pass", "none", "a b 2")[0] == "leafgate: starting slot a"


def test_good_slot_has_all_the_time_there_is(board: GuardedBoard):
    printed = board.start("    boot_slots.TRIAL_MILLISECONDS = 50" + IDLE)
    assert "reset" not in printed


def test_whoever_interrupts_at_the_console_is_not_bitten(board: GuardedBoard):
    printed = board.start("    raise KeyboardInterrupt")
    assert between(printed, "timer", "Traceback (most recent call last):") == ["fed"]


def test_board_restarts_after_the_time_that_was_set_without_a_server(board: GuardedBoard):
    board.settings(servers=[NOBODY], restart_seconds=0.1)
    assert board.start("    await asyncio.sleep(60)")[-2:] == ["leafgate: no server for 0.1 s, restarting", "reset"]
    assert board.status == RESET


def test_board_that_is_set_to_stay_does_not_restart_without_a_server(board: GuardedBoard):
    board.settings(servers=[NOBODY], restart_seconds=0)
    assert "reset" not in board.start(IDLE * 3)


def test_board_with_a_server_does_not_restart(board: GuardedBoard):
    with ScriptedServer() as server:
        board.settings(servers=[server.url], restart_seconds=4)
        greeter = threading.Thread(target=lambda: server.visit().greet())
        greeter.start()
        printed = board.start("    await device.connected.wait()" + IDLE.replace("sleep_ms(100)", "sleep_ms(5000)"))
        greeter.join()
    assert printed[-1] == "done"
    assert board.status == 0


def test_agent_runs_on_a_board_that_was_flashed_before_it_could_feed(board: GuardedBoard):
    main = board.directory / "main.py"
    main.write_text(main.read_text().replace("import boot_slots", "import boot_slots; del boot_slots.feed"))
    printed = board.start("    print('runs')")
    assert "runs" in printed
    assert board.status == 0
