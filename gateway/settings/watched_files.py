"""Watched files: those that a configuration was read from, and marks by which one sees that they have become others."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError
from gateway.settings.file import read_document
from gateway.settings.paths import path_of
from gateway.settings.secret import credential_path

# Keys whose text is the path of a file or a directory, wherever they stand.
PATH_KEYS = frozenset(
    ("certificate", "key", "client-ca", "ca", "credentials", "users-directory", "psk-file", "operator")
)
LONGEST_PATH = 4096
# A directory with more of them is watched by its own time of change alone.
MOST_FILES = 10_000

# Of a file: the path behind its links, device, inode, time of change in nanoseconds, size.
Mark = tuple[str, int, int, int, int]
Marks = dict[str, Mark | None]


def watched_paths(path: Path) -> list[Path]:
    """The configuration file itself and all that it names, whether it is right or not, but what is looked
    after by others (the directory of accounts' JWTs). Blocks for the disk.
    """
    try:
        document = read_document(path)
    except ConfigError:
        return [path]
    return [path, *dict.fromkeys(_named_in(document))]


def marks(paths: Iterable[Path]) -> Marks:
    """The marks of files, and of those in directories; None for what is not there. Blocks for the disk.

    What is behind a link counts, and where that is: Kubernetes and others replace whole directories by turning a link.
    """
    found: Marks = {}
    for path in paths:
        found[str(path)] = _mark(str(path))
        if os.path.isdir(path):  # Which is False, too, for what cannot be a path.
            for entry in _entries(path):
                found[entry] = _mark(entry)
    return found


def _named_in(value: Any) -> Iterator[Path]:
    if isinstance(value, dict):
        if len(value) == 1:
            yield from _secret_paths(value)
        for key, part in value.items():
            if key in PATH_KEYS and isinstance(part, str) and 0 < len(part) <= LONGEST_PATH and "\0" not in part:
                yield path_of(part)
            yield from _named_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from _named_in(part)


def _secret_paths(table: dict[str, Any]) -> Iterator[Path]:
    ((source, name),) = table.items()
    if isinstance(name, str) and name and "\0" not in name:
        if source == "file":
            yield path_of(name)
        elif source == "credential":
            found = credential_path(name)
            if found is not None:
                yield found


def _mark(path: str) -> Mark | None:
    try:
        found = os.stat(path)
        return os.path.realpath(path), found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
    except (OSError, ValueError):
        return None


def _entries(directory: Path) -> list[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [os.path.join(directory, name) for name in names] if len(names) <= MOST_FILES else []
