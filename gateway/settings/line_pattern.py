"""Patterns of the operator's for lines that devices print: how long matching one takes, before any line has come.

Python's matcher tries every way to share a line out among the parts of a pattern. A repetition that cannot go on where
what follows begins has one way; each that can multiplies the work by the length of the line, and one in another without
end. So lines are matched up to the length that the pattern allows, and a pattern that allows too little is refused.
"""

import importlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

# Python's own reading of a pattern.
_parser: Any = importlib.import_module("re._parser")

LONGEST_LINE = 4096
# A pattern that takes only shorter lines is not worth having.
SHORTEST_LINE = 256
# Steps of the matcher for one line: a few milliseconds.
MOST_STEPS = 1 << 18
# More ways than this are counted as the length of the line.
FEW = 16
EVERY_BYTE = frozenset(range(256))
NOTHING: frozenset[int] = frozenset()
REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class _Part(NamedTuple):
    """What can begin with one of `first`, `fewest` to `most` times in a row: one byte, or one of `alternatives`."""

    first: frozenset[int]
    fewest: int = 1
    most: int = 1
    alternatives: "tuple[list[_Part], ...]" = ()


class _Work(NamedTuple):
    """Steps grow with `factor` times the length of the line to the power of `degree`."""

    degree: int = 0
    factor: int = 1

    def times(self, other: "_Work") -> "_Work":
        return _Work(self.degree + other.degree, self.factor * other.factor)


def longest_line(pattern: str) -> int:
    """The length of lines up to which the pattern is matched in time. Raises ValueError for a pattern that has none."""
    try:
        parsed = _parser.parse(pattern.encode())
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    work = _work(_parts(parsed, bool(parsed.state.flags & re.IGNORECASE)), NOTHING).times(_Work(1))
    longest = min(int((MOST_STEPS // work.factor) ** (1 / work.degree)), LONGEST_LINE)
    if longest < SHORTEST_LINE:
        raise ValueError("has too many repetitions that can go on where the next part begins; say what each may hold")
    return longest


def _work(parts: list[_Part], behind: frozenset[int]) -> _Work:
    """What the parts cost in front of what begins with `behind`."""
    work = _Work()
    for index, part in enumerate(parts):
        following = _first(parts[index + 1 :], behind)
        work = work.times(_ways(part, following))
    return work


def _ways(part: _Part, following: frozenset[int]) -> _Work:
    work = _Work()
    ways = part.most - part.fewest + 1
    if part.most > 1:
        following_inside = following | part.first
        for inner in part.alternatives:
            if _is_empty(inner) or _work(inner, following_inside) != work:
                raise ValueError("repeats what is itself repeated, which can take for ever")
        if not _are_apart(part.alternatives, following_inside):
            raise ValueError("repeats alternatives that begin alike, which can take for ever")
    else:
        for inner in part.alternatives:
            work = work.times(_work(inner, following))
        if not _are_apart(part.alternatives, following):
            work = work.times(_Work(0, len(part.alternatives)))
    if ways == 1 or not part.first & following:
        return work
    return work.times(_Work(1) if ways > FEW else _Work(0, ways))


def _first(parts: list[_Part], behind: frozenset[int]) -> frozenset[int]:
    """What the parts can begin with, and what is behind them where they can be empty."""
    first = NOTHING
    for part in parts:
        first |= part.first
        if part.fewest and not any(map(_is_empty, part.alternatives)):
            return first
    return first | behind


def _is_empty(parts: list[_Part]) -> bool:
    """Whether the parts can match nothing."""
    return all(part.fewest == 0 or any(map(_is_empty, part.alternatives)) for part in parts)


def _are_apart(alternatives: tuple[list[_Part], ...], following: frozenset[int]) -> bool:
    """Whether the first byte tells which of them it is."""
    seen = NOTHING
    for parts in alternatives:
        first = _first(parts, following)
        if seen & first:
            return False
        seen |= first
    return True


def _parts(tree: Iterable[Any], any_case: bool) -> list[_Part]:
    parts: list[_Part] = []
    for operation, argument in tree:
        name = str(operation)
        if name == "SUBPATTERN":
            parts += _parts(argument[-1], any_case)
        elif name == "ATOMIC_GROUP":
            parts += _parts(argument, any_case)
        elif name in REPEATS:
            fewest, most, tree = argument
            inner = _parts(tree, any_case)
            alone = len(inner) == 1 and not inner[0].alternatives and inner[0].fewest == inner[0].most == 1
            parts.append(_Part(_first(inner, NOTHING), int(fewest), int(most), () if alone else (inner,)))
        elif name == "BRANCH":
            branches = tuple(_parts(branch, any_case) for branch in argument[1])
            first = NOTHING.union(*(_first(branch, NOTHING) for branch in branches))
            parts.append(_Part(first, 1, 1, branches))
        elif name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            parts.append(_Part(EVERY_BYTE if any_case else _accepted(name, argument)))
        elif name != "AT":
            raise ValueError("uses a back reference or looks around, which takes more time than a line has")
    return parts


def _accepted(name: str, argument: Any) -> frozenset[int]:
    if name == "ANY":
        return EVERY_BYTE
    if name == "LITERAL":
        return frozenset((argument,))
    if name == "NOT_LITERAL":
        return EVERY_BYTE - {argument}
    accepted: set[int] = set()
    negated = False
    for operation, value in argument:
        kind = str(operation)
        if kind == "NEGATE":
            negated = True
        elif kind == "LITERAL":
            accepted.add(value)
        elif kind == "RANGE":
            accepted.update(range(value[0], value[1] + 1))
        else:
            accepted.update(_category(str(value)))
    return EVERY_BYTE - accepted if negated else frozenset(accepted)


def _category(name: str) -> Iterable[int]:
    """The bytes of `\\d`, `\\s`, `\\w` and their opposites."""
    kind = name.removeprefix("CATEGORY_")
    letter = {"DIGIT": b"\\d", "SPACE": b"\\s", "WORD": b"\\w"}[kind.removeprefix("NOT_")]
    pattern = re.compile(letter)
    found = {byte for byte in EVERY_BYTE if pattern.match(bytes((byte,)))}
    return EVERY_BYTE - found if kind.startswith("NOT_") else found
