"""Searching: what is looked for in shares, because there may be very much of it (hot)."""

from gateway.dataplane.deliveries import FanOut
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.resolving import Resolution
from gateway.dataplane.routes import LOOKED_AT_ONCE, make_routes
from gateway.dataplane.subject_tree import Interest, SubjectTree, Walk
from protocols.message import Burst, Message


class Search:
    """A message or a burst whose receivers take long to find; it stands in its place among the events.

    First there is a `walk` through the tree, or none, and then routes are made of the interests that it has `found`.
    `familiar`: what is found is worth remembering, if there were no more `changes` in the tree meanwhile. `retains`:
    the message may be kept for its subject.
    """

    __slots__ = ("changes", "event", "familiar", "found", "making", "retains", "subject", "walk")

    def __init__(
        self,
        subject: bytes,
        found: list[Interest],
        walk: Walk | None,
        making: Resolution | None,
        familiar: bool,
        changes: int,
    ) -> None:
        self.event: Message | Burst | None = None
        self.subject = subject
        self.found = found
        self.walk = walk
        self.making = making
        self.familiar = familiar
        self.changes = changes
        self.retains = True

    def go_on(self) -> bool:
        """Look at some more; whether there is more to look at."""
        if self.walk is not None:
            if self.walk.go_on():
                return True
            self.walk = None
        if self.making is None:
            self.making = Resolution(self.subject, self.found, False)
        return self.making.go_on()


class Telling(FanOut):
    """A message on its way to the plain receivers of one port alone, or `once` to the first, which are looked for among
    all that match. `looked` is at how many was looked.
    """

    __slots__ = (
        "_combined",
        "_found",
        "_index",
        "_interests",
        "_once",
        "_place",
        "_plain",
        "_port",
        "_subject",
        "_walk",
        "looked",
    )

    def __init__(self, tree: SubjectTree, message: Message, port: Port, subject: bytes, once: bool) -> None:
        FanOut.__init__(self, message, make_routes(), True)  # Compiled, super() knows no class here.
        self._port = port
        self._subject = subject
        self._once = once
        self.looked = 0
        self._interests: list[Interest] | None = []
        self._walk = tree.find(subject, self._interests)
        self._found: list[Receiver] = []
        self._combined: list[Receiver] = []
        self._plain: list[Receiver] | None = None
        self._index = self._place = 0

    def go_on(self, source: Port) -> bool:
        if self._interests is not None and self._look_on(self._interests):
            return True
        return FanOut.go_on(self, source)

    def _look_on(self, interests: list[Interest]) -> bool:
        """Look at some more receivers; whether there are more to look at."""
        if self._walk is not None:
            if self._walk.go_on():
                return True
            self._walk = None
        left = LOOKED_AT_ONCE
        while self._index < len(interests):
            plain = self._plain
            if plain is None:  # Those that are there now, where they are looked through in shares.
                interest = interests[self._index]
                plain = interest.plain
                self._plain = plain = plain if len(plain) <= left else plain[:]
            stop = min(self._place + left, len(plain))
            for place in range(self._place, stop):
                receiver = plain[place]
                if receiver.port is self._port and receiver.leads(self._subject):
                    (self._combined if receiver.combines else self._found).append(receiver)
                    if self._once:
                        self.looked += 1 + place - self._place
                        return self._end_looking()
            left -= 1 + stop - self._place
            self.looked += 1 + stop - self._place
            self._place = stop
            if stop < len(plain):
                return True
            self._plain = None
            self._place = 0
            self._index += 1
            if left <= 0 and self._index < len(interests):
                return True
        return self._end_looking()

    def _end_looking(self) -> bool:
        route = self._port.combine(self._subject, self._combined) if self._combined else None
        if route is not None:
            self._found.append(route)
        self.routes.plain = self._found
        self._interests = None
        return False
