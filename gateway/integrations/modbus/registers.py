"""Registers: raw words to values and back, and which of them are read together. Pure functions."""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.settings.modbus import BIT_TABLES, MOST_IN_ANSWER, Register

# What one answer can hold (MODBUS Application Protocol 6.1): of bits.
MOST_BITS = 2000
FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f", "u64": ">Q", "i64": ">q", "f64": ">d"}
# Digits that say something: of a float of 32 bits, and of what was scaled.
SHORT_DIGITS, DIGITS = 7, 12

Value = int | float | bool | str


class RegisterError(ValueError):
    """What is no value of a register, in a sentence."""


@dataclass(frozen=True, slots=True)
class Block:
    """Registers of one table that are read with one request, every so many seconds."""

    table: str
    start: int
    count: int
    seconds: float
    registers: tuple[Register, ...]

    def __str__(self) -> str:
        return f"{self.table} {self.start} to {self.start + self.count - 1}"


def blocks_of(registers: Iterable[Register], seconds: float, gap: int) -> list[Block]:
    """What is read together: neighbours with no more than a gap between them, as far as an answer can hold them."""
    groups: dict[tuple[str, float], list[Register]] = {}
    for register in registers:
        groups.setdefault((register.table, register.poll_seconds or seconds), []).append(register)
    found: list[Block] = []
    for (table, each), group in groups.items():
        most = MOST_BITS if table in BIT_TABLES else MOST_IN_ANSWER
        row: list[Register] = []
        start = end = 0
        for register in sorted(group, key=lambda one: (one.address, one.width)):
            new_end = max(end, register.address + register.width)
            if row and (register.address > end + gap or new_end - start > most):
                found.append(Block(table, start, end - start, each, tuple(row)))
                row = []
            if not row:
                start, new_end = register.address, register.address + register.width
            row.append(register)
            end = new_end
        found.append(Block(table, start, end - start, each, tuple(row)))
    return found


def value_of(register: Register, raw: list[int] | list[bool], start: int) -> Value:
    """The value of a register in an answer that begins at `start`. Raises RegisterError."""
    at = register.address - start
    words = raw[at : at + register.width]
    if len(words) < register.width:
        raise RegisterError("the answer is too short")
    if register.table in BIT_TABLES:
        return bool(words[0])
    data = _in_order(register, b"".join([int(word).to_bytes(2, "big") for word in words]))
    if register.type == "text":
        return data.split(b"\0", 1)[0].decode("utf-8", "replace").rstrip()
    number: int | float = struct.unpack(FORMATS[register.type], data)[0]
    if isinstance(number, float):
        if not math.isfinite(number):
            raise RegisterError("the register holds no number")
        if register.type == "f32":
            number = _rounded(number, SHORT_DIGITS)
    if register.scale == 1 and not register.offset:
        return number
    return _rounded(number * register.scale + register.offset, DIGITS)


def words_of(register: Register, value: object) -> list[int]:
    """What is written for a value; of a coil one number. Raises RegisterError."""
    if register.table in BIT_TABLES:
        if type(value) is bool or (type(value) is int and value in (0, 1)):
            return [int(value)]
        raise RegisterError("a coil is written true or false")
    if type(value) is not int and type(value) is not float:
        raise RegisterError("a register is written a number")
    number = (value - register.offset) / register.scale if register.scale != 1 or register.offset else value
    try:
        data = struct.pack(FORMATS[register.type], number if register.type.startswith("f") else round(number))
    except (struct.error, OverflowError, ValueError):
        raise RegisterError(f"{value:g} does not fit into {register.type}") from None
    data = _in_order(register, data)
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _in_order(register: Register, data: bytes) -> bytes:
    """Words and bytes as the device has them become big-endian ones, and the other way round."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if register.byte_order == "little":
        words = [word[::-1] for word in words]
    if register.word_order == "little" and register.type != "text":
        words.reverse()
    return b"".join(words)


def _rounded(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")
