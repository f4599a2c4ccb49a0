"""FileWatch: sees whether the files of an open database are still those that a crash would leave behind. SQLite goes on
writing into files that were removed or replaced, and nothing of that would be there at the next start.
"""

import os
from pathlib import Path

from gateway.storage.log_index import holds_all

LOG_SUFFIX = "-wal"


class LostFileError(Exception):
    """A file of the database is not there any more, is another one, or was cut."""


class FileWatch:
    """Watches a database's file and its log, from when it is opened. Raises LostFileError."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(path.name + LOG_SUFFIX))
        # A path is looked up by its name faster.
        self._names = tuple(map(str, self._paths))
        # Device, inode and size. The log comes with the first commit.
        self._known: list[tuple[int, int, int] | None] = [None, None]

    def look(self) -> None:
        """Compare with the last look; to be called before a commit and behind it."""
        for number, path in enumerate(self._names):
            known = self._known[number]
            try:
                found = os.stat(path)
            except FileNotFoundError:
                if known is not None:
                    raise LostFileError(f"{path} was removed; restart the gateway") from None
                continue
            if known is not None:
                device, inode, size = known
                if (found.st_dev, found.st_ino) != (device, inode):
                    raise LostFileError(f"{path} was replaced; restart the gateway")
                if found.st_size < size and not holds_all(*self._paths):
                    raise LostFileError(f"{path} was cut; restart the gateway")
            self._known[number] = (found.st_dev, found.st_ino, found.st_size)
