"""Reads a TOML file into structs and words every error as `file: path.to.key: sentence`. Knows no key by name."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from gateway.errors import ConfigError

T = TypeVar("T")

PATH_SUFFIX = re.compile(r"(?s)(?P<text>.*) - at `\$\.?(?P<path>.*)`")
POSITION_SUFFIX = re.compile(r"(?P<text>.*) \(at (?P<place>.*)\)")
UNKNOWN_KEY = re.compile(r"(?s)Object contains unknown field `(?P<key>.*)`")
MISSING_KEY = re.compile(r"Object missing required field `(?P<key>.*)`")
# Type names as msgspec says them, and as a person who writes TOML knows them.
TOML_TYPES = {"`int`": "an integer", "`float`": "a number", "`str`": "a string", "`bool`": "true or false"}
TOML_TYPES |= {"`array`": "an array", "`object`": "a table"}
# Where a path leads through a table with keys of anybody's choice, it does not say which.
UNNAMED = "[...]"
STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class KeyedValueError(ValueError):
    """A rule of a struct is broken: `key` is the struct's field as the file spells it."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(f"{key}: {sentence}")
        self.key = key
        self.sentence = sentence


def read_config_file(
    path: Path,
    shape: type[T],
    decode_value: Callable[[type, Any], Any],
    complete: Callable[[dict[str, Any]], None] = lambda document: None,
) -> T:
    """The file's content as a `shape`; `decode_value` makes values of types that TOML does not have, `complete` adds
    what stands in other files.

    Raises ConfigError for a file that cannot be read, is no TOML, or does not fit.
    """
    document = read_document(path)
    complete(document)
    try:
        return msgspec.convert(document, shape, dec_hook=decode_value)
    except msgspec.ValidationError as error:
        place, sentence = _explain(error, document, shape)
        raise ConfigError(f"{path}: {place}: {sentence}" if place else f"{path}: {sentence}") from None


def read_document(path: Path) -> dict[str, Any]:
    """The TOML of a file, as it stands there. Raises ConfigError for a file that cannot be read or is none."""
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start + 1})") from None
    except tomllib.TOMLDecodeError as error:
        match = POSITION_SUFFIX.fullmatch(str(error))
        sentence = f"{match['place']}: {match['text']}" if match else str(error)
        raise ConfigError(f"{path}: {sentence}") from None
    except ValueError:  # Python's own, where an integer has thousands of digits.
        raise ConfigError(f"{path}: there is an integer that is too long") from None
    except RecursionError:
        raise ConfigError(f"{path}: arrays or tables are nested too deeply") from None


def _explain(error: msgspec.ValidationError, document: dict[str, Any], shape: type) -> tuple[str, str]:
    """Path and sentence. The value is repeated only where it broke a range: elsewhere it could be a secret."""
    match = PATH_SUFFIX.fullmatch(str(error))
    text, path = (match["text"], match["path"]) if match else (str(error), "")
    if isinstance(error.__cause__, KeyedValueError):
        return _join(path, error.__cause__.key), error.__cause__.sentence
    if isinstance(error.__cause__, ValueError):
        return path, text
    if match := UNKNOWN_KEY.fullmatch(text):
        return _join(path, match["key"]), f"unknown key{_suggest(match['key'], _type_at(shape, path))}"
    if match := MISSING_KEY.fullmatch(text):
        return _join(path, match["key"]), "missing"
    sentence = text[0].lower() + text[1:]
    for name, meaning in TOML_TYPES.items():
        sentence = sentence.replace(name, meaning)
    kind = _type_at(shape, path)
    if isinstance(kind, inspect.LiteralType) and "got" not in sentence:
        sentence = f"expected {' or '.join(str(value) for value in kind.values)}"
    if "got" not in sentence and UNNAMED not in path:
        sentence = f"{sentence}, got {_value_at(document, path)!r}"
    return path, sentence


def _suggest(key: str, table: inspect.Type) -> str:
    names = [field.encode_name for field in table.fields] if isinstance(table, inspect.StructType) else []
    import difflib  # Only to explain a mistake.

    close = difflib.get_close_matches(key, names, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _type_at(shape: type, path: str) -> inspect.Type:
    kind = inspect.type_info(shape)
    for index, key in STEP.findall(path):
        if index and isinstance(kind, inspect.VarTupleType):
            kind = kind.item_type
        elif isinstance(kind, inspect.StructType):
            kind = next(field.type for field in kind.fields if field.encode_name == key)
    return kind


def _value_at(document: Any, path: str) -> Any:
    for index, key in STEP.findall(path):
        document = document[int(index)] if index else document[key]
    return document
