"""Resolving: the routes that interests in a subject make, in shares where those are many (hot)."""

from gateway.dataplane.deliveries import BorderRoute
from gateway.dataplane.nats_receivers import LeafInterest, LeafPort
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.routes import LOOKED_AT_ONCE, OFFERED_AT_ONCE, POINTER_BYTES, ROUTE_BYTES, Group, make_routes
from gateway.dataplane.subject_tree import Interest

# Of a larger queue group each message of a burst is a matter of its own.
FEW_MEMBERS = 64
# What making a receiver of several, or a group, costs beside looking at a receiver.
MAKING = 8

PLAIN, UNIQUE, ALONE, COMBINED, GROUPS, LINKS, NAMED, OVER = range(8)


class Resolution:
    """Makes `routes` out of the interests that match a subject; `general` ones, if asked for, where that can be. They
    are there once `go_on` says that nothing is left.

    Receivers may come and go in between: those that were there all the time are among the routes.
    """

    __slots__ = (
        "_behind",
        "_combined",
        "_combining",
        "_found",
        "_general",
        "_here",
        "_index",
        "_interests",
        "_is_durable",
        "_is_filtered",
        "_is_shared",
        "_left",
        "_links",
        "_members",
        "_names",
        "_owned",
        "_place",
        "_plain_links",
        "_ports",
        "_position",
        "_seen",
        "_some",
        "_stage",
        "_subject",
        "routes",
    )

    def __init__(self, subject: bytes, interests: list[Interest], general: bool) -> None:
        self.routes = make_routes()
        self.routes.plain = []
        self._subject = subject
        self._interests = interests
        self._general = general
        self._stage = PLAIN
        self._left = 0
        # Which interest it is, which of its groups, and which of the receivers there, where `_some` are looked through.
        self._index = 0
        self._place = 0
        self._position = 0
        self._some: list[Receiver] | None = None
        # Those that are to be combined, the ports of which one was seen, and all of each port.
        self._combining: list[Receiver] | None = None
        self._seen: set[Port] | None = None
        self._combined: dict[Port, list[Receiver]] | None = None
        self._ports: list[Port] | None = None
        # The names of groups of the interest that is looked at; of the group: those of its members that get what comes
        # on the subject, where that are not all, and what they are.
        self._names: list[bytes] | None = None
        self._found: list[Receiver] | None = None
        self._is_filtered = self._is_durable = False
        self._is_shared = True
        # The groups that are one by their name, and those whose list of members is their own.
        self._members: dict[bytes, Group] | None = None
        self._owned: set[bytes] | None = None
        # Groups with members here, and with some behind links; the groups of each link that has them alone.
        self._here: dict[bytes, Group] | None = None
        self._behind: dict[bytes, dict[LeafPort, int]] | None = None
        self._links: dict[LeafPort, list[bytes]] | None = None
        self._plain_links: set[LeafPort] | None = None

    def go_on(self) -> bool:
        """Look at some more; whether there is more to look at."""
        self._left = LOOKED_AT_ONCE
        while self._left > 0:
            if self._stage == PLAIN:
                self._take_plain()
            elif self._stage == UNIQUE:
                self._look_for_twins()
            elif self._stage == ALONE:
                self._take_alone()
            elif self._stage == COMBINED:
                self._combine()
            elif self._stage == GROUPS:
                self._take_groups()
            elif self._stage == LINKS:
                self._take_links()
            elif self._stage == NAMED:
                self._lead_over_links()
            else:
                return False
        return self._stage != OVER

    def _take_plain(self) -> None:
        """Those in no queue group, and whether there are others."""
        routes, subject, plain = self.routes, self._subject, self.routes.plain
        while self._index < len(self._interests):
            interest = self._interests[self._index]
            some = self._some
            if some is None:
                some = self._some = self._hold(interest.plain)
            stop = min(self._position + self._left, len(some))
            for position in range(self._position, stop):
                receiver = some[position]
                if receiver.combines:
                    if self._combining is None:
                        self._combining = []
                    self._combining.append(receiver)
                    continue
                if receiver.filtered:
                    routes.general = False
                    if not receiver.leads(subject):
                        continue
                plain.append(receiver)
                routes.dear += receiver.dear
                if receiver.is_durable():
                    routes.durable += 1
            self._left -= 1 + stop - self._position
            self._position = stop
            if stop < len(some):
                return
            self._some = None
            self._position = 0
            self._index += 1
            if self._left <= 0:
                break
        if self._index == len(self._interests):
            routes.size += POINTER_BYTES * len(plain)
            if self._combining is None:
                self._begin(GROUPS)
            else:
                self._begin(UNIQUE if self._general and len(self._interests) == 1 else COMBINED)

    def _hold(self, receivers: list[Receiver]) -> list[Receiver]:
        """Those that are there now, where they are looked through in shares."""
        return receivers if len(receivers) <= self._left else receivers[:]

    def _begin(self, stage: int) -> None:
        self._stage = stage
        self._index = self._place = self._position = 0
        self._some = None

    def _look_for_twins(self) -> None:
        """Whether those need not be combined: a port has one there, and may have all that comes."""
        combining = self._combining
        assert combining is not None
        if self._seen is None:
            self._seen = set()
        seen = self._seen
        stop = min(self._position + self._left, len(combining))
        for position in range(self._position, stop):
            receiver = combining[position]
            if receiver.filtered or receiver.port in seen:
                self._begin(COMBINED)
                return
            seen.add(receiver.port)
        self._left -= stop - self._position
        self._position = stop
        if stop == len(combining):
            self.routes.follow = True
            self._begin(ALONE)

    def _take_alone(self) -> None:
        """What each of them makes."""
        combining = self._combining
        assert combining is not None
        stop = min(self._position + self._left // MAKING + 1, len(combining))
        for position in range(self._position, stop):
            receiver = combining[position]
            self._add_made(receiver.alone())
        self._left -= MAKING * (stop - self._position)
        self._position = stop
        if stop == len(combining):
            self._begin(GROUPS)

    def _combine(self) -> None:
        """One receiver for each port to which several of its receivers are one."""
        combining, subject = self._combining, self._subject
        assert combining is not None
        if self._combined is None:
            self._combined = {}
            self.routes.general = False
        combined = self._combined
        if self._ports is None:
            stop = min(self._position + self._left, len(combining))
            for position in range(self._position, stop):
                receiver = combining[position]
                if receiver.leads(subject):
                    port = receiver.port
                    of_port = combined.get(port)
                    if of_port is None:
                        combined[port] = [receiver]
                    else:
                        of_port.append(receiver)
            self._left -= stop - self._position
            self._position = stop
            if stop == len(combining):
                self._ports = list(combined)
                self._position = 0
            return
        ports = self._ports
        stop = min(self._position + self._left // MAKING + 1, len(ports))
        for position in range(self._position, stop):
            port = ports[position]
            made = port.combine(subject, combined[port])
            if made is not None:
                self._add_made(made)
        self._left -= MAKING * (stop - self._position)
        self._position = stop
        if stop == len(ports):
            self._begin(GROUPS)

    def _add_made(self, receiver: Receiver) -> None:
        """What is made for this subject holds it, and its topic."""
        routes = self.routes
        routes.plain.append(receiver)
        if receiver.is_durable():
            routes.durable += 1
        if isinstance(receiver, BorderRoute):
            if not routes.borders:
                routes.borders = []
            routes.borders.append(receiver)
        routes.size += POINTER_BYTES + ROUTE_BYTES + 2 * len(self._subject)

    def _take_groups(self) -> None:
        """The queue groups with local members that may have messages on the subject."""
        while self._index < len(self._interests):
            interest = self._interests[self._index]
            groups = interest.groups
            if groups:
                if self._names is None:
                    self._names = list(groups)
                    self._left -= len(self._names) // MAKING
                while self._place < len(self._names):
                    if self._left <= 0 or not self._take_group(self._names[self._place], groups):
                        return
                    self._place += 1
            self._names = None
            self._place = 0
            self._index += 1
            self._left -= 1
            if self._left <= 0 and self._index < len(self._interests):
                return
        self._begin(LINKS)

    def _take_group(self, name: bytes, groups: dict[bytes, list[Receiver]]) -> bool:
        """Look at the members of one group; False where that is left for another share."""
        every = self._some
        if every is None:
            members = groups.get(name)
            if members is None:
                return True
            every = self._some = self._hold(members)
        subject = self._subject
        stop = min(self._position + self._left, len(every))
        for position in range(self._position, stop):
            receiver = every[position]
            if receiver.filtered:
                if self._found is None:
                    self._found = every[:position]
                self._is_filtered = True
                if not receiver.leads(subject):
                    continue
            if self._found is not None:
                self._found.append(receiver)
            if not receiver.shared:
                self._is_shared = False
            if not self._is_durable and receiver.is_durable():
                self._is_durable = True
        self._left -= MAKING + stop - self._position
        self._position = stop
        if stop < len(every):
            return False
        if self._is_filtered:
            self.routes.general = False
            every = self._found
            assert every is not None
        if every:
            self._add_group(name, every)
        self._some = self._found = None
        self._position = 0
        self._is_filtered = self._is_durable = False
        self._is_shared = True
        return True

    def _add_group(self, name: bytes, members: list[Receiver]) -> None:
        """One is known by its name alone: on several filters it is still one group, as in nats-server. MQTT's are
        several.
        """
        routes = self.routes
        if self._members is None:
            self._members = {}
            self._owned = set()
            self._here = {}
            routes.groups = []
        owned, here = self._owned, self._here
        assert owned is not None
        assert here is not None
        group = None if self._is_shared else self._members.get(name)
        if group is None:
            group = Group(name, members)
            routes.groups.append(group)
            routes.size += ROUTE_BYTES
            here.setdefault(name, group)
            if not self._is_shared:
                self._members[name] = group
        else:
            if name not in owned:
                owned.add(name)
                group.members = group.members[:]
            group.members.extend(members)
            self._left -= len(members) // MAKING
        if not group.dear and len(group.members) > FEW_MEMBERS:  # A message may be offered to all of them.
            group.dear = True
            routes.dear += 1
        if len(group.members) > OFFERED_AT_ONCE:
            routes.crowded = True
        routes.size += POINTER_BYTES * len(members)
        if self._is_durable and not group.durable:
            group.durable = True
            routes.durable += 1

    def _take_links(self) -> None:
        """Where there is interest behind links: plain, and that of queue groups."""
        while self._index < len(self._interests):
            interest = self._interests[self._index]
            beyond = interest.beyond
            if beyond:
                if self._links is None:
                    self.routes.general = False
                    self._links, self._plain_links, self._behind = {}, set(), {}
                if self._names is None:
                    self._names = list(beyond)
                    self._left -= len(self._names) // MAKING
                while self._place < len(self._names):
                    if self._left <= 0:
                        return
                    queue = self._names[self._place]
                    self._take_behind(queue, beyond.get(queue) or [])
                    self._place += 1
            self._names = None
            self._place = 0
            self._index += 1
            self._left -= 1
            if self._left <= 0 and self._index < len(self._interests):
                return
        self._begin(NAMED)

    def _take_behind(self, queue: bytes, receivers: list[Receiver]) -> None:
        links, plain, behind = self._links, self._plain_links, self._behind
        assert links is not None
        assert plain is not None
        assert behind is not None
        self._left -= MAKING + len(receivers)
        ports = behind.setdefault(queue, {}) if queue else {}
        for receiver in receivers:
            link = receiver.port
            assert isinstance(link, LeafPort)
            assert isinstance(receiver, LeafInterest)
            if queue:
                ports[link] = ports.get(link, 0) + max(receiver.weight, 1)
            else:
                links.setdefault(link, [])
                plain.add(link)

    def _lead_over_links(self) -> None:
        """The routes over links: for plain interest, and for groups that have members behind one link and nowhere else.

        Of other groups with members behind links the links are noted in the group: which one it is, each message
        decides.
        """
        routes, subject, links, behind = self.routes, self._subject, self._links, self._behind
        if links is None or behind is None:
            self._stage = OVER
            return
        if self._names is None:
            self._names = list(behind)
        here = self._here or {}
        stop = min(self._place + self._left // MAKING + 1, len(self._names))
        for place in range(self._place, stop):
            name = self._names[place]
            ports = behind[name]
            group = here.get(name)
            if group is None and len(ports) == 1:
                only = next(iter(ports))
                links.setdefault(only, []).append(name)
                continue
            if group is None:
                group = Group(name, [])
                routes.groups = routes.groups or []
                routes.groups.append(group)
                routes.size += ROUTE_BYTES
            group.lead_over(subject, ports)
        self._left -= MAKING * (stop - self._place)
        self._place = stop
        if stop == len(self._names):
            plain = self._plain_links
            assert plain is not None
            routes.links = [link.leaf_route(subject, tuple(queues), link in plain) for link, queues in links.items()]
            routes.size += len(routes.links) * (ROUTE_BYTES + 2 * len(subject))
            self._stage = OVER


def has_filtered(receivers: list[Receiver]) -> bool:
    """Whether some of them are not given all that their filter matches."""
    for receiver in receivers:  # noqa: SIM110 - compiled, a generator would cost more than the rest
        if receiver.filtered:
            return True
    return False
