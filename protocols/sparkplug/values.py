"""Values of metrics by their data types (Sparkplug 3.0, 6.4.16), as Python's and as JSON's, and back."""

import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping

from protocols.sparkplug.payload import (
    BOOLEAN,
    BYTES_VALUE,
    DATASET,
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    NO_VALUE,
    STRING,
    TEMPLATE,
    DataSet,
    Metric,
    Property,
    Template,
)

UNKNOWN = 0
_WORDS = (
    "Unknown Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float Double Boolean String DateTime Text UUID DataSet "
    "Bytes File Template PropertySet PropertySetList Int8Array Int16Array Int32Array Int64Array UInt8Array UInt16Array "
    "UInt32Array UInt64Array FloatArray DoubleArray BooleanArray StringArray DateTimeArray"
)
NAMES = _WORDS.split()
TYPES = {name: number for number, name in enumerate(NAMES)}
# How many bits an integer has; those of signed ones are in two's complement, as wide as their writer likes.
SIGNED = {TYPES["Int8"]: 8, TYPES["Int16"]: 16, TYPES["Int32"]: 32, TYPES["Int64"]: 64}
UNSIGNED = {TYPES["UInt8"]: 8, TYPES["UInt16"]: 16, TYPES["UInt32"]: 32, TYPES["UInt64"]: 64, TYPES["DateTime"]: 64}
REALS = {TYPES["Float"]: FLOAT, TYPES["Double"]: DOUBLE}
TEXTS = (TYPES["String"], TYPES["Text"], TYPES["UUID"])
RAW = (TYPES["Bytes"], TYPES["File"])
# How the elements of an array are packed, little-endian.
ARRAYS = {
    TYPES[f"{name}Array"]: struct.Struct(f"<{letter}")
    for name, letter in zip(
        ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "DateTime"),
        "bhiqBHIQfdQ",
        strict=True,
    )
}
BOOLEANS, STRINGS = TYPES["BooleanArray"], TYPES["StringArray"]
# Those that somebody may write out of a number or a text.
PLAIN = (*SIGNED, *UNSIGNED, *REALS, TYPES["Boolean"], *TEXTS)
PLAIN_NAMES = tuple(NAMES[number] for number in PLAIN)
LARGEST_FLOAT = 3.4028234663852886e38
# What the type is of a value that is said without one.
BY_FIELD = {
    INT: TYPES["Int64"],
    LONG: TYPES["Int64"],
    FLOAT: TYPES["Float"],
    DOUBLE: TYPES["Double"],
    BOOLEAN: TYPES["Boolean"],
    STRING: TYPES["String"],
    BYTES_VALUE: TYPES["Bytes"],
    DATASET: TYPES["DataSet"],
    TEMPLATE: TYPES["Template"],
}

Json = int | float | bool | str | list["Json"] | dict[str, "Json"] | None


class ValueTypeError(ValueError):
    """A value is none of its type, in a sentence."""


def type_name(datatype: int) -> str:
    return NAMES[datatype] if 0 <= datatype < len(NAMES) else f"type {datatype}"


def value_of(metric: Metric, datatype: int) -> Json:
    """What a metric says, as JSON has it: bytes in base64, times in milliseconds, None where it is null. Raises
    ValueTypeError.
    """
    value = metric.value
    if metric.is_null or metric.field == NO_VALUE:
        return None
    if isinstance(value, DataSet):
        return _dataset(value)
    if isinstance(value, Template):
        return _template(value)
    return _meant(value, datatype or BY_FIELD[metric.field])


def _meant(value: object, datatype: int) -> Json:
    if isinstance(value, bytes):
        return _packed(value, datatype)
    if isinstance(value, str):
        if datatype in SIGNED or datatype in UNSIGNED or datatype in REALS:
            raise ValueTypeError(f"a {type_name(datatype)} is told as a text")
        return value
    if datatype in SIGNED and type(value) is int:
        bits = SIGNED[datatype]
        low = value & ((1 << bits) - 1)
        return low - (1 << bits) if low >> (bits - 1) else low
    if datatype == TYPES["Boolean"]:
        return bool(value)
    if datatype in REALS and isinstance(value, int | float):
        return float(value)
    if datatype in TEXTS:
        raise ValueTypeError(f"a {type_name(datatype)} is told as a number")
    assert isinstance(value, int | float)
    return value


