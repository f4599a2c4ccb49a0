"""Values by their data types, beside pysparkplug's."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sparkplug.payload import (
    BYTES_VALUE,
    DATASET,
    INT,
    LONG,
    STRING,
    TEMPLATE,
    DataSet,
    Metric,
    Parameter,
    Property,
    Template,
)
from protocols.sparkplug.values import (
    NAMES,
    TYPES,
    ValueTypeError,
    properties_as_json,
    set_value,
    type_name,
    type_of,
    value_of,
)
from tests.integration.peers import missing_peer

try:
    from pysparkplug import DataType
except ImportError:
    DataType = None

INTEGERS = [(f"{sign}Int{bits}", sign == "", bits) for sign in ("", "U") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize(("name", "is_signed", "bits"), INTEGERS)
def test_integers_have_their_range(name: str, is_signed: bool, bits: int) -> None:
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    for value in (least, most, 1):
        metric = Metric()
        set_value(metric, TYPES[name], value)
        assert value_of(metric, TYPES[name]) == value
    for value in (least - 1, most + 1, 1.5, "1", True, [1]):
        with pytest.raises(ValueTypeError):
            set_value(Metric(), TYPES[name], value)


@given(st.sampled_from(INTEGERS), st.data())
def test_integers_are_written_as_pysparkplug_writes_them(kind: tuple[str, bool, int], data: st.DataObject) -> None:
    if DataType is None:
        missing_peer("pysparkplug (PyPI: pysparkplug) is not installed")
    name, is_signed, bits = kind
    value = data.draw(
        st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else st.integers(0, (1 << bits) - 1)
    )
    theirs = DataType(TYPES[name])
    metric = Metric()
    set_value(metric, TYPES[name], value)
    assert metric.value == theirs.encode(value)
    assert {INT: "int_value", LONG: "long_value"}[metric.field] == theirs.field


def test_signed_numbers_may_be_written_wider() -> None:
    """As Tahu's Java does it: -1 of eight bits in 32."""
    assert value_of(Metric(field=INT, value=0xFFFFFFFF), TYPES["Int8"]) == -1
    assert value_of(Metric(field=LONG, value=(1 << 64) - 2), TYPES["Int16"]) == -2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Int8Array", (-23, 123)),
        ("UInt32Array", (52, 3_293_969_225)),
        ("Int64Array", (-4_270_929_666_821_191_986,)),
        ("FloatArray", (1.5, -2.25)),
        ("DoubleArray", (12.354213,)),
        ("BooleanArray", (False, False, True, True, False, True, False, False, True, True, False, True)),
        ("StringArray", ("ABC", "hello")),
    ],
)
def test_arrays_are_read_as_pysparkplug_writes_them(name: str, value: tuple[object, ...]) -> None:
    if DataType is None:
        missing_peer("pysparkplug (PyPI: pysparkplug) is not installed")
    packed = DataType(TYPES[name]).encode(value)
    assert value_of(Metric(field=BYTES_VALUE, value=packed), TYPES[name]) == list(value)


def test_examples_of_the_specification() -> None:
    moment = int(datetime.datetime(2009, 10, 21, 5, 27, 55, 335_000, tzinfo=datetime.UTC).timestamp() * 1000)
    packed = moment.to_bytes(8, "little")
    assert value_of(Metric(field=BYTES_VALUE, value=packed), TYPES["DateTimeArray"]) == [moment]
    booleans = bytes((0x0C, 0, 0, 0, 0x34, 0xD0))
    assert value_of(Metric(field=BYTES_VALUE, value=booleans), TYPES["BooleanArray"]) == [
        bool(int(bit)) for bit in "001101001101"
    ]


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"abc", "Int16Array", "ends within an element"),
        (b"\xff\0\0\0a", "BooleanArray", "not as many elements as it says"),
        (b"\0", "BooleanArray", "not as many elements as it says"),
        (b"\xff\0", "StringArray", "not UTF-8"),
    ],
)
def test_arrays_that_are_none(data: bytes, name: str, words: str) -> None:
    with pytest.raises(ValueTypeError, match=words):
        value_of(Metric(field=BYTES_VALUE, value=data), TYPES[name])


def test_bytes_datasets_and_templates_as_json() -> None:
    assert value_of(Metric(field=BYTES_VALUE, value=b"\0\1"), TYPES["Bytes"]) == "AAE="
    table = DataSet(["on", "n"], [TYPES["Boolean"], TYPES["Int8"]], [[True, 255], [None, 1]])
    assert value_of(Metric(field=DATASET, value=table), 0) == {
        "columns": ["on", "n"],
        "types": ["Boolean", "Int8"],
        "rows": [[True, -1], [None, 1]],
    }
    part = Metric(name="rpm", datatype=TYPES["Int16"], field=INT, value=3)
    template = Template("1", [part], [Parameter("index", TYPES["Int8"], 7)], "motor")
    assert value_of(Metric(field=TEMPLATE, value=template), 0) == {
        "template": "motor",
        "version": "1",
        "metrics": {"rpm": 3},
        "parameters": {"index": 7},
    }
    with pytest.raises(ValueTypeError, match="as many values as there are columns"):
        value_of(Metric(field=DATASET, value=DataSet(["a"], [1], [[1, 2]])), 0)


def test_properties_as_json() -> None:
    inner = {"low": Property(TYPES["Int32"], value=0xFFFFFFFF)}
    found = {
        "q": Property(TYPES["Int32"], value=192),
        "none": Property(is_null=True),
        "range": Property(20, value=inner),
    }
    found["more"] = Property(21, value=[inner])
    assert properties_as_json(found) == {"q": 192, "none": None, "range": {"low": -1}, "more": [{"low": -1}]}


def test_texts_and_numbers_are_not_taken_for_each_other() -> None:
    with pytest.raises(ValueTypeError, match="a Int8 is told as a text"):
        value_of(Metric(field=STRING, value="1"), TYPES["Int8"])
    with pytest.raises(ValueTypeError, match="a String is told as a number"):
        value_of(Metric(field=INT, value=1), TYPES["String"])
    assert value_of(Metric(field=INT, value=1), TYPES["Boolean"]) is True
    assert value_of(Metric(is_null=True, field=INT, value=1), TYPES["Int8"]) is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Float", 1e39, "it does not fit into Float"),
        ("Double", float("nan"), "it is no Double"),
        ("Double", 10**400, "it does not fit into Double"),
        ("Boolean", 2, "it is no Boolean"),
        ("String", 1, "it is no String"),
        ("Bytes", "!", "a Bytes is base64"),
        ("DataSet", 1, "it is no DataSet"),
    ],
)
def test_what_does_not_fit_is_told(name: str, value: object, words: str) -> None:
    with pytest.raises(ValueTypeError, match=words):
        set_value(Metric(), TYPES[name], value)


def test_types_by_number_and_by_value() -> None:
    assert (type_name(34), type_name(35), len(NAMES)) == ("DateTimeArray", "type 35", 35)
    assert [NAMES[type_of(one)] for one in (True, 1, 1.5, "a", None)] == [
        "Boolean",
        "Double",
        "Double",
        "String",
        "Unknown",
    ]
