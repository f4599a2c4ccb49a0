"""Payloads: bytes to values and back. What is no JSON is text (hot)."""

import math
from collections.abc import Iterable
from typing import Any

import msgspec

try:
    import cython
except ImportError:
    from protocols import form as cython

from gateway.rules.errors import MessageError
from protocols.flat_json import FlatReader, FlatWriter

# To read more takes longer than others should wait.
LARGEST_PAYLOAD = 65_536
# How a plain number, true, false, null, an object or an array begins in JSON.
JSON_BEGINS = frozenset(b'-0123456789{[tfn"')
# Stands where a payload has nothing.
MISSING = object()

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Wanted:
    """What a rule wants of payloads: all of it, fields, or nothing. Each has its place in what `read` gives."""

    __slots__ = ("_flat", "_places", "_reader", "_whole", "count")

    def __init__(self) -> None:
        self.count = 0
        self._whole = -1
        self._places: dict[str, int] = {}
        self._flat: dict[bytes, int] = {}
        self._reader = FlatReader(self._flat)

    def whole(self) -> int:
        """The place of all that a payload is."""
        if self._whole < 0:
            self._whole = self.count
            self.count += 1
        return self._whole

    def field(self, name: str) -> int:
        """The place of a field; MISSING stands there where a payload has none, or is no object."""
        if name not in self._places:
            self._places[name] = self._flat[name.encode("utf-8", "replace")] = self.count
            self.count += 1
        return self._places[name]

    def read(self, payload: bytes) -> list[Any]:
        """Raises MessageError."""
        found: list[Any] = [MISSING] * self.count
        # Not compiled, msgspec is faster.
        if cython.compiled and self._whole < 0 and len(payload) <= LARGEST_PAYLOAD:
            if self._reader.read(payload, found):
                return found
            found = [MISSING] * self.count
        value = decode(payload)
        if self._whole >= 0:
            found[self._whole] = value
        if type(value) is dict:
            for name, place in self._places.items():
                found[place] = value.get(name, MISSING)
        return found


def decode(payload: bytes) -> Any:
    """The value that a payload is: JSON, else text. Raises MessageError."""
    if len(payload) > LARGEST_PAYLOAD:
        raise MessageError("too-large", f"the payload has more than {LARGEST_PAYLOAD} bytes")
    if payload and payload[0] in JSON_BEGINS:
        try:
            return _decode(payload)
        except (msgspec.DecodeError, RecursionError, ValueError):
            if payload[0] in b"{[":
                raise MessageError("not-json", "the payload is no JSON") from None
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise MessageError("not-text", "the payload is neither JSON nor text") from None


def encode(value: Any) -> bytes:
    """A number, text, true or false as they are, everything else as JSON. Raises MessageError."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            raise MessageError("no-result", "the result is no finite number")
        return _encode(value)
    if kind is str:
        return value.encode("utf-8", "replace")  # type: ignore[no-any-return]
    if value is None:
        raise MessageError("no-result", "the result is null")
    try:
        return _encode(value)
    except ValueError:  # Half of a surrogate pair, or an integer of thousands of digits.
        raise MessageError("no-result", "the result cannot be written as JSON") from None


class Made:
    """Objects whose fields have these names."""

    __slots__ = ("_names", "_writer")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = [*names]
        self._writer = FlatWriter(self._names)

    def value(self, values: list[Any]) -> dict[str, Any]:
        """The object with these values, one for each name."""
        return dict(zip(self._names, values, strict=True))

    def encode(self, values: list[Any]) -> bytes:
        """The same as JSON; a number in it is finite. Raises MessageError."""
        made = self._writer.write(values) if cython.compiled else None
        return encode_object(self.value(values)) if made is None else made


def encode_object(values: dict[str, Any]) -> bytes:
    """An object; a number in it is finite. Raises MessageError."""
    for name, value in values.items():
        if type(value) is float and not math.isfinite(value):
            raise MessageError("no-result", f"{name} is no finite number")
    return encode(values)
