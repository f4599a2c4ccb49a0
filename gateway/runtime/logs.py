"""Logs: `key=value` text or JSON lines on standard error; lines that come again and again are counted instead."""

import logging
import re
import sys
import time
from collections.abc import Hashable

import trio

from gateway.runtime.deadlines import Deadlines
from gateway.settings.logs import Logging

# No line is longer, whatever a peer calls itself; what follows it, a traceback, is ours.
LONGEST_LINE = 2048
# Of a name that a peer gave itself so much is shown.
SHOWN_BYTES = 64
REPEAT_SECONDS = 60.0
# Keys that are told apart at a time; what comes under further ones is one line for each text.
MOST_KEYS = 1000
# What our own lines are made of: key=value, the value bare or as Python's repr. Quotes and backslashes begin no second
# alternative, so that the search is linear.
FIELD = re.compile(r"""(?<!\S)([a-z][a-z0-9_-]*)=(b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|\S*)""")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: the `key=value` pairs of the message are fields, all of them strings or numbers."""

    def __init__(self) -> None:
        from json import dumps

        super().__init__()
        self._encode = dumps

    def format(self, record: logging.LogRecord) -> str:
        entry = fields_of(record)
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return self._encode(entry)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """A line as an object: what stands in it as key=value are fields, too."""
    message = shorten(record.getMessage(), LONGEST_LINE)
    entry: dict[str, object] = {
        "time": timestamp(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": message,
    }
    for key, value in FIELD.findall(message):
        entry.setdefault(key, value_of(value))
    return entry


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = shorten(record.getMessage(), LONGEST_LINE)
        line = f"{timestamp(record)} {record.levelname.lower():<7} {record.name} {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Repeats:
    """Writes lines that may come again and again: of each key a few within a minute, and at its end, with `times=`, how
    often others came.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._keys: dict[Hashable, Repeated] = {}

    def log(
        self, logger: logging.Logger, level: int, key: Hashable, text: str, *arguments: object, allowance: int = 1
    ) -> None:
        """Write the line, or count it when `allowance` of its key were written within the minute."""
        repeated = self._keys.get(key)
        if repeated is None and len(self._keys) >= MOST_KEYS:
            key = text
            repeated = self._keys.get(key)
        if repeated is None:
            repeated = self._keys[key] = Repeated(logger, level)
            self._end_later(key)
        if repeated.written < allowance:
            repeated.written += 1
            logger.log(level, text, *arguments)
        else:
            repeated.text = text
            repeated.arguments = arguments
            repeated.count += 1

    def _end_later(self, key: Hashable) -> None:
        self._deadlines.call_at(trio.current_time() + REPEAT_SECONDS, lambda _: self._end_minute(key))

    def _end_minute(self, key: Hashable) -> None:
        repeated = self._keys[key]
        if not repeated.count:
            del self._keys[key]
            return
        repeated.logger.log(repeated.level, f"{repeated.text} times=%d", *repeated.arguments, repeated.count)
        repeated.count = 0
        repeated.written = 1
        self._end_later(key)


class Repeated:
    """A line that came more often than it was written: the last of those that were only counted."""

    __slots__ = ("arguments", "count", "level", "logger", "text", "written")

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self.logger = logger
        self.level = level
        self.text = ""
        self.arguments: tuple[object, ...] = ()
        self.written = 0
        self.count = 0


def shorten(text: str, most: int) -> str:
    """A text cut at so many characters, with the number of those that are left out."""
    return text if len(text) <= most else f"{text[:most]}...(+{len(text) - most})"


def shown(name: bytes) -> str:
    """A name that a peer gave itself, quoted, at a length for people."""
    more = f"...(+{len(name) - SHOWN_BYTES} bytes)" if len(name) > SHOWN_BYTES else ""
    return repr(name[:SHOWN_BYTES].decode("utf-8", "backslashreplace") + more)


def value_of(text: str) -> str | int:
    """What stands behind a `key=`: a number, or text without the quotes of its repr."""
    if text.isascii() and text.isdigit():
        return int(text)
    bare = text.removeprefix("b") if text.startswith(("b'", 'b"')) else text
    return bare[1:-1] if len(bare) > 1 and bare[0] in "'\"" and bare[-1] == bare[0] else text


def timestamp(record: logging.LogRecord) -> str:
    """UTC, in milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def start_logging(config: Logging) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    logger = logging.getLogger("leafgate")
    # Those that publish it stay.
    logger.handlers[:] = [handler, *(one for one in logger.handlers if not isinstance(one, logging.StreamHandler))]
    logger.setLevel(config.level.upper())
    logger.propagate = False
