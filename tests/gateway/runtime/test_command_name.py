"""What people are told to type starts the program that told them."""

import subprocess
import sys

import pytest

from gateway.runtime.command_name import command_name


def test_command_on_the_path_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert command_name() == "leafgate"


def test_command_elsewhere_is_told_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["./.venv/bin/leafgate", "run"])
    assert command_name() == "./.venv/bin/leafgate"


def test_module_is_told_as_one_that_python_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["/somewhere/gateway/__main__.py", "run"])
    words = command_name().split()
    assert words[0] == sys.executable
    assert subprocess.run([*words, "--version"], check=False, capture_output=True).returncode == 0
