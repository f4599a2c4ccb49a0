"""Ids of messages that were published with one: for a while a message that comes with such an id again is a repeat.

How long, is counted while the gateway runs: who could not reach it repeats when it is back, however late that is.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.storage.schema import GLOBAL_ACCOUNT

if TYPE_CHECKING:
    from gateway.storage.journal import Journal

WINDOW_SECONDS = 120.0
# What the ids of one publisher may take, about 100,000 short ones, and those of all.
MOST_BYTES_EACH = 24 << 20
MOST_BYTES = 96 << 20
# What an id is counted with, besides its own bytes.
ID_BYTES = 200
# At 100,000 in one go everybody else would wait for a good part of a second.
SWEPT_AT_ONCE = 1000

STORED = "SELECT id, sequence, publisher FROM published WHERE account = ? ORDER BY sequence"


class PublishedIds:
    """The ids of the last `window` seconds; stored where there is a journal.

    What those of each publisher and of all may take is bounded: who is at a bound has to be refused, for no id is
    forgotten before its time. An id goes to the disk with the batch that is open when it is noted: with the rows of its
    message, where both come in one go. `clock` gives seconds that only go forward. `sequence` is the last message's
    number.
    """

    def __init__(
        self,
        journal: "Journal | None" = None,
        window: float = WINDOW_SECONDS,
        most_each: int = MOST_BYTES_EACH,
        most: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
        account: str = GLOBAL_ACCOUNT,
    ) -> None:
        self.sequence = 0
        self._journal = journal
        self._window = window
        self._most_each = most_each
        self._most = most
        self._bytes = 0
        self._bytes_of: dict[bytes, int] = {}
        self._clock = clock
        self._account = account
        # The oldest first. A plain dict looks for its first key at every place where one was before.
        self._known: OrderedDict[bytes, tuple[int, float, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def load(self) -> None:
        """Take what the database holds; to be called once, before anything else. Raises sqlite3.Error."""
        assert self._journal is not None
        now = self._clock()
        for identifier, sequence, publisher in self._journal.database.connection.execute(STORED, (self._account,)):
            self._keep(identifier, sequence, now, publisher)
            self.sequence = sequence

    def find(self, identifier: bytes) -> int:
        """The number of the message that came with an id before; 0 when there was none, or it was too long ago."""
        self.sweep()
        found = self._known.get(identifier)
        return 0 if found is None or self._is_over(found[1]) else found[0]

    def next(self) -> int:
        """The number of a further message."""
        self.sequence += 1
        return self.sequence

    def has_room(self, publisher: bytes) -> bool:
        """Whether one more message of this publisher may come with an id."""
        self.sweep()
        return self._bytes < self._most and self._bytes_of.get(publisher, 0) < self._most_each

    def note(self, identifier: bytes, sequence: int, publisher: bytes = b"") -> None:
        """A message with an id that was not found has this number; its publisher had room for it."""
        if identifier in self._known:
            self._forget(identifier)
        self._keep(identifier, sequence, self._clock(), publisher)
        if self._journal is not None:
            self._journal.batch.published.put(
                (self._account, identifier), (self._account, identifier, sequence, publisher)
            )
            self._journal.note()

    def sweep(self) -> None:
        """Forget what is too long ago, some of it where it is much."""
        for _ in range(SWEPT_AT_ONCE):
            if not self._known:
                return
            identifier, (_, noted_at, _) = next(iter(self._known.items()))
            if not self._is_over(noted_at):
                return
            self._forget(identifier)

    def _is_over(self, noted_at: float) -> bool:
        return noted_at <= self._clock() - self._window

    def _keep(self, identifier: bytes, sequence: int, noted_at: float, publisher: bytes) -> None:
        self._known[identifier] = sequence, noted_at, publisher
        size = ID_BYTES + len(identifier)
        self._bytes += size
        self._bytes_of[publisher] = self._bytes_of.get(publisher, 0) + size

    def _forget(self, identifier: bytes) -> None:
        _, _, publisher = self._known.pop(identifier)
        size = ID_BYTES + len(identifier)
        self._bytes -= size
        left = self._bytes_of[publisher] - size
        if left:
            self._bytes_of[publisher] = left
        else:
            del self._bytes_of[publisher]
        if self._journal is not None:
            self._journal.batch.published.take_back((self._account, identifier))
            self._journal.note()
