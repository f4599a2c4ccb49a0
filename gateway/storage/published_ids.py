"""Ids of messages that were published with one: for a while a message that comes with such an id again is a repeat.

How long, is counted while the gateway runs: who could not reach it repeats when it is back, however late that is.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.storage.identities import Identities, PublishedId

if TYPE_CHECKING:
    from gateway.storage.journal import Journal

WINDOW_SECONDS = 120.0
# What the ids of one publisher may take, about 100,000 short ones, and those of all.
MOST_BYTES_EACH = 24 << 20
MOST_BYTES = 96 << 20
# Those in one place may have this part of what is free: one place has a third of all then, and there is always some
# left for another. Who calls himself otherwise each time has no more by that.
PLACE_SHARE = 2
# A site or a subscriber is given so many addresses of IPv6 that they are one place.
SITE_BITS = 64
# What an id is counted with, besides its own bytes.
ID_BYTES = 200
# At 100,000 in one go everybody else would wait for a good part of a second.
SWEPT_AT_ONCE = 1000

STORED = "SELECT id, sequence, publisher FROM published WHERE account = ? ORDER BY sequence"


class PublishedIds:
    """The ids of the last `window` seconds; stored where there is a journal.

    What those of each publisher, of each place where publishers are (`name_publisher`) and of all may take is bounded:
    who is at a bound has to be refused, for no id is forgotten before its time. An id goes to the disk with the batch
    that is open when it is noted: with the rows of its message, where both come in one go. `clock` gives seconds that
    only go forward. `sequence` is the last message's number.
    """

    def __init__(
        self,
        journal: "Journal | None" = None,
        window: float = WINDOW_SECONDS,
        most_each: int = MOST_BYTES_EACH,
        most: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
        account: str = DEFAULT_ACCOUNT,
    ) -> None:
        self.sequence = 0
        self._journal = journal
        self._window = window
        self._most_each = most_each
        self._most = most
        self._bytes = 0
        self._bytes_of: dict[bytes, int] = {}
        self._bytes_at: dict[bytes, int] = {}
        self._clock = clock
        self._account = account
        # Where ids are that are kept beside the messages of streams (Durability.identities).
        self.identities: Identities | None = None
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
        free = self._most - self._bytes
        return (
            free > 0
            and self._bytes_of.get(publisher, 0) < self._most_each
            and self._bytes_at.get(place_of(publisher), 0) * PLACE_SHARE < free
        )

    def adopt(self, identifier: bytes, sequence: int, publisher: bytes) -> None:
        """Take an id that `identities` holds; to be called before anything is published."""
        if identifier not in self._known:
            self._keep(identifier, sequence, self._clock(), publisher)
            self.sequence = max(self.sequence, sequence)

    def note(
        self, identifier: bytes, sequence: int, publisher: bytes = b"", identities: Identities | None = None
    ) -> None:
        """A message with an id that was not found has this number; its publisher had room for it. `identities`: where
        the message's ids are kept.
        """
        if identifier in self._known:
            self._forget(identifier)
        self._keep(identifier, sequence, self._clock(), publisher)
        if identities is not None:
            identities.remember_published(PublishedId(self._account, identifier, sequence, publisher))
        elif self._journal is not None:
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
        count(self._bytes_of, publisher, size)
        count(self._bytes_at, place_of(publisher), size)

    def _forget(self, identifier: bytes) -> None:
        _, _, publisher = self._known.pop(identifier)
        size = ID_BYTES + len(identifier)
        self._bytes -= size
        count(self._bytes_of, publisher, -size)
        count(self._bytes_at, place_of(publisher), -size)
        if self.identities is not None and self.identities.forget_published(self._account, identifier):
            return
        if self._journal is not None:
            self._journal.batch.published.take_back((self._account, identifier))
            self._journal.note()


def name_publisher(protocol: str, host: str, user: str, client: bytes = b"") -> bytes:
    """What tells one publisher from others, also when it comes again: a protocol; its place, which is where it comes
    from and whom it was admitted as; and who it is among those there.
    """
    if ":" in host:
        host = site_of(host)
    place = f"{host}/{quote(user, safe='', errors='surrogatepass')}" if user else host
    return b"%b %b %b" % (protocol.encode(), place.encode(), client)


def site_of(host: str) -> str:
    """The network that an address of IPv6 is in."""
    try:
        return str(ip_network((host.partition("%")[0], SITE_BITS), strict=False))
    except ValueError:
        return host


def place_of(publisher: bytes) -> bytes:
    parts = publisher.split(b" ", 2)
    return parts[1] if len(parts) > 1 else publisher


def count(sizes: dict[bytes, int], name: bytes, size: int) -> None:
    """So many bytes more under a name, or fewer; of nothing there is no entry."""
    left = sizes.get(name, 0) + size
    if left:
        sizes[name] = left
    else:
        del sizes[name]
