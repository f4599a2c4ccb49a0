"""Imported: what another server's configuration is in ours, and what of it has no counterpart."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Imported:
    """`document` is ours, as TOML has it; `notes` are sentences, `key: what became of it`."""

    document: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, key: str, sentence: str) -> None:
        self.notes.append(f"{key}: {sentence}")

    def put(self, section: str, key: str, value: Any) -> None:
        self.document.setdefault(section, {})[key] = value
