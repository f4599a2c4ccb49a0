"""Expressions: what they come to, what is refused when they are loaded, and what no payload makes them raise."""

import json
import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.errors import ExpressionError, MessageError
from gateway.rules.expressions import SPECIAL, compile_expression
from gateway.rules.functions import FUNCTIONS, MOST_DIGITS
from gateway.rules.parsing import DEEPEST, MOST_NODES, parse
from gateway.rules.payloads import Wanted, decode, encode
from gateway.rules.units import KINDS, conversion

READING = {
    "t": 71.6,
    "n": 7,
    "unit": "F",
    "ok": True,
    "none": None,
    "text": " 4.5 ",
    "sensor": {"values": [1, 2, 3], "odd name": 5},
}
TOKENS = ("raw.kitchen.temp", "kitchen")


def value_of(text: str, payload: object = READING, tokens: tuple[str, ...] = TOKENS) -> object:
    wanted = Wanted()
    expression = compile_expression(text, len(tokens) - 1, wanted)
    return expression.value(wanted.read(json.dumps(payload).encode()), tokens)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-n + 10", 3),
        ("- -n", 7),
        ("2 - 3 - 4", -5),
        ("7 // 2 + 7 % 4", 6),
        ("1e2 / 4", 25.0),
        ("round((t - 32) / 1.8, 2)", 22.0),
        ('round(convert(t, "F", "C"), 3)', 22.0),
        ("t > 70 and unit == 'F'", True),
        ("not ok or n < 3", False),
        ("not not ok", True),
        ("n == 7.0", True),
        ("ok == 1", False),
        ("none == null", True),
        ('unit != "C"', True),
        ("'a' < \"b\"", True),
        ("sensor.values[1]", 2),
        ('sensor["odd name"]', 5),
        ("payload.n", 7),
        ("$1", "kitchen"),
        ("$subject", "raw.kitchen.temp"),
        ('join($1, "/", unit, 1.5)', "kitchen/F1.5"),
        ("number(text) + number('2')", 6.5),
        ("number(ok)", 1),
        ("has(sensor.values) and not has(sensor.missing) and not has(none)", True),
        ("default(missing, 3) + default(n, 1)", 10),
        ('if(t > 30, "warm", missing)', "warm"),
        ("clamp(n, 0, 5)", 5),
        ("scale(n, 0, 14, 0, 100)", 50.0),
        ("min(n, 3, 5) + max(1, 2)", 5),
        ("abs(-3) + floor(1.9) + ceil(1.1) + length('ab')", 8),
        ("sqrt(16) + pow(2, 3)", 12.0),
        ("lower('AB') == 'ab' and upper('x') == 'X' and contains('abc', 'bc')", True),
        ("starts(unit, 'F') and ends(unit, 'F')", True),
        ("log(100, 10)", 2.0),
        (r'"a\"\\\n"', 'a"\\\n'),
        ("text(null)", "null"),
    ],
)
def test_expression_comes_to(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a value is missing"),
        ("1 +", "a value is missing at character 4"),
        ("1 2", "nothing more should stand at character 3"),
        ("a ? b", "'?' at character 3 has no meaning"),
        ("eval('1')", "there is no function eval; there are abs, ceil"),
        ("__import__('os')", "there is no function __import__"),
        ("round()", "round takes 1 to 2 arguments, not 0"),
        ("$2", "the filter has 1 wildcards"),
        ("$x", "only $subject"),
        ("'open", "does not end"),
        (r"'\x'", "behind a backslash"),
        ("1.2.3", "is no number"),
        ("1 < 2 < 3", "do not stand in a row"),
        ("convert(t, 'F', 'bar')", "units of different things"),
        ("convert(t, 'F', 'X')", "there is no unit 'X'"),
        ("convert(t, unit, 'C')", "with the units as text"),
        ("has(1)", "with a field as the first argument"),
        ("1 / 0", "a division by zero"),
        ("'a' + 1", "+ takes numbers, not text"),
        ("values[1.5]", "between brackets"),
        ("a.", "a name should stand"),
        ("f(1", "',' should stand"),
        ("(" * (DEEPEST + 1), "nested more than"),
        ("1" + "+1" * MOST_NODES, "more than 256 parts"),
        ("1" * 5000, "at most 4096 characters"),
    ],
)
def test_what_is_no_expression_is_refused_when_it_is_loaded(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, 1, Wanted())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("missing", "missing-field", "no missing"),
        ("sensor.values[3]", "missing-field", "no sensor.values[3]"),
        ("unit.length", "missing-field", "no unit.length"),
        ("unit + 1", "not-a-number", "+ takes numbers, not text"),
        ("ok + 1", "not-a-number", "not true"),
        ("n / (n - 7)", "no-result", "division by zero"),
        ("unit < 3", "not-comparable", "text < a number"),
        ("number(unit)", "not-a-number", "text is no number"),
        ("number(join(unit, 'nan'))", "not-a-number", "no number"),
        ("number(join(n, '_000'))", "not-a-number", "no number"),
        ("sqrt(0 - n)", "no-result", "sqrt has no result"),
        ("pow(0 - n, 0.5)", "no-result", "no such power"),
        ("pow(10, 999 + n)", "no-result", "too large"),
        ("n * 9007199254740993 * 9007199254740993", "too-large", "64 bits"),
        ("text(sensor)", "not-text", "an object is no text"),
        ("length(n)", "not-text", "has no length"),
        ("lower(n)", "not-text", "lower takes text, not a number"),
        ("round(t, 0 - n)", "no-result", "0 to 15"),
    ],
)
def test_message_without_a_result_says_why(text: str, kind: str, said: str) -> None:
    with pytest.raises(MessageError) as caught:
        value_of(text)
    assert (caught.value.kind, said in str(caught.value)) == (kind, True)


