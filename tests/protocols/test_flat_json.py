"""Flat JSON: what is read and written is what msgspec reads and writes, and what is not flat is left to it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.flat_json import MOST_EXPECTED, FlatReader, FlatWriter

NAMES = ("id", "t", "quality", "unit", "ts", "a b")
NOTHING = object()


def read(data: bytes, reader: FlatReader | None = None) -> dict[str, object] | None:
    """The fields with these names; None where it is not flat."""
    reader = reader or FlatReader({name.encode(): place for place, name in enumerate(NAMES)})
    found: list[object] = [NOTHING] * len(NAMES)
    if not reader.read(data, found):
        return None
    return {name: value for name, value in zip(NAMES, found, strict=True) if value is not NOTHING}


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other)  # Tells 1 from 1.0 and from true, and 0.0 from -0.0.


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"id":"a17","t":71.5,"quality":9,"unit":"F","ts":1767225600}', ("a17", 71.5, 9, "F", 1767225600)),
        (b' {\t"t" : -0.0 ,\r\n"x": false, "id":null,"unit":true}\n', (None, -0.0, True)),
        (b'{"t":1,"t":2}', (2,)),
        (b'{"ts":999999999999999999,"t":0.10000000000001}', (0.10000000000001, 999999999999999999)),
        (b"{}", ()),
        (b'{ "other": "" }', ()),
    ],
)
def test_flat_object_is_read(data: bytes, found: tuple[object, ...]) -> None:
    values = read(data)
    assert values is not None
    assert same(tuple(values[name] for name in NAMES if name in values), found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"[1]",
        b"7",
        b'{"t"',
        b'{"t":',
        b'{"t":1',
        b'{"t":1,',
        b'{"t":1,}',
        b'{"t":1}x',
        b'{"t" 1}',
        b'{"t":1 "id":2}',
        b"{t:1}",
        b'{"t":01}',
        b'{"t":-}',
        b'{"t":-0}',
        b'{"t":1.}',
        b'{"t":.5}',
        b'{"t":1e3}',
        b'{"t":1.5E3}',
        b'{"t":1234567890123456789}',
        b'{"t":1.123456789012345}',
        b'{"t":tru}',
        b'{"t":nul',
        b'{"t":{}}',
        b'{"t":[]}',
        b'{"t":"\\n"}',
        b'{"t":"\n"}',
        b'{"t":"\xc2\xb0"}',
        b'{"\xc2\xb0":1}',
        b'{"t":"x}',
    ],
)
def test_everything_else_is_not_flat(data: bytes) -> None:
    assert read(data) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=8,
)
PIECES = [
    b"{",
    b"}",
    b'"',
    b":",
    b",",
    b'"t"',
    b'"x"',
    b"1",
    b"0",
    b"-",
    b".",
    b"5",
    b"e",
    b"true",
    b"null",
    b" ",
    b"\\",
]


@given(
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), JSON, max_size=6).map(msgspec.json.encode)
    | st.lists(st.sampled_from(PIECES), max_size=14).map(lambda pieces: b"{" + b"".join(pieces))
    | st.binary(max_size=20)
)
def test_what_is_read_is_what_msgspec_reads(data: bytes) -> None:
    found = read(data)
    if found is not None:
        value = msgspec.json.decode(data)
        assert same(found, {name: value[name] for name in NAMES if name in value})


@given(st.decimals(-(10**15), 10**15, places=6) | st.decimals(-10, 10, places=14) | st.integers(-(10**19), 10**19))
def test_number_is_what_msgspec_reads(number: object) -> None:
    data = b'{"t":%b}' % str(number).encode()
    found = read(data)
    if found is not None:
        assert same(found, msgspec.json.decode(data))


@given(st.lists(st.lists(st.sampled_from(NAMES) | st.text(max_size=3), unique=True, max_size=70), max_size=5))
def test_objects_of_other_fields_one_behind_the_other_are_read(objects: list[list[str]]) -> None:
    reader = FlatReader({name.encode(): place for place, name in enumerate(NAMES)})
    for names in objects:
        data = msgspec.json.encode({name: place for place, name in enumerate(names)})
        found = read(data, reader)
        assert found is None or found == {name: names.index(name) for name in NAMES if name in names}


def test_objects_of_very_many_and_of_long_names_are_read() -> None:
    reader = FlatReader({b"t": 1, b"n" * 500: 0})
    for turn in range(2):
        names = [f"x{number}" for number in range(3 * MOST_EXPECTED)]
        found: list[object] = [None, None]
        assert reader.read(msgspec.json.encode(dict.fromkeys(names, 0) | {"n" * 500: turn, "t": 2}), found)
        assert found == [turn, 2]


@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.decimals(-(10**15), 10**15, places=3).map(float)
        | st.decimals(-10, 10, places=8).map(float)
        | st.text()
        | st.just("x" * 5000)
        | st.lists(st.integers(), max_size=2),
        max_size=6,
    )
)
def test_what_is_written_is_what_msgspec_writes(values: list[object]) -> None:
    names = [f"n{number}" for number in range(len(values))]
    written = FlatWriter(names).write(values)
    if written is not None:
        assert written == msgspec.json.encode(dict(zip(names, values, strict=True)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (21.9, b"21.9"),
        (-0.001, b"-0.001"),
        (1e300, b"1e300"),
        (-0.0, b"-0.0"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (100.0, b"100.0"),
        (1000000.000001, b"1000000.000001"),
        (999999999999999.9, b"999999999999999.9"),
        (-(1 << 63) + 1, b"-9223372036854775807"),
        ((1 << 63) - 1, b"9223372036854775807"),
        ("°C/'", '"°C/\'"'.encode()),
        (True, b"true"),
        (None, b"null"),
    ],
)
def test_value_is_written(value: object, text: bytes) -> None:
    assert FlatWriter(['odd "name']).write([value]) == b'{"odd \\"name":%b}' % text


@pytest.mark.parametrize(
    "value", [float("inf"), float("nan"), 1 << 63, -(1 << 63), "\n", '"', "\\", "\ud800", [], {}, "x" * 9999]
)
def test_value_that_is_not_flat_is_not_written(value: object) -> None:
    assert FlatWriter(["name"]).write([value]) is None


def test_object_without_fields_or_longer_than_there_is_room_is_not_written() -> None:
    assert FlatWriter([]).write([]) is None
    names = ["n" * 100 + str(number) for number in range(64)]
    assert FlatWriter(names).write([1.5] * 64) is None
