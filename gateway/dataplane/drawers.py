"""Drawers: a dict for as many keys as a peer likes (hot).

A dict that grows is made anew with room for twice as many: with a few hundred thousand keys that takes tens of
milliseconds, in which nobody has a turn, and to let go of it takes as long.
"""

from collections.abc import Hashable, Iterator
from typing import Any

# Of more there is not one dict but these many; each of them may become as large and takes a millisecond at most.
FEW = 4096
DRAWERS = 256


class Drawers:
    """Maps keys to values. It is in the order of insertion as long as it has a few keys only."""

    __slots__ = ("_count", "_few", "_many")

    def __init__(self) -> None:
        self._few: dict[Any, Any] = {}
        self._many: list[dict[Any, Any]] | None = None
        self._count = 0

    def __len__(self) -> int:
        return len(self._few) if self._many is None else self._count

    def __contains__(self, key: Hashable) -> bool:
        return key in self._drawer(key)

    def __iter__(self) -> Iterator[Any]:
        """The keys; those that come or go meanwhile may be among them or not."""
        for drawer in self._all():
            yield from list(drawer)

    def get(self, key: Hashable) -> Any:
        """The value of a key, None where there is none."""
        return self._drawer(key).get(key)

    def put(self, key: Hashable, value: Any) -> None:
        if self._many is None and len(self._few) >= FEW:
            self._divide()
        drawer = self._drawer(key)
        before = len(drawer)
        drawer[key] = value
        self._count += len(drawer) - before

    def pop(self, key: Hashable) -> Any:
        """Take a key out; returns its value, None where there is none."""
        drawer = self._drawer(key)
        before = len(drawer)
        value = drawer.pop(key, None)
        self._count -= before - len(drawer)
        return value

    def values(self) -> Iterator[Any]:
        """As with the keys."""
        for drawer in self._all():
            yield from list(drawer.values())

    def drain(self) -> Iterator[Any]:
        """Take all out, one drawer after another; nothing must be put in any more."""
        drawers = self._all()
        self._few, self._many, self._count = {}, None, 0
        while drawers:
            yield from list(drawers.pop().values())

    def _drawer(self, key: Hashable) -> dict[Any, Any]:
        if self._many is None:
            return self._few
        drawer: dict[Any, Any] = self._many[hash(key) & (DRAWERS - 1)]
        return drawer

    def _all(self) -> list[dict[Any, Any]]:
        return [self._few] if self._many is None else self._many[:]

    def _divide(self) -> None:
        many: list[dict[Any, Any]] = [{} for _ in range(DRAWERS)]
        for key, value in self._few.items():
            many[hash(key) & (DRAWERS - 1)][key] = value
        self._count = len(self._few)
        self._many = many
        self._few = {}
