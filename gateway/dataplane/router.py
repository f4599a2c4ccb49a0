"""Router: finds the receivers of each message of a batch and hands it to them (hot)."""

from typing import Any, Protocol
from weakref import WeakValueDictionary

from gateway.dataplane.deliveries import SHARE, Carrying, FanOut, deliver, deliver_burst, reach_of, work_of
from gateway.dataplane.flows import Flows
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.resolving import Resolution, has_filtered
from gateway.dataplane.routes import NEVER, NOWHERE, Bucket, Group, Routes, make_routes, size_of
from gateway.dataplane.searching import Search, Telling
from gateway.dataplane.subject_tree import Interest, SubjectTree, Walk
from gateway.dataplane.verdicts import Denied, Verdicts
from protocols.cache import GenerationCache
from protocols.message import Burst, Message, readdressed
from protocols.nats.stream_replies import NUMBERS, lead_of

REMEMBERED_SUBJECTS = 4096
# Their routes as well, per generation of the cache: about what those objects take.
REMEMBERED_BYTES = 1 << 24
# Of a longer one the receivers are looked for each time.
LONGEST_REMEMBERED_SUBJECT = 256
BUCKETS = 256


class InterestObserver(Protocol):
    """A leafnode link: it tells its other end about interest here."""

    def interest_changed(self, interest: Interest, receiver: Receiver) -> None:
        """A receiver that others may know of joined the interest, left it, or stands for more or fewer than before."""


class InterestWatcher(Protocol):
    """Somebody from another account's subject space, whose messages come to receivers here (gateway.accounts)."""

    def interest_moved(self, interest: Interest, receiver: Receiver) -> None:
        """A receiver joined the interest, or left it: then it has no `slot`."""


class Mapper(Protocol):
    """Subjects that become others when somebody publishes on them (gateway.accounts.mappings)."""

    def draws(self, subject: bytes) -> bool:
        """Whether lots are drawn for each message on a subject."""

    def destination(self, subject: bytes) -> bytes | None:
        """What a subject becomes, itself where it is not mapped; None for a message that is to be lost."""


class Retainer(Protocol):
    """Who keeps the last message of a subject for those that come later, and knows whether the disk has room."""

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0) -> bool:
        """Whether there is room for a message in so many queues on the disk, and where it is to be retained, beside so
        many like it that come `before`: then it is put there now. Otherwise it is `refused`, and nobody keeps it.
        """

    def keep(self, message: Message, source: Port) -> bool:
        """Replace what is kept of the message's subject; False when there is no room, or none for this publisher."""


class Drawn:
    """Messages that are routed one by one: of a burst, for each of which lots are drawn where it goes or over each of
    which somebody takes long, or answers that their publisher may give. They stand in the place of what they came in
    among the events.
    """

    __slots__ = ("messages", "position")

    def __init__(self, messages: list[Any]) -> None:
        self.messages = messages
        self.position = 0


class SearchedCarrying(Carrying):
    """A fan-out in another account, whose receivers take long to find."""

    __slots__ = ("_router", "_search")

    def __init__(self, router: "Router", search: Search, source: Port) -> None:
        assert search.event is not None
        Carrying.__init__(self, FanOut(search.event, NOWHERE, True), source)  # Compiled, super() knows no class here.
        self._router = router
        self._search: Search | None = search

    def go_on(self) -> bool:
        if self._search is not None:
            if self._search.go_on():
                return True
            self.fan_out = self._router.end_search(self._search)
            self._search = None
        return self.fan_out.go_on(self.source)


# The events that `Router.forward` takes.
ROUTED = frozenset((Message, Burst, FanOut, Search, Drawn))


