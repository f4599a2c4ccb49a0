"""Payloads: bytes to values and back. What is no JSON is text."""

import math
from typing import Any

import msgspec

from gateway.rules.errors import MessageError

# To read more takes longer than others should wait.
LARGEST_PAYLOAD = 65_536
# How a plain number, true, false, null, an object or an array begins in JSON.
JSON_BEGINS = frozenset(b'-0123456789{[tfn"')

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


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


def encode_object(values: dict[str, Any]) -> bytes:
    """An object; a number in it is finite. Raises MessageError."""
    for name, value in values.items():
        if type(value) is float and not math.isfinite(value):
            raise MessageError("no-result", f"{name} is no finite number")
    return encode(values)
