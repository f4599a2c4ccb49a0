"""Router: finds the receivers of each message of a batch and hands it to them (hot)."""

import random
from typing import Protocol

from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.subject_tree import Interest, SubjectTree
from protocols.cache import GenerationCache
from protocols.message import Burst, Message

REMEMBERED_SUBJECTS = 4096


class InterestObserver(Protocol):
    """A leafnode link: it tells its hub about local interest."""

    def interest_changed(self, subject: bytes, queue: bytes, count: int) -> None:
        """`count` local receivers now want the subject, in the queue group unless that is b""."""


class LeafPort(Port):
    """A port to a leafnode peer: it makes the receiver for what the peer is interested in."""

    __slots__ = ()

    def leaf_route(self, subject: bytes, queues: tuple[bytes, ...]) -> Receiver:
        """A receiver that sends messages on a literal subject to the peer, naming the queue groups that it serves."""
        raise NotImplementedError


class Group:
    """A queue group with interest in a subject: one of `members` gets the message.

    Members of this gateway come before those that live behind a leafnode link; `fallback` takes the message when none
    of them does.
    """

    __slots__ = ("fallback", "members", "name")

    def __init__(self, name: bytes, members: list[Receiver], fallback: Receiver | None) -> None:
        self.name = name
        self.members = members
        self.fallback = fallback

    def deliver(self, message: Message, source: Port) -> bool:
        members = self.members
        count = len(members)
        start = random.randrange(count) if count > 1 else 0
        for offset in range(count):
            if members[(start + offset) % count].deliver(message, source):
                return True
        return self.fallback is not None and self.fallback.deliver(message, source)


class Routes:
    """Who gets messages on one subject. `plain` receivers each get one; of each group one member does."""

    __slots__ = ("groups", "plain")

    def __init__(self, plain: list[Receiver], groups: list[Group]) -> None:
        self.plain = plain
        self.groups = groups


class Router:
    """One account's subject space: its subscriptions, and messages between them.

    Routes are remembered per subject; subscribing forgets only the subjects that the filter can match.
    """

    __slots__ = ("_cache", "_observers", "_routes", "tree")

    def __init__(self) -> None:
        self.tree = SubjectTree()
        self._cache: GenerationCache = GenerationCache(REMEMBERED_SUBJECTS)
        self._routes = self._cache.young
        self._observers: list[InterestObserver] = []

    def subscribe(self, receiver: Receiver) -> None:
        interest = self.tree.insert(receiver)
        self._interest_changed(interest, receiver)

    def unsubscribe(self, receiver: Receiver) -> None:
        """Take a receiver out; one that is not subscribed (any more) is left alone."""
        interest = self.tree.remove(receiver)
        if interest is not None:
            self._interest_changed(interest, receiver)

    def forward(self, events: list[object], index: int, source: Port) -> int:
        """Route the messages and bursts from `events[index]` on; returns the index of the first other event."""
        count = len(events)
        received = size = 0
        while index < count:
            event = events[index]
            if type(event) is Burst:
                burst = event
                routes = self._routes.get(burst.subject)
                if routes is None:
                    routes = self._resolve(burst.subject)
                deliver_burst(burst, routes, source)
                received += burst.count
                size += burst.count * burst.message_size
            elif type(event) is Message:
                message = event
                routes = self._routes.get(message.subject)
                if routes is None:
                    routes = self._resolve(message.subject)
                deliver(message, routes, source)
                received += 1
                size += message.size
            else:
                break
            index += 1
        source.in_messages += received
        source.in_bytes += size
        return index

    def route(self, message: Message, subject: bytes, source: Port) -> int:
        """Hand one message to everybody who is interested in `subject`; returns how many took it."""
        source.in_messages += 1
        source.in_bytes += message.size
        return deliver(message, self._resolve(subject), source)

    def observe(self, observer: InterestObserver) -> None:
        """Tell the observer of changes from now on; see `local_interest` for what is there already."""
        self._observers.append(observer)

    def unobserve(self, observer: InterestObserver) -> None:
        if observer in self._observers:
            self._observers.remove(observer)

    def local_interest(self) -> list[tuple[bytes, bytes, int]]:
        """(filter, queue group or b"", number of local receivers) of everything that is subscribed here."""
        interest: list[tuple[bytes, bytes, int]] = []
        for entry in self.tree.interests():
            if entry.plain:
                interest.append((entry.subject, b"", len(entry.plain)))
            for name, members in (entry.groups or {}).items():
                interest.append((entry.subject, name, len(members)))
        return interest

    def _interest_changed(self, interest: Interest, receiver: Receiver) -> None:
        self.forget(receiver.subject)
        if not receiver.port.leaf:
            for observer in self._observers:
                observer.interest_changed(receiver.subject, receiver.queue, interest.local_count(receiver.queue))

    def forget(self, subject: bytes) -> None:
        """Forget the routes that a change of this filter can concern: those that share its literal beginning."""
        beginning = literal_beginning(subject)
        if beginning == subject:
            self._cache.forget(subject)
        elif not beginning:
            self._cache.clear()
        else:
            for known in self._cache.keys():
                if known.startswith(beginning):
                    self._cache.forget(known)

    def _resolve(self, subject: bytes) -> Routes:
        routes: Routes | None = self._cache.recall(subject)
        if routes is None:
            routes = resolve(subject, self.tree.match(subject))
            self._cache.remember(subject, routes)
        return routes


