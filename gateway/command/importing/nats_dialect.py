"""The dialect of nats-server's configuration files: maps, arrays and scalars, with comments, variables and includes.

JSON is valid in it. A key is followed by `=`, `:` or white space; entries end at a line's end, `,` or `;`.
"""

import os
import re
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError

SPACE = " \t\r"
BLANK = SPACE + "\n"
# What ends a text without quotes.
ENDS = frozenset(BLANK + ",;]}")
KEY_ENDS = frozenset(BLANK + "=:{")
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "\\": "\\"}
NUMBER = re.compile(r"(-?[0-9]+)([a-z]{0,3})", re.IGNORECASE)
FLOAT = re.compile(r"-?[0-9]+\.[0-9]+")
VARIABLE = re.compile(r"\$([A-Za-z0-9_]+)")
BCRYPT = "$2a$"
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")
LETTERS = "kmgtpe"
MOST_INCLUDES = 16


def read_nats_file(path: Path) -> dict[str, Any]:
    """The map that a file holds, without what is there to be a variable. Raises ConfigError, `file:line: sentence`."""
    used: set[str] = set()
    found = _read_file(path, 0, [], used)
    return {key: value for key, value in found.items() if key not in used}


def _read_file(path: Path, depth: int, known: list[dict[str, Any]], used: set[str]) -> dict[str, Any]:
    if depth > MOST_INCLUDES:
        raise ConfigError(f"{path}: files include each other too deeply")
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    return Reader(text, path, depth, known, used).read()


class Reader:
    """Reads one file. Its variables are looked for in `known`, the maps around it, and their names noted in `used`."""

    def __init__(self, text: str, path: Path, depth: int, known: list[dict[str, Any]], used: set[str]) -> None:
        self._text = text
        self._path = path
        self._depth = depth
        self._maps = list(known)
        self._used = used
        self._at = 0

    def read(self) -> dict[str, Any]:
        self._skip(BLANK)
        wrapped = self._peek() == "{"
        if wrapped:
            self._at += 1
        found: dict[str, Any] = {}
        self._read_entries(found, "}" if wrapped else "")
        self._skip(BLANK)
        if self._at < len(self._text):
            raise self._fault("something follows the closing brace")
        return found

    def _read_entries(self, found: dict[str, Any], end: str) -> None:
        self._maps.append(found)
        while True:
            self._skip(BLANK + ",;")
            if not self._peek():
                if end:
                    raise self._fault(f"{end} is missing")
                break
            if end and self._peek() == end:
                self._at += 1
                break
            key = self._read_key()
            if key == "include" and self._peek() not in ("=", ":"):
                found.update(self._include())
                continue
            self._skip(SPACE)
            if self._peek() in ("=", ":"):
                self._at += 1
            self._skip(BLANK)
            found[key] = self._read_value()
        self._maps.pop()

    def _include(self) -> dict[str, Any]:
        self._skip(SPACE)
        name = self._read_value()
        if not isinstance(name, str):
            raise self._fault("include names a file")
        return _read_file(self._path.parent / name, self._depth + 1, self._maps, self._used)

    def _read_key(self) -> str:
        quote = self._peek()
        if quote in ('"', "'"):
            key = self._read_quoted(quote)
        else:
            start = self._at
            while self._peek() and self._peek() not in KEY_ENDS:
                self._at += 1
            key = self._text[start : self._at]
        if not key:
            raise self._fault(f"a key is expected, not {self._peek()!r}")
        self._skip(SPACE)
        return key

    def _read_value(self) -> Any:
        first = self._peek()
        if first == "{":
            self._at += 1
            found: dict[str, Any] = {}
            self._read_entries(found, "}")
            return found
        if first == "[":
            return self._read_array()
        if first in ('"', "'"):
            return self._read_quoted(first)
        if first == "(":
            end = self._text.find("\n)", self._at)
            if end < 0:
                raise self._fault(") is missing on a line of its own")
            block = self._text[self._at + 1 : end]
            self._at = end + 2
            return block.strip("\n")
        start = self._at
        while self._peek() and self._peek() not in ENDS:
            self._at += 1
        text = self._text[start : self._at]
        if not text:
            raise self._fault("a value is missing")
        return self._scalar(text)

    def _read_array(self) -> list[Any]:
        self._at += 1
        found: list[Any] = []
        while True:
            self._skip(BLANK + ",")
            if not self._peek():
                raise self._fault("] is missing")
            if self._peek() == "]":
                self._at += 1
                return found
            found.append(self._read_value())

    def _read_quoted(self, quote: str) -> str:
        self._at += 1
        start = self._at
        if quote == "'":
            end = self._text.find("'", start)
            if end < 0:
                raise self._fault("a quote is not closed")
            self._at = end + 1
            return self._text[start:end]
        pieces: list[str] = []
        while True:
            character = self._peek()
            if character in ("", "\n"):
                raise self._fault("a quote is not closed")
            self._at += 1
            if character == '"':
                return "".join(pieces)
            if character != "\\":
                pieces.append(character)
                continue
            escape = self._peek()
            self._at += 1
            if escape == "x":
                digits = self._text[self._at : self._at + 2]
                self._at += 2
                try:
                    pieces.append(chr(int(digits, 16)))
                except ValueError:
                    raise self._fault("\\x takes two hexadecimal digits") from None
            elif escape in ESCAPES:
                pieces.append(ESCAPES[escape])
            else:
                raise self._fault(f"\\{escape} is no escape")

    def _scalar(self, text: str) -> Any:
        variable = VARIABLE.fullmatch(text)
        if variable is not None and not text.startswith(BCRYPT):
            return self._variable(variable[1])
        lowered = text.lower()
        if lowered in TRUE:
            return True
        if lowered in FALSE:
            return False
        number = NUMBER.fullmatch(text)
        if number is not None:
            factor = _factor(number[2].lower())
            if factor:
                return int(number[1]) * factor
        return float(text) if FLOAT.fullmatch(text) else text

    def _variable(self, name: str) -> Any:
        for around in reversed(self._maps):
            if name in around:
                self._used.add(name)
                return around[name]
        if name in os.environ:
            text = f"value = {os.environ[name]}"
            return Reader(text, self._path, self._depth + 1, [], set()).read()["value"]
        raise self._fault(f"the variable {name} is not set")

    def _skip(self, characters: str) -> None:
        """Go on behind these characters, and comments."""
        while True:
            while self._peek() and self._peek() in characters:
                self._at += 1
            if self._peek() != "#" and not self._text.startswith("//", self._at):
                return
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _fault(self, sentence: str) -> ConfigError:
        line = self._text.count("\n", 0, self._at) + 1
        return ConfigError(f"{self._path}:{line}: {sentence}")


def _factor(suffix: str) -> int:
    """What a number with a suffix is multiplied by; 0 where it is none: `k` is a thousand, `kb` and `ki` are 1024."""
    if not suffix:
        return 1
    power = LETTERS.find(suffix[0]) + 1
    if not power or suffix[1:] not in ("", "b", "i", "ib"):
        return 0
    return int((1000 if len(suffix) == 1 else 1024) ** power)


def go_seconds(text: str) -> float | None:
    """The seconds of a duration as Go writes it, `1m30s`; None where it is none."""
    total, rest = 0.0, text.strip()
    if not rest:
        return None
    while rest:
        part = DURATION.match(rest)
        if part is None:
            return None
        total += float(part[1]) * UNITS[part[2]]
        rest = rest[part.end() :]
    return total


DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
