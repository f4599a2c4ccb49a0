"""Remembered: what was made of subjects and other names, for those that come again, within bounds."""

from collections.abc import Hashable
from typing import TypeVar

# Of longer ones it is made each time: whoever publishes would fill the memory with names that are long and never the
# same.
LONGEST_NAME = 256

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(dict[Key, Value]):
    """At most `most` entries; when there are so many it begins anew. Read it as a dict."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: Key, size: int, value: Value) -> Value:
        """Remember a value, unless its names have more than LONGEST_NAME bytes, `size`; returns it."""
        if size <= LONGEST_NAME:
            if len(self) >= self._most:
                self.clear()
            self[key] = value
        return value
