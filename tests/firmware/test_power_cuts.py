"""The update on a real MicroPython: the power is cut at every block write, before, within and after it."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from firmware.device_files import AGENT_FILES, START_FILES
from tests.firmware.micropython_board import micropython
from tests.patience import LONG_SECONDS

SCRIPT = Path(__file__).parent / "micropython" / "power_cuts.py"


def test_device_starts_whole_and_finishes_the_update_after_a_power_cut_at_any_write():
    line = [micropython(), "-X", "heapsize=4m", str(SCRIPT), str(AGENT_FILES.parent)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=LONG_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["a"] + report["b"] == 4 * report["writes"]
    assert report["a"] > report["b"] > 0
    # Changed files only.
    assert report["fetched"] == report["changed"]


@pytest.fixture
def slots():
    spec = importlib.util.spec_from_file_location("boot_slots", START_FILES / "boot_slots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_new_slot_is_given_up_after_two_starts_that_prove_nothing(slots, tmp_path):
    root = f"{tmp_path}/"
    slots.write_choice("a", "b", root=root)
    assert [slots.select(root) for _ in range(4)] == [("b", True), ("b", True), ("a", False), ("a", False)]


def test_new_slot_that_proves_itself_stays(slots, tmp_path):
    root = f"{tmp_path}/"
    slots.write_choice("b", "a", root=root)
    slots._running = slots.select(root)
    slots.mark_good(root)
    assert slots.running() == ("a", False)
    assert [slots.select(root) for _ in range(3)] == [("a", False)] * 3


@pytest.mark.parametrize("text", ["", "\n", "x", "c b 0", "a a 0", "a b", "a b x", "a b -1", "b c 0 1"])
def test_damaged_choice_starts_a_slot_that_was_good(slots, tmp_path, text):
    root = f"{tmp_path}/"
    (tmp_path / "slot").write_text(text)
    assert slots.select(root) == ("b" if text.startswith("b") else "a", False)


def test_missing_choice_starts_the_first_slot(slots, tmp_path):
    assert slots.select(f"{tmp_path}/") == ("a", False)
