"""Router: finds the receivers of each message of a batch and hands it to them (hot)."""

import random
from typing import Any, Protocol

from gateway.dataplane.nats_receivers import LeafPort, LeafRoute
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.subject_tree import Interest, SubjectTree
from protocols.cache import GenerationCache
from protocols.message import Burst, Message

REMEMBERED_SUBJECTS = 4096
# Their routes as well, per generation of the cache: about what those objects take.
REMEMBERED_BYTES = 1 << 24
ROUTES_BYTES = 192
ROUTE_BYTES = 192
POINTER_BYTES = 8
# Of a longer one the receivers are looked for each time.
LONGEST_REMEMBERED_SUBJECT = 256
BUCKETS = 256
# What `forward` does before its caller looks at the clock, and to how many receivers one message goes at once: in
# deliveries, or nodes of the tree.
SHARE = 1024


class InterestObserver(Protocol):
    """A leafnode link: it tells its hub about local interest."""

    def interest_changed(self, subject: bytes, queue: bytes, count: int) -> None:
        """`count` local receivers now want the subject, in the queue group unless that is b""."""


class Retainer(Protocol):
    """Who keeps the last message of a subject for those that come later, and knows whether the disk has room."""

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0) -> bool:
        """Whether there is room for a message in so many queues on the disk, and where it is to be retained, beside so
        many like it that come `before`: then it is put there now. Otherwise it is `refused`, and nobody keeps it.
        """

    def keep(self, message: Message, source: Port) -> bool:
        """Replace what is kept of the message's subject; False when there is no room, or none for this publisher."""


