"""The wire format of Protocol Buffers: fields of one message. What they mean is for whoever knows the message."""

import struct

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MASK64 = (1 << 64) - 1
MASK32 = (1 << 32) - 1
# Seven bits a byte: 64 bits are in ten.
LONGEST_VARINT = 10
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")

# The field's number, how it is written, and what stands there: a number for VARINT, else the bytes.
Field = tuple[int, int, int | bytes]


class ProtobufError(ValueError):
    """What is no message, in a sentence."""


class Budget:
    """How many fields may still be read: what one payload takes in memory is bounded by it, however it is nested."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ProtobufError("it has too many fields")


def read_fields(data: bytes, budget: Budget) -> list[Field]:
    """The fields of one message in their order. Raises ProtobufError."""
    fields: list[Field] = []
    at, end = 0, len(data)
    while at < end:
        budget.take(1)
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if not 0 < number < 1 << 29:
            raise ProtobufError("a field has a number that there is none of")
        if kind == VARINT:
            value, at = _varint(data, at)
        else:
            if kind == BYTES:
                size, at = _varint(data, at)
            elif kind in (FIXED64, FIXED32):
                size = 8 if kind == FIXED64 else 4
            else:
                raise ProtobufError("a field is written in a way that is not known")
            if size > end - at:
                raise ProtobufError("it ends within a field")
            value = data[at : at + size]
            at += size
        fields.append((number, kind, value))
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(at, min(at + LONGEST_VARINT, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & MASK64, index + 1
        shift += 7
    raise ProtobufError("a number does not end")


def as_float(data: bytes) -> float:
    number: float = _FLOAT.unpack(data)[0]
    return number


def as_double(data: bytes) -> float:
    number: float = _DOUBLE.unpack(data)[0]
    return number


def varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    return b"".join((varint(number << 3 | BYTES), varint(len(value)), value))


def float_field(number: int, value: float) -> bytes:
    return varint(number << 3 | FIXED32) + _FLOAT.pack(value)


def double_field(number: int, value: float) -> bytes:
    return varint(number << 3 | FIXED64) + _DOUBLE.pack(value)
