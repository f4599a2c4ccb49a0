"""Functions: what names and operators in expressions do with values (hot).

Numbers are integers and floats, true and false are none. Nothing here loops over anything but its own arguments, and
no result is larger than what it was made of, so that a message costs what its expression and its payload are long.
"""

import math
from collections.abc import Callable
from typing import Any

from gateway.rules.errors import MessageError

LONGEST_JOINED = 65_536
# Beyond it a product of integers is no number any more that anybody measures.
MOST_INTEGER = 1 << 63
MOST_DIGITS = 15
# Exact, as are those up to 10 ** 22.
SCALES = [10.0**digits for digits in range(MOST_DIGITS + 1)]
# From here on no float has a fraction: what is below has none any more once this is added.
WHOLE_FROM = float(1 << 52)
# More than a product of two floats is ever wrong by, as a share of it.
WRONG_BY = 1.0 / (1 << 51)


def is_number(value: object) -> bool:
    kind = type(value)
    return kind is float or kind is int


def not_numbers(name: str, *values: object) -> MessageError:
    found = next(one for one in values if not is_number(one))
    return MessageError("not-a-number", f"{name} takes numbers, not {kind_of(found)}")


def kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "a number"


# The operators as numbers: fewer calls than a function each.
ADD, SUBTRACT, MULTIPLY, DIVIDE, DIVIDE_WHOLE, REMAINDER, POWER = 0, 1, 2, 3, 4, 5, 6
ARITHMETIC = {
    "+": ADD,
    "-": SUBTRACT,
    "*": MULTIPLY,
    "/": DIVIDE,
    "//": DIVIDE_WHOLE,
    "%": REMAINDER,
    "pow": POWER,
}
LESS, AT_MOST, MORE, AT_LEAST = 0, 1, 2, 3
ORDERS = {"<": LESS, "<=": AT_MOST, ">": MORE, ">=": AT_LEAST}


def calculate(operator: int, left: Any, right: Any) -> Any:
    """What two numbers come to. Raises MessageError, ZeroDivisionError and OverflowError."""
    if type(left) is float and type(right) is float and operator <= MULTIPLY:
        return calculate_floats(operator, left, right)
    if operator == ADD:
        return left + right
    if operator == SUBTRACT:
        return left - right
    if operator == MULTIPLY:
        product = left * right
        if type(product) is int and not -MOST_INTEGER <= product < MOST_INTEGER:
            raise MessageError("too-large", "a product is larger than numbers of 64 bits")
        return product
    if operator == DIVIDE:
        return left / right
    if operator == DIVIDE_WHOLE:
        return left // right
    return left % right if operator == REMAINDER else power(left, right)


def calculate_floats(operator: int, left: float, right: float) -> float:
    if operator == ADD:
        return left + right
    return left - right if operator == SUBTRACT else left * right


def power(left: Any, right: Any) -> Any:
    # Not by **: compiled, that of floats has another result where there is none among them.
    try:
        return math.pow(left, right)
    except ValueError:
        raise MessageError("no-result", "a negative number has no such power") from None


def impossible(name: str) -> MessageError:
    if name in ("/", "//", "%"):
        return MessageError("no-result", "a division by zero, or of what is too large")
    return MessageError("no-result", f"{name} has no result for this, or too large a one")


def equal(left: Any, right: Any) -> bool:
    return (type(left) is bool) == (type(right) is bool) and bool(left == right)


def ordered(order: int, left: Any, right: Any) -> bool:
    """Of two values that have an order."""
    if type(left) is float and type(right) is float:
        return ordered_floats(order, left, right)
    if order == LESS:
        return bool(left < right)
    if order == AT_MOST:
        return bool(left <= right)
    return bool(left > right) if order == MORE else bool(left >= right)


def ordered_floats(order: int, left: float, right: float) -> bool:
    if order == LESS:
        return left < right
    if order == AT_MOST:
        return left <= right
    return left > right if order == MORE else left >= right


def incomparable(name: str, one: object, other: object) -> MessageError:
    return MessageError("not-comparable", f"{kind_of(one)} {name} {kind_of(other)} says nothing")


def linear(value: Any, factor: float, offset: float) -> Any:
    """A number in another unit. Raises OverflowError."""
    return value * factor + offset if type(value) is not float else linear_float(value, factor, offset)


