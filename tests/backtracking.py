"""How many steps a backtracking engine takes over a pattern: the engine of `re` counts none that one could read.

It walks the parsed pattern as `re` does, greedy and with the same choices in the same order, without the shortcuts that
change a constant only.
"""

import re
from collections.abc import Iterator, Sequence
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Items = Sequence[tuple[Any, Any]]


def steps(pattern: re.Pattern[bytes] | re.Pattern[str], text: bytes | str, method: str) -> int:
    """The steps of `pattern.<method>(text)`, of `search` up to its first match."""
    engine = Engine(pattern, text)
    for start in range(len(text) + 1 if method == "search" else 1):
        for end in engine.ends(engine.items, start):
            if method != "fullmatch" or end == len(text):
                return engine.steps
    return engine.steps


class Engine:
    def __init__(self, pattern: re.Pattern[bytes] | re.Pattern[str], text: bytes | str) -> None:
        parsed = parser.parse(pattern.pattern, pattern.flags)
        self.items: Items = list(parsed)
        self.text = text if isinstance(text, str) else text.decode("latin-1")
        self.ignore_case = bool(pattern.flags & re.IGNORECASE)
        self.dot_all = bool(pattern.flags & re.DOTALL)
        self.steps = 0

    def ends(self, items: Items, at: int) -> Iterator[int]:
        """Where matches of the items that begin there end, in the order in which they are tried."""
        self.steps += 1
        if not items:
            yield at
            return
        (op, value), rest = items[0], items[1:]
        if self._is_single(items[0]):
            if at < len(self.text) and self._accepts(items[0], self.text[at]):
                yield from self.ends(rest, at + 1)
        elif op is ops.SUBPATTERN:
            for end in self.ends(list(value[3]), at):
                yield from self.ends(rest, end)
        elif op is ops.BRANCH:
            for branch in value[1]:
                for end in self.ends(list(branch), at):
                    yield from self.ends(rest, end)
        elif op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            for end in self._repeats(op, *value, at):
                yield from self.ends(rest, end)
        elif op in (ops.ASSERT, ops.ASSERT_NOT):
            assert value[0] == 1, "looking behind"
            found = any(True for _ in self.ends(list(value[1]), at))
            if found == (op is ops.ASSERT):
                yield from self.ends(rest, at)
        else:
            raise NotImplementedError(op)

    def _repeats(self, op: Any, least: int, most: int, body: Items, at: int) -> Iterator[int]:
        item = body[0]
        if len(body) > 1 or not self._is_single(item):
            yield from self._repeat_group(least, most, list(body), at, 0)
            return
        count = 0
        while count < most and at + count < len(self.text) and self._accepts(item, self.text[at + count]):
            count += 1
        counts = range(least, count + 1)
        for taken in counts if op is ops.MIN_REPEAT else reversed(counts):
            self.steps += 1
            yield at + taken

    def _repeat_group(self, least: int, most: int, body: Items, at: int, count: int) -> Iterator[int]:
        if count < most:
            for end in self.ends(body, at):
                if end > at:
                    yield from self._repeat_group(least, most, body, end, count + 1)
        if count >= least:
            yield at

    @staticmethod
    def _is_single(item: tuple[Any, Any]) -> bool:
        return item[0] in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN)

    def _accepts(self, item: tuple[Any, Any], character: str) -> bool:
        self.steps += 1
        op, value = item
        variants = {character, character.lower(), character.upper()} if self.ignore_case else {character}
        if op is ops.LITERAL:
            return any(ord(one) == value for one in variants)
        if op is ops.NOT_LITERAL:
            return all(ord(one) != value for one in variants)
        if op is ops.ANY:
            return self.dot_all or character != "\n"
        negated = value[0][0] is ops.NEGATE
        return any(self._in_set(one, value) for one in variants) != negated

    @staticmethod
    def _in_set(character: str, members: Items) -> bool:
        for op, value in members:
            if op is ops.LITERAL and ord(character) == value:
                return True
            if op is ops.RANGE and value[0] <= ord(character) <= value[1]:
                return True
            if op is ops.CATEGORY:
                category = {ops.CATEGORY_SPACE: r"\s", ops.CATEGORY_DIGIT: r"\d", ops.CATEGORY_NOT_SPACE: r"\S"}[value]
                if re.fullmatch(category, character, re.ASCII):
                    return True
        return False
