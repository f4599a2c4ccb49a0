"""Closures: a tree of nodes becomes one function of payload and tokens; what it may do is what stands here (hot).

Numbers are integers and floats, true and false are none. Nothing here loops over anything but its own arguments, and
no result is larger than what it was made of, so that a message costs what its expression and its payload are long.
"""

import math
from collections.abc import Callable
from typing import Any

from gateway.rules.errors import ExpressionError, MessageError
from gateway.rules.parsing import Call, Constant, Field, Node, Subject, parse
from gateway.rules.units import conversion

# Takes the decoded payload and the tokens of the subject: the whole, then what each wildcard stands for.
Evaluate = Callable[[Any, Any], Any]

LONGEST_JOINED = 65_536
# Beyond it a product of integers is no number any more that anybody measures.
MOST_INTEGER = 1 << 63
MOST_DIGITS = 15
Operation = Callable[[Any, Any], Any]


def compile_expression(text: str, wildcards: int) -> Evaluate:
    """The function that an expression stands for, of messages whose filter has so many wildcards. Raises
    ExpressionError.
    """
    return build(parse(text), wildcards)


def reads_payload(text: str) -> bool:
    """Whether an expression looks at anything but subjects and constants."""
    waiting: list[Node] = [parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Field):
            return True
        if isinstance(node, Call):
            waiting += node.arguments
    return False


def build(node: Node, wildcards: int) -> Evaluate:
    if isinstance(node, Constant):
        return constant(node.value)
    if isinstance(node, Subject):
        if node.wildcard > wildcards:
            raise ExpressionError(f"${node.wildcard}: the filter has {wildcards} wildcards that are *")
        return token(node.wildcard)
    if isinstance(node, Field):
        return field(node.path)
    return folded(node, wildcards)


def folded(node: Call, wildcards: int) -> Evaluate:
    """A call; one of nothing but constants is made here and now."""
    made = call(node, wildcards)
    if not all(isinstance(argument, Constant) for argument in node.arguments) or node.name in ("has", "default"):
        return made
    try:
        return constant(made(None, ()))
    except MessageError as error:
        raise ExpressionError(str(error)) from None


def constant(value: object) -> Evaluate:
    return lambda payload, tokens: value


def token(index: int) -> Evaluate:
    return lambda payload, tokens: tokens[index]


def field(path: tuple[str | int, ...]) -> Evaluate:
    if not path:
        return lambda payload, tokens: payload
    shown = path_text(path)
    if len(path) == 1 and isinstance(path[0], str):
        name = path[0]

        def one(payload: Any, tokens: Any) -> Any:
            try:
                return payload[name]
            except (KeyError, TypeError):
                raise MessageError("missing-field", f"the payload has no {shown}") from None

        return one

    steps: tuple[Any, ...] = path

    def several(payload: Any, tokens: Any) -> Any:
        for step in steps:
            # Text and lists have indices too; a negative one is none of ours.
            kind = dict if isinstance(step, str) else list
            if not isinstance(payload, kind):
                raise MessageError("missing-field", f"the payload has no {shown}")
            try:
                payload = payload[step]
            except (KeyError, IndexError):
                raise MessageError("missing-field", f"the payload has no {shown}") from None
        return payload

    return several


def path_text(path: tuple[str | int, ...]) -> str:
    parts = [f".{step}" if isinstance(step, str) else f"[{step}]" for step in path]
    return "".join(parts).removeprefix(".")


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


def add(left: Any, right: Any) -> Any:
    return left + right


def subtract(left: Any, right: Any) -> Any:
    return left - right


def multiply(left: Any, right: Any) -> Any:
    product = left * right
    if type(product) is int and not -MOST_INTEGER <= product < MOST_INTEGER:
        raise MessageError("too-large", "a product is larger than numbers of 64 bits")
    return product


def divide(left: Any, right: Any) -> Any:
    return left / right


def divide_whole(left: Any, right: Any) -> Any:
    return left // right


