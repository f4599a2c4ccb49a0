"""A bounded cache in two generations: it never scans, and never grows past twice its limit (hot)."""

from typing import Any

# Traces of offered keys for each key that the cache holds: so many more than keys that few share one.
TRACES = 16


class GenerationCache:
    """Maps keys to values; holds at most `2 * limit` of them.

    `young` is a plain dict that hot code may look into directly and keep a reference to; after a miss there, `recall`
    looks into the old generation and brings a hit back. When `young` is full it becomes the old generation.
    """

    __slots__ = ("_mask", "_old", "_traces", "limit", "young")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # A byte for each of the last keys offered, by their hash; the number of them is a power of two.
        self._mask = (1 << (TRACES * limit - 1).bit_length()) - 1
        self._traces = bytearray(self._mask + 1)
        self.young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}

    def recall(self, key: Any) -> Any:
        value = self._old.get(key) if self._old else None
        if value is not None:
            self.remember(key, value)
        return value

    def remember(self, key: Any, value: Any) -> None:
        if len(self.young) >= self.limit:
            self._old = self.young.copy()
            self.young.clear()
        self.young[key] = value

    def is_familiar(self, key: Any) -> bool:
        """Whether a key that is not remembered was asked for lately, so that it is worth remembering.

        Keys that come once only would drive out those that come again. Other keys may leave the same trace: a yes can
        be wrong, and so can a no.
        """
        code = hash(key)
        slot = code & self._mask
        trace = code >> 24 & 0x7F | 0x80
        if self._traces[slot] == trace:
            return True
        self._traces[slot] = trace
        return False

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