def deliver(message: Message, routes: Routes, source: Port) -> int:
    """Hand a message to its receivers; returns how many took it."""
    delivered = 0
    for receiver in routes.plain:
        if receiver.deliver(message, source):
            delivered += 1
    if routes.groups:
        delivered += deliver_to_groups(routes.groups, message, source)
    if delivered == 0 and message.reply:
        source.undelivered(message)
    return delivered


def deliver_burst(burst: Burst, routes: Routes, source: Port) -> None:
    """Hand messages that came in a row to their receivers; of a group each message goes to one member anew."""
    for receiver in routes.plain:
        receiver.deliver_burst(burst, source)
    if routes.groups:
        for message in burst.messages():
            deliver_to_groups(routes.groups, message, source)


def deliver_to_groups(groups: list[Group], message: Message, source: Port) -> int:
    delivered = 0
    for group in groups:
        # A leafnode peer names the groups that it has not served; a group that is not named must not get the message.
        if message.queues is not None and group.name not in message.queues:
            continue
        if group.deliver(message, source):
            delivered += 1
    return delivered


def literal_beginning(subject: bytes) -> bytes:
    """The part of a filter before its first wildcard token, with the dot; the whole filter when it has none."""
    tokens = subject.split(b".")
    for index, token in enumerate(tokens):
        if token == b"*" or (token == b">" and index == len(tokens) - 1):
            return b"".join([literal + b"." for literal in tokens[:index]])
    return subject


def resolve(subject: bytes, interests: list[Interest]) -> Routes:
    """Make routes out of the interests that match a subject."""
    plain: list[Receiver] = []
    members: dict[bytes, list[Receiver]] = {}
    combined: dict[Port, list[Receiver]] = {}
    upstream: list[Receiver] = []
    for interest in interests:
        for receiver in interest.plain:
            if receiver.combines:
                combined.setdefault(receiver.port, []).append(receiver)
            else:
                plain.append(receiver)
        if interest.groups:
            # Known by its name alone: on several filters it is still one group, as in nats-server.
            for name, found in interest.groups.items():
                members[name] = members[name] + found if name in members else found
        if interest.upstream:
            upstream.extend(interest.upstream)
    for port, receivers in combined.items():
        route = port.combine(subject, receivers)
        if route is not None:
            plain.append(route)
    groups = [Group(name, found, None) for name, found in members.items()]
    if upstream:
        add_links(subject, upstream, plain, groups)
    return Routes(plain, groups)


def add_links(subject: bytes, upstream: list[Receiver], plain: list[Receiver], groups: list[Group]) -> None:
    """Add what leafnode links are interested in.

    A link gets one message for its plain interest and every queue group whose members all live behind that link. Of
    a group that has local members too the link is only the fallback; of one behind several links, a member.
    """
    links: dict[LeafPort, list[bytes]] = {}
    behind: dict[bytes, list[LeafPort]] = {}
    for receiver in upstream:
        link = receiver.port
        assert isinstance(link, LeafPort)
        if not receiver.queue:
            links.setdefault(link, [])
        elif link not in behind.setdefault(receiver.queue, []):
            behind[receiver.queue].append(link)
    for name, ports in behind.items():
        local = [group for group in groups if group.name == name]
        if local:
            local[0].fallback = ports[0].leaf_route(subject, (name,))
        elif len(ports) == 1:
            links.setdefault(ports[0], []).append(name)
        else:
            groups.append(Group(name, [port.leaf_route(subject, (name,)) for port in ports], None))
    for link, queues in links.items():
        plain.append(link.leaf_route(subject, tuple(queues)))
