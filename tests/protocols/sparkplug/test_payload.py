"""Payloads of Sparkplug B beside pysparkplug's, which Google's own compiler has made."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.protobuf import MASK32, MASK64, ProtobufError, bytes_field, number_field, varint
from protocols.sparkplug.payload import (
    BOOLEAN,
    BYTES_VALUE,
    DATASET,
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    MOST_FIELDS,
    NO_VALUE,
    STRING,
    TEMPLATE,
    DataSet,
    MetaData,
    Metric,
    Parameter,
    Payload,
    Property,
    Template,
    decode_payload,
    encode_payload,
)
from tests.integration.peers import missing_peer

try:
    from pysparkplug._protobuf import Payload as Theirs
except ImportError:
    Theirs = None

text = st.text(max_size=8)
u32, u64 = st.integers(0, MASK32), st.integers(0, MASK64)
double = st.floats(allow_nan=False)
single = st.floats(allow_nan=False, width=32)
cell = st.one_of(u32, st.integers(MASK32 + 1, MASK64), double, st.booleans(), text)


@st.composite
def datasets(draw: st.DrawFn) -> DataSet:
    columns = draw(st.lists(text, max_size=3))
    row = st.lists(st.none() | cell, min_size=len(columns), max_size=len(columns))
    return DataSet(
        columns, draw(st.lists(u32, min_size=len(columns), max_size=len(columns))), draw(st.lists(row, max_size=3))
    )


properties = st.recursive(
    st.builds(Property, datatype=u32, is_null=st.booleans(), value=st.none() | cell),
    lambda inner: st.builds(
        Property,
        datatype=u32,
        value=st.dictionaries(text, inner, max_size=2) | st.lists(st.dictionaries(text, inner, max_size=2), max_size=2),
    ),
    max_leaves=4,
)


def metrics(templates: st.SearchStrategy[Template]) -> st.SearchStrategy[Metric]:
    value = st.one_of(
        st.just((NO_VALUE, None)),
        st.tuples(st.just(INT), u32),
        st.tuples(st.just(LONG), u64),
        st.tuples(st.just(FLOAT), single),
        st.tuples(st.just(DOUBLE), double),
        st.tuples(st.just(BOOLEAN), st.booleans()),
        st.tuples(st.just(STRING), text),
        st.tuples(st.just(BYTES_VALUE), st.binary(max_size=8)),
        st.tuples(st.just(DATASET), datasets()),
        st.tuples(st.just(TEMPLATE), templates),
    )
    return st.builds(
        lambda said, **more: Metric(field=said[0], value=said[1], **more),
        value,
        name=st.none() | text,
        alias=st.none() | u64,
        timestamp=st.none() | u64,
        datatype=u32,
        is_historical=st.booleans(),
        is_transient=st.booleans(),
        is_null=st.booleans(),
        metadata=st.none()
        | st.builds(
            MetaData, is_multi_part=st.booleans(), content_type=text, size=u64, seq=u64, md5=text, description=text
        ),
        properties=st.none() | st.dictionaries(text, properties, max_size=2),
    )


def templates_of(inner: st.SearchStrategy[Template]) -> st.SearchStrategy[Template]:
    return st.builds(
        Template,
        version=st.none() | text,
        metrics=st.lists(metrics(inner), max_size=2),
        parameters=st.lists(st.builds(Parameter, name=text, datatype=u32, value=st.none() | cell), max_size=2),
        reference=st.none() | text,
        is_definition=st.booleans(),
    )


templates = templates_of(templates_of(st.builds(Template, reference=text)))
payloads = st.builds(
    Payload,
    timestamp=st.none() | u64,
    metrics=st.lists(metrics(templates), max_size=3),
    seq=st.none() | u64,
    uuid=text,
    body=st.binary(max_size=8),
)


@given(payloads)
def test_what_is_written_is_read_again(payload: Payload) -> None:
    assert decode_payload(encode_payload(payload)) == payload


def oracle() -> None:
    if Theirs is None:
        missing_peer("pysparkplug (PyPI: pysparkplug) is not installed")


@given(payloads)
def test_pysparkplug_reads_what_is_written_and_writes_what_is_read(payload: Payload) -> None:
    oracle()
    theirs = Theirs.FromString(encode_payload(payload))
    assert [one.name for one in theirs.metrics] == [one.name or "" for one in payload.metrics]
    assert [one.WhichOneof("value") for one in theirs.metrics] == [FIELDS[one.field] for one in payload.metrics]
    assert decode_payload(theirs.SerializeToString()) == payload


FIELDS = {
    NO_VALUE: None,
    INT: "int_value",
    LONG: "long_value",
    FLOAT: "float_value",
    DOUBLE: "double_value",
    BOOLEAN: "boolean_value",
    STRING: "string_value",
    BYTES_VALUE: "bytes_value",
    DATASET: "dataset_value",
    TEMPLATE: "template_value",
}


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        decode_payload(data)
    except ProtobufError:
        pass


@given(payloads, st.integers(0, 1 << 30), st.integers(1, 255))
def test_damage_is_an_error_or_another_payload(payload: Payload, place: int, change: int) -> None:
    data = bytearray(encode_payload(payload))
    if data:
        data[place % len(data)] ^= change
    try:
        found = decode_payload(bytes(data))
    except ProtobufError:
        return
    # What was understood is said in a way that is understood.
    again = decode_payload(encode_payload(found))
    assert again == found or "nan" in repr(again)


def deep(depth: int) -> bytes:
    template = b""
    for _ in range(depth):
        template = bytes_field(2, bytes_field(TEMPLATE, template))
    return bytes_field(2, bytes_field(TEMPLATE, template))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80", "a number does not end"),
        (b"\x12\x05\x0a", "it ends within a field"),
        (bytes_field(2, b"\x0a\x01\xff"), "a text is not UTF-8"),
        (b"\x0b\x0c", "a field is written in a way"),
        (varint(0), "a number that there is none of"),
        (deep(20), "it is nested too deep"),
        (bytes_field(2, b"") * (MOST_FIELDS + 1), "it has too many fields"),
        (bytes_field(2, bytes_field(9, bytes_field(1, b"a"))), "not as many names as values"),
    ],
)
def test_what_is_no_payload_is_told_in_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ProtobufError, match=words):
        decode_payload(data)


def test_columns_types_may_be_packed() -> None:
    dataset = b"".join((bytes_field(2, b"a"), bytes_field(2, b"b"), bytes_field(3, b"\x0b\x80\x01")))
    (metric,) = decode_payload(bytes_field(2, bytes_field(DATASET, dataset))).metrics
    assert metric.value == DataSet(["a", "b"], [11, 128], [])


def test_fields_that_are_not_known_are_passed_over() -> None:
    data = number_field(3, 7) + number_field(99, 1) + bytes_field(100, b"x")
    assert decode_payload(data) == Payload(seq=7)


def test_infinite_numbers_are_read() -> None:
    payload = Payload(metrics=[Metric(field=DOUBLE, value=math.inf)])
    assert decode_payload(encode_payload(payload)) == payload
