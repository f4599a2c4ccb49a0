"""Parser: the text of an expression becomes a tree of nodes. Nothing is evaluated here.

expression  one with `or`, `and`, `not`; a comparison == != < <= > >=; + - * / // %; a minus; in parentheses
value       21.5, "text", true, false, null, $subject, $1 (what the first wildcard of `from` stands for),
            payload (all of it), a field of it as in temperature, sensor.values[0] or sensor["odd name"],
            or a function as in round(temperature, 1)
"""

from collections.abc import Callable
from typing import NamedTuple

from gateway.rules.errors import ExpressionError

LONGEST_TEXT = 4096
MOST_NODES = 256
DEEPEST = 32
LONGEST_NUMBER = 40
WORDS = {"true": True, "false": False, "null": None}
OPERATORS = ("==", "!=", "<=", ">=", "//", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", ".")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
SUMS = ("+", "-")
PRODUCTS = ("*", "/", "//", "%")
ESCAPES = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "t": "\t"}


class Constant(NamedTuple):
    value: object


class Field(NamedTuple):
    """What a path leads to, from the payload on: names and indices."""

    path: tuple[str | int, ...]


class Subject(NamedTuple):
    """The subject of the message; `wildcard` counts from 1, 0 stands for the whole."""

    wildcard: int


class Call(NamedTuple):
    """A function or an operator, and what it is given."""

    name: str
    arguments: tuple["Node", ...]


Node = Constant | Field | Subject | Call


class Token(NamedTuple):
    kind: str  # number, text, name, subject, operator, end
    value: object
    at: int


def parse(text: str) -> Node:
    """The tree of an expression. Raises ExpressionError."""
    if len(text) > LONGEST_TEXT:
        raise ExpressionError(f"an expression has at most {LONGEST_TEXT} characters")
    parser = Parser(text)
    node = parser.expression()
    parser.expect("end")
    return node


