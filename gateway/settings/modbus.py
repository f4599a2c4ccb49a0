"""The keys of `[[modbus]]`: a device whose registers are polled into subjects, and written from them."""

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.settings.addresses import split_address
from gateway.settings.file import KeyedValueError
from gateway.settings.integration import Integration
from gateway.settings.units import Seconds
from protocols.foreign_text import is_legal_literal

PORT = 502
# Registers of 16 bits by type; a text has as many as it is long.
WIDTHS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2, "u64": 4, "i64": 4, "f64": 4}
BIT_TABLES = ("coil", "discrete")
WRITABLE = ("holding", "coil")
MOST_REGISTERS = 1000
# What one answer can hold (MODBUS Application Protocol 6.3): of registers.
MOST_IN_ANSWER = 125


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One value of a device. Its number is `raw * scale + offset`; `address` counts from 0, as on the wire."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    address: Annotated[int, Meta(ge=0, le=65_535)]
    table: Literal["holding", "input", "coil", "discrete"] = "holding"
    type: Literal["u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64", "text"] = "u16"
    words: Annotated[int, Meta(ge=0, le=MOST_IN_ANSWER)] = 0
    word_order: Literal["big", "little"] = "big"
    byte_order: Literal["big", "little"] = "big"
    scale: float = 1.0
    offset: float = 0.0
    poll_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    writable: bool = False

    def __post_init__(self) -> None:
        if not is_legal_literal(self.name.encode()) or self.name == "presence":
            raise KeyedValueError("name", f"{self.name!r} is no end of a subject, as pump.speed")
        if (self.type == "text") != (self.words > 0):
            raise KeyedValueError("words", "it is how many registers a text has, two bytes in each")
        if self.address + self.width > 65_536:
            raise KeyedValueError("address", f"its {self.width} registers would end behind 65535")
        if self.table in BIT_TABLES and (self.type != "u16" or self.scale != 1 or self.offset):
            raise KeyedValueError("type", f"a {self.table} is true or false")
        if self.writable and self.table not in WRITABLE:
            raise KeyedValueError("writable", f"registers of the table {self.table} can only be read")
        if self.writable and self.type == "text":
            raise KeyedValueError("writable", "texts are only read")
        if not self.scale or abs(self.scale) > 1e12:
            raise KeyedValueError("scale", "by it a number is multiplied; it is not 0")

    @property
    def width(self) -> int:
        """How many registers, or bits, it takes."""
        return self.words or (1 if self.table in BIT_TABLES else WIDTHS[self.type])


class Modbus(Integration, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One device: `tcp://host[:port]`, or `rtu:///dev/tty…` with the settings of the line. Values go to the subject and
    the name of the register; a writable one is written by a request on that with `.set` behind it.
    """

    kind: ClassVar[str] = "modbus"
    library: ClassVar[tuple[str, str]] = ("pymodbus", "modbus")

    url: str
    subject: Annotated[str, Meta(min_length=1, max_length=512)]
    registers: tuple[Register, ...]
    unit: Annotated[int, Meta(ge=0, le=255)] = 1
    poll_seconds: Annotated[float, Meta(ge=0.01, le=86_400)] = 10.0
    answer_timeout_seconds: Seconds = 1.0
    publish: Literal["changes", "all"] = "all"
    retain: bool = False
    max_gap: Annotated[int, Meta(ge=0, le=MOST_IN_ANSWER)] = 8
    baud: Annotated[int, Meta(ge=50, le=12_000_000)] = 9600
    parity: Literal["N", "E", "O"] = "E"
    stop_bits: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        if self.subjects or self.stream:
            raise KeyedValueError("subjects", "a device takes no messages but requests to write registers")
        _check_url(self.url)
        if not is_legal_literal(self.subject.encode()) or self.subject.startswith(("$", "_")):
            raise KeyedValueError("subject", f"{self.subject!r} is no subject, as plant.pump")
        if not 0 < len(self.registers) <= MOST_REGISTERS:
            raise KeyedValueError("registers", f"a device has 1 to {MOST_REGISTERS}")
        places: dict[str, int] = {}
        for index, register in enumerate(self.registers):
            if register.name in places:
                raise KeyedValueError(
                    f"registers[{index}].name", f"registers[{places[register.name]}] is {register.name!r} too"
                )
            places[register.name] = index

    @property
    def host_and_port(self) -> tuple[str, int] | None:
        """None for a line."""
        parts = urlsplit(self.url)
        if parts.scheme != "tcp":
            return None
        host, port = split_address(parts.netloc)
        return host, port or PORT

    @property
    def line(self) -> str:
        """The path of the serial port."""
        return urlsplit(self.url).path


def _check_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        good = (parts.scheme == "tcp" and bool(split_address(parts.netloc)[0]) and parts.path in ("", "/")) or (
            parts.scheme == "rtu" and not parts.netloc and len(parts.path) > 1
        )
    except ValueError:
        good = False
    if not good:
        raise KeyedValueError("url", f"{text!r} is none: write tcp://host:502 or rtu:///dev/ttyUSB0")
