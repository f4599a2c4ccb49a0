"""What numbers a payload holds, and when they were."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.numbers.readings import MOST_FIELDS, Readings

SECOND = 1_000_000_000
TIME = 1_700_000_000


@pytest.mark.parametrize(
    ("payload", "number"),
    [
        (b"21.5", 21.5),
        (b" -3\n", -3.0),
        (b"1e3", 1000.0),
        (b"true", 1.0),
        (b"OFF", 0.0),
        (b"", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e999", None),
        (b"1_000", None),
        (b"0x10", None),
        (b"21.5 C", None),
        (b"\xff", None),
        (b"9" * 65, None),
    ],
)
def test_payload_that_is_a_number(payload, number):
    assert Readings().read(payload) == ([] if number is None else [("", number)], None)


def test_all_numbers_of_json_are_found_but_texts_and_the_time():
    payload = {"a": 1, "b": {"c": 2.5, "d": [3, "4", True]}, "t": TIME, "text": "5", "none": None, "huge": 10**400}
    found, time = Readings(time_field="t").read(json.dumps(payload).encode())
    assert found == [("a", 1.0), ("b.c", 2.5), ("b.d.0", 3.0), ("b.d.2", 1.0)]
    assert time == TIME * SECOND


def test_named_fields_are_taken_also_out_of_texts():
    readings = Readings(("b.d.1", "a", "no", "b", "b.d.9", "b.d.x"))
    assert readings.read(b'{"a": "1.5", "b": {"d": [0, 7]}}') == ([("b.d.1", 7.0), ("a", 1.5)], None)
    assert readings.read(b"[1, 2]") == ([], None)
    assert Readings(("1",)).read(b"[1, 2]") == ([("1", 2.0)], None)


@pytest.mark.parametrize("payload", [b"{", b'{"a": }', b"[" * 100_000, b'{"a": "x"}', b"{}", b"[]"])
def test_json_without_a_number_has_none(payload):
    assert Readings().read(payload) == ([], None)


def test_what_is_taken_of_one_payload_is_bounded():
    assert len(Readings().read(json.dumps(list(range(5000))).encode())[0]) == MOST_FIELDS
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    assert Readings().read(deep) == ([], None)


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (TIME, TIME * SECOND),
        (TIME + 0.5, TIME * SECOND + SECOND // 2),
        (TIME * 1000, TIME * SECOND),
        (TIME * 1_000_000, TIME * SECOND),
        (TIME * SECOND, TIME * SECOND),
        (str(TIME), TIME * SECOND),
        ("2023-11-14T22:13:20Z", TIME * SECOND),
        ("2023-11-14T23:13:20.25+01:00", TIME * SECOND + SECOND // 4),
        ("2023-11-14 22:13:20", TIME * SECOND),
        ("yesterday", None),
        ("1969-01-01", None),
        (-1, None),
        (True, None),
        (None, None),
        (10**30, None),
        ([], None),
    ],
)
def test_time_is_understood_in_every_unit(value, time):
    payload = json.dumps({"v": 1, "t": value}).encode()
    assert Readings(("v",), "t").read(payload) == ([("v", 1.0)], time)


@given(st.binary(max_size=200))
def test_foreign_payloads_never_raise(payload):
    Readings().read(payload)
    Readings(("a.0", "b"), "t").read(b"{" + payload)