def scan(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character.isspace():
            at += 1
            continue
        if character in "\"'":
            value, end = _text(text, at)
            found.append(Token("text", value, at))
        elif character.isascii() and character.isdigit():
            end = _end(text, at, ".eE0123456789")
            found.append(Token("number", _number(text[at:end]), at))
        elif character == "$":
            end = _name_end(text, at + 1)
            found.append(Token("subject", _wildcard(text[at:end]), at))
        elif character.isalpha() or character == "_":
            end = _name_end(text, at)
            found.append(Token("name", text[at:end], at))
        else:
            operator = next((one for one in OPERATORS if text.startswith(one, at)), None)
            if operator is None:
                raise ExpressionError(f"{character!r} at character {at + 1} has no meaning here")
            end = at + len(operator)
            found.append(Token("operator", operator, at))
        at = end
    found.append(Token("end", "the end", len(text)))
    return found


def _end(text: str, at: int, characters: str) -> int:
    while at < len(text) and (text[at] in characters or (text[at] in "+-" and text[at - 1] in "eE")):
        at += 1
    return at


def _name_end(text: str, at: int) -> int:
    while at < len(text) and (text[at].isalnum() or text[at] == "_"):
        at += 1
    return at


def _number(text: str) -> float:
    try:
        if len(text) > LONGEST_NUMBER:
            raise ValueError
        return float(text) if any(one in text for one in ".eE") else int(text)
    except ValueError:
        raise ExpressionError(f"{text!r} is no number") from None


def _wildcard(text: str) -> int:
    name = text[1:]
    if name == "subject":
        return 0
    if name.isascii() and name.isdigit() and len(name) < 4 and int(name):
        return int(name)
    raise ExpressionError(f"{text!r}: only $subject, $1, $2 and so on begin with a dollar sign")


def _text(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    quote, here = text[at], at + 1
    while here < len(text):
        character = text[here]
        if character == quote:
            return "".join(parts), here + 1
        if character == "\\":
            here += 1
            if here == len(text) or text[here] not in ESCAPES:
                raise ExpressionError(f"character {here}: behind a backslash stands a quote, a backslash, n or t")
            character = ESCAPES[text[here]]
        parts.append(character)
        here += 1
    raise ExpressionError(f"the text that begins at character {at + 1} does not end")


class Parser:
    """Descends once; as deep as DEEPEST, and to MOST_NODES at most."""

    def __init__(self, text: str) -> None:
        self._tokens = scan(text)
        self._position = 0
        self._depth = 0
        self._nodes = 0

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"it is nested more than {DEEPEST} deep")
        node = self._both()
        while self._take("name", "or"):
            node = self._call("or", node, self._both())
        self._depth -= 1
        return node

    def _both(self) -> Node:
        node = self._negation()
        while self._take("name", "and"):
            node = self._call("and", node, self._negation())
        return node

    def _negation(self) -> Node:
        count = 0
        while self._take("name", "not"):
            count += 1
        node = self._comparison()
        for _ in range(count):
            node = self._call("not", node)
        return node

    def _comparison(self) -> Node:
        node = self._row(SUMS, self._product)
        token = self._tokens[self._position]
        if token.kind == "operator" and token.value in COMPARISONS:
            self._position += 1
            node = self._call(str(token.value), node, self._row(SUMS, self._product))
            following = self._tokens[self._position]
            if following.kind == "operator" and following.value in COMPARISONS:
                raise ExpressionError("comparisons do not stand in a row: join them with and")
        return node

    def _product(self) -> Node:
        return self._row(PRODUCTS, self._minus)

    def _row(self, operators: tuple[str, ...], part: Callable[[], Node]) -> Node:
        node = part()
        while True:
            token = self._tokens[self._position]
            if token.kind != "operator" or token.value not in operators:
                return node
            self._position += 1
            node = self._call(str(token.value), node, part())

    def _minus(self) -> Node:
        count = 0
        while self._take("operator", "-"):
            count += 1
        node = self._value()
        for _ in range(count):
            if isinstance(node, Constant) and isinstance(node.value, int | float):
                node = Constant(-node.value)
            else:
                node = self._call("negate", node)
        return node

    def _value(self) -> Node:
        token = self._tokens[self._position]
        self._position += 1
        if token.kind in ("number", "text"):
            return self._note(Constant(token.value))
        if token.kind == "subject":
            assert isinstance(token.value, int)
            return self._note(Subject(token.value))
        if token.kind == "operator" and token.value == "(":
            node = self.expression()
            self.expect("operator", ")")
            return node
        if token.kind == "name" and token.value not in ("and", "or", "not"):
            name = str(token.value)
            if name in WORDS:
                return self._note(Constant(WORDS[name]))
            if self._take("operator", "("):
                return self._call(name, *self._arguments())
            return self._note(Field(self._path(name)))
        raise ExpressionError(f"a value is missing at character {token.at + 1}, there is {token.value!r}")

    def _arguments(self) -> list[Node]:
        found: list[Node] = []
        if self._take("operator", ")"):
            return found
        while True:
            found.append(self.expression())
            if self._take("operator", ")"):
                return found
            self.expect("operator", ",")

    def _path(self, name: str) -> tuple[str | int, ...]:
        path: list[str | int] = [] if name == "payload" else [name]
        while True:
            if self._take("operator", "."):
                path.append(str(self.expect("name").value))
            elif self._take("operator", "["):
                token = self._tokens[self._position]
                self._position += 1
                if token.kind not in ("number", "text") or isinstance(token.value, float):
                    raise ExpressionError('between brackets stands a number or a name, as in [0] or ["odd name"]')
                assert isinstance(token.value, str | int)
                path.append(token.value)
                self.expect("operator", "]")
            else:
                return tuple(path)

    def _call(self, name: str, *arguments: Node) -> Node:
        return self._note(Call(name, arguments))

    def _note(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise ExpressionError(f"it has more than {MOST_NODES} parts")
        return node

    def _take(self, kind: str, value: object) -> bool:
        token = self._tokens[self._position]
        if token.kind != kind or token.value != value:
            return False
        self._position += 1
        return True

    def expect(self, kind: str, value: object = None) -> Token:
        token = self._tokens[self._position]
        if token.kind != kind or (value is not None and token.value != value):
            wanted = {"end": "nothing more", "name": "a name"}.get(kind, repr(value))
            raise ExpressionError(f"{wanted} should stand at character {token.at + 1}, there is {token.value!r}")
        self._position += 1
        return token
