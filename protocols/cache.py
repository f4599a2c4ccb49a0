"""A bounded cache in two generations: it never scans, and never grows past twice its limits (hot)."""

from collections.abc import Callable
from typing import Any

# Traces of offered keys for each key that the cache holds: so many more than keys that few share one.
TRACES = 16
# Keys and what their values own, per generation. Of usual keys the number is reached first.
LIMIT_BYTES = 1 << 20
# One entry may take this part of a generation; a larger one is not worth driving all others out.
LARGEST_PART = 2


class GenerationCache:
    """Maps keys, which are bytes, to values: at most `2 * limit` of them, and `2 * limit_bytes` of keys and values.

    `weigh` tells how many bytes a value owns, where it owns any. `young` is a plain dict that hot code may look into
    directly and keep a reference to; after a miss there, `recall` looks into the old generation and brings a hit back.
    When `young` is full it becomes the old generation. `losses` tells whoever keeps copies of entries that one may be
    gone: it grows whenever one is.
    """

    __slots__ = ("_mask", "_old", "_size", "_traces", "_weigh", "limit", "limit_bytes", "losses", "young")

    def __init__(self, limit: int, limit_bytes: int = LIMIT_BYTES, weigh: Callable[[Any], int] | None = None) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self._weigh = weigh
        self.losses = 0
        # Of the young generation, and more where keys were forgotten or remembered twice.
        self._size = 0
        # A byte for each of the last keys offered, by their hash; the number of them is a power of two.
        self._mask = (1 << (TRACES * limit - 1).bit_length()) - 1
        self._traces = bytearray(self._mask + 1)
        self.young: dict[bytes, Any] = {}
        self._old: dict[bytes, Any] = {}

    def recall(self, key: bytes) -> Any:
        value = self._old.get(key) if self._old else None
        if value is not None:
            self.remember(key, value)
        return value

    def remember(self, key: bytes, value: Any) -> None:
        """Keep a value; one that is too large beside the others is not kept."""
        size = len(key)
        if self._weigh is not None:
            size += self._weigh(value)
        if size > self.limit_bytes // LARGEST_PART:
            self.forget(key)
            return
        self._size += size
        if len(self.young) >= self.limit or self._size > self.limit_bytes:
            self._old = self.young.copy()
            self.young.clear()
            self._size = size
            self.losses += 1
        self.young[key] = value

    def is_familiar(self, key: bytes) -> bool:
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

    def forget(self, key: bytes) -> None:
        young, old = self.young.pop(key, None), self._old.pop(key, None)
        if young is not None or old is not None:
            self.losses += 1

    def clear(self) -> None:
        self.young.clear()
        self._old = {}
        self._size = 0
        self.losses += 1

    def keys(self) -> list[bytes]:
        return [*self.young, *self._old]

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
