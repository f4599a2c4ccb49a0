"""Deliveries: a message or a burst handed to those on its routes, at once or in shares (hot)."""

from gateway.dataplane.nats_receivers import LeafPort, wanted_of
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.routes import OFFERED_AT_ONCE, Group, Offer, Routes
from protocols.message import Burst, Message

# To how many receivers and queue groups a message goes at once, before others have their turn.
SHARE = 1024
# So many messages of a burst cost a receiver at most about as much as one: where it cannot take them all in one go.
IN_A_ROW = 16


# The subject on which a link serves queue groups, and their names.
Named = tuple[bytes, list[bytes]]


class FanOut:
    """A message or a burst on its way to more receivers than make a share; it stands in its place among the events.

    One that was `carried` from another account ends with the links. `inner` is what is just being carried on.
    """

    __slots__ = ("carried", "delivered", "event", "group", "inner", "named", "nth", "offer", "position", "routes")

    def __init__(self, event: Message | Burst, routes: Routes, carried: bool = False) -> None:
        self.event = event
        self.routes = routes
        self.carried = carried
        self.inner: Carrying | None = None
        self.position = 0
        self.delivered = 0
        # Which message it is that goes to the groups now, to which of them next, and what links will serve of those.
        self.nth = 0
        self.group = 0
        self.named: dict[LeafPort, Named] = {}
        # The group has very many members, and some were asked.
        self.offer: Offer | None = None

    def go_on(self, source: Port) -> bool:
        """Deliver to the next receivers, a share of them; whether there are more."""
        event, plain = self.event, self.routes.plain
        if self.routes.borders:
            if self._cross(source):
                return True
        else:
            share = SHARE
            if type(event) is Burst:
                share = max(SHARE * IN_A_ROW // (event.count + IN_A_ROW), 1)
            stop = min(self.position + share, len(plain))
            for index in range(self.position, stop):
                receiver = plain[index]
                if type(event) is Burst:
                    receiver.deliver_burst(event, source)
                elif type(event) is Message and receiver.deliver(event, source):
                    self.delivered += 1
            self.position = stop
            if stop < len(plain):
                return True
        if self.carried:
            self._end_carrying(source)
        elif self.routes.groups:
            if self._serve_groups(source):
                return True
            if type(event) is Message:
                note_delivered(event, source, self.delivered)
        elif type(event) is Burst:
            deliver_burst_beyond(event, self.routes, source)
        elif type(event) is Message:
            deliver_beyond(event, self.routes, source, self.delivered)
        return False

    def _cross(self, source: Port) -> bool:
        """As `go_on`, to receivers of which some lead to as many in other accounts."""
        event, plain = self.event, self.routes.plain
        left = SHARE
        while self.position < len(plain) and left > 0:
            receiver = plain[self.position]
            if self.inner is None and isinstance(receiver, BorderRoute):
                reach = receiver.reach(event.subject)
                left -= reach
                if reach > SHARE:
                    self.inner = receiver.begin(event, source)
            inner = self.inner
            if inner is not None:
                if inner.go_on():
                    return True
                self.inner = None
                self.delivered += inner.taken()
                if type(event) is Message:
                    event.refused = event.refused or inner.refused()
            elif type(event) is Burst:
                receiver.deliver_burst(event, source)
            elif type(event) is Message and receiver.deliver(event, source):
                self.delivered += 1
            self.position += 1
            left -= 1 + (event.count // IN_A_ROW if type(event) is Burst else 0)
        return self.position < len(plain)

    def _serve_groups(self, source: Port) -> bool:
        """Deliver to the next groups, a share of them, each message by itself; whether there are more."""
        event, routes = self.event, self.routes
        messages: list[Message] = event.messages() if type(event) is Burst else [event]  # type: ignore[list-item]
        count = len(routes.groups)
        left = SHARE
        while self.nth < len(messages) and left > 0:
            message = messages[self.nth]
            stop = min(self.group + (1 if routes.crowded else left), count)
            group = routes.groups[self.group]
            if routes.crowded and len(group.members) > OFFERED_AT_ONCE:
                if self._serve_crowd(message, group, source):
                    return True
                left = 0
            else:
                self.delivered += serve_groups(message, routes, source, self.group, stop, self.named)
            left -= 1 + stop - self.group
            self.group = stop
            if stop == count:
                self.delivered += serve_links(message, routes, source, self.named)
                self.named = {}
                self.group = 0
                self.nth += 1
        return self.nth < len(messages)

    def _serve_crowd(self, message: Message, group: Group, source: Port) -> bool:
        """As `serve_groups`, to one group of very many, some of whose members are asked; whether there are more."""
        offer = self.offer
        if offer is None:
            if message.queues is not None and group.name not in wanted_of(message.queues):
                return False
            offer = self.offer = Offer(group, False)
        if offer.go_on(message, source):
            return True
        self.offer = None
        if offer.taken:
            self.delivered += 1
        elif not offer.keeping:
            link = group.choose(source) if group.links else None
            if link is None:
                self.offer = Offer(group, True)
                return True
            note_named(self.named, link, group)
        return False

    def _end_carrying(self, source: Port) -> None:
        event = self.event
        for link in self.routes.links:
            if type(event) is Burst:
                link.deliver_burst(event, source)
            elif type(event) is Message and link.deliver(event, source):
                self.delivered += 1


class Carrying:
    """A fan-out in another account, where what is carried comes from `source`."""

    __slots__ = ("fan_out", "source")

    def __init__(self, fan_out: FanOut, source: Port) -> None:
        self.fan_out = fan_out
        self.source = source

    def go_on(self) -> bool:
        """Deliver a share; whether there is more."""
        return self.fan_out.go_on(self.source)

    def taken(self) -> bool:
        """Whether somebody has taken it, once it is over."""
        return self.fan_out.delivered > 0

    def refused(self) -> bool:
        """Whether there was no room for it on the disk."""
        event = self.fan_out.event
        return type(event) is Message and event.refused


class BorderRoute(Receiver):
    """Leads to receivers in another account."""

    __slots__ = ()

    def reach(self, subject: bytes) -> int:
        """How many there are for messages on a subject."""
        raise NotImplementedError

    def begin(self, event: Message | Burst, source: Port) -> Carrying | None:
        """Take an event there that is to be delivered in shares; None where it does not go there."""
        raise NotImplementedError


def reach_of(routes: Routes, subject: bytes) -> int:
    """How many receivers there are in other accounts."""
    count = 0
    for border in routes.borders:
        count += border.reach(subject)
    return count


def work_of(routes: Routes, subject: bytes, count: int) -> int:
    """How much it is to deliver so many messages in a row, in receivers that take one."""
    work = len(routes.plain) + len(routes.groups)
    if routes.crowded:
        work += SHARE
    if routes.borders and work <= SHARE:
        work += reach_of(routes, subject)
    return work + work * count // IN_A_ROW


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
    note_delivered(message, source, delivered)


def note_delivered(message: Message, source: Port, delivered: int) -> None:
    """So many took a message in all."""
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
    """Hand a message to one member of each group, and over the links."""
    named: dict[LeafPort, Named] = {}
    delivered = serve_groups(message, routes, source, 0, len(routes.groups), named)
    return delivered + serve_links(message, routes, source, named)


def serve_groups(
    message: Message, routes: Routes, source: Port, start: int, stop: int, named: dict[LeafPort, Named]
) -> int:
    """Hand a message to one member of each of the groups from `start` to `stop`; in `named` is noted which link is to
    serve those that have none here. Returns how many took it.
    """
    delivered = 0
    # A leafnode peer names the groups that it has not served; a group that is not named must not get the message.
    wanted = wanted_of(message.queues) if message.queues is not None else None
    for index in range(start, stop):
        group = routes.groups[index]
        if wanted is not None and group.name not in wanted:
            continue
        if group.deliver(message, source):
            delivered += 1
            continue
        link = group.choose(source) if group.links else None
        if link is not None:
            note_named(named, link, group)
        elif group.keep(message):
            delivered += 1
    return delivered


def note_named(named: dict[LeafPort, Named], link: LeafPort, group: Group) -> None:
    """The link is to serve the group."""
    if link not in named:
        named[link] = group.subject, []
    named[link][1].append(group.name)


def serve_links(message: Message, routes: Routes, source: Port, named: dict[LeafPort, Named]) -> int:
    """Hand a message over the links; returns how many took it.

    The other end of a link serves its plain interest with every message that it gets, so it gets one only, which names
    all groups that are to be served behind it.
    """
    delivered = 0
    for route in routes.links:
        also = named.pop(route.link, None)
        if also is not None:
            subject, names = also
            route = route.link.leaf_route(subject, (*route.queues, *names), route.plain)
        if route.deliver(message, source):
            delivered += 1
    for link, (subject, names) in named.items():
        if link.leaf_route(subject, tuple(names), False).deliver(message, source):
            delivered += 1
    return delivered
