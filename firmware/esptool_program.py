"""esptool, run as a program: it is GPL, so it is never imported. Its output becomes progress and plain errors."""

import importlib.util
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware.errors import DeviceError

DEFAULT_BAUD = 460_800
CAREFUL_BAUD = 115_200
# `Writing at 0x00010000 ━━━ 49.2% 144.00kB/292.97kB`, one line each where no terminal is.
PROGRESS = re.compile(r"Writing at (0x[0-9a-f]+).*?([0-9]+(?:\.[0-9]+)?)%")
REGION_START = re.compile(r"^(?:Compressed|Flash will be erased|Writing at)")
VERIFIED = "Hash of data verified."
CHIP_NAME = re.compile(r"^Chip type:\s+(\S+)", re.MULTILINE)
CONNECTED = re.compile(r"^Connected to (\S+) on", re.MULTILINE)
MAC_ADDRESS = re.compile(r"^MAC:\s+([0-9a-f:]{17})", re.MULTILINE)
FLASH_SIZE = re.compile(r"^Detected flash size: ([0-9]+)(KB|MB)", re.MULTILINE)
UNITS = {"KB": 1 << 10, "MB": 1 << 20}

RETRY = "the board is not damaged: run the same command again"
# What esptool says, and what it means to whoever holds the board. The first that fits is told.
MEANINGS = (
    (
        re.compile(r"MD5 of file does not match|Hash of data (?!verified)|Verify failed|[Dd]igest mismatch"),
        "what the flash holds is not what was sent; use a shorter cable or --baud 115200 and try again; "
        "if it stays so, the flash is worn out or the power too weak",
    ),
    (
        re.compile(r"Failed to connect|No serial data received|Wrong boot mode"),
        "the board does not answer; hold its BOOT button, press RESET, let go of BOOT, and run the command again",
    ),
    (
        re.compile(r"Lost connection|serial exception|device disconnected|Input/output error|No such device"),
        f"the board went away in the middle; check cable and power; {RETRY}",
    ),
    (
        re.compile(r"Could not open|port is busy"),
        "the port cannot be opened any more; is the board still plugged in, and no other program on its port?",
    ),
    (
        re.compile(r"[Ss]ecure [Dd]ownload|[Ff]lash encryption"),
        "the chip is locked (secure download mode or flash encryption); it takes signed firmware of its maker only",
    ),
    (
        re.compile(r"not fit in .* flash|exceeds flash size|larger than"),
        "the firmware does not fit into this board's flash; choose the firmware for your board",
    ),
)
# A reply that got lost, a byte that was added: not the board's fault, and worth a second try.
BROKEN_OFF = re.compile(
    r"No more data to read|[Ff]ailed to write|Timed out waiting|Write timeout|packet content|Invalid head"
    r"|Failed to start stub|Response doesn't match"
)


class _BrokenOffError(DeviceError):
    """The transfer failed in a way that a slower one may not."""


@dataclass(frozen=True, slots=True)
class Board:
    """What answered on the port; `flash_size` in bytes."""

    chip: str
    mac: str
    flash_size: int


class Esptool:
    """esptool on one port. Every method raises DeviceError with what to do; `log` gets esptool's own words."""

    def __init__(self, port: str, baud: int = DEFAULT_BAUD, log: Callable[[str], None] = lambda _: None) -> None:
        if importlib.util.find_spec("esptool") is None:
            raise DeviceError("flashing needs esptool; run pip install '.[flash]' in a checkout of leafgate")
        self._port = port
        self._baud = baud
        self._log = log

    def probe(self) -> Board:
        """Which chip is on the port, and how large its flash is."""
        output = self._run(["flash-id"], after="no-reset")
        chip = CONNECTED.search(output) or CHIP_NAME.search(output)
        mac, size = MAC_ADDRESS.search(output), FLASH_SIZE.search(output)
        if chip is None or mac is None:
            raise DeviceError("esptool reached the board but did not name its chip; use esptool 5")
        if size is None:
            raise DeviceError("the board's flash does not answer; is this board an ESP32 with a flash of its own?")
        return Board(chip[1], mac[1], int(size[1]) * UNITS[size[2]])

    def read(self, offset: int, size: int, target: Path) -> bytes:
        """The content of a stretch of flash; `target` is a file to use for it."""
        self._run(["read-flash", hex(offset), hex(size), str(target)], after="no-reset")
        return target.read_bytes()

    def erase(self) -> None:
        """Erase the whole flash."""
        self._run(["erase-flash"], after="no-reset")

    def write(self, parts: Sequence[tuple[int, Path]], progress: Callable[[float], None]) -> None:
        """Write files to their offsets, compare what the flash holds with them, restart the board.

        `progress` gets a number that grows from 0 to 1 over all files. A transfer that breaks off is tried once more,
        slower, from the start.
        """
        # They travel compressed: an almost empty file system takes a moment.
        sizes = [len(zlib.compress(path.read_bytes(), 1)) for _, path in parts]
        total = sum(sizes)
        finished = 0

        def note(line: str) -> None:
            nonlocal finished
            if VERIFIED in line:
                finished += 1
                progress(sum(sizes[:finished]) / total)
            elif (found := PROGRESS.search(line)) and finished < len(sizes):
                progress((sum(sizes[:finished]) + sizes[finished] * float(found[2]) / 100) / total)

        arguments = ["write-flash"]
        arguments += [text for offset, path in parts for text in (hex(offset), str(path))]
        try:
            output = self._run(arguments, after="hard-reset", note=note)
        except _BrokenOffError:
            self._log(f"the transfer broke off; trying again at {CAREFUL_BAUD} baud")
            self._baud = CAREFUL_BAUD
            finished = 0
            output = self._run(arguments, after="hard-reset", note=note)
        if output.count(VERIFIED) != len(parts):
            raise DeviceError(f"esptool did not confirm what it wrote; {RETRY}")

    def _run(self, command: Sequence[str], *, after: str, note: Callable[[str], None] = lambda _: None) -> str:
        line = [sys.executable, "-m", "esptool", "--port", self._port, "--baud", str(self._baud), "--after", after]
        lines: list[str] = []
        with subprocess.Popen(
            [*line, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            assert process.stdout is not None
            try:
                for text in process.stdout:
                    lines.append(text)
                    self._log(text.rstrip())
                    note(text)
            except BaseException:
                process.kill()
                raise
        output = "".join(lines)
        if process.returncode:
            raise explain(output, self._port)
        return output


def explain(output: str, port: str) -> DeviceError:
    """What a failed run of esptool means, in a sentence that says what to do."""
    for pattern, meaning in MEANINGS:
        if pattern.search(output):
            return DeviceError(f"{port}: {meaning}")
    if BROKEN_OFF.search(output):
        return _BrokenOffError(f"{port}: the transfer broke off; check cable and power; {RETRY}")
    said = [line.strip() for line in output.splitlines() if line.strip()]
    complaint = next((line for line in reversed(said) if "error" in line.lower()), said[-1] if said else "nothing")
    return DeviceError(f"{port}: esptool failed: {complaint}")