def test_index_and_name_lead_nowhere_in_text() -> None:
    for payload in ("text", 5, None, [1]):
        with pytest.raises(MessageError):
            value_of("name", payload)
    assert value_of("payload[0]", [1]) == 1


def test_units_convert_there_and_back() -> None:
    for units in KINDS.values():
        for one in units:
            for other in units:
                factor, offset = conversion(one, other)
                back, more = conversion(other, one)
                assert math.isclose((37.5 * factor + offset) * back + more, 37.5, rel_tol=1e-9)
    assert value_of('convert(0, "C", "F")') == pytest.approx(32)
    assert value_of('convert(1, "bar", "psi")') == pytest.approx(14.5037738)
    assert value_of('convert(36, "km/h", "m/s")') == pytest.approx(10)


@given(st.text(alphabet="abn.$1'\"()[]+-*/%<>=!, \\0e", max_size=40))
def test_no_text_makes_the_parser_raise_otherwise(text: str) -> None:
    try:
        parse(text)
        compile_expression(text, 1, Wanted())
    except ExpressionError:
        pass


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abn"), inner, max_size=3),
    max_leaves=6,
)
CALLS = st.sampled_from(sorted({*FUNCTIONS, *SPECIAL} - {"convert", "negate", "has", "default"}))


@given(VALUES, VALUES, CALLS, st.integers(1, 3), st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "==", "and"]))
def test_no_payload_makes_an_expression_raise_otherwise(
    left: object, right: object, name: str, count: int, operator: str
) -> None:
    texts = [f"a {operator} b", f"{name}({', '.join(['a', 'b', '2'][:count])})", "a.n[0] + a.b", "-a"]
    for text in texts:
        try:
            encode(value_of(text, {"a": left, "b": right}, ("x",)))
        except (ExpressionError, MessageError):
            pass


@given(st.binary(max_size=60))
def test_every_payload_is_a_value_or_has_a_reason(payload: bytes) -> None:
    try:
        decode(payload)
    except MessageError:
        pass


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b"21.5", 21.5), (b"-3", -3), (b"true", True), (b"on", "on"), (b"", ""), (b"21.5 C", "21.5 C"), (b'"x"', "x")],
)
def test_plain_payload_is_a_number_a_truth_or_text(payload: bytes, value: object) -> None:
    assert decode(payload) == value


@pytest.mark.parametrize("payload", [b"{", b"[1,", b"\xff", b"[" * 60_000, b" " * 70_000, b"{" + b"9" * 5000])
def test_payload_that_cannot_be_read_says_so(payload: bytes) -> None:
    with pytest.raises(MessageError):
        decode(payload)


@given(
    st.floats()
    | st.decimals(-(10**9), 10**9, places=5).map(float)
    | st.integers(-(10**7), 10**7).map(lambda n: n / 2048),
    st.integers(0, MOST_DIGITS),
)
def test_float_is_rounded_as_python_rounds_it(value: float, digits: int) -> None:
    try:
        wanted = round(value, digits)
    except OverflowError:  # It would be no finite number.
        return
    assert repr(value_of_number(f"round(a, {digits})", value)) == repr(wanted)


def value_of_number(text: str, number: object) -> object:
    """What comes of a number that no JSON need be able to say."""
    wanted = Wanted()
    expression = compile_expression(text, 0, wanted)
    return expression.value([number], ("x",))


OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, NUMBERS | st.sampled_from([0, 0.0, 1]), st.sampled_from(sorted(OPERATORS)))
def test_operator_on_numbers_is_that_of_python(left: float, right: float, name: str) -> None:
    try:
        wanted = OPERATORS[name](left, right)
    except (ZeroDivisionError, OverflowError):
        wanted = None
    if name == "*" and type(wanted) is int and not -(1 << 63) <= wanted < 1 << 63:
        wanted = None
    wanted_values = Wanted()
    expression = compile_expression(f"a {name} b", 0, wanted_values)
    try:
        found = expression.value([left, right], ("x",))
    except MessageError:
        found = None
    assert repr(found) == repr(wanted)


@given(NUMBERS, st.sampled_from([("C", "F"), ("F", "C"), ("bar", "psi")]))
def test_unit_is_converted_by_a_product_and_a_sum(value: float, units: tuple[str, str]) -> None:
    factor, offset = conversion(*units)
    found = value_of_number(f'convert(a, "{units[0]}", "{units[1]}")', value)
    assert repr(found) == repr(value * factor + offset)