def remainder(left: Any, right: Any) -> Any:
    return left % right


def power(left: Any, right: Any) -> Any:
    # Not by **: compiled, that of floats has another result where there is none among them.
    try:
        return math.pow(left, right)
    except ValueError:
        raise MessageError("no-result", "a negative number has no such power") from None


ARITHMETIC: dict[str, Operation] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "//": divide_whole,
    "%": remainder,
    "pow": power,
}


def arithmetic(name: str, left: Evaluate, right: Evaluate, known: object) -> Evaluate:
    """`known` is the right side where that is a number which stands in the expression."""
    operation = ARITHMETIC[name]
    if is_number(known):

        def with_constant(payload: Any, tokens: Any) -> Any:
            value = left(payload, tokens)
            kind = type(value)
            if kind is not float and kind is not int:
                raise not_numbers(name, value)
            try:
                return operation(value, known)
            except (ZeroDivisionError, OverflowError):
                raise impossible(name) from None

        return with_constant

    def with_both(payload: Any, tokens: Any) -> Any:
        one, other = left(payload, tokens), right(payload, tokens)
        if not (is_number(one) and is_number(other)):
            raise not_numbers(name, one, other)
        try:
            return operation(one, other)
        except (ZeroDivisionError, OverflowError):
            raise impossible(name) from None

    return with_both


def impossible(name: str) -> MessageError:
    if name in ("/", "//", "%"):
        return MessageError("no-result", "a division by zero, or of what is too large")
    return MessageError("no-result", f"{name} has no result for this, or too large a one")


def equal(left: Any, right: Any) -> bool:
    return (type(left) is bool) == (type(right) is bool) and bool(left == right)


# The order of two values, as a number: fewer calls than a function each.
LESS, AT_MOST, MORE = 0, 1, 2
ORDERS = {"<": LESS, "<=": AT_MOST, ">": MORE, ">=": 3}


def ordered(order: int, left: Any, right: Any) -> bool:
    if order == LESS:
        return bool(left < right)
    if order == AT_MOST:
        return bool(left <= right)
    return bool(left > right) if order == MORE else bool(left >= right)


def comparison(name: str, left: Evaluate, right: Evaluate, node: Node) -> Evaluate:
    """`node` is the right side, which mostly is a value that stands in the expression."""
    known = node.value if isinstance(node, Constant) else None
    if name in ("==", "!="):
        wanted = name == "=="
        if isinstance(node, Constant):
            return lambda payload, tokens: equal(left(payload, tokens), known) is wanted
        return lambda payload, tokens: equal(left(payload, tokens), right(payload, tokens)) is wanted
    order = ORDERS[name]
    if is_number(known):

        def compare_with_known(payload: Any, tokens: Any) -> bool:
            value = left(payload, tokens)
            kind = type(value)
            if kind is not float and kind is not int:
                raise incomparable(name, value, known)
            return ordered(order, value, known)

        return compare_with_known

    def compare(payload: Any, tokens: Any) -> bool:
        one, other = left(payload, tokens), right(payload, tokens)
        if not ((is_number(one) and is_number(other)) or (type(one) is str and type(other) is str)):
            raise incomparable(name, one, other)
        return ordered(order, one, other)

    return compare


def incomparable(name: str, one: object, other: object) -> MessageError:
    return MessageError("not-comparable", f"{kind_of(one)} {name} {kind_of(other)} says nothing")


