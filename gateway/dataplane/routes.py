"""Routes: who gets messages on one subject (hot)."""

import random
from typing import Any

from gateway.dataplane.nats_receivers import LeafPort, LeafRoute
from gateway.dataplane.port import Port, Receiver
from protocols.message import Message

# What those objects take, for whoever keeps them.
ROUTES_BYTES = 192
ROUTE_BYTES = 192
POINTER_BYTES = 8
# At how many receivers is looked in one go: some tenths of a millisecond's worth.
LOOKED_AT_ONCE = 4096
# To how many members of a queue group a message is offered in one go: about as much.
OFFERED_AT_ONCE = 4096
# To look at so many takes about as long as to deliver to one.
LOOKED_AT_AS_DELIVERED = 16


class Group:
    """A queue group with interest in a subject: one of its members gets the message.

    `members` are those of this gateway; over `links` there are members too, about as many as `weights` says, for
    messages on `subject`. Members here come first. `durable`: one of them keeps messages on the disk. `dear`: they are
    many.
    """

    __slots__ = ("dear", "durable", "links", "members", "name", "subject", "weights")

    def __init__(self, name: bytes, members: list[Receiver]) -> None:
        self.name = name
        self.members = members
        self.durable = self.dear = False
        self.subject = b""
        self.links: list[LeafPort] = []
        self.weights: list[int] = []

    def lead_over(self, subject: bytes, links: dict[LeafPort, int]) -> None:
        """There are members over these links as well."""
        self.subject = subject
        self.links = list(links)
        self.weights = list(links.values())

    def choose(self, source: Port) -> LeafPort | None:
        """The link over which a member gets the next message, drawn by their number; None where none takes it."""
        links, weights = self.links, self.weights
        if source.leaf:
            open_links = [index for index, link in enumerate(links) if link.carries(source)]
            links = [links[index] for index in open_links]
            weights = [weights[index] for index in open_links]
        if len(links) < 2:
            return links[0] if links else None
        return random.choices(links, weights)[0]

    def deliver(self, message: Message, source: Port) -> bool:
        """Hand the message to one local member; False when none of them takes it."""
        members = self.members
        count = len(members)
        start = random.randrange(count) if count > 1 else 0
        for offset in range(count):
            if members[(start + offset) % count].deliver(message, source):
                source.effort += offset
                return True
        source.effort += 2 * count  # They are asked to keep it, too.
        return False

    def keep(self, message: Message) -> bool:
        """Leave the message with a local member that is away; False when none of them keeps it."""
        members = self.members
        count = len(members)
        start = random.randrange(count) if count > 1 else 0
        for offset in range(count):  # noqa: SIM110 - as above
            if members[(start + offset) % count].keep(message):
                return True
        return False


class Offer:
    """A message that is offered to the members of a large queue group, some in a go: to take it at once or, `keeping`,
    to keep it. `taken` says whether one does.

    Members may come and go in between: those that were there all the time are asked.
    """

    __slots__ = ("_left", "_members", "keeping", "taken")

    def __init__(self, group: Group, keeping: bool) -> None:
        self.keeping = keeping
        self.taken = False
        self._members = group.members
        # So many from the first on were not asked for certain; -1: nobody was.
        self._left = -1

    def go_on(self, message: Message, source: Port) -> bool:
        """Ask some more; whether there are more to ask.

        First some from anywhere on, then all from the last to the first: the last takes the place of one that leaves.
        """
        members = self._members
        count = len(members)
        if self._left < 0:
            first = random.randrange(count) if count else 0
            stop = first + min(OFFERED_AT_ONCE, count)
            self._left = count
        else:
            stop = min(self._left, count)
            first = self._left = max(stop - OFFERED_AT_ONCE, 0)
        for position in range(first, stop):
            receiver = members[position % count]
            if receiver.slot < 0:  # It has left.
                continue
            if receiver.keep(message) if self.keeping else receiver.deliver(message, source):
                self.taken = True
                return False
        return self._left > 0


class Bucket:
    """Subjects that become old together: how often a filter with wildcards changed that can match them."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0


class Routes:
    """Who gets messages on one subject: each of `plain`, one member of each of `groups`, and the far end of `links`.

    Where they are remembered, they hold as long as their `bucket` had no more than `changes`. `general`: they are the
    same for all subjects that interest the same receivers; those that `follow` are better made for each subject that
    comes often. `durable` is how many at most keep a message on the disk, `size` about how many bytes the routes take.
    `borders` are those of `plain` that lead to other accounts, `dear` is what those cost that are. `crowded`: a group
    has so many members that they are not all asked in one go.
    """

    __slots__ = (
        "borders",
        "bucket",
        "changes",
        "crowded",
        "dear",
        "durable",
        "follow",
        "general",
        "groups",
        "links",
        "plain",
        "size",
    )

    plain: list[Receiver]
    groups: list[Group]
    links: list[LeafRoute]
    borders: list[Any]
    general: bool
    follow: bool
    crowded: bool
    dear: int
    durable: int
    bucket: Bucket
    changes: int
    size: int


# That of routes which are not remembered.
NEVER = Bucket()
# Never changed: most routes lead to no group and over no link.
NOBODY: list[Any] = []


def make_routes() -> Routes:
    """Routes to nobody."""
    routes = Routes.__new__(Routes)
    routes.plain = routes.groups = routes.links = routes.borders = NOBODY
    routes.general = True
    routes.follow = routes.crowded = False
    routes.durable = routes.dear = 0
    routes.bucket = NEVER
    routes.changes = 0
    routes.size = ROUTES_BYTES
    return routes


def size_of(routes: Routes) -> int:
    return routes.size


NOWHERE = make_routes()
