"""Paths as the configuration writes them, and what is in the files there."""

import os
from pathlib import Path


def path_of(text: str) -> Path:
    """`~` is a home directory; it stays as it is where there is none, so that the fault is that of a missing file."""
    return Path(os.path.expanduser(text))


def read_file(path: Path, most: int, *, secret: bool) -> bytes:
    """At most so many bytes; a secret file is one that only owner and group may read. Raises ValueError, a sentence."""
    try:
        with path.open("rb") as file:
            if secret and os.fstat(file.fileno()).st_mode & 0o007:
                raise ValueError(f"{path} can be read or written by everybody; chmod o-rwx it")
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
    if len(content) > most:
        raise ValueError(f"{path} is longer than {most} bytes")
    return content
