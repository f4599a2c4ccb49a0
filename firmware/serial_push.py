"""Files onto a running board over its console, by mpremote, run as a program."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from firmware.device_files import CHOICE
from firmware.errors import DeviceError
from firmware.release import other_form
from firmware.serial_ports import check_port

COPY_SECONDS = 60
ANSWER_SECONDS = 15
READ_CHOICE = f"try: print(open({CHOICE!r}).read())\nexcept OSError: pass"


def push_files(port: str, files: Mapping[str, bytes], answer_seconds: float = ANSWER_SECONDS) -> str:
    """Put files into the slot that the board runs, by path inside it, and restart it; returns the slot.

    Raises DeviceError, after `answer_seconds` when the board says nothing.
    """
    if importlib.util.find_spec("mpremote") is None:
        raise DeviceError("pushing over the cable needs mpremote; run pip install '.[flash]' in a checkout of leafgate")
    check_port(port)
    words = _mpremote(port, ["exec", READ_CHOICE], answer_seconds).split()
    if not words:
        raise DeviceError(f"{port}: the board has no release of ours; put one on it with `leafgate device flash`")
    slot = words[0]
    with tempfile.TemporaryDirectory(prefix="leafgate-push-") as folder:
        for number, (path, data) in enumerate(sorted(files.items())):
            local = Path(folder) / str(number)
            local.write_bytes(data)
            target = PurePosixPath("/", slot, path)
            for parent in list(reversed(target.parents))[2:]:
                _make_folder(port, str(parent))
            _do(port, ["fs", "cp", str(local), f":{target}"])
    _remove_files(port, [f"/{slot}/{other}" for path in files if (other := other_form(path))])
    _mpremote(port, ["reset"])
    return slot


def _make_folder(port: str, folder: str) -> None:
    _do(port, ["exec", f"import os\ntry: os.mkdir({folder!r})\nexcept OSError: pass"])


def _remove_files(port: str, paths: Sequence[str]) -> None:
    """Those that are there: a module's old form would be imported in place of the new one."""
    if paths:
        _do(port, ["exec", f"import os\nfor path in {list(paths)!r}:\n try: os.remove(path)\n except OSError: pass"])


def _do(port: str, command: Sequence[str]) -> None:
    """Run a command that may be run again, twice if need be: mpremote waits without end for the answer to a byte that
    the cable has lost.
    """
    try:
        _mpremote(port, command)
    except DeviceError:
        _mpremote(port, command)


def _mpremote(port: str, command: Sequence[str], seconds: float | None = None) -> str:
    line = [sys.executable, "-m", "mpremote", "connect", port, "resume", *command]
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, errors="replace", timeout=seconds or COPY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"{port}: no MicroPython answers; press the board's RESET button and try again, or flash it"
        ) from None
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip().splitlines()
        reason = complaint[-1] if complaint else "no reason given"
        raise DeviceError(f"{port}: cannot {' '.join(command[:2])}: {reason}; is MicroPython running on the board?")
    return done.stdout
