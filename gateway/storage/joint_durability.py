"""JointDurability: what is durable once two stores have it, that of sessions and that of streams."""

from collections.abc import Callable

from gateway.storage.durability import Durability
from gateway.storage.identities import Identities, PublishedId
from protocols.message import Message


class Companion(Durability):
    """A second store beside the first, for messages on some subjects."""

    def refuses(self, message: Message, before: int) -> bool:
        """Whether it is to have a message, beside so many like it that come `before`, and cannot take it now."""
        raise NotImplementedError


class JointDurability(Durability):
    """The first store alone, as long as there is no `companion`. Who waits does so for both, and in order: what was to
    be durable later is so later.
    """

    def __init__(self, first: Durability) -> None:
        self.companion: Companion | None = None
        self.first = self._first = first
        # What stands for two commits, so that it is the same object as long as they are.
        self._awaited: tuple[object, object] = (None, None)
        # The first one's mark when it had nothing to wait for.
        self._idle_at = -1
        # What the first one's mark was when a mark was last asked for.
        self._first_mark = 0

    @property
    def fault(self) -> str | None:  # type: ignore[override]
        """That of the first: sessions need not wait for streams. What concerns a companion it refuses itself."""
        return self._first.fault

    def mark(self) -> int:
        mark = self._first_mark = self._first.mark()
        return mark if self.companion is None else mark + self.companion.mark()

    def identities(self, subject: bytes) -> Identities | None:
        """Those of the companion, unless the first one has the message, too: then an id has its place behind both.
        Where the companion has none, those of the first.
        """
        found = self.companion.identities(subject) if self.companion is not None else None
        if found is None:
            return self._first.identities(subject)
        if self._first.mark() == self._first_mark:
            return found
        return LateIdentities(found, self._first)

    def awaited(self) -> object | None:
        first = self._first_awaited()
        second = self.companion.awaited() if self.companion is not None else None
        if first is None or second is None:
            return first if second is None else second
        if self._awaited[0] is not first or self._awaited[1] is not second:
            self._awaited = (first, second)
        return self._awaited

    def _first_awaited(self) -> object | None:
        """The first one is asked again only once something has been noted: most messages concern it not at all."""
        mark = self._first.mark()
        if mark == self._idle_at:
            return None
        awaited = self._first.awaited()
        if awaited is None:
            self._idle_at = mark
        return awaited

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        if self.companion is None:
            self._first.when_durable(action, refused)
        else:
            both = Both(action, refused)
            self._first.when_durable(both.durable, both.refused)
            self.companion.when_durable(both.durable, both.refused)

    def has_room(self) -> bool:
        return self._first.has_room()

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0, makes_room: bool = False) -> bool:
        if not self._first.reserve(message, places, retained, before, makes_room):
            return False
        if self.companion is not None and places and self.companion.refuses(message, before):
            message.refused = True
            return False
        return True

    def obstacle(self) -> str | None:
        return self._first.obstacle()


class Both:
    """Waits for two answers: acts when both are good, and refuses when one is not."""

    __slots__ = ("_action", "_good", "_refuse", "_waiting")

    def __init__(self, action: Callable[[], None], refuse: Callable[[], None] | None) -> None:
        self._action = action
        self._refuse = refuse
        self._good = True
        self._waiting = 2

    def durable(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            if self._good or self._refuse is None:
                self._action()
            else:
                self._refuse()

    def refused(self) -> None:
        self._good = False
        self.durable()


class LateIdentities(Identities):
    """What is remembered is so only once another store has what it was given so far. A gateway that ends in between
    takes a message twice in one of the two places, and loses it in none.
    """

    def __init__(self, identities: Identities, other: Durability) -> None:
        self._identities = identities
        self._other = other

    def remember_received(self, key: int, packet_id: int) -> None:
        self._other.when_durable(lambda: self._identities.remember_received(key, packet_id))

    def remember_published(self, one: PublishedId) -> None:
        self._other.when_durable(lambda: self._identities.remember_published(one))
