"""Query parameters: text to values, with an error that says which parameter is wrong and what was expected."""

import re
from collections.abc import Collection

INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
TRUE = frozenset(("1", "t", "T", "true", "True", "TRUE"))
FALSE = frozenset(("0", "f", "F", "false", "False", "FALSE"))


class ParameterError(Exception):
    """The text is for whoever sent the request."""


def integer(query: dict[str, str], name: str, default: int) -> int:
    """An absent or empty parameter is the default."""
    text = query.get(name, "")
    if not text:
        return default
    if not INTEGER.fullmatch(text):
        raise ParameterError(f"{name}: expected an integer, got {text!r}")
    return int(text)


def boolean(query: dict[str, str], name: str) -> bool:
    """An absent or empty parameter is false."""
    text = query.get(name, "")
    if text in TRUE:
        return True
    if text and text not in FALSE:
        raise ParameterError(f"{name}: expected a boolean such as 1 or 0, got {text!r}")
    return False


def choice(query: dict[str, str], name: str, choices: Collection[str], default: str) -> str:
    """An absent or empty parameter is the default."""
    text = query.get(name, "") or default
    if text not in choices:
        raise ParameterError(f"{name}: expected one of {', '.join(choices)}, got {text!r}")
    return text
