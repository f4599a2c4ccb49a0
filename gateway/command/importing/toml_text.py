"""TOML text of a configuration, as a person would write it: plain keys first, then tables, then arrays of tables."""

import json
from collections.abc import Iterator
from typing import Any


def toml_text(document: dict[str, Any]) -> str:
    return "\n".join(_table(document, "")).strip("\n") + "\n"


def _table(table: dict[str, Any], path: str) -> Iterator[str]:
    tables: list[tuple[str, dict[str, Any]]] = []
    arrays: list[tuple[str, list[dict[str, Any]]]] = []
    for key, value in table.items():
        name = f"{path}{_key(key)}"
        # At the top every table has a heading of its own.
        if isinstance(value, dict) and (not path or _is_large(value)):
            tables.append((name, value))
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value) and _have_headings(name):
            arrays.append((name, value))
        else:
            yield f"{_key(key)} = {_value(value)}"
    for name, inner in tables:
        yield ""
        yield f"[{name}]"
        yield from _table(inner, f"{name}.")
    for name, inners in arrays:
        for inner in inners:
            yield ""
            yield f"[[{name}]]"
            yield from _table(inner, f"{name}.")


# Tables of up to so many plain values stand on the line of their key.
FEW = 3


def _have_headings(name: str) -> bool:
    return not name.endswith('"')  # A mapping's list of destinations stands on its line.


def _is_large(table: dict[str, Any]) -> bool:
    return len(table) > FEW or any(isinstance(value, dict) for value in table.values())


def _key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)