def call(node: Call, wildcards: int) -> Evaluate:
    name, nodes = node
    if name in ("has", "default"):
        return guarded(name, nodes, wildcards)
    if name == "convert":
        return converted(nodes, wildcards)
    given = [build(one, wildcards) for one in nodes]
    if name in ARITHMETIC:
        expect(name, given, 2, 2)
        right = nodes[1]
        return arithmetic(name, given[0], given[1], right.value if isinstance(right, Constant) else None)
    if name in ("==", "!=", *ORDERS):
        return comparison(name, given[0], given[1], nodes[1])
    if name in ("and", "or"):
        return connected(name, given[0], given[1])
    if name == "not":
        return lambda payload, tokens: not given[0](payload, tokens)
    if name == "if":
        expect(name, given, 3, 3)
        return lambda payload, tokens: given[1 if given[0](payload, tokens) else 2](payload, tokens)
    if name not in FUNCTIONS:
        known = ", ".join(sorted({*FUNCTIONS, *SPECIAL} - {"negate"}))
        raise ExpressionError(f"there is no function {name}; there are {known}")
    function, least, most = FUNCTIONS[name]
    expect(name, given, least, most)
    if len(given) == 1:
        return applied(name, function, given[0])
    if name == "round" and isinstance(nodes[1], Constant):
        return rounded_to(given[0], nodes[1].value)

    def apply(payload: Any, tokens: Any) -> Any:
        return attempt(name, function, [one(payload, tokens) for one in given])

    return apply


def connected(name: str, one: Evaluate, other: Evaluate) -> Evaluate:
    if name == "and":
        return lambda payload, tokens: bool(one(payload, tokens)) and bool(other(payload, tokens))
    return lambda payload, tokens: bool(one(payload, tokens)) or bool(other(payload, tokens))


def rounded_to(argument: Evaluate, digits: Any) -> Evaluate:
    """As `rounded`, to digits that are known; of a float, which most are, at once."""
    is_plain = type(digits) is int and 0 <= digits <= MOST_DIGITS

    def round_to(payload: Any, tokens: Any) -> Any:
        value = argument(payload, tokens)
        if is_plain and type(value) is float:
            return round_float(value, digits)
        return attempt("round", round_number, (value, digits))

    return round_to


def applied(name: str, function: Callable[..., Any], argument: Evaluate) -> Evaluate:
    return lambda payload, tokens: attempt(name, function, (argument(payload, tokens),))


def attempt(name: str, function: Callable[..., Any], values: Any) -> Any:
    try:
        return function(*values)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise MessageError("no-result", f"{name} has no result for this") from None


def expect(name: str, given: list[Evaluate], least: int, most: int) -> None:
    if not least <= len(given) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ExpressionError(f"{name} takes {wanted} arguments, not {len(given)}")


def guarded(name: str, nodes: tuple[Node, ...], wildcards: int) -> Evaluate:
    """has(field) and default(field, value): what is missing is no fault."""
    if len(nodes) != (1 if name == "has" else 2) or not isinstance(nodes[0], Field):
        raise ExpressionError("write has(temperature) or default(temperature, 0), with a field as the first argument")
    find = build(nodes[0], wildcards)
    instead = build(nodes[1], wildcards) if name == "default" else constant(None)

    def look(payload: Any, tokens: Any) -> Any:
        try:
            found = find(payload, tokens)
        except MessageError:
            found = None
        if name == "has":
            return found is not None
        return instead(payload, tokens) if found is None else found

    return look


def converted(nodes: tuple[Node, ...], wildcards: int) -> Evaluate:
    names = [one.value for one in nodes[1:] if isinstance(one, Constant)]
    if len(nodes) != 3 or len(names) != 2 or not all(isinstance(one, str) for one in names):
        raise ExpressionError('write convert(temperature, "F", "C"), with the units as text')
    factor, offset = conversion(str(names[0]), str(names[1]))
    value_of = build(nodes[0], wildcards)

    def convert(payload: Any, tokens: Any) -> Any:
        value = value_of(payload, tokens)
        kind = type(value)
        if kind is not float and kind is not int:
            raise not_numbers("convert", value)
        try:
            return value * factor + offset
        except OverflowError:
            raise impossible("convert") from None

    return convert


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


# Raises no error but for a result that is too large for a float, as there is none among 15 digits.
round_float = float.__round__
round_number = numeric(rounded, "round")
SPECIAL = ("convert", "default", "has", "if", "pow")
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
