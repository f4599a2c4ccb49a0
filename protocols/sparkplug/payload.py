"""Payloads of Sparkplug B, to and from bytes: Eclipse Tahu's sparkplug_b.proto, whose field numbers stand here.

What a message's bytes say is kept as it is: which field a value stands in (`field`), and that as a number, text or
bytes. What it means by its data type is `protocols.sparkplug.values`. Fields that are not known are passed over.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from protocols.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    MASK32,
    VARINT,
    Budget,
    Field,
    ProtobufError,
    as_double,
    as_float,
    bytes_field,
    double_field,
    float_field,
    number_field,
    read_fields,
)

# Of one payload, with all that is within its metrics.
MOST_FIELDS = 200_000
# Templates within templates, property sets within property sets.
DEEPEST = 16
# The fields that a value may stand in, in a metric; those of the other messages begin at other numbers, in this order.
INT, LONG, FLOAT, DOUBLE, BOOLEAN, STRING, BYTES_VALUE, DATASET, TEMPLATE = range(10, 19)
# Where a property's and a parameter's values begin, and a data set's; less INT.
PROPERTY_SHIFT, CELL_SHIFT = 3 - INT, 1 - INT
PROPERTY_SET, PROPERTY_SETS = 9, 10
NO_VALUE = 0

Scalar = int | float | bool | str


class DataSet(Struct):
    """Rows of as many values as there are columns; `types` are the data types of the columns."""

    columns: list[str] = []
    types: list[int] = []
    rows: list[list[Scalar | None]] = []


class Parameter(Struct):
    name: str = ""
    datatype: int = 0
    value: Scalar | None = None


class Template(Struct):
    """A definition, or an instance of the one that `reference` names."""

    version: str | None = None
    metrics: "list[Metric]" = []
    parameters: list[Parameter] = []
    reference: str | None = None
    is_definition: bool = False


class Property(Struct):
    """`value` may be a set of properties, or a list of such sets."""

    datatype: int = 0
    is_null: bool = False
    value: "Scalar | dict[str, Property] | list[dict[str, Property]] | None" = None


class MetaData(Struct):
    is_multi_part: bool = False
    content_type: str = ""
    size: int = 0
    seq: int = 0
    file_name: str = ""
    file_type: str = ""
    md5: str = ""
    description: str = ""


class Metric(Struct):
    """`field` is where the value stands: INT, LONG and so on, or NO_VALUE. `timestamp` is in milliseconds."""

    name: str | None = None
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    is_historical: bool = False
    is_transient: bool = False
    is_null: bool = False
    metadata: MetaData | None = None
    properties: dict[str, Property] | None = None
    field: int = NO_VALUE
    value: "Scalar | bytes | DataSet | Template | None" = None


class Payload(Struct):
    timestamp: int | None = None
    metrics: list[Metric] = []
    seq: int | None = None
    uuid: str = ""
    body: bytes = b""


def decode_payload(data: bytes) -> Payload:
    """Raises ProtobufError, and nothing else, for bytes that are no payload."""
    budget = Budget(MOST_FIELDS)
    payload = Payload(metrics=[])
    for number, kind, value in read_fields(data, budget):
        if number == 1 and kind == VARINT:
            payload.timestamp = _number(value)
        elif number == 2 and kind == BYTES:
            payload.metrics.append(_read_metric(_bytes(value), budget, DEEPEST))
        elif number == 3 and kind == VARINT:
            payload.seq = _number(value)
        elif number == 4 and kind == BYTES:
            payload.uuid = _text(value)
        elif number == 5 and kind == BYTES:
            payload.body = _bytes(value)
    return payload


def _read_metric(data: bytes, budget: Budget, depth: int) -> Metric:
    metric = Metric()
    for field in read_fields(data, budget):
        number, kind, value = field
        if kind == VARINT and number in _METRIC_NUMBERS:
            setattr(metric, *_METRIC_NUMBERS[number](_number(value)))
        elif kind == BYTES and number == 1:
            metric.name = _text(value)
        elif kind == BYTES and number == 8:
            metric.metadata = _read_metadata(_bytes(value), budget)
        elif kind == BYTES and number == 9:
            metric.properties = _read_properties(_bytes(value), budget, _deeper(depth))
        elif kind == BYTES and number == BYTES_VALUE:
            metric.field, metric.value = number, _bytes(value)
        elif kind == BYTES and number == DATASET:
            metric.field, metric.value = number, _read_dataset(_bytes(value), budget)
        elif kind == BYTES and number == TEMPLATE:
            metric.field, metric.value = number, _read_template(_bytes(value), budget, _deeper(depth))
        elif (found := _scalar(field, 0)) is not None:
            metric.field, metric.value = number, found
    return metric


_METRIC_NUMBERS: dict[int, Callable[[int], tuple[str, int | bool]]] = {
    2: lambda value: ("alias", value),
    3: lambda value: ("timestamp", value),
    4: lambda value: ("datatype", value & MASK32),
    5: lambda value: ("is_historical", value != 0),
    6: lambda value: ("is_transient", value != 0),
    7: lambda value: ("is_null", value != 0),
}


def _scalar(field: Field, shift: int) -> Scalar | None:
    """The value in a field that holds a plain one; None for another field."""
    number, kind, value = field
    number -= shift
    if kind == VARINT:
        plain = _number(value)
        if number == INT:
            return plain & MASK32
        if number == LONG:
            return plain
        return plain != 0 if number == BOOLEAN else None
    if number == FLOAT and kind == FIXED32:
        return as_float(_bytes(value))
    if number == DOUBLE and kind == FIXED64:
        return as_double(_bytes(value))
    return _text(value) if number == STRING and kind == BYTES else None


def _read_metadata(data: bytes, budget: Budget) -> MetaData:
    found = MetaData()
    for number, kind, value in read_fields(data, budget):
        if kind == VARINT and number == 1:
            found.is_multi_part = value != 0
        elif kind == VARINT and number in (3, 4):
            setattr(found, "size" if number == 3 else "seq", _number(value))
        elif kind == BYTES and number in _METADATA_TEXTS:
            setattr(found, _METADATA_TEXTS[number], _text(value))
    return found


_METADATA_TEXTS = {2: "content_type", 5: "file_name", 6: "file_type", 7: "md5", 8: "description"}


def _read_properties(data: bytes, budget: Budget, depth: int) -> dict[str, Property]:
    keys: list[str] = []
    values: list[Property] = []
    for number, kind, value in read_fields(data, budget):
        if kind == BYTES and number == 1:
            keys.append(_text(value))
        elif kind == BYTES and number == 2:
            values.append(_read_property(_bytes(value), budget, depth))
    if len(keys) != len(values):
        raise ProtobufError("properties have not as many names as values")
    return dict(zip(keys, values, strict=True))


def _read_property(data: bytes, budget: Budget, depth: int) -> Property:
    found = Property()
    for field in read_fields(data, budget):
        number, kind, value = field
        if kind == VARINT and number == 1:
            found.datatype = _number(value) & MASK32
        elif kind == VARINT and number == 2:
            found.is_null = value != 0
        elif kind == BYTES and number == PROPERTY_SET:
            found.value = _read_properties(_bytes(value), budget, _deeper(depth))
        elif kind == BYTES and number == PROPERTY_SETS:
            found.value = [
                _read_properties(_bytes(one), budget, _deeper(depth))
                for inner, how, one in read_fields(_bytes(value), budget)
                if inner == 1 and how == BYTES
            ]
        elif (plain := _scalar(field, PROPERTY_SHIFT)) is not None:
            found.value = plain
    return found


def _read_dataset(data: bytes, budget: Budget) -> DataSet:
    found = DataSet(columns=[], types=[], rows=[])
    for number, kind, value in read_fields(data, budget):
        if kind == BYTES and number == 2:
            found.columns.append(_text(value))
        elif number == 3 and kind == VARINT:
            found.types.append(_number(value) & MASK32)
        elif number == 3 and kind == BYTES:  # Packed, as writers of version 3 of the language have it.
            found.types += _unpacked(_bytes(value), budget)
        elif kind == BYTES and number == 4:
            found.rows.append(
                [
                    _read_cell(_bytes(cell), budget)
                    for inner, how, cell in read_fields(_bytes(value), budget)
                    if inner == 1 and how == BYTES
                ]
            )
    return found


def _unpacked(data: bytes, budget: Budget) -> list[int]:
    found: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            budget.take(1)
            found.append(value & MASK32)
            value = shift = 0
        elif shift > 63:
            break
    if shift:
        raise ProtobufError("a number does not end")
    return found


def _read_cell(data: bytes, budget: Budget) -> Scalar | None:
    found: Scalar | None = None
    for field in read_fields(data, budget):
        value = _scalar(field, CELL_SHIFT)
        found = found if value is None else value
    return found


def _read_template(data: bytes, budget: Budget, depth: int) -> Template:
    found = Template(metrics=[], parameters=[])
    for number, kind, value in read_fields(data, budget):
        if kind == BYTES and number == 1:
            found.version = _text(value)
        elif kind == BYTES and number == 2:
            found.metrics.append(_read_metric(_bytes(value), budget, depth))
        elif kind == BYTES and number == 3:
            found.parameters.append(_read_parameter(_bytes(value), budget))
        elif kind == BYTES and number == 4:
            found.reference = _text(value)
        elif kind == VARINT and number == 5:
            found.is_definition = value != 0
    return found


def _read_parameter(data: bytes, budget: Budget) -> Parameter:
    found = Parameter()
    for field in read_fields(data, budget):
        number, kind, value = field
        if kind == BYTES and number == 1:
            found.name = _text(value)
        elif kind == VARINT and number == 2:
            found.datatype = _number(value) & MASK32
        elif (plain := _scalar(field, PROPERTY_SHIFT)) is not None:
            found.value = plain
    return found


def _deeper(depth: int) -> int:
    if not depth:
        raise ProtobufError("it is nested too deep")
    return depth - 1


def _number(value: int | bytes) -> int:
    assert isinstance(value, int)
    return value


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise ProtobufError("a text is not UTF-8") from None


# Back.


def encode_payload(payload: Payload) -> bytes:
    pieces: list[bytes] = []
    if payload.timestamp is not None:
        pieces.append(number_field(1, payload.timestamp))
    pieces += [bytes_field(2, encode_metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        pieces.append(number_field(3, payload.seq))
    if payload.uuid:
        pieces.append(bytes_field(4, payload.uuid.encode()))
    if payload.body:
        pieces.append(bytes_field(5, payload.body))
    return b"".join(pieces)


def encode_metric(metric: Metric) -> bytes:
    pieces: list[bytes] = []
    if metric.name is not None:
        pieces.append(bytes_field(1, metric.name.encode()))
    for number, value in ((2, metric.alias), (3, metric.timestamp), (4, metric.datatype or None)):
        if value is not None:
            pieces.append(number_field(number, value))
    for number, flag in ((5, metric.is_historical), (6, metric.is_transient), (7, metric.is_null)):
        if flag:
            pieces.append(number_field(number, 1))
    if metric.metadata is not None:
        pieces.append(bytes_field(8, _encode_metadata(metric.metadata)))
    if metric.properties is not None:
        pieces.append(bytes_field(9, _encode_properties(metric.properties)))
    if metric.field != NO_VALUE:
        pieces.append(_encode_value(metric.field, metric.value))
    return b"".join(pieces)


def _encode_value(field: int, value: object) -> bytes:
    if isinstance(value, DataSet):
        return bytes_field(field, _encode_dataset(value))
    if isinstance(value, Template):
        return bytes_field(field, _encode_template(value))
    if isinstance(value, bytes):
        return bytes_field(field, value)
    assert isinstance(value, int | float | bool | str)
    return _encode_scalar(field, field, value)


def _encode_scalar(number: int, field: int, value: Scalar) -> bytes:
    """In the field that is called so in a metric, under its number in whatever message it stands in."""
    if isinstance(value, str):
        return bytes_field(number, value.encode())
    if field == FLOAT:
        return float_field(number, value)
    if field == DOUBLE:
        return double_field(number, value)
    return number_field(number, int(value))


def field_of(value: Scalar) -> int:
    """Where a value of that kind stands."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return LONG if value > MASK32 else INT
    return STRING if isinstance(value, str) else DOUBLE


