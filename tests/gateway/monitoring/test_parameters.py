"""Query parameters: values, defaults, and errors that name the parameter."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.monitoring.parameters import ParameterError, boolean, choice, integer


def test_absent_and_empty_parameters_are_the_default():
    for query in ({}, {"x": ""}):
        assert integer(query, "x", 7) == 7
        assert boolean(query, "x") is False
        assert choice(query, "x", ("a", "b"), "b") == "b"


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12), ("-3", -3), ("+3", 3), ("007", 7)])
def test_integers(text, value):
    assert integer({"x": text}, "x", 1) == value


@pytest.mark.parametrize("text", ["a", "1.5", "1_0", " 1", "0x1", "-", "\u0663", "9" * 5000])
def test_what_is_no_integer_is_named(text):
    with pytest.raises(ParameterError, match=r"^limit: expected an integer"):
        integer({"limit": text}, "limit", 1)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("T", True), ("0", False), ("False", False)])
def test_booleans(text, value):
    assert boolean({"x": text}, "x") is value


@pytest.mark.parametrize("text", ["2", "yes", "tRUE", " "])
def test_what_is_no_boolean_is_named(text):
    with pytest.raises(ParameterError, match=r"^auth: expected a boolean"):
        boolean({"auth": text}, "auth")


def test_choice_lists_what_there_is():
    with pytest.raises(ParameterError, match=r"^state: expected one of open, closed, got 'ajar'$"):
        choice({"state": "ajar"}, "state", ("open", "closed"), "open")


@given(st.text())
def test_any_text_is_a_value_or_an_error(text):
    with suppress(ParameterError):
        assert integer({"x": text}, "x", 0) == int(text or 0)
    with suppress(ParameterError):
        assert boolean({"x": text}, "x") == (text[:1] in ("1", "t", "T"))