def linear_float(value: float, factor: float, offset: float) -> float:
    return value * factor + offset


def round_float(value: float, scale: float, digits: int) -> float:
    """As round(value, digits), which writes the number as a text and reads that again; `scale` is 10 ** digits.

    A whole number below 2 ** 53 over an exact power of ten is the float next to that decimal fraction, which is what
    the text would be read as. Where it is not certain which whole number is the next one, round says it.
    """
    product = value * scale
    size = product if product >= 0.0 else -product
    if not size < WHOLE_FROM:
        return round(value, digits)
    whole = size + WHOLE_FROM - WHOLE_FROM
    fraction, sure = size - whole, 0.5 - size * WRONG_BY
    if whole == 0.0 or not -sure < fraction < sure:  # A zero has the sign of the value.
        return round(value, digits)
    return whole / scale if product >= 0.0 else -whole / scale


def attempt(name: str, function: Callable[..., Any], values: Any) -> Any:
    try:
        return function(*values)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise MessageError("no-result", f"{name} has no result for this") from None


def numeric(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        for value in values:
            if not is_number(value):
                raise not_numbers(name, *values)
        return function(*values)

    return checked


def textual(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        for value in values:
            if type(value) is not str:
                raise MessageError("not-text", f"{name} takes text, not {kind_of(value)}")
        return function(*values)

    return checked


def rounded(value: Any, digits: Any = None) -> Any:
    if digits is None:
        return round(value)
    if type(digits) is not int or not 0 <= digits <= MOST_DIGITS:
        raise MessageError("no-result", f"round keeps 0 to {MOST_DIGITS} digits")
    return round(value, digits)


def to_number(value: Any) -> Any:
    """A number, or the number that a text is; the text may have spaces around it."""
    if is_number(value):
        return value
    if type(value) is bool:
        return int(value)
    if type(value) is str and len(value) <= 64 and "_" not in value:
        text = value.strip()
        for kind in (int, float):
            try:
                made = kind(text)
            except ValueError:
                continue
            if math.isfinite(made):
                return made
    raise MessageError("not-a-number", f"{kind_of(value)} is no number")


def to_text(value: Any) -> str:
    if type(value) is str:
        return value
    if is_number(value):
        return repr(value)
    if isinstance(value, dict | list):
        raise MessageError("not-text", f"{kind_of(value)} is no text")
    return kind_of(value)


def joined(*values: Any) -> str:
    parts = [to_text(value) for value in values]
    if sum(map(len, parts)) > LONGEST_JOINED:
        raise MessageError("too-large", f"a text of more than {LONGEST_JOINED} characters")
    return "".join(parts)


def length(value: Any) -> int:
    if not isinstance(value, str | list | dict):
        raise MessageError("not-text", f"{kind_of(value)} has no length")
    return len(value)


def scaled(value: Any, from_low: Any, from_high: Any, to_low: Any, to_high: Any) -> Any:
    return to_low + (value - from_low) * (to_high - to_low) / (from_high - from_low)


round_number = numeric(rounded, "round")
# With the least and the most arguments.
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "abs": (numeric(abs, "abs"), 1, 1),
    "ceil": (numeric(math.ceil, "ceil"), 1, 1),
    "clamp": (numeric(lambda value, low, high: max(low, min(high, value)), "clamp"), 3, 3),
    "contains": (textual(lambda text, part: part in text, "contains"), 2, 2),
    "ends": (textual(str.endswith, "ends"), 2, 2),
    "floor": (numeric(math.floor, "floor"), 1, 1),
    "join": (joined, 1, 64),
    "length": (length, 1, 1),
    "log": (numeric(math.log, "log"), 1, 2),
    "lower": (textual(str.lower, "lower"), 1, 1),
    "max": (numeric(lambda *values: max(values), "max"), 1, 64),
    "min": (numeric(lambda *values: min(values), "min"), 1, 64),
    "negate": (numeric(lambda value: -value, "-"), 1, 1),
    "number": (to_number, 1, 1),
    "round": (round_number, 1, 2),
    "scale": (numeric(scaled, "scale"), 5, 5),
    "sqrt": (numeric(math.sqrt, "sqrt"), 1, 1),
    "starts": (textual(str.startswith, "starts"), 2, 2),
    "text": (to_text, 1, 1),
    "upper": (textual(str.upper, "upper"), 1, 1),
}