def _plain(value: Scalar | None, shift: int) -> Iterable[bytes]:
    if value is not None:
        field = field_of(value)
        yield _encode_scalar(field + shift, field, value)


def _encode_metadata(metadata: MetaData) -> bytes:
    pieces = [number_field(1, 1)] if metadata.is_multi_part else []
    for number, value in ((3, metadata.size), (4, metadata.seq)):
        if value:
            pieces.append(number_field(number, value))
    for number, name in _METADATA_TEXTS.items():
        text: str = getattr(metadata, name)
        if text:
            pieces.append(bytes_field(number, text.encode()))
    return b"".join(pieces)


def _encode_properties(properties: dict[str, Property]) -> bytes:
    names = [bytes_field(1, name.encode()) for name in properties]
    return b"".join([*names, *(bytes_field(2, _encode_property(one)) for one in properties.values())])


def _encode_property(one: Property) -> bytes:
    pieces = [number_field(1, one.datatype)] if one.datatype else []
    if one.is_null:
        pieces.append(number_field(2, 1))
    if isinstance(one.value, dict):
        pieces.append(bytes_field(PROPERTY_SET, _encode_properties(one.value)))
    elif isinstance(one.value, list):
        sets = b"".join(bytes_field(1, _encode_properties(inner)) for inner in one.value)
        pieces.append(bytes_field(PROPERTY_SETS, sets))
    else:
        pieces += _plain(one.value, PROPERTY_SHIFT)
    return b"".join(pieces)


def _encode_dataset(found: DataSet) -> bytes:
    pieces = [number_field(1, len(found.columns))]
    pieces += [bytes_field(2, column.encode()) for column in found.columns]
    pieces += [number_field(3, one) for one in found.types]
    for row in found.rows:
        cells = b"".join(bytes_field(1, b"".join(_plain(cell, CELL_SHIFT))) for cell in row)
        pieces.append(bytes_field(4, cells))
    return b"".join(pieces)


def _encode_template(found: Template) -> bytes:
    pieces = [bytes_field(1, found.version.encode())] if found.version is not None else []
    pieces += [bytes_field(2, encode_metric(metric)) for metric in found.metrics]
    for one in found.parameters:
        parts = [bytes_field(1, one.name.encode()), number_field(2, one.datatype), *_plain(one.value, PROPERTY_SHIFT)]
        pieces.append(bytes_field(3, b"".join(parts)))
    if found.reference is not None:
        pieces.append(bytes_field(4, found.reference.encode()))
    if found.is_definition:
        pieces.append(number_field(5, 1))
    return b"".join(pieces)
