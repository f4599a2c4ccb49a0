"""Expressions: a tree of nodes becomes one of objects that say what it comes to; what it may do is what stands here and
in gateway.rules.functions (hot).
"""

from collections.abc import Callable
from typing import Any

from gateway.rules.errors import ExpressionError, MessageError
from gateway.rules.functions import (
    ARITHMETIC,
    FUNCTIONS,
    MOST_DIGITS,
    ORDERS,
    SCALES,
    attempt,
    calculate,
    equal,
    impossible,
    incomparable,
    is_number,
    linear,
    not_numbers,
    ordered,
    round_float,
    round_number,
)
from gateway.rules.parsing import Call, Constant, Field, Node, Subject, parse
from gateway.rules.payloads import MISSING, Wanted
from gateway.rules.units import conversion

SPECIAL = ("convert", "default", "has", "if", "pow")


class Expression:
    """`value` is what it comes to: of what is wanted of a payload (gateway.rules.payloads), and of the tokens of the
    subject, the whole and then what each wildcard stands for. Raises MessageError where it comes to nothing.
    """

    __slots__ = ()

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        raise NotImplementedError


class Known(Expression):
    __slots__ = ("known",)

    def __init__(self, known: object) -> None:
        self.known = known

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        return self.known


class Token(Expression):
    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        return tokens[self._index]


class Path(Expression):
    """A place in the payload: what is wanted of it there, and steps from there on."""

    __slots__ = ("_index", "_path", "_steps")

    def __init__(self, path: tuple[str | int, ...], wanted: Wanted) -> None:
        self._path = path
        if path and isinstance(path[0], str):
            self._index = wanted.field(path[0])
            self._steps = path[1:]
        else:
            self._index = wanted.whole()
            self._steps = path

    def find(self, values: list[Any]) -> Any:
        """What stands there, or MISSING."""
        found = values[self._index]
        for step in self._steps:
            # Text and lists have indices too; a negative one is none of ours.
            if isinstance(step, str):
                found = found.get(step, MISSING) if type(found) is dict else MISSING
            else:
                found = found[step] if type(found) is list and step < len(found) else MISSING
        return found

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        found = self.find(values)
        if found is MISSING:
            raise MessageError("missing-field", f"the payload has no {path_text(self._path)}")
        return found


def path_text(path: tuple[str | int, ...]) -> str:
    parts = [f".{step}" if isinstance(step, str) else f"[{step}]" for step in path]
    return "".join(parts).removeprefix(".")


class Guarded(Expression):
    """has(path) and default(path, instead): what is missing is no fault."""

    __slots__ = ("_instead", "_path")

    def __init__(self, path: Path, instead: Expression | None) -> None:
        self._path = path
        self._instead = instead

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        found = self._path.find(values)
        is_there = found is not MISSING and found is not None
        if self._instead is None:
            return is_there
        return found if is_there else self._instead.value(values, tokens)


class Arithmetic(Expression):
    __slots__ = ("_left", "_name", "_operator", "_right")

    def __init__(self, name: str, left: Expression, right: Expression) -> None:
        self._name = name
        self._operator = ARITHMETIC[name]
        self._left = left
        self._right = right

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        left, right = self._left.value(values, tokens), self._right.value(values, tokens)
        if not (is_number(left) and is_number(right)):
            raise not_numbers(self._name, left, right)
        try:
            return calculate(self._operator, left, right)
        except (ZeroDivisionError, OverflowError):
            raise impossible(self._name) from None


class Equality(Expression):
    __slots__ = ("_left", "_right", "_wanted")

    def __init__(self, left: Expression, right: Expression, wanted: bool) -> None:
        self._left = left
        self._right = right
        self._wanted = wanted

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        return equal(self._left.value(values, tokens), self._right.value(values, tokens)) is self._wanted


class Comparison(Expression):
    __slots__ = ("_left", "_name", "_order", "_right")

    def __init__(self, name: str, left: Expression, right: Expression) -> None:
        self._name = name
        self._order = ORDERS[name]
        self._left = left
        self._right = right

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        left, right = self._left.value(values, tokens), self._right.value(values, tokens)
        if not ((is_number(left) and is_number(right)) or (type(left) is str and type(right) is str)):
            raise incomparable(self._name, left, right)
        return ordered(self._order, left, right)


class Connected(Expression):
    """`and` and `or`."""

    __slots__ = ("_both", "_left", "_right")

    def __init__(self, both: bool, left: Expression, right: Expression) -> None:
        self._both = both
        self._left = left
        self._right = right

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        left = bool(self._left.value(values, tokens))
        if left != self._both:
            return left
        return bool(self._right.value(values, tokens))


class Negated(Expression):
    __slots__ = ("_argument",)

    def __init__(self, argument: Expression) -> None:
        self._argument = argument

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        return not self._argument.value(values, tokens)


class Choice(Expression):
    __slots__ = ("_condition", "_one", "_other")

    def __init__(self, condition: Expression, one: Expression, other: Expression) -> None:
        self._condition = condition
        self._one = one
        self._other = other

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        if self._condition.value(values, tokens):
            return self._one.value(values, tokens)
        return self._other.value(values, tokens)


