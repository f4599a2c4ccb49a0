"""Files onto a running board over its console, by mpremote, run as a program."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from firmware.device_files import CHOICE
from firmware.errors import DeviceError
from firmware.serial_ports import check_port

TIMEOUT_SECONDS = 120
READ_CHOICE = f"try: print(open({CHOICE!r}).read())\nexcept OSError: pass"


def push_files(port: str, files: Mapping[str, bytes], *, restart: bool = True) -> str:
    """Put files into the slot that the board runs, by path inside it; returns the slot. Raises DeviceError."""
    if importlib.util.find_spec("mpremote") is None:
        raise DeviceError("pushing over the cable needs mpremote; install leafgate[flash]")
    check_port(port)
    words = _mpremote(port, ["exec", READ_CHOICE]).split()
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
            _mpremote(port, ["fs", "cp", str(local), f":{target}"])
    if restart:
        _mpremote(port, ["reset"])
    return slot


def _make_folder(port: str, folder: str) -> None:
    _mpremote(port, ["exec", f"import os\ntry: os.mkdir({folder!r})\nexcept OSError: pass"])


def _mpremote(port: str, command: Sequence[str]) -> str:
    line = [sys.executable, "-m", "mpremote", "connect", port, "resume", *command]
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{port}: the board does not answer; press its RESET button and try again") from None
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip().splitlines()
        reason = complaint[-1] if complaint else "no reason given"
        raise DeviceError(f"{port}: cannot {' '.join(command[:2])}: {reason}; is MicroPython running on the board?")
    return done.stdout