class Router:
    """One account's subject space: its subscriptions, and messages between them.

    Routes are remembered per subject, from its second message on, or the first where it takes long to find them.
    Subscribing to a literal subject forgets that one, to a filter with wildcards the subjects that share its first
    token (and some that share its bucket). `resolved` counts how often receivers were looked for in the tree. `mapper`,
    where there is one, says what subjects become when somebody publishes on them.
    """

    __slots__ = (
        "_buckets",
        "_cache",
        "_flows",
        "_found",
        "_observers",
        "_retainer",
        "_routes",
        "_search",
        "_watchers",
        "mapper",
        "resolved",
        "tree",
    )

    def __init__(self, retainer: Retainer | None = None) -> None:
        self.tree = SubjectTree()
        self._retainer = retainer
        self._cache: GenerationCache = GenerationCache(REMEMBERED_SUBJECTS, REMEMBERED_BYTES, size_of)
        self._routes = self._cache.young
        # Those of connections that are open.
        self._flows: WeakValueDictionary[Verdicts, Flows] = WeakValueDictionary()
        self._found: list[Interest] = []
        self._observers: list[InterestObserver] = []
        self._watchers: list[InterestWatcher] = []
        self.mapper: object = None
        # By first tokens.
        self._buckets = [Bucket() for _ in range(BUCKETS)]
        self.resolved = 0
        # What `_resolve` could not finish.
        self._search: Search | None = None

    def subscribe(self, receiver: Receiver) -> None:
        interest = self.tree.insert(receiver)
        self._interest_changed(interest, receiver)

    def unsubscribe(self, receiver: Receiver) -> None:
        """Take a receiver out; one that is not subscribed (any more) is left alone."""
        interest = self.tree.remove(receiver)
        if interest is not None:
            self._interest_changed(interest, receiver)

    def forward(self, events: list[Any], index: int, source: Port, whole: bool = False, judged: bool = False) -> int:
        """Route the messages and bursts from `events[index]` on; returns the index of the first event that is left.

        That is an event of another kind, among them Denied in place of what the source may not publish (unless that
        is `judged`); or one of theirs, when a share of work is done: look at the clock and go on.
        Each message before it knows how many took it (`Message.delivered`). Where the publisher is told of each,
        `whole`, one that is refused reaches nobody, and is left.
        """
        count = len(events)
        received = size = 0
        left = SHARE
        may_publish = None if judged else source.may_publish
        # What is mapped goes elsewhere than its subject says.
        flows = None if may_publish is None or self.mapper is not None else self._flows_of(source, may_publish)
        looked = self.tree.looked
        effort = source.effort
        while index < count:
            event = events[index]
            routes: Routes | None = None
            retains = True
            if type(event) is Search:
                search = event
                if search.go_on():
                    break
                routes = self._end_search(search)
                retains = search.retains
                event = events[index] = search.event
            if type(event) is Message:
                message = event
                if routes is None and flows is not None:
                    routes = self._flow(flows, message.subject)
                if routes is None:
                    if may_publish is not None and not may_publish.allow(message.subject):
                        events[index] = Denied(message)
                        break
                    if self.mapper is not None:
                        mapped = self._mapped(message)
                        if mapped is None:
                            index += 1
                            left -= 1
                            received += 1
                            size += message.size
                            continue
                        message = events[index] = mapped
                    routes = self._resolve(message.subject)
                    if routes is None:
                        events[index] = self._begin_search(message)
                        break
                    if flows is not None:
                        self._note_flow(flows, message.subject, routes)
                retained = retains and message.header_size > 0 and message.is_retained()
                stored = retained or (routes.durable and message.qos)
                if stored and not self._reserve(message, routes, retained) and whole:
                    break
                fan_out = len(routes.plain) + len(routes.groups)
                if routes.crowded:
                    fan_out += SHARE
                left -= routes.dear
                if routes.borders and fan_out <= SHARE:
                    fan_out += reach_of(routes, message.subject)
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
                if routes is None and flows is not None:
                    routes = self._flow(flows, burst.subject)
                if routes is None:
                    if may_publish is not None and not may_publish.allow(burst.subject):
                        events[index] = Denied(burst)
                        break
                    if self.mapper is not None:
                        if self.mapper.draws(burst.subject):  # type: ignore[attr-defined]
                            events[index] = Drawn(burst.messages())
                            continue
                        burst = events[index] = self._mapped_burst(burst)
                    routes = self._resolve(burst.subject)
                    if routes is None:
                        events[index] = self._begin_search(burst)
                        break
                    if flows is not None:
                        self._note_flow(flows, burst.subject, routes)
                if routes.dear:
                    events[index] = Drawn(burst.messages())
                    continue
                if routes.durable and burst.qos:
                    self._reserve_burst(burst, routes)
                fan_out = work_of(routes, burst.subject, burst.count)
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
            elif type(event) is Drawn:
                drawn = event
                drawn.position = self.forward(drawn.messages, drawn.position, source, False, True)
                if drawn.position == len(drawn.messages):
                    index += 1
                left = 0
            else:
                break
            if left - (self.tree.looked - looked) - (source.effort - effort) <= 0:
                break
        source.in_messages += received
        source.in_bytes += size
        return index

    def publish(self, message: Message, source: Port, subject: bytes = b"", whole: bool = False) -> int:
        """`begin`, and go on to the end at once; returns how many took the message."""
        left = self.begin(message, source, subject, whole, not subject)
        if left is not None:
            events = [left]
            while not self.forward(events, 0, source, whole, True) and type(events[0]) is not Message:
                pass
            routed: Message = events[0]
            message.delivered = routed.delivered
            message.refused = routed.refused
        return message.delivered

    def begin(
        self, message: Message, source: Port, subject: bytes = b"", whole: bool = False, retains: bool = True
    ) -> Any:
        """Route one message, by another subject than its own where one is given.

        Where that is more than a share of work this returns what stands in its place: `forward` goes on with it, as
        with what is `judged`. Otherwise None: it knows how many took it. Where the publisher is told, `whole`, nobody
        gets it when it is refused. Where it does not `retain`, what was published before goes out once more, and its
        subject does not keep it whatever its header says.
        """
        message.refused = False
        message.delivered = 0
        published = message
        if self.mapper is not None and not subject and type(source) is not Port:  # As one the gateway's own have.
            mapped = self._mapped(message)
            if mapped is None:
                source.in_messages += 1
                source.in_bytes += message.size
                return None
            published = mapped
        routes: Routes | None
        if subject:
            # Remembered at once: what routes in general would lead to is the message's own subject.
            routes = self._routes.get(subject)
            if routes is None or routes.changes != routes.bucket.changes:
                routes = self._remember(subject)
        else:
            routes = self._resolve(published.subject)
        if routes is None:
            search = self._begin_search(published)  # It is counted at its end.
            search.retains = retains
            return search
        source.in_messages += 1
        source.in_bytes += message.size
        retained = retains and published.header_size > 0 and published.is_retained()
        stored = retained or (routes.durable and published.qos)
        left: FanOut | None = None
        if not stored or self._reserve(published, routes, retained) or not whole:
            if work_of(routes, published.subject, 1) > SHARE:
                left = FanOut(published, routes)
            else:
                deliver(published, routes, source)
            if retained:
                self._retain(published, source)
        message.delivered = published.delivered
        message.refused = published.refused
        return left

    def publish_run(self, messages: list[Any], source: Port, subject: bytes) -> int:
        """Route messages by another subject than each one's own, in their order, up to the first that nobody takes;
        returns how many were taken.
        """
        routes: Routes | None = self._routes.get(subject)
        if routes is None or routes.changes != routes.bucket.changes:
            routes = self._remember(subject)
        if routes is None:
            self._search = None
        elif len(routes.plain) == 1 and not (routes.groups or routes.links or routes.borders or routes.durable):
            receiver = routes.plain[0]
            taken = receiver.deliver_run(messages, source)
            source.in_messages += taken
            for message in messages[:taken]:
                source.in_bytes += message.size
            return taken
        taken = 0
        for message in messages:
            if not self.publish(message, source, subject):
                break
            taken += 1
        return taken

    def tell(self, message: Message, source: Port, port: Port, subject: bytes = b"") -> int:
        """`begin_telling`, and go on to the end at once; returns how many took the message."""
        told = self.begin_telling(message, port, subject)
        while told.go_on(source):
            pass
        return told.delivered

    def begin_telling(self, message: Message, port: Port, subject: bytes = b"", once: bool = False) -> Telling:
        """A message on its way to the plain receivers of one port alone, or to one of them, by another subject than its
        own where one is given.
        """
        return Telling(self.tree, message, port, subject or message.subject, once)

    def refresh(self, receiver: Receiver) -> None:
        """What a receiver is given has changed though it stays subscribed (`Receiver.filtered`, `Port.receives`)."""
        self.tree.forget_routes(receiver.subject)
        self.forget(receiver.subject)

    def destination(self, subject: bytes) -> bytes:
        """What a subject becomes when somebody publishes on it; b"" for a message that is to be lost."""
        if self.mapper is None:
            return subject
        return self.mapper.destination(subject) or b""  # type: ignore[attr-defined]

    def owner(self) -> object:
        """Whose subject space it is."""
        return self._retainer

    def remembered_reach(self) -> list[int]:
        """How many receivers that are in no queue group each subject has whose routes are remembered."""
        found: list[int] = []
        for subject in self._cache.keys():
            routes: Routes | None = self._routes.get(subject)
            if routes is not None and routes.changes == routes.bucket.changes:
                found.append(len(routes.plain))
        return found

    def reach(self, subject: bytes) -> int:
        """How many receivers and queue groups a message on a subject has, here and in other accounts; more than a share
        where it takes long to find that out.
        """
        routes = self._resolve(subject)
        if routes is None:
            self._search = None
            return SHARE + 1
        return work_of(routes, subject, 0)

    def begin_carrying(self, event: Message | Burst, source: Port) -> Carrying:
        """`carry` or `carry_burst`, in shares."""
        routes = self._resolve(event.subject)
        if routes is None:
            return SearchedCarrying(self, self._begin_search(event), source)
        return Carrying(self._carried(event, routes), source)

    def end_search(self, search: Search) -> FanOut:
        """On the routes that it has led to what was looked for is carried."""
        assert search.event is not None
        return self._carried(search.event, self._end_search(search))

    def _carried(self, event: Message | Burst, routes: Routes) -> FanOut:
        if type(event) is Burst:
            if routes.durable and event.qos:
                self._reserve_burst(event, routes)
        elif type(event) is Message and routes.durable and event.qos:
            self._reserve(event, routes, False)
        return FanOut(event, routes, True)

    def carry(self, message: Message, source: Port) -> int:
        """Route a message from another account to each receiver that is in no queue group; returns how many took it.

        Nobody retains it, and nobody is told where it reached none. It is `refused` where the disk has no room.
        """
        routes = self._route(message.subject)
        if routes.durable and message.qos:
            self._reserve(message, routes, False)
        delivered = 0
        for receiver in routes.plain:
            if receiver.deliver(message, source):
                delivered += 1
        for link in routes.links:
            if link.deliver(message, source):
                delivered += 1
        return delivered

    def carry_burst(self, burst: Burst, source: Port) -> None:
        """Like `carry`, for messages that came in a row."""
        routes = self._route(burst.subject)
        if routes.durable and burst.qos:
            self._reserve_burst(burst, routes)
        for receiver in routes.plain:
            receiver.deliver_burst(burst, source)
        for link in routes.links:
            link.deliver_burst(burst, source)

    def carry_to_one(self, message: Message, members: list[Receiver], source: Port) -> bool:
        """Hand a message from another account to one of the members of a queue group; False when none takes it."""
        if has_filtered(members):
            members = [one for one in members if one.leads(message.subject)]
        if message.qos:
            for receiver in members:
                if receiver.is_durable():
                    if self._retainer is not None:
                        self._retainer.reserve(message, 1, False)
                    break
        group = Group(b"", members)
        return group.deliver(message, source) or group.keep(message)

    def call(self, message: Message, source: Port) -> int:
        """Route a request from another account, or the answer to one; returns how many took it. Nobody retains it."""
        if self.mapper is not None:
            mapped = self._mapped(message)
            if mapped is None:
                return 0
            message = mapped
        routes = self._route(message.subject)
        if routes.durable and message.qos:
            self._reserve(message, routes, False)
        deliver(message, routes, source)
        return message.delivered

    def begin_call(self, message: Message, source: Port) -> Any:
        """`call`, in shares, as with `begin`."""
        if self.mapper is not None:
            mapped = self._mapped(message)
            if mapped is None:
                return None
            message = mapped
        routes = self._resolve(message.subject)
        if routes is None:
            search = self._begin_search(message)
            search.retains = False
            return search
        if routes.durable and message.qos:
            self._reserve(message, routes, False)
        return FanOut(message, routes)

    def watch(self, watcher: InterestWatcher) -> None:
        """Tell the watcher of each receiver that comes or goes from now on."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: InterestWatcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def observe(self, observer: InterestObserver) -> None:
        """Tell the observer of changes from now on; see gateway.dataplane.transit for what is there already."""
        self._observers.append(observer)

    def unobserve(self, observer: InterestObserver) -> None:
        if observer in self._observers:
            self._observers.remove(observer)

    def local_interest(self) -> list[tuple[bytes, bytes, int]]:
        """(filter, queue group or b"", number of local receivers) of everything that clients here are interested in."""
        interest: list[tuple[bytes, bytes, int]] = []
        for entry in self.tree.interests():
            if entry.told_count(b""):
                interest.append((entry.subject, b"", entry.told_count(b"")))
            for name, members in (entry.groups or {}).items():
                interest.append((entry.subject, name, len(members)))
        return interest

    def _interest_changed(self, interest: Interest, receiver: Receiver) -> None:
        self._tell_observers(interest, receiver)
        for watcher in self._watchers:
            watcher.interest_moved(interest, receiver)

    def weight_changed(self, receiver: Receiver) -> None:
        """A subscribed receiver stands for more or fewer members of its queue group than before."""
        self._tell_observers(self.tree.interest_of(receiver), receiver)

    def _tell_observers(self, interest: Interest, receiver: Receiver) -> None:
        self.forget(receiver.subject)
        if not (receiver.local_only or receiver.onlooker):
            for observer in self._observers:
                observer.interest_changed(interest, receiver)

    def reaches_durable(self, subject: bytes) -> bool:
        """Whether a message on the subject may come to a receiver that keeps it on the disk."""
        routes = self._resolve(subject)
        if routes is None:  # What takes long to find out is not said to be impossible.
            self._search = None
            return True
        return routes.durable > 0

    def forget(self, subject: bytes) -> None:
        """Forget the routes that a change of this filter can concern."""
        tokens = subject.split(b".")
        if b"*" not in tokens and tokens[-1] != b">":
            self._cache.forget(subject)
        elif tokens[0] == b"*" or tokens[0] == b">":
            self._cache.clear()
        else:
            self._buckets[hash(tokens[0]) % BUCKETS].changes += 1

    def _mapped(self, message: Message) -> Message | None:
        """A message on the subject that its own becomes; None where it is to be lost."""
        subject = self.mapper.destination(message.subject)  # type: ignore[attr-defined]
        if subject is None:
            return None
        return message if subject == message.subject else readdressed(message, subject)

    def _mapped_burst(self, burst: Burst) -> Burst:
        """Messages that came in a row on the subject that theirs becomes, where no lots are drawn."""
        subject: bytes = self.mapper.destination(burst.subject)  # type: ignore[attr-defined]
        return burst if subject == burst.subject else burst.readdressed(subject)

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

    def _route(self, subject: bytes) -> Routes:
        """Where messages on a subject go, however long it takes to find that out."""
        routes = self._resolve(subject)
        return self._search_at_once() if routes is None else routes

    def _resolve(self, subject: bytes) -> Routes | None:
        """Where messages on a subject go: remembered, else looked for; None where that takes long (`_begin_search`)."""
        routes: Routes | None = self._routes.get(subject)
        if routes is None:
            routes = self._cache.recall(subject)
            if routes is None:
                lead = lead_of(subject)
                if lead:
                    return self._resolve_alike(subject, lead)
            if routes is None and (len(subject) > LONGEST_REMEMBERED_SUBJECT or not self._cache.is_familiar(subject)):
                return self._route_once(subject)
        if routes is not None and routes.changes == routes.bucket.changes:
            return routes
        return self._remember(subject)

    def _flows_of(self, source: Port, may_publish: Verdicts) -> Flows:
        """Those of the source and of all others here with the same verdicts."""
        flows: Flows | None = source.flows
        if flows is None or flows.verdicts is not may_publish or flows.memory is not self._cache:
            flows = self._flows.get(may_publish)
            if flows is None:
                flows = self._flows[may_publish] = Flows(self._cache, may_publish)
            source.flows = flows
        return flows

    def _flow(self, flows: Flows, subject: bytes) -> Routes | None:
        """Where messages on a subject go, where that is noted of an allowed one."""
        routes: Routes | None = flows.routes.get(subject)
        if routes is None or routes.changes != routes.bucket.changes or flows.losses != self._cache.losses:
            return None
        return routes

    def _note_flow(self, flows: Flows, subject: bytes, routes: Routes) -> None:
        """Note where messages on an allowed subject go, if the routes are remembered."""
        if routes.bucket is NEVER or self._routes.get(subject) is not routes:
            return
        if flows.losses != self._cache.losses:
            flows.routes = {}
            flows.losses = self._cache.losses
        flows.routes[subject] = routes

    def _resolve_alike(self, subject: bytes, lead: bytes) -> Routes | None:
        """As `_resolve`, for one of many subjects that differ in the numbers behind their lead and hardly come twice:
        one filter matches them all, as a rule.
        """
        if self.tree.is_literal(subject):
            return self._route_once(subject)
        routes: Routes | None = self._routes.get(lead)
        if routes is None:
            routes = self._cache.recall(lead)
        if routes is None or routes.changes != routes.bucket.changes:
            routes = self._remember_alike(lead)
        return self._route_once(subject) if routes.follow else routes

    def _remember_alike(self, lead: bytes) -> Routes:
        """Where all subjects with a lead and its numbers go; routes that `follow` say that they do not go one way."""
        self.resolved += 1
        bucket: Bucket = self._buckets[hash(lead.partition(b".")[0]) % BUCKETS]
        interest = self.tree.only_interest(lead, NUMBERS)
        routes = make_routes()
        routes.follow = True
        if interest is not None and not interest.groups and not interest.beyond:
            making = Resolution(interest.subject, [interest], True)
            alike = NOWHERE if making.go_on() else making.routes  # Of very many each subject is looked for by itself.
            if alike.plain and alike.general and not alike.follow and len(alike.plain) == len(interest.plain):
                routes = alike
        routes.bucket = bucket
        routes.changes = bucket.changes
        self._cache.remember(lead, routes)
        return routes

    def _begin_search(self, event: Message | Burst) -> Search:
        """What the event waits for that `_resolve` found no routes for."""
        search, self._search = self._search, None
        assert search is not None
        search.event = event
        return search

    def _end_search(self, search: Search) -> Routes:
        """The routes that it has led to."""
        subject = search.subject
        assert search.making is not None
        routes = search.making.routes
        if search.changes == self.tree.changes:
            interest = search.found[0] if len(search.found) == 1 else None
            if search.familiar:
                bucket: Bucket = self._buckets[hash(subject.partition(b".")[0]) % BUCKETS]
                routes.bucket = bucket
                routes.changes = bucket.changes
                self._cache.remember(subject, routes)
            if interest is not None and routes.general and interest.subject != subject:
                interest.routes = routes
        return routes

    def _search_at_once(self) -> Routes:
        """Finish what `_resolve` has begun."""
        search, self._search = self._search, None
        assert search is not None
        while search.go_on():
            pass
        return self._end_search(search)

    def _remember(self, subject: bytes) -> Routes | None:
        """Look for the receivers of a subject that will come again; None where that takes long.

        Subjects that interest the receivers of one filter with wildcards alone share its routes: many subjects need
        little memory, and the processor finds the routes in its caches.
        """
        self.resolved += 1
        bucket: Bucket = self._buckets[hash(subject.partition(b".")[0]) % BUCKETS]
        found: list[Interest] = []
        walk = self.tree.find(subject, found)
        if walk is not None:
            self._search = Search(subject, found, walk, None, True, self.tree.changes)
            return None
        interest = found[0] if len(found) == 1 else None
        routes: Routes | None = interest.routes if interest is not None else None  # type: ignore[assignment]
        if routes is not None and routes.bucket is NEVER:
            routes.bucket = bucket
            routes.changes = bucket.changes
        if routes is None or routes.follow or routes.bucket is not bucket or routes.changes != bucket.changes:
            making = Resolution(subject, found, False)
            if making.go_on():
                self._search = Search(subject, found, None, making, True, self.tree.changes)
                return None
            routes = making.routes
            routes.bucket = bucket
            routes.changes = bucket.changes
            if interest is not None and routes.general and interest.subject != subject:
                interest.routes = routes
        self._cache.remember(subject, routes)
        return routes

    def _route_once(self, subject: bytes) -> Routes | None:
        """Routes for one message whose subject may not come again, as the inbox of a request; not remembered.

        What a filter with wildcards leads to is made once for all subjects that no other filter matches.
        """
        found = self._found
        found.clear()
        self.resolved += 1
        walk = self.tree.find(subject, found)
        if walk is not None:
            self._search_once(subject, walk, None)
            return None
        if not found:
            return NOWHERE
        interest = found[0] if len(found) == 1 else None
        if interest is not None and interest.routes is not None:
            return interest.routes  # type: ignore[return-value]
        making = Resolution(subject, found, interest is not None)
        if making.go_on():
            self._search_once(subject, None, making)
            return None
        routes = making.routes
        if interest is not None and routes.general and interest.subject != subject:
            interest.routes = routes
        return routes

    def _search_once(self, subject: bytes, walk: Walk | None, making: Resolution | None) -> None:
        """Begin to look for what takes long. It is remembered at once, in case that the subject does come again."""
        familiar = len(subject) <= LONGEST_REMEMBERED_SUBJECT
        self._search = Search(subject, self._found, walk, making, familiar, self.tree.changes)
        self._found = []
