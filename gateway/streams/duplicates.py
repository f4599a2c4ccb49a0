"""Duplicates: the ids of messages that were stored lately, so that none is stored twice."""

from collections import deque

# What an id takes besides its bytes, and what those of all streams may take together.
ID_BYTES = 220
MOST_BYTES = 64 << 20


class IdRoom:
    """What the ids of all streams take."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self.bytes = 0


class Duplicates:
    """Those of one stream, for `window` nanoseconds, 0 for none at all. `last` is the id of its last message, b"" where
    that has none.
    """

    def __init__(self, room: IdRoom, window: int) -> None:
        self.window = window
        self.last = b""
        self._room = room
        self._sequences: dict[bytes, int] = {}
        self._ages: deque[tuple[int, bytes, int]] = deque()

    def find(self, identifier: bytes, now: int) -> int:
        """The sequence of the message that was stored with the id; 0 where there is none."""
        self.expire(now)
        return self._sequences.get(identifier, 0)

    def has_room(self) -> bool:
        return self._room.bytes < self._room.most

    def note(self, identifier: bytes, sequence: int, now: int) -> None:
        """A message was stored with an id, at a time not before that of the last one."""
        if not self.window:
            return
        self._sequences[identifier] = sequence
        self._ages.append((now, identifier, sequence))
        self._room.bytes += ID_BYTES + len(identifier)

    def expire(self, now: int) -> None:
        """Forget what is older than the window."""
        ages, oldest = self._ages, now - self.window
        while ages and ages[0][0] < oldest:
            _, identifier, sequence = ages.popleft()
            self._room.bytes -= ID_BYTES + len(identifier)
            if self._sequences.get(identifier) == sequence:
                del self._sequences[identifier]

    def clear(self) -> None:
        """The stream is gone, or everything in it."""
        self._room.bytes -= sum(ID_BYTES + len(identifier) for _, identifier, _ in self._ages)
        self._sequences.clear()
        self._ages.clear()
