"""The tables of a nats-server's configuration while they are read, and what has become of them so far."""

from pathlib import Path
from typing import Any

from gateway.command.importing.imported import Imported
from gateway.command.importing.nats_dialect import go_seconds
from gateway.errors import ConfigError

NONE = "has no counterpart"

Table = dict[str, Any]


class NatsTables:
    """`document` is what stands in the file, `imported` what is made of it. Paths are those of nats-server's keys."""

    def __init__(self, document: Table, path: Path) -> None:
        self.document = {key.lower(): value for key, value in document.items()}
        self.path = path
        self.imported = Imported()

    def seconds(self, path: str, value: Any) -> float:
        """A number of them, or a duration as Go writes it. Raises ConfigError."""
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ConfigError(f"{self.path}: {path}: {value!r} is no duration")
        seconds = go_seconds(value) if isinstance(value, str) else float(value)
        if seconds is None:
            raise ConfigError(f"{self.path}: {path}: {value!r} is no duration")
        return seconds

    def rest(self, path: str, table: Table, known: set[str]) -> None:
        """Note what nobody has read."""
        for key in table:
            if key.lower() not in known:
                self.imported.note(f"{path}.{key}", NONE)