class Converted(Expression):
    __slots__ = ("_argument", "_factor", "_offset")

    def __init__(self, argument: Expression, factor: float, offset: float) -> None:
        self._argument = argument
        self._factor = factor
        self._offset = offset

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        value = self._argument.value(values, tokens)
        if not is_number(value):
            raise not_numbers("convert", value)
        try:
            return linear(value, self._factor, self._offset)
        except OverflowError:
            raise impossible("convert") from None


class Rounded(Expression):
    """round(argument, digits), to digits that are known; of a float, which most are, at once."""

    __slots__ = ("_argument", "_digits", "_scale")

    def __init__(self, argument: Expression, digits: int) -> None:
        self._argument = argument
        self._digits = digits
        self._scale = SCALES[digits]

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        value = self._argument.value(values, tokens)
        if type(value) is float:
            return round_float(value, self._scale, self._digits)
        return attempt("round", round_number, (value, self._digits))


class Applied(Expression):
    """A function of gateway.rules.functions."""

    __slots__ = ("_arguments", "_function", "_name")

    def __init__(self, name: str, function: Callable[..., Any], arguments: list[Expression]) -> None:
        self._name = name
        self._function = function
        self._arguments = arguments

    def value(self, values: list[Any], tokens: tuple[str, ...]) -> Any:
        found: list[Any] = []
        for one in self._arguments:
            found.append(one.value(values, tokens))  # noqa: PERF401 - compiled, a comprehension knows no types
        return attempt(self._name, self._function, found)


def compile_expression(text: str, wildcards: int, wanted: Wanted) -> Expression:
    """The expression that a text stands for, of messages whose filter has so many wildcards. What it wants of a payload
    is noted. Raises ExpressionError.
    """
    return Builder(wildcards, wanted).build(parse(text))


class Builder:
    def __init__(self, wildcards: int, wanted: Wanted) -> None:
        self._wildcards = wildcards
        self._wanted = wanted

    def build(self, node: Node) -> Expression:
        if isinstance(node, Constant):
            return Known(node.value)
        if isinstance(node, Subject):
            if node.wildcard > self._wildcards:
                raise ExpressionError(f"${node.wildcard}: the filter has {self._wildcards} wildcards that are *")
            return Token(node.wildcard)
        if isinstance(node, Field):
            return Path(node.path, self._wanted)
        return self._folded(node)

    def _folded(self, node: Call) -> Expression:
        """A call; one of nothing but constants is made here and now."""
        made = self._call(node)
        constant = all(isinstance(argument, Constant) for argument in node.arguments)
        if not constant or node.name in ("has", "default"):
            return made
        try:
            return Known(made.value([], ()))
        except MessageError as error:
            raise ExpressionError(str(error)) from None

    def _call(self, node: Call) -> Expression:
        name, nodes = node
        if name in ("has", "default"):
            return self._guarded(name, nodes)
        if name == "convert":
            return self._converted(nodes)
        given = [self.build(one) for one in nodes]
        if name in ARITHMETIC:
            expect(name, given, 2, 2)
            return Arithmetic(name, given[0], given[1])
        if name in ("==", "!="):
            return Equality(given[0], given[1], name == "==")
        if name in ORDERS:
            return Comparison(name, given[0], given[1])
        if name in ("and", "or"):
            return Connected(name == "and", given[0], given[1])
        if name == "not":
            return Negated(given[0])
        if name == "if":
            expect(name, given, 3, 3)
            return Choice(given[0], given[1], given[2])
        if name not in FUNCTIONS:
            known = ", ".join(sorted({*FUNCTIONS, *SPECIAL} - {"negate"}))
            raise ExpressionError(f"there is no function {name}; there are {known}")
        function, least, most = FUNCTIONS[name]
        expect(name, given, least, most)
        digits = nodes[1].value if name == "round" and len(nodes) > 1 and isinstance(nodes[1], Constant) else None
        if type(digits) is int and 0 <= digits <= MOST_DIGITS:
            return Rounded(given[0], digits)
        return Applied(name, function, given)

    def _guarded(self, name: str, nodes: tuple[Node, ...]) -> Expression:
        if len(nodes) != (1 if name == "has" else 2) or not isinstance(nodes[0], Field):
            raise ExpressionError(
                "write has(temperature) or default(temperature, 0), with a field as the first argument"
            )
        path = Path(nodes[0].path, self._wanted)
        return Guarded(path, self.build(nodes[1]) if name == "default" else None)

    def _converted(self, nodes: tuple[Node, ...]) -> Expression:
        names = [one.value for one in nodes[1:] if isinstance(one, Constant)]
        if len(nodes) != 3 or len(names) != 2 or not all(isinstance(one, str) for one in names):
            raise ExpressionError('write convert(temperature, "F", "C"), with the units as text')
        factor, offset = conversion(str(names[0]), str(names[1]))
        return Converted(self.build(nodes[0]), factor, offset)


def expect(name: str, given: list[Expression], least: int, most: int) -> None:
    if not least <= len(given) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ExpressionError(f"{name} takes {wanted} arguments, not {len(given)}")
