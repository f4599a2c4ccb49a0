"""Reserve: room on the disk that is kept for what makes room. A log and a database have to grow a little before
anything can be taken out of them; without this a full disk could never be emptied by reading.
"""

import os
from pathlib import Path

from gateway.storage.log_damage import FRAME

FILE_NAME = "leafgate.reserve"
# On a small disk an eighth of it.
MOST_BYTES = 32 << 20
SHARE = 8
PAGE_BYTES = 4096


class Reserve:
    """A file whose blocks belong to nobody. `held` says that it is there."""

    def __init__(self, directory: Path, name: str = FILE_NAME) -> None:
        self._path = directory / name
        self._directory = str(directory)
        disk = os.statvfs(directory)
        self.bytes = min(MOST_BYTES, disk.f_blocks * disk.f_frsize // SHARE)
        self.held = False

    def take(self) -> bool:
        """Take the room where there is twice as much, so that what comes next does not find the disk full again."""
        if self.held:
            return True
        try:
            there = self._path.stat().st_size if self._path.exists() else 0
            if there < self.bytes and self.free_bytes() + there < 2 * self.bytes:
                return False
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.bytes)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        self.held = True
        return True

    def release(self) -> bool:
        """Give the room back; False when there is none."""
        self.held = False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def free_bytes(self) -> int:
        """What the disk has besides. Raises OSError."""
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize

    def held_bytes(self) -> int:
        return self.bytes if self.held else 0

    def log_pages(self, most: int) -> int:
        """How long the log may become: what is in it has to find room in the database too, when the disk is full."""
        return max(min(most, self.bytes // 2 // (PAGE_BYTES + FRAME.size)), 1)
