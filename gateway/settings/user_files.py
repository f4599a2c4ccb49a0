"""User files: a directory of users beside those of the configuration, a file `<name>.toml` each.

A file holds one user, as a table of `[[users]]` does, without `name`: that is the file's. It holds no secret in clear:
an NKey is public, a password is a hash or a verifier of SCRAM.
"""

import os
import string
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError
from gateway.settings.credential_forms import is_hash

Value = str | bool | list[str]

SUFFIX = ".toml"
LARGEST_FILE = 1 << 16
MOST_USERS = 65_536
LONGEST_NAME = 128
IN_NAMES = frozenset(string.ascii_letters + string.digits + "_.@-")


def read_user_files(directory: Path) -> list[dict[str, Any]]:
    """The users there, by name, as the configuration's tables. Raises ConfigError."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == SUFFIX and not path.name.startswith("."))
    except (OSError, ValueError) as error:  # A ValueError is of a path that cannot be one.
        raise ConfigError(f"authentication.users-directory: {directory}: {reason_of(error)}") from None
    if len(paths) > MOST_USERS:
        raise ConfigError(f"authentication.users-directory: {directory} holds more than {MOST_USERS} users")
    return [_read(path) for path in paths]


def write_user_file(directory: Path, name: str, fields: Iterable[tuple[str, Value]]) -> Path:
    """Add a user who is not there yet; `fields` are keys, with dots in those of tables, and values.

    Raises ConfigError.
    """
    path = path_of(directory, name)
    lines = [f"{key} = {_toml(value)}" for key, value in fields]
    draft = directory / f".{name}.new"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # For the gateway, whoever runs it; what is in it is no secret.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # Never over another one.
        finally:
            draft.unlink()
    except FileExistsError:
        raise ConfigError(f"{path}: there is such a user; `leafgate device revoke {name}` removes it") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {reason_of(error)}") from None
    return path


def remove_user_file(directory: Path, name: str) -> None:
    """Raises ConfigError where there is no such user."""
    path = path_of(directory, name)
    try:
        path.unlink()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such user") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be removed: {reason_of(error)}") from None


def path_of(directory: Path, name: str) -> Path:
    if not is_name(name):
        raise ConfigError(f"{name!r} cannot be the name of a user's file: letters, digits, and _ . @ - within it")
    return directory / f"{name}{SUFFIX}"


def is_name(name: str) -> bool:
    """Whether a file may be called so."""
    return 0 < len(name) <= LONGEST_NAME and IN_NAMES.issuperset(name) and not name.startswith((".", "@"))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        user = tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {reason_of(error)}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: is no TOML") from None
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{path}: is longer than {LARGEST_FILE} bytes")
    name = path.name.removesuffix(SUFFIX)
    if not is_name(name) or user.get("name", name) != name:
        raise ConfigError(f"{path}: name: the user has the name of its file")
    password = user.get("password")
    if isinstance(password, str) and not is_hash(password):
        raise ConfigError(f"{path}: password: only a hash may stand here; `leafgate passwd` makes one")
    return {**user, "name": name}


def _toml(value: Value) -> str:
    """JSON's texts, lists and truth are TOML's, but for a character."""
    import json  # Only to write a file.

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def reason_of(error: OSError | ValueError) -> str:
    return ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
