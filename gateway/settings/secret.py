"""Secrets: a value of the configuration that nobody may see, given as text, or by where it is to be read.

token = "text"
token = { file = "/etc/leafgate/token" }
token = { env = "LEAFGATE_TOKEN" }
token = { credential = "token" }        # systemd: LoadCredential=token:/etc/leafgate/token
"""

import os
from pathlib import Path
from typing import Any

from gateway.settings.paths import path_of, read_file

SOURCES = ("file", "env", "credential")
LARGEST_FILE = 1 << 16


class Secret:
    """A value, equal to another of the same value. Its text never tells it. `path` is the file it was read from;
    `inline`: it stands in the configuration itself.
    """

    __slots__ = ("inline", "path", "value")

    def __init__(self, value: str, path: Path | None = None, *, inline: bool = False) -> None:
        self.value = value
        self.path = path
        self.inline = inline

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


def read_secret(given: Any) -> Secret:
    """The secret that a value of the file stands for. Raises ValueError with a sentence that does not repeat it."""
    if isinstance(given, str):
        return Secret(given, inline=True)
    if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in SOURCES:
        raise ValueError('a secret is a text, or { file = "…" }, { env = "…" } or { credential = "…" }')
    source, name = next(iter(given.items()))
    if not isinstance(name, str) or not name:
        raise ValueError(f"{source} names where the secret is, as a text")
    if source == "env":
        if name not in os.environ:
            raise ValueError(f"the environment has no variable {name}")
        value = os.environ[name]
        if not value or any("\ud800" <= letter <= "\udfff" for letter in value):  # As Python reads other bytes.
            raise ValueError(f"the variable {name} of the environment is empty, or not UTF-8 text")
        return Secret(value)
    if source == "credential":
        if "/" in name:
            raise ValueError("a credential is a name without /")
        path = credential_path(name)
        if path is None:
            raise ValueError("there are no credentials: systemd gives them to a unit with LoadCredential=")
        return _read_file(path)
    return _read_file(path_of(name))


def credential_path(name: str) -> Path | None:
    """Where systemd puts a credential; None where it gave the process none."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) / name if directory else None


def _read_file(path: Path) -> Secret:
    """What is in a file that only its owner and group may read, without the line end behind it."""
    content = read_file(path, LARGEST_FILE, secret=True)
    try:
        value = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    if not value:
        raise ValueError(f"{path} is empty")
    return Secret(value, path)
