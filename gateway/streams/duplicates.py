"""Duplicates: the ids of messages that were stored lately, so that none is stored twice."""

from collections import deque

# What an id takes besides its bytes, and what those of all streams may take together.
ID_BYTES = 220
MOST_BYTES = 64 << 20
# What it takes to find it by the place of its message.
PLACE_BYTES = 120


class IdRoom:
    """What the ids of all streams take."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self.bytes = 0


class Duplicates:
    """Those of one stream, for `window` nanoseconds, 0 for none at all. `last` is the id of its last message, b"" where
    that has none. `placed`: ids that come from now on are found by their messages (`id_of`).
    """

    def __init__(self, room: IdRoom, window: int, placed: bool = False) -> None:
        self.placed = placed
        self.window = window
        self.last = b""
        self._room = room
        self._sequences: dict[bytes, int] = {}
        self._ages: deque[tuple[int, bytes, int]] = deque()
        # By sequence the id, and when its message came.
        self._places: dict[int, tuple[bytes, int]] = {}

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
        if self.placed:
            self._places[sequence] = identifier, now
            self._room.bytes += PLACE_BYTES

    def id_of(self, sequence: int, now: int) -> tuple[bytes, int] | None:
        """The id of a message, and when it came; None where it has none, or of before the window."""
        if self._places:
            self.expire(now)
        return self._places.get(sequence)

    def expire(self, now: int) -> None:
        """Forget what is older than the window."""
        ages, oldest = self._ages, now - self.window
        while ages and ages[0][0] < oldest:
            _, identifier, sequence = ages.popleft()
            self._room.bytes -= ID_BYTES + len(identifier)
            if self._sequences.get(identifier) == sequence:
                del self._sequences[identifier]
            if self._places and self._places.pop(sequence, None) is not None:
                self._room.bytes -= PLACE_BYTES

    def clear(self) -> None:
        """The stream is gone, or everything in it."""
        self._room.bytes -= sum(ID_BYTES + len(identifier) for _, identifier, _ in self._ages)
        self._room.bytes -= PLACE_BYTES * len(self._places)
        self._sequences.clear()
        self._ages.clear()
        self._places.clear()