def _packed(data: bytes, datatype: int) -> Json:
    if datatype in ARRAYS:
        packer = ARRAYS[datatype]
        if len(data) % packer.size:
            raise ValueTypeError(f"a {type_name(datatype)} ends within an element")
        return [one[0] for one in packer.iter_unpack(data)]
    if datatype == BOOLEANS:
        count = int.from_bytes(data[:4], "little")
        if len(data) < 4 or count > 8 * (len(data) - 4):
            raise ValueTypeError("a BooleanArray has not as many elements as it says")
        return [bool(data[4 + index // 8] >> (7 - index % 8) & 1) for index in range(count)]
    if datatype == STRINGS:
        try:
            return [one.decode() for one in data.split(b"\0")[:-1]]
        except UnicodeDecodeError:
            raise ValueTypeError("a text of a StringArray is not UTF-8") from None
    return b64encode(data).decode()


def _dataset(found: DataSet) -> Json:
    types = found.types if len(found.types) == len(found.columns) else [UNKNOWN] * len(found.columns)
    rows: list[Json] = []
    for row in found.rows:
        if len(row) != len(found.columns):
            raise ValueTypeError("a row of a DataSet has not as many values as there are columns")
        rows.append([None if one is None else _meant(one, kind) for one, kind in zip(row, types, strict=True)])
    return {"columns": [*found.columns], "types": [type_name(one) for one in types], "rows": rows}


def _template(found: Template) -> Json:
    told: dict[str, Json] = {}
    if found.reference:
        told["template"] = found.reference
    if found.version:
        told["version"] = found.version
    if found.is_definition:
        told["definition"] = True
    told["metrics"] = {one.name or str(one.alias or 0): value_of(one, one.datatype) for one in found.metrics}
    if found.parameters:
        told["parameters"] = {
            one.name: None if one.value is None else _meant(one.value, one.datatype) for one in found.parameters
        }
    return told


def properties_as_json(properties: Mapping[str, Property]) -> Json:
    """Raises ValueTypeError."""
    return {name: _property(one) for name, one in properties.items()}


def _property(one: Property) -> Json:
    value = one.value
    if one.is_null or value is None:
        return None
    if isinstance(value, dict):
        return properties_as_json(value)
    if isinstance(value, list):
        return [properties_as_json(inner) for inner in value]
    return _meant(value, one.datatype)


def set_value(metric: Metric, datatype: int, value: object) -> None:
    """Have a metric of a plain type say a value that JSON has. Raises ValueTypeError."""
    metric.datatype = datatype
    if value is None:
        metric.is_null = True
        metric.field, metric.value = NO_VALUE, None
        return
    metric.field, metric.value = _written(datatype, value)


def _written(datatype: int, value: object) -> tuple[int, int | float | bool | str | bytes]:
    name = type_name(datatype)
    if datatype in TEXTS and isinstance(value, str):
        return STRING, value
    if datatype == TYPES["Boolean"] and isinstance(value, bool | int) and value in (0, 1):
        return BOOLEAN, bool(value)
    if datatype in RAW and isinstance(value, str):
        try:
            return BYTES_VALUE, b64decode(value, validate=True)
        except ValueError:
            raise ValueTypeError(f"a {name} is base64") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueTypeError(f"it is no {name}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueTypeError(f"it is no {name}")
    if datatype in REALS:
        if datatype == TYPES["Float"] and abs(value) > LARGEST_FLOAT:
            raise ValueTypeError(f"it does not fit into {name}")
        return REALS[datatype], _as_real(value, name)
    if value != int(value):
        raise ValueTypeError(f"a {name} is a whole number")
    whole = int(value)
    if datatype in SIGNED:
        bits = SIGNED[datatype]
        if not -(1 << (bits - 1)) <= whole < 1 << (bits - 1):
            raise ValueTypeError(f"it does not fit into {name}")
        return (LONG if bits == 64 else INT), whole & ((1 << bits) - 1)
    if datatype in UNSIGNED:
        bits = UNSIGNED[datatype]
        if not 0 <= whole < 1 << bits:
            raise ValueTypeError(f"it does not fit into {name}")
        return (LONG if bits == 64 else INT), whole
    raise ValueTypeError(f"it is no {name}")


def _as_real(value: float, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueTypeError(f"it does not fit into {name}") from None


def type_of(value: object) -> int:
    """The type that a value is given that nothing is said of; UNKNOWN where there is none for it."""
    if isinstance(value, bool):
        return TYPES["Boolean"]
    if isinstance(value, int | float):
        return TYPES["Double"]
    return TYPES["String"] if isinstance(value, str) else UNKNOWN