class Group:
    """A queue group with interest in a subject: one of its members gets the message.

    `members` are those of this gateway; `links` lead to hubs where the group has members too. Members here come first.
    """

    __slots__ = ("links", "members", "name")

    def __init__(self, name: bytes, members: list[Receiver]) -> None:
        self.name = name
        self.members = members
        self.links: list[LeafPort] = []

    def deliver(self, message: Message, source: Port) -> bool:
        """Hand the message to one local member; False when none of them takes it."""
        members = self.members
        count = len(members)
        start = random.randrange(count) if count > 1 else 0
        for offset in range(count):  # noqa: SIM110 - compiled, a generator would cost more than the delivery
            if members[(start + offset) % count].deliver(message, source):
                return True
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
    """

    __slots__ = ("bucket", "changes", "durable", "follow", "general", "groups", "links", "plain", "size")

    plain: list[Receiver]
    groups: list[Group]
    links: list[LeafRoute]
    general: bool
    follow: bool
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
    routes.plain = routes.groups = routes.links = NOBODY
    routes.general = True
    routes.follow = False
    routes.durable = 0
    routes.bucket = NEVER
    routes.changes = 0
    routes.size = ROUTES_BYTES
    return routes


def size_of(routes: Routes) -> int:
    return routes.size


NOWHERE = make_routes()


class FanOut:
    """A message or a burst on its way to more receivers than make a share; it stands in its place among the events."""

    __slots__ = ("delivered", "event", "position", "routes")

    def __init__(self, event: Message | Burst, routes: Routes) -> None:
        self.event = event
        self.routes = routes
        self.position = 0
        self.delivered = 0

    def go_on(self, source: Port) -> bool:
        """Deliver to the next receivers, a share of them; whether there are more."""
        event, plain = self.event, self.routes.plain
        stop = min(self.position + SHARE, len(plain))
        for index in range(self.position, stop):
            receiver = plain[index]
            if type(event) is Burst:
                receiver.deliver_burst(event, source)
            elif type(event) is Message and receiver.deliver(event, source):
                self.delivered += 1
        self.position = stop
        if stop < len(plain):
            return True
        if type(event) is Burst:
            deliver_burst_beyond(event, self.routes, source)
        elif type(event) is Message:
            deliver_beyond(event, self.routes, source, self.delivered)
        return False


# The events that `Router.forward` takes.
ROUTED = frozenset((Message, Burst, FanOut))


class Router:
    """One account's subject space: its subscriptions, and messages between them.

    Routes are remembered per subject, from its second message on. Subscribing to a literal subject forgets that one, to
    a filter with wildcards the subjects that share its first token (and some that share its bucket). `resolved` counts
    how often receivers were looked for in the tree.
    """

    __slots__ = ("_buckets", "_cache", "_found", "_observers", "_retainer", "_routes", "_steps", "resolved", "tree")

    def __init__(self, retainer: Retainer | None = None) -> None:
        self.tree = SubjectTree()
        self._retainer = retainer
        self._cache: GenerationCache = GenerationCache(REMEMBERED_SUBJECTS, REMEMBERED_BYTES, size_of)
        self._routes = self._cache.young
        self._found: list[Interest] = []
        self._observers: list[InterestObserver] = []
        # By first tokens.
        self._buckets = [Bucket() for _ in range(BUCKETS)]
        self.resolved = 0
        # At how many nodes of the tree `forward` has looked.
        self._steps = 0

    def subscribe(self, receiver: Receiver) -> None:
        interest = self.tree.insert(receiver)
        self._interest_changed(interest, receiver)

    def unsubscribe(self, receiver: Receiver) -> None:
        """Take a receiver out; one that is not subscribed (any more) is left alone."""
        interest = self.tree.remove(receiver)
        if interest is not None:
            self._interest_changed(interest, receiver)

    def forward(self, events: list[Any], index: int, source: Port, whole: bool = False) -> int:
        """Route the messages and bursts from `events[index]` on; returns the index of the first event that is left.

        That is an event of another kind; or one of theirs, when a share of work is done: look at the clock and go on.
        Each message before it knows how many took it (`Message.delivered`). Where the publisher is told of each,
        `whole`, one that is refused reaches nobody, and is left.
        """
        count = len(events)
        received = size = 0
        left = SHARE
        self._steps = 0
        while index < count:
            event = events[index]
            if type(event) is Message:
                message = event
                routes = self._resolve(message.subject)
                retained = message.header_size > 0 and message.is_retained()
                stored = retained or (routes.durable and message.qos)
                if stored and not self._reserve(message, routes, retained) and whole:
                    break
                fan_out = len(routes.plain)
                left -= 1 + fan_out
                if fan_out > SHARE:
                    events[index] = FanOut(message, routes)
                else:
                    deliver(message, routes, source)
                    index += 1
                if retained:
                    self._retain(message, source)
                received += 1
                size += message.size
                if whole and message.refused:  # By one that took it and could not send it on.
                    index -= 1
                    break
            elif type(event) is Burst:
                burst = event
                routes = self._resolve(burst.subject)
                if routes.durable and burst.qos:
                    self._reserve_burst(burst, routes)
                fan_out = len(routes.plain)
                left -= 1 + fan_out
                if fan_out > SHARE:
                    events[index] = FanOut(burst, routes)
                else:
                    deliver_burst(burst, routes, source)
                    index += 1
                last = burst.last_retained() if burst.header_size else None
                if last is not None:
                    self._reserve(last, NOWHERE, True)
                    self._retain(last, source)
                received += burst.count
                size += burst.count * burst.message_size
            elif type(event) is FanOut:
                begun = event
                if not begun.go_on(source):
                    event = events[index] = begun.event
                    if whole and type(event) is Message and event.refused:  # As above.
                        break
                    index += 1
                left = 0
            else:
                break
            if left - self._steps <= 0:
                break
        source.in_messages += received
        source.in_bytes += size
        return index

    def publish(self, message: Message, source: Port, subject: bytes = b"", whole: bool = False) -> int:
        """Route one message, by another subject than its own where one is given; returns how many took it.

        Where the publisher is told, `whole`, nobody gets it when it is refused.
        """
        source.in_messages += 1
        source.in_bytes += message.size
        message.refused = False
        if subject:
            # Remembered at once: what routes in general would lead to is the message's own subject.
            routes = self._routes.get(subject)
            if routes is None or routes.changes != routes.bucket.changes:
                routes = self._remember(subject)
        else:
            routes = self._resolve(message.subject)
        retained = message.header_size > 0 and message.is_retained()
        stored = retained or (routes.durable and message.qos)
        if stored and not self._reserve(message, routes, retained) and whole:
            message.delivered = 0
            return 0
        deliver(message, routes, source)
        if retained:
            self._retain(message, source)
        return message.delivered

    def observe(self, observer: InterestObserver) -> None:
        """Tell the observer of changes from now on; see `local_interest` for what is there already."""
        self._observers.append(observer)

    def unobserve(self, observer: InterestObserver) -> None:
        if observer in self._observers:
            self._observers.remove(observer)

    def local_interest(self) -> list[tuple[bytes, bytes, int]]:
        """(filter, queue group or b"", number of local receivers) of everything here that hubs are to know."""
        interest: list[tuple[bytes, bytes, int]] = []
        for entry in self.tree.interests():
            if entry.told_count(b""):
                interest.append((entry.subject, b"", entry.told_count(b"")))
            for name, members in (entry.groups or {}).items():
                interest.append((entry.subject, name, len(members)))
        return interest

    def _interest_changed(self, interest: Interest, receiver: Receiver) -> None:
        self.forget(receiver.subject)
        if not receiver.port.leaf and not receiver.local_only:
            for observer in self._observers:
                observer.interest_changed(receiver.subject, receiver.queue, interest.told_count(receiver.queue))

    def reaches_durable(self, subject: bytes) -> bool:
        """Whether a message on the subject may come to a receiver that keeps it on the disk."""
        for interest in self.tree.match(subject):
            if any(receiver.is_durable() for receiver in interest.plain):
                return True
            for members in (interest.groups or {}).values():
                if any(receiver.is_durable() for receiver in members):
                    return True
        return False

    def forget(self, subject: bytes) -> None:
        """Forget the routes that a change of this filter can concern."""
        tokens = subject.split(b".")
        if b"*" not in tokens and tokens[-1] != b">":
            self._cache.forget(subject)
        elif tokens[0] == b"*" or tokens[0] == b">":
            self._cache.clear()
        else:
            self._buckets[hash(tokens[0]) % BUCKETS].changes += 1

    def _reserve(self, message: Message, routes: Routes, retained: bool) -> bool:
        """Whether all have room who keep a message; otherwise none of them does."""
        places = routes.durable if message.qos else 0
        return self._retainer is None or self._retainer.reserve(message, places, retained)

    def _reserve_burst(self, burst: Burst, routes: Routes) -> None:
        """See for each message whether all have room who keep it, beside those before it."""
        taken = 0
        for message in burst.messages():
            if self._retainer is not None and self._retainer.reserve(message, routes.durable, False, taken):
                taken += 1

    def _retain(self, message: Message, source: Port) -> None:
        """Keep a message for its subject."""
        if self._retainer is not None:
            self._retainer.keep(message, source)

    def _resolve(self, subject: bytes) -> Routes:
        """Where messages on a subject go: remembered, else looked for."""
        routes: Routes | None = self._routes.get(subject)
        if routes is None:
            routes = self._cache.recall(subject)
            if routes is None and (len(subject) > LONGEST_REMEMBERED_SUBJECT or not self._cache.is_familiar(subject)):
                return self._route_once(subject)
        if routes is not None and routes.changes == routes.bucket.changes:
            return routes
        return self._remember(subject)

    def _remember(self, subject: bytes) -> Routes:
        """Look for the receivers of a subject that will come again.

        Subjects that interest the receivers of one filter with wildcards alone share its routes: many subjects need
        little memory, and the processor finds the routes in its caches.
        """
        self.resolved += 1
        bucket: Bucket = self._buckets[hash(subject.partition(b".")[0]) % BUCKETS]
        found: list[Interest] = []
        self._steps += self.tree.find(subject, found)
        interest = found[0] if len(found) == 1 else None
        routes: Routes | None = interest.routes if interest is not None else None  # type: ignore[assignment]
        if routes is not None and routes.bucket is NEVER:
            routes.bucket = bucket
            routes.changes = bucket.changes
        if routes is None or routes.follow or routes.bucket is not bucket or routes.changes != bucket.changes:
            routes = resolve(subject, found, False)
            routes.bucket = bucket
            routes.changes = bucket.changes
            if interest is not None and routes.general and interest.subject != subject:
                interest.routes = routes
        self._cache.remember(subject, routes)
        return routes

    def _route_once(self, subject: bytes) -> Routes:
        """Routes for one message whose subject may not come again, as the inbox of a request; not remembered.

        What a filter with wildcards leads to is made once for all subjects that no other filter matches.
        """
        found = self._found
        found.clear()
        self.resolved += 1
        self._steps += self.tree.find(subject, found)
        if not found:
            return NOWHERE
        interest = found[0] if len(found) == 1 else None
        if interest is not None and interest.routes is not None:
            return interest.routes  # type: ignore[return-value]
        routes = resolve(subject, found, interest is not None)
        if interest is not None and routes.general and interest.subject != subject:
            interest.routes = routes
        return routes


def deliver(message: Message, routes: Routes, source: Port) -> None:
    """Hand a message to its receivers, and note how many took it."""
    delivered = 0
    for receiver in routes.plain:
        if receiver.deliver(message, source):
            delivered += 1
    deliver_beyond(message, routes, source, delivered)


def deliver_beyond(message: Message, routes: Routes, source: Port, delivered: int) -> None:
    """Hand a message that so many took to queue groups and over links too, and note how many took it in all."""
    if routes.groups:
        delivered += deliver_to_groups(message, routes, source)
    else:
        for link in routes.links:
            if link.deliver(message, source):
                delivered += 1
    message.delivered = delivered
    if delivered == 0 and message.reply:
        source.undelivered(message)


def deliver_burst(burst: Burst, routes: Routes, source: Port) -> None:
    """Hand messages that came in a row to their receivers; of a group each message goes to one member anew."""
    for receiver in routes.plain:
        receiver.deliver_burst(burst, source)
    deliver_burst_beyond(burst, routes, source)


def deliver_burst_beyond(burst: Burst, routes: Routes, source: Port) -> None:
    """Hand the messages of a burst to queue groups and over links."""
    if routes.groups:
        for message in burst.messages():
            deliver_to_groups(message, routes, source)
    else:
        for link in routes.links:
            link.deliver_burst(burst, source)


def deliver_to_groups(message: Message, routes: Routes, source: Port) -> int:
    """Hand a message to one member of each group, and over the links.

    A hub serves its plain interest with every message that it gets, so a link gets one only, which names all groups
    that are to be served behind it.
    """
    delivered = 0
    named: dict[LeafPort, tuple[bytes, ...]] = {}
    for group in routes.groups:
        # A leafnode peer names the groups that it has not served; a group that is not named must not get the message.
        if message.queues is not None and group.name not in message.queues:
            continue
        if group.deliver(message, source):
            delivered += 1
        elif group.links and not source.leaf:
            link = random.choice(group.links)
            named[link] = (*named.get(link, ()), group.name)
        elif group.keep(message):
            delivered += 1
    for route in routes.links:
        names = named.pop(route.link, ())
        if names:
            route = route.link.leaf_route(message.subject, route.queues + names)
        if route.deliver(message, source):
            delivered += 1
    for link, names in named.items():
        if link.leaf_route(message.subject, names).deliver(message, source):
            delivered += 1
    return delivered


def resolve(subject: bytes, interests: list[Interest], general: bool) -> Routes:
    """Make routes out of the interests that match a subject; `general` ones, if asked for, where that can be."""
    routes = make_routes()
    plain: list[Receiver] = []
    routes.plain = plain
    combining = grouped = linked = False
    for interest in interests:
        for receiver in interest.plain:
            if receiver.combines:
                combining = True
            else:
                plain.append(receiver)
        if interest.groups:
            grouped = True
        if interest.upstream:
            linked = True
    own = -len(plain)
    if combining:
        routes.follow = general and add_alone(interests[0], plain)
        if not routes.follow:
            routes.general = False
            combine(subject, interests, plain)
    own += len(plain)
    if grouped:
        routes.groups = groups_of(interests)
    if linked:
        routes.general = False
        routes.groups = [*routes.groups]
        routes.links = link_routes(subject, interests, routes.groups)
        own += len(routes.links)
    # What is made for this subject holds it, and its topic.
    routes.size += POINTER_BYTES * len(plain) + own * (ROUTE_BYTES + 2 * len(subject))
    for group in routes.groups:
        routes.size += ROUTE_BYTES + POINTER_BYTES * len(group.members)
    routes.durable = count_durable(routes)
    return routes


def count_durable(routes: Routes) -> int:
    """How many places on the disk a message takes at most: of a group one member has it."""
    durable = 0
    for receiver in routes.plain:
        if receiver.is_durable():
            durable += 1
    for group in routes.groups:
        for receiver in group.members:
            if receiver.is_durable():
                durable += 1
                break
    return durable


def add_alone(interest: Interest, plain: list[Receiver]) -> bool:
    """Add what each receiver of an interest makes that need not be combined; False if a port has several there."""
    ports: set[Port] = set()
    routes: list[Receiver] = []
    for receiver in interest.plain:
        if receiver.combines:
            ports.add(receiver.port)
            routes.append(receiver.alone())
    if len(ports) < len(routes):
        return False
    plain.extend(routes)
    return True


def combine(subject: bytes, interests: list[Interest], plain: list[Receiver]) -> None:
    """Add one receiver for each port to which several of its receivers are one."""
    combined: dict[Port, list[Receiver]] = {}
    for interest in interests:
        for receiver in interest.plain:
            if receiver.combines:
                combined.setdefault(receiver.port, []).append(receiver)
    for port, receivers in combined.items():
        route = port.combine(subject, receivers)
        if route is not None:
            plain.append(route)


def groups_of(interests: list[Interest]) -> list[Group]:
    """The queue groups with local members.

    One is known by its name alone: on several filters it is still one group, as in nats-server. MQTT's are several.
    """
    groups: list[Group] = []
    members: dict[bytes, list[Receiver]] = {}
    for interest in interests:
        for name, found in (interest.groups or {}).items():
            if are_shared(found):
                groups.append(Group(name, found))
            else:
                members[name] = members[name] + found if name in members else found
    for name, found in members.items():
        groups.append(Group(name, found))
    return groups


def are_shared(members: list[Receiver]) -> bool:
    """Whether all members of a group are MQTT's shared subscriptions."""
    for receiver in members:  # noqa: SIM110 - compiled, a generator would cost more than the rest
        if not receiver.shared:
            return False
    return True


def link_routes(subject: bytes, interests: list[Interest], groups: list[Group]) -> list[LeafRoute]:
    """The routes over links: for plain interest, and for groups that have members behind one link and nowhere else.

    Of other groups with members behind links the links are noted in `groups`: which one it is, each message decides.
    """
    links: dict[LeafPort, tuple[bytes, ...]] = {}
    behind: dict[bytes, list[LeafPort]] = {}
    for receiver in (one for interest in interests for one in interest.upstream or ()):
        link = receiver.port
        assert isinstance(link, LeafPort)
        if not receiver.queue:
            links.setdefault(link, ())
        elif link not in behind.setdefault(receiver.queue, []):
            behind[receiver.queue].append(link)
    for name, ports in behind.items():
        group = next((one for one in groups if one.name == name), None)
        if group is None and len(ports) == 1:
            links[ports[0]] = (*links.get(ports[0], ()), name)
            continue
        if group is None:
            group = Group(name, [])
            groups.append(group)
        group.links = ports
    return [link.leaf_route(subject, queues) for link, queues in links.items()]
