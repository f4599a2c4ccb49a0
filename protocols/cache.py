"""A bounded cache in two generations: it never scans, and never grows past twice its limit."""

from typing import Any


class GenerationCache:
    """Maps keys to values; holds at most `2 * limit` of them.

    `young` is a plain dict that hot code may look into directly and keep a reference to; after a miss there, `recall`
    looks into the old generation and brings a hit back. When `young` is full it becomes the old generation.
    """

    __slots__ = ("_old", "limit", "young")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}

    def recall(self, key: Any) -> Any:
        value = self._old.get(key)
        if value is not None:
            self.remember(key, value)
        return value

    def remember(self, key: Any, value: Any) -> None:
        if len(self.young) >= self.limit:
            self._old = self.young.copy()
            self.young.clear()
        self.young[key] = value

    def forget(self, key: Any) -> None:
        self.young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        self.young.clear()
        self._old = {}

    def keys(self) -> list[Any]:
        return [*self.young, *self._old]

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
