"""A small disk, and somebody else who leaves no room on it."""

import os
import subprocess
from pathlib import Path

LARGEST_FILLED = 128 << 20


def mount_small_disk(path: Path, size: str = "64m") -> bool:
    """Make a directory a disk that can be filled; False where that is not allowed, and it is as large as any. Whoever
    mounts it unmounts it (`unmount`).
    """
    path.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    return os.getuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(path: Path) -> None:
    """Whatever became of it: who looks after the machine may have unmounted it before."""
    subprocess.run(["umount", "-l", path], capture_output=True, check=False)


def fill_disk(directory: Path) -> Path:
    """Take all the room that there is on a small disk; returns the file that has it."""
    disk = os.statvfs(directory)
    # Somebody may have unmounted it: the machine's own disk must not be filled.
    assert disk.f_blocks * disk.f_frsize <= LARGEST_FILLED, "this is no small disk"
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass  # No room for so large a piece.
    return filler
