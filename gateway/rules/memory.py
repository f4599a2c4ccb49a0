"""Memory: what a rule remembers of each subject, bounded in subjects and bytes; the subject touched last stays longest
(hot).
"""

from typing import Any

from gateway.rules.aggregation import Window

# What an entry takes beside its subject and what was sent.
ENTRY_BYTES = 400
# What a value takes for each byte of its JSON, and a name of an object besides; and what is made of nothing but objects
# and arrays.
PLAIN_FACTOR, OBJECT_BYTES, NAME_BYTES, NESTED_FACTOR = 4, 240, 160, 48


def kept_bytes(value: Any, written: int) -> int:
    """About what a value takes whose JSON has so many bytes."""
    if type(value) is dict and all(type(one) not in (dict, list) for one in value.values()):
        return OBJECT_BYTES + NAME_BYTES * len(value) + PLAIN_FACTOR * written
    return (NESTED_FACTOR if type(value) in (dict, list) else PLAIN_FACTOR) * written


class Entry:
    """Of one subject: what was sent last and when (`sent` is None for nothing), and the window that is open."""

    __slots__ = ("at", "sent", "size", "subject", "window")

    def __init__(self, subject: bytes) -> None:
        self.subject = subject
        self.sent: Any = None
        self.at = 0.0
        self.size = ENTRY_BYTES + len(subject)
        self.window: Window | None = None


class Memory:
    """`open` are the entries with a window, by the time of its end. `forgotten` counts entries that gave way; those of
    them with a window wait in `early`.
    """

    __slots__ = ("_entries", "early", "forgotten", "max_bytes", "max_subjects", "open", "size")

    def __init__(self, max_subjects: int, max_bytes: int) -> None:
        self.max_subjects = max_subjects
        self.max_bytes = max_bytes
        self.size = 0
        self.forgotten = 0
        self.early: list[Entry] = []
        self.open: dict[bytes, Entry] = {}
        self._entries: dict[bytes, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, subject: bytes) -> Entry:
        entry = self._entries.pop(subject, None)
        if entry is None:
            entry = self._entries[subject] = Entry(subject)
            self.size += entry.size
            self.trim()
        else:
            self._entries[subject] = entry
        return entry

    def resize(self, entry: Entry, size: int) -> None:
        """It takes so many bytes now, beside itself."""
        whole = ENTRY_BYTES + len(entry.subject) + size
        self.size += whole - entry.size
        entry.size = whole

    def trim(self) -> None:
        """Forget what was not touched for longest, as far as it is too much. One entry stays, whatever its size."""
        while len(self._entries) > self.max_subjects or (self.size > self.max_bytes and len(self._entries) > 1):
            subject = next(iter(self._entries))
            entry = self._entries.pop(subject)
            self.size -= entry.size
            self.forgotten += 1
            if entry.window is not None:
                self.early.append(entry)
                self.open.pop(subject, None)

    def clear(self) -> None:
        self._entries.clear()
        self.open.clear()
        self.early.clear()
        self.size = 0
