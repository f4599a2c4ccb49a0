from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.deliveries import SHARE
from gateway.dataplane.outbox import Switch
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import LONGEST_REMEMBERED_SUBJECT, REMEMBERED_SUBJECTS, Router
from gateway.dataplane.routes import LOOKED_AT_ONCE, OFFERED_AT_ONCE
from gateway.dataplane.transit import told_interest
from gateway.dataplane.verdicts import Verdicts
from protocols.leafnode.link import Redirected
from protocols.leafnode.spoke import SpokeDecoder
from protocols.message import RETAIN_HEADER, Burst, Message, make_message
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.encoder import encode_connect, encode_publish
from protocols.mqtt.packets import Connect
from protocols.mqtt.publish import PublishRun
from protocols.nats.server import Ping, ServerDecoder
from tests.gateway.dataplane.places import ClientPort, LinkPort, forward_all


class Place:
    """A router with some ports on it."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.router = Router()

    def client(self, *filters: bytes, queue: bytes = b"", maximum: int = 0) -> ClientPort:
        """A client with a subscription for each filter; the sids count from 1."""
        port = ClientPort(self.switch)
        for number, subject in enumerate(filters, 1):
            self.router.subscribe(port.subscription(subject, queue, b"%d" % number, maximum))
        return port

    def hub(self, *interest: tuple[bytes, bytes]) -> LinkPort:
        port = LinkPort(self.switch)
        for subject, queue in interest:
            self.router.subscribe(port.interest(subject, queue))
        return port

    def spoke(self, *interest: tuple[bytes, bytes]) -> LinkPort:
        port = LinkPort(self.switch, uplink=False)
        for subject, queue in interest:
            self.router.subscribe(port.interest(subject, queue))
        return port

    def redirect(self, data: bytes, source: Port) -> None:
        """What a consumer beyond a link delivers."""
        for event in SpokeDecoder().receive(data):
            assert isinstance(event, Redirected)
            self.router.publish(event.message, source, event.subject)

    def publish(self, subject: bytes, payload: bytes = b"", reply: bytes = b"", source: Port | None = None) -> int:
        return self.router.publish(make_message(subject, payload, reply), source or Port(None))

    def receive(self, data: bytes, source: Port) -> None:
        """What a client sends, or over a link a hub."""
        decoder = SpokeDecoder() if source.leaf else ServerDecoder(1000, 4096)
        events = decoder.receive(data)
        forward_all(self.router, events, source)


@pytest.fixture
def place() -> Place:
    return Place()


def test_every_plain_subscription_gets_its_copy(place: Place):
    one = place.client(b"foo", b"*", b">", b"bar")
    other = place.client(b"foo")
    assert place.publish(b"foo", b"hi") == 4
    assert sorted(one.take().split(b"MSG ")[1:]) == [b"foo %d 2\r\nhi\r\n" % sid for sid in (1, 2, 3)]
    assert other.take() == b"MSG foo 1 2\r\nhi\r\n"


def test_one_member_of_each_group_gets_a_message(place: Place):
    group = [place.client(b"foo", queue=b"q") for _ in range(3)]
    others = [place.client(b"foo", queue=b"r") for _ in range(2)]
    for _ in range(100):
        assert place.publish(b"foo") == 2
    for members in (group, others):
        counts = [member.take().count(b"MSG") for member in members]
        assert sum(counts) == 100
        assert min(counts) > 0


def test_a_group_on_several_filters_is_one_group(place: Place):
    members = [place.client(subject, queue=b"q") for subject in (b"foo.bar", b"foo.*", b">")]
    for _ in range(100):
        assert place.publish(b"foo.bar") == 1
    counts = [member.take().count(b"MSG") for member in members]
    assert sum(counts) == 100
    assert min(counts) > 0


def test_run_of_messages_is_spread_over_a_group(place: Place):
    members = [place.client(b"foo", queue=b"q") for _ in range(2)]
    place.receive(b"PUB foo 1\r\nx\r\n" * 100, Port(None))
    counts = [member.take().count(b"MSG") for member in members]
    assert sum(counts) == 100
    assert min(counts) > 0


def test_member_without_echo_leaves_its_own_messages_to_the_others(place: Place):
    publisher = place.client(b"foo", queue=b"q")
    publisher.echo = False
    assert place.publish(b"foo", source=publisher) == 0
    other = place.client(b"foo", queue=b"q")
    place.receive(b"PUB foo 1\r\nx\r\n" * 50, publisher)
    assert publisher.take() == b""
    assert other.take().count(b"MSG") == 50


def test_without_echo_a_client_does_not_hear_itself(place: Place):
    publisher, other = place.client(b"foo"), place.client(b"foo")
    publisher.echo = False
    place.receive(b"PUB foo 1\r\nx\r\n" * 2 + b"PUB foo reply 1\r\ny\r\n", publisher)
    assert publisher.take() == b""
    assert other.take() == b"MSG foo 1 1\r\nx\r\n" * 2 + b"MSG foo 1 reply 1\r\ny\r\n"


def test_local_members_come_before_a_link(place: Place):
    hub = place.hub((b"foo", b"q"))
    member = place.client(b"foo", queue=b"q")
    for _ in range(20):
        assert place.publish(b"foo") == 1
    assert member.take().count(b"MSG") == 20
    assert hub.take() == b""


def test_link_serves_a_group_when_no_local_member_can(place: Place):
    hub = place.hub((b"foo", b"q"))
    publisher = place.client(b"foo", queue=b"q")
    publisher.echo = False
    assert place.publish(b"foo", b"hi", source=publisher) == 1
    assert hub.take() == b"LMSG foo | q 2\r\nhi\r\n"
    assert publisher.take() == b""


def test_link_gets_one_message_for_all_its_interest(place: Place):
    hub = place.hub((b"foo", b""), (b"*", b""), (b"foo", b"q"), (b">", b"q"), (b"foo", b"r"), (b"foo", b"local"))
    place.client(b"foo", queue=b"local")
    assert place.publish(b"foo", b"hi", b"to.me") == 2
    assert hub.take() == b"LMSG foo + to.me q r 2\r\nhi\r\n"


def test_link_with_plain_interest_alone_gets_no_list_of_groups(place: Place):
    hub = place.hub((b"foo.*", b""))
    place.publish(b"foo.a", b"hi")
    place.publish(b"foo.a", b"hi", b"to.me")
    place.receive(b"PUB foo.b 1\r\n1\r\nPUB foo.b 1\r\n2\r\n", Port(None))
    assert hub.take() == b"LMSG foo.a 2\r\nhi\r\nLMSG foo.a to.me 2\r\nhi\r\nLMSG foo.b 1\r\n1\r\nLMSG foo.b 1\r\n2\r\n"


def test_group_behind_several_links_gets_a_message_over_one(place: Place):
    hubs = [place.hub((b"foo", b"q")) for _ in range(2)]
    for _ in range(100):
        assert place.publish(b"foo") == 1
    counts = [hub.take().count(b"LMSG foo | q 0") for hub in hubs]
    assert sum(counts) == 100
    assert min(counts) > 0


def test_nothing_goes_from_link_to_link(place: Place):
    source = place.hub((b"foo", b""))
    target = place.hub((b"foo", b""), (b"foo", b"q"))
    local = place.client(b"foo")
    place.receive(b"LMSG foo | q 2\r\nhi\r\nLMSG foo 1\r\nx\r\nLMSG foo 1\r\ny\r\n", source)
    assert (source.take(), target.take()) == (b"", b"")
    assert local.take().count(b"MSG") == 3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"LMSG foo 2\r\nhi\r\n", {"plain"}),
        (b"LMSG foo to.me 2\r\nhi\r\n", {"plain"}),
        (b"LMSG foo | q 2\r\nhi\r\n", {"plain", "q"}),
        (b"LMSG foo + to.me q r 2\r\nhi\r\n", {"plain", "q", "r"}),
        (b"LMSG foo | unknown 2\r\nhi\r\n", {"plain"}),
    ],
)
def test_message_from_a_link_reaches_only_the_groups_that_it_names(place: Place, line: bytes, expected: set[str]):
    clients = {
        "plain": place.client(b"foo"),
        "q": place.client(b"foo", queue=b"q"),
        "r": place.client(b"*", queue=b"r"),
    }
    place.receive(line * 3, place.hub())
    assert {name for name, client in clients.items() if client.take().count(b"MSG foo 1 ") == 3} == expected


def test_message_that_the_link_may_not_carry_counts_as_undelivered(place: Place):
    publisher = place.client()
    hub = place.hub((b"foo", b""))
    hub.max_payload = 3
    place.receive(b"PUB foo reply 4\r\nlong\r\nPUB foo reply 3\r\nfit\r\n", publisher)
    place.receive(b"PUB foo 4\r\nlong\r\n" * 3, publisher)
    hub.may_send = False
    place.router.forget(b"foo")
    place.receive(b"PUB foo reply 3\r\nfit\r\n", publisher)
    assert hub.take() == b"LMSG foo reply 3\r\nfit\r\n"
    assert publisher.unanswered == [b"foo", b"foo"]


def test_request_that_nobody_takes_is_told_to_its_publisher(place: Place):
    publisher = place.client(b"foo")
    publisher.echo = False
    place.client(b"bar")
    place.receive(b"PUB foo r 0\r\n\r\nPUB bar r 0\r\n\r\nPUB baz r 0\r\n\r\nPUB qux 0\r\n\r\n", publisher)
    assert publisher.unanswered == [b"foo", b"baz"]


def test_message_is_routed_by_another_subject_than_it_shows(place: Place):
    client = place.client(b"deliver.here")
    other = place.client(b"orders.new")
    assert place.router.publish(make_message(b"orders.new", b"hi"), Port(None), b"deliver.here") == 1
    assert client.take() == b"MSG orders.new 1 2\r\nhi\r\n"
    assert other.take() == b""


def test_run_ends_before_another_event_and_is_counted(place: Place):
    client = place.client(b"foo")
    source = Port(None)
    decoder = ServerDecoder(1000, 4096)
    events = decoder.receive(b"PUB foo 2\r\nhi\r\n" * 3 + b"PUB foo r 1\r\nx\r\nPING\r\nPUB foo 2\r\nho\r\n")
    index = place.router.forward(events, 0, source)
    assert events[index] == Ping()
    assert (source.in_messages, source.in_bytes) == (4, 7)
    assert place.router.forward(events, index + 1, source) == len(events)
    assert (source.in_messages, source.in_bytes) == (5, 9)
    assert client.take() == b"MSG foo 1 2\r\nhi\r\n" * 3 + b"MSG foo 1 r 1\r\nx\r\nMSG foo 1 2\r\nho\r\n"
    assert client.outbox is not None
    assert (client.outbox.out_messages, client.outbox.out_bytes) == (5, 9)


class Leaver(ClientPort):
    """Unsubscribes what is exhausted, as a session does."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.switch)
        self.router = place.router

    def exhausted(self, receiver: Receiver) -> None:
        super().exhausted(receiver)
        self.router.unsubscribe(receiver)


@pytest.mark.parametrize("subject", [b"foo", b"*"])
@pytest.mark.parametrize("maximum", [1, 2, 3, 10])
def test_subscription_ends_in_the_middle_of_a_run(place: Place, subject: bytes, maximum: int):
    client = Leaver(place)
    place.router.subscribe(client.subscription(subject, maximum=maximum))
    other = place.client(b"foo")
    place.receive(b"PUB foo 1\r\nx\r\n" * 4 + b"PUB foo r 1\r\nx\r\nPUB foo 1\r\nx\r\n", Port(None))
    assert client.take().count(b"MSG") == min(maximum, 6)
    assert len(client.finished) == (maximum <= 6)
    assert other.take().count(b"MSG") == 6
    assert len(place.router.local_interest()) == (1 if subject == b"foo" or maximum <= 6 else 2)


@pytest.mark.parametrize("filters", [(b"foo",), (b"foo", b"*"), (b"foo", b"*", b">")])
def test_members_of_a_group_end_in_the_middle_of_a_run(place: Place, filters: tuple[bytes, ...]):
    clients = [Leaver(place) for _ in range(6)]
    for number, client in enumerate(clients):
        place.router.subscribe(client.subscription(filters[number % len(filters)], b"q", maximum=2))
    rest = place.client(b"foo", queue=b"q")
    place.receive(b"PUB foo 1\r\nx\r\n" * 200, Port(None))
    counts = [client.take().count(b"MSG") for client in clients]
    assert counts == [2] * 6
    assert rest.take().count(b"MSG") == 200 - 12


def test_leaver_does_not_disturb_its_neighbours(place: Place):
    leavers = [Leaver(place) for _ in range(3)]
    stayers = [place.client(b"foo") for _ in range(3)]
    for leaver in leavers:
        place.router.subscribe(leaver.subscription(b"foo", maximum=1))
    place.publish(b"foo")
    place.publish(b"foo")
    assert [leaver.take().count(b"MSG") for leaver in leavers] == [1, 1, 1]
    assert [stayer.take().count(b"MSG") for stayer in stayers] == [2, 2, 2]


def test_observer_hears_of_local_interest_with_its_weight(place: Place):
    hub = place.hub((b"foo", b""))
    place.router.observe(hub)
    client = ClientPort(place.switch)
    plain = [client.subscription(b"foo") for _ in range(2)]
    members = [client.subscription(b"foo", b"q") for _ in range(2)]
    for receiver in (*plain, *members):
        place.router.subscribe(receiver)
    assert hub.told == [(b"foo", b"", 1), (b"foo", b"", 2), (b"foo", b"q", 1), (b"foo", b"q", 2)]
    assert sorted(place.router.local_interest()) == [(b"foo", b"", 2), (b"foo", b"q", 2)]
    hub.told.clear()
    for receiver in (*plain, *members, plain[0]):
        place.router.unsubscribe(receiver)
    assert hub.told == [(b"foo", b"", 1), (b"foo", b"", 0), (b"foo", b"q", 1), (b"foo", b"q", 0)]
    assert place.router.local_interest() == []
    place.router.unobserve(hub)
    place.router.unobserve(hub)
    place.router.subscribe(plain[0])
    assert len(hub.told) == 4


def test_observer_hears_nothing_of_other_links(place: Place):
    hub = place.hub()
    place.router.observe(hub)
    other = place.hub((b"foo", b""), (b"bar", b"q"))
    assert hub.told == []
    assert place.router.local_interest() == []
    assert other.told == []


def test_messages_pass_between_spokes_and_from_hub_to_spoke_and_back_but_not_between_hubs(place: Place):
    hub, other_hub = place.hub((b"foo", b"")), place.hub((b"foo", b""))
    spoke, other_spoke = place.spoke((b"foo", b"")), place.spoke((b"foo", b""))
    links = (hub, other_hub, spoke, other_spoke)
    reached = {
        hub: (spoke, other_spoke),
        other_hub: (spoke, other_spoke),
        spoke: (hub, other_hub, other_spoke),
        other_spoke: (hub, other_hub, spoke),
    }
    for source in links:
        place.receive(b"LMSG foo 2\r\nhi\r\n", source)
        for link in links:
            assert link.take() == (b"LMSG foo 2\r\nhi\r\n" if link in reached[source] else b"")
        place.receive(b"LMSG foo 2\r\nhi\r\n" * 3, source)
        assert [link.take().count(b"LMSG") for link in links] == [3 * (link in reached[source]) for link in links]


def test_nothing_goes_back_to_the_cluster_that_it_came_from(place: Place):
    one, two = place.spoke((b"foo", b"")), place.spoke((b"foo", b""))
    one.cluster = two.cluster = b"edge"
    place.router.observe(two)
    place.receive(b"LMSG foo 2\r\nhi\r\n", one)
    assert two.take() == b""
    place.router.subscribe(one.interest(b"bar"))
    assert two.told == []


def test_message_of_a_link_goes_on_for_the_groups_that_it_names(place: Place):
    hub = place.hub()
    spoke = place.spoke((b"foo", b"one"), (b"foo", b"two"))
    place.receive(b"LMSG foo 2\r\nhi\r\n", hub)
    assert spoke.take() == b""
    place.receive(b"LMSG foo | two three 2\r\nhi\r\n", hub)
    assert spoke.take() == b"LMSG foo | two 2\r\nhi\r\n"
    place.receive(b"LMSG foo + to.me one 2\r\nhi\r\n", hub)
    assert spoke.take() == b"LMSG foo + to.me one 2\r\nhi\r\n"
    member = place.client()
    place.router.subscribe(member.subscription(b"foo", b"two"))
    place.receive(b"LMSG foo | one two 2\r\nhi\r\n", hub)
    assert spoke.take() == b"LMSG foo | one 2\r\nhi\r\n"
    assert member.take().startswith(b"MSG foo")


def test_members_behind_links_get_their_share_by_weight(place: Place):
    light, heavy = place.spoke(), place.spoke()
    place.router.subscribe(light.interest(b"foo", b"q", 1))
    heavy_interest = heavy.interest(b"foo", b"q", 3)
    place.router.subscribe(heavy_interest)
    for _ in range(2000):
        place.publish(b"foo")
    counts = light.take().count(b"LMSG"), heavy.take().count(b"LMSG")
    assert sum(counts) == 2000
    assert 400 < counts[0] < 600
    place.receive(b"LMSG foo | q 2\r\nhi\r\n" * 10, heavy)
    assert (light.take().count(b"LMSG"), heavy.take()) == (10, b"")
    heavy_interest.weight = 1
    place.router.weight_changed(heavy_interest)
    for _ in range(2000):
        place.publish(b"foo")
    assert 850 < light.take().count(b"LMSG") < 1150


def test_what_a_consumer_delivers_keeps_its_subject_from_link_to_link(place: Place):
    hub, spoke = place.hub(), place.spoke((b"_INBOX.1", b""))
    wire = b"LMSG _INBOX.1 $JS.ACK.A.c.1.1.1.1.0@orders.1 2\r\nhi\r\n"
    place.redirect(wire, hub)
    assert spoke.take() == wire
    headed = b"HMSG _INBOX.1 $JS.ACK.A.c.1.1.1.1.0@orders.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    place.redirect(headed, hub)
    assert spoke.take() == headed


def test_spokes_hear_of_clients_and_of_other_links_and_hubs_of_all_but_hubs(place: Place):
    hub, other_hub, spoke, lone = place.hub(), place.hub(), place.spoke(), place.spoke()
    lone.isolated = True
    links = (hub, other_hub, spoke, lone)
    for link in links:
        place.router.observe(link)

    def told() -> list[list[tuple[bytes, bytes, int]]]:
        news = [link.told[:] for link in links]
        for link in links:
            link.told.clear()
        return news

    work = (b"work", b"crew")
    place.router.subscribe(hub.interest(*work, 2))
    assert told() == [[], [], [(*work, 2)], []]
    place.router.subscribe(lone.interest(*work, 3))
    assert told() == [[(*work, 3)], [(*work, 3)], [(*work, 5)], []]
    place.router.subscribe(place.client().subscription(*work))
    assert told() == [[(*work, 4)], [(*work, 4)], [(*work, 6)], [(*work, 1)]]
    for link, expected in zip(links, (4, 4, 6, 1), strict=True):
        assert [one for one in told_interest(place.router.tree, link) if one] == [(*work, expected)]
    place.router.subscribe(hub.interest(b"$LDS.x"))
    place.router.subscribe(place.client().subscription(b"$LDS.x"))
    assert told() == [[(b"$LDS.x", b"", 0)], [(b"$LDS.x", b"", 0)], [(b"$LDS.x", b"", 1)] * 2, [(b"$LDS.x", b"", 0)]]


class Combining(ClientPort):
    """Wants each message once, however many of its filters match."""

    def combine(self, subject: bytes, receivers: list[Receiver]) -> Receiver | None:
        return self.subscription(subject, sid=b"x%d" % len(receivers)) if len(receivers) < 3 else None


@pytest.mark.parametrize(
    ("filters", "expected"), [([b"foo"], b"1"), ([b"foo", b"*"], b"x2"), ([b"foo", b"*", b">"], None)]
)
def test_port_that_combines_gets_one_copy_or_none(place: Place, filters: list[bytes], expected: bytes | None):
    port = Combining(place.switch)
    for subject in filters:
        receiver = port.subscription(subject)
        receiver.combines = True
        place.router.subscribe(receiver)
    place.publish(b"foo")
    assert port.take() == (b"MSG foo %b 0\r\n\r\n" % expected if expected else b"")


def test_more_subjects_than_are_remembered_are_routed(place: Place):
    client = place.client(b"many.*")
    count = 3 * REMEMBERED_SUBJECTS
    for _ in range(2):
        place.receive(b"".join(b"PUB many.%d 0\r\n\r\n" % number for number in range(count)), Port(None))
        assert client.take().count(b"MSG many.") == count


subjects = st.sampled_from([b"a", b"a.b", b"a.c", b"a.b.c", b"b", b"b.b", b"a.*", b"a.>"])
filters = st.sampled_from([b"a", b"a.b", b"a.*", b"a.>", b"*", b">", b"*.b", b"a.*.c", b"b.b", b"b.>"])
steps = st.one_of(
    st.tuples(st.just("subscribe"), filters, st.sampled_from([b"", b"q"])),
    st.tuples(st.just("unsubscribe"), st.integers(0, 20), st.none()),
    st.tuples(st.just("publish"), subjects, st.none()),
)


@given(st.lists(steps, max_size=60))
def test_remembered_routes_are_those_that_hold_now(script: list[tuple]):
    """A router that has remembered routes delivers as a fresh one with the same subscriptions does."""
    place = Place()
    client = ClientPort(place.switch)
    held: list = []
    for number, (verb, what, queue) in enumerate(script):
        if verb == "subscribe":
            subscription = client.subscription(what, queue, b"%d" % number)
            place.router.subscribe(subscription)
            held.append(subscription)
        elif verb == "unsubscribe" and held:
            place.router.unsubscribe(held.pop(what % len(held)))
        elif verb == "publish":
            fresh = Place()
            fresh_client = ClientPort(fresh.switch)
            for one in held:
                fresh.router.subscribe(fresh_client.subscription(one.subject, one.queue, one.sid))
            place.receive(b"PUB %b 0\r\n\r\n" % what, Port(None))
            fresh.receive(b"PUB %b 0\r\n\r\n" % what, Port(None))
            assert shape(client.take(), held) == shape(fresh_client.take(), held)


def shape(received: bytes, held: list) -> Counter:
    """Deliveries by sid; which member of a group was picked does not count."""
    queues = {one.sid: one.queue for one in held}
    sids = [line.split(b" ")[2] for line in received.split(b"\r\n") if line.startswith(b"MSG")]
    return Counter(queues[sid] or sid for sid in sids)


def test_messages_made_here_are_forwarded_like_those_from_the_wire(place: Place):
    client = place.client(b"foo")
    message = make_message(b"foo", b"hi")
    assert place.router.forward([message, message], 0, Port(None)) == 2
    assert client.take() == b"MSG foo 1 2\r\nhi\r\n" * 2


def many(line: Callable[[int], bytes]) -> bytes:
    """A thousand messages on one subject, no two in a row alike."""
    return b"".join(line(number) for number in range(1000))


def mqtt_events(qos: int) -> list[Any]:
    decoder = Decoder(1000)
    decoder.receive(encode_connect(Connect(4, b"c")))
    return decoder.receive(many(lambda n: encode_publish(4, b"a/b", b"x" * (n % 2), qos, n + 1, False, False)))


def nats_events() -> list[Any]:
    return ServerDecoder(1000, 4096).receive(many(lambda n: b"PUB a.b %d\r\n%b\r\n" % (n % 2, b"x" * (n % 2))))


def hub_events() -> list[Any]:
    return SpokeDecoder().receive(many(lambda n: b"LMSG a.b %d\r\n%b\r\n" % (n % 2, b"x" * (n % 2))))


@pytest.mark.parametrize("filters", [(b"a.b",), (b"a.*", b"a.>"), ()])
@pytest.mark.parametrize(
    "events",
    [nats_events, hub_events, partial(mqtt_events, 0), partial(mqtt_events, 1), partial(mqtt_events, 2)],
    ids=["NATS", "leafnode", "MQTT QoS 0", "MQTT QoS 1", "MQTT QoS 2"],
)
def test_receivers_of_a_subject_are_looked_for_twice_whoever_publishes(place: Place, events, filters):
    client = place.client(*filters)
    found = events()
    if isinstance(found[0], PublishRun):
        (run,) = found
        found = run.messages
    assert len(found) == 1000
    forward_all(place.router, found, Port(None))
    assert place.router.resolved == 2
    assert client.take().count(b"MSG a.b ") == 1000 * len(filters)
    assert [message.delivered for message in found] == [len(filters)] * 1000


def test_receivers_of_a_subject_are_looked_for_twice_for_messages_of_services(place: Place):
    place.client(b"a.b")
    assert [place.publish(b"a.b") for _ in range(1000)] == [1] * 1000
    assert place.router.resolved == 2


def test_receivers_of_a_subject_are_looked_for_anew_where_others_may_match(place: Place):
    place.client(b"a.b")
    for _ in range(3):
        place.publish(b"a.b")
    place.client(b"*.b")
    place.client(b"z.>")
    assert [place.publish(b"a.b") for _ in range(3)] == [2] * 3
    assert place.router.resolved == 3


def test_long_subjects_are_not_remembered(place: Place):
    place.client(b">")
    subject = b"a." + b"x" * LONGEST_REMEMBERED_SUBJECT
    assert [place.publish(subject) for _ in range(3)] == [1] * 3
    assert place.router.resolved == 3


def test_subjects_of_one_filter_share_routes_until_others_match_some_of_them(place: Place):
    """Of those only: a route that others share must not take the new receivers along, nor stay without them."""
    subjects = (b"a.b", b"a.b.x", b"a.c", b"a.c.x")
    first = place.client(b"a.>")
    for _ in range(3):
        assert [place.publish(subject) for subject in subjects] == [1, 1, 1, 1]
    second = place.client(b"a.*.x")
    for _ in range(3):
        assert [place.publish(subject) for subject in subjects] == [1, 2, 1, 2]
    (interest,) = place.router.tree.match(b"a.b")
    place.router.unsubscribe(interest.plain[0])
    first.take()
    for _ in range(3):
        assert [place.publish(subject) for subject in subjects] == [0, 1, 0, 1]
    assert first.take() == b""
    assert second.take().count(b"MSG a.b.x ") == 6


def test_message_to_very_many_is_routed_in_shares_and_counted_once(place: Place):
    clients = [place.client(b"news") for _ in range(3000)]
    member = place.client()
    place.router.subscribe(member.subscription(b"news", b"group"))
    source = ClientPort(place.switch)
    message = make_message(b"news", b"x", b"reply")
    events: list[object] = [message]
    shares = 1
    while not place.router.forward(events, 0, source):
        shares += 1
    assert shares > 2
    assert events == [message]
    assert message.delivered == 3001
    assert source.in_messages == 1
    assert source.unanswered == []
    assert all(client.take() == b"MSG news 1 reply 1\r\nx\r\n" for client in (*clients, member))


def test_burst_to_very_many_is_routed_in_shares(place: Place):
    clients = [place.client(b"news") for _ in range(3000)]
    events: list[object] = [Burst(b"news", 0, 1, [b"x", b"y"], 2, None)]
    calls = 1
    while not place.router.forward(events, 0, Port(None)):
        calls += 1
    assert calls > 2
    assert all(client.take() == b"MSG news 1 1\r\nx\r\nMSG news 1 1\r\ny\r\n" for client in clients)


def test_share_counts_what_looking_for_receivers_costs(place: Place):
    filters = [b".".join((*tokens, b"end")) for tokens in product((b"a", b"*"), repeat=8)]
    client = place.client(*filters)
    events = [make_message(b"a." * 8 + b"x%d" % number, b"") for number in range(20)]
    assert place.router.forward(events, 0, Port(None)) in (2, 3)
    forward_all(place.router, events, Port(None))
    assert client.take() == b""
    forward_all(place.router, [make_message(b"a." * 8 + b"end", b"")], Port(None))
    assert client.take().count(b"MSG") == 256


DEEP = [b".".join((*tokens, b"end")) for tokens in product((b"a", b"*"), repeat=14)]


def rounds(router: Router, events: list[Any], source: Port) -> int:
    """How often the router let go before all were routed."""
    index = calls = 0
    while index < len(events):
        index = router.forward(events, index, source)
        calls += 1
    return calls


def test_looking_for_receivers_goes_on_in_later_turns(place: Place):
    """The walk alone would take many milliseconds; the message and those behind it keep their places."""
    client = place.client(*DEEP)
    source = ClientPort(place.switch)
    lost = make_message(b"a." * 14 + b"x", b"", b"reply")
    burst = Burst(b"a." * 14 + b"y", 0, 1, [b"x", b"y"], 2, None)
    events: list[Any] = [lost, burst, make_message(b"a." * 14 + b"other", b"")]
    assert rounds(place.router, events, source) > 15
    assert events[:2] == [lost, burst]
    assert source.unanswered == [lost.subject]
    assert source.in_messages == 4
    assert client.take() == b""
    found = make_message(b"a." * 14 + b"end", b"")
    assert rounds(place.router, [found], source) > 5
    assert found.delivered == len(DEEP)
    assert client.take().count(b"MSG ") == len(DEEP)


def test_burst_whose_receivers_take_long_to_find_reaches_them(place: Place):
    client = place.client(*DEEP, b"a.a.a.a.a.a.a.a.a.a.a.a.a.a.z")
    assert rounds(place.router, [Burst(b"a." * 14 + b"z", 0, 1, [b"x", b"y"], 2, None)], Port(None)) > 5
    assert client.take().count(b"MSG ") == 2


def test_what_was_found_at_length_is_remembered_while_nobody_comes_or_goes(place: Place):
    place.client(*DEEP)
    subject = b"a." * 14 + b"end"

    def turns() -> int:
        # To nobody: a look into the tree is all that it takes.
        return rounds(place.router, [make_message(subject[:-3] + b"x", b"")], Port(None))

    assert turns() > 5
    assert turns() == 1
    events: list[Any] = [make_message(b"a." * 14 + b"x2", b"")]
    for _ in range(2):
        assert place.router.forward(events, 0, Port(None)) == 0
    late = place.client(b"a." * 14 + b"*")
    forward_all(place.router, events, Port(None))
    assert place.publish(b"a." * 14 + b"x2") == 1
    assert b"MSG " in late.take()


def test_long_look_for_receivers_of_a_message_of_our_own_ends(place: Place):
    client = place.client(*DEEP)
    assert place.publish(b"a." * 14 + b"end") == len(DEEP)
    assert client.take().count(b"MSG ") == len(DEEP)


# Receivers that are looked at in several goes.
CROWD = 3 * LOOKED_AT_ONCE


def test_routes_to_very_many_are_made_in_shares(place: Place):
    """Whoever subscribes in between has the next message look for all of them again."""
    port = place.client()
    for number in range(CROWD):
        place.router.subscribe(port.subscription(b"news", b"", b"%d" % number))
    before = place.router.resolved
    events: list[Any] = [make_message(b"news", b"1"), make_message(b"news", b"2")]
    assert place.router.forward(events, 0, Port(None)) == 0
    assert port.take() == b""
    place.router.subscribe(port.subscription(b"news", b"", b"late"))
    forward_all(place.router, events, Port(None))
    assert events[0].delivered >= CROWD
    assert events[1].delivered == CROWD + 1
    assert port.take().count(b"MSG news ") == events[0].delivered + events[1].delivered
    assert place.router.resolved == before + 2


def test_what_took_long_is_remembered_for_all_subjects_of_one_filter(place: Place):
    port = place.client()
    for number in range(CROWD):
        place.router.subscribe(port.subscription(b"news.*", b"", b"%d" % number))
    delivering = CROWD // SHARE + 2
    looking = CROWD // LOOKED_AT_ONCE
    assert rounds(place.router, [make_message(b"news.a", b"")], Port(None)) >= delivering + looking - 1
    assert rounds(place.router, [make_message(b"news.b", b"")], Port(None)) <= delivering


def test_queue_groups_of_very_many_filters_are_put_together_in_shares(place: Place):
    """One group on 2^14 filters that match: its members were copied anew for each."""
    port = place.client()
    for subject in DEEP:
        place.router.subscribe(port.subscription(subject, b"group"))
    message = make_message(b"a." * 14 + b"end", b"")
    calls = rounds(place.router, [message], Port(None))
    assert 5 < calls < 100
    assert message.delivered == 1
    assert port.take().count(b"MSG ") == 1


@pytest.mark.parametrize("queue", [b"", b"group"])
def test_members_that_may_not_have_a_message_are_looked_at_in_shares(place: Place, queue: bytes):
    port = place.client()
    port.may_receive = Verdicts(lambda subject: subject != b"news.secret")
    for number in range(CROWD):
        receiver = port.subscription(b"news.*", queue, b"%d" % number)
        receiver.filtered = True
        place.router.subscribe(receiver)
    message = make_message(b"news.secret", b"")
    assert rounds(place.router, [message], Port(None)) > 2
    assert message.delivered == 0
    message = make_message(b"news.open", b"")
    forward_all(place.router, [message], Port(None))
    assert message.delivered == (1 if queue else CROWD)


def test_interest_behind_links_in_very_many_filters_is_put_together_in_shares(place: Place):
    spoke = place.spoke(*((subject, b"group") for subject in DEEP))
    message = make_message(b"a." * 14 + b"end", b"")
    assert rounds(place.router, [message], Port(None)) > 5
    assert spoke.take().count(b"LMSG ") == 1


def test_members_of_a_group_that_take_nothing_count_as_work(place: Place):
    """Of a thousand messages each is offered to all of them."""
    port = place.client()
    port.echo = False
    for number in range(1000):
        place.router.subscribe(port.subscription(b"news", b"group", b"%d" % number))
    events: list[Any] = [make_message(b"news", b"%d" % number) for number in range(1000)]
    assert place.router.forward(events, 0, port) <= 2
    other = place.client(b"news", queue=b"group")
    forward_all(place.router, events[:1], port)
    assert other.take().count(b"MSG ") == 1


def crowd(place: Place, count: int = 3 * OFFERED_AT_ONCE) -> ClientPort:
    """Members of a group that take nothing of what they publish themselves."""
    port = place.client()
    port.echo = False
    for number in range(count):
        place.router.subscribe(port.subscription(b"news", b"group", b"%d" % number))
    return port


def test_very_many_members_of_a_group_that_take_nothing_are_asked_in_shares(place: Place):
    port = crowd(place)
    lost = make_message(b"news", b"", b"reply")
    forward_all(place.router, [make_message(b"news", b"")], port)  # Finding them is another matter.
    # Behind a look at how many they are: whether they take it, and whether they keep it.
    assert rounds(place.router, [lost], port) == 1 + 2 * (1 + 3)
    assert (lost.delivered, port.unanswered) == (0, [b"news"])
    events: list[Any] = [make_message(b"news", b"1"), make_message(b"news", b"2")]
    other = place.client(b"news", queue=b"group")
    forward_all(place.router, events, port)
    assert [event.delivered for event in events] == [1, 1]
    assert other.take() == b"MSG news 1 1\r\n1\r\nMSG news 1 1\r\n2\r\n"


def test_members_that_leave_while_others_are_asked_are_not_asked_any_more(place: Place):
    port, other = crowd(place), place.client()
    receiver = other.subscription(b"news", b"group")
    place.router.subscribe(receiver)
    forward_all(place.router, [make_message(b"news", b"")], port)
    while True:
        message = make_message(b"news", b"")
        events: list[Any] = [message]
        assert place.router.forward(events, 0, port) == 0
        if not place.router.forward(events, 0, port):
            break  # It began with somebody else.
    other.take()
    place.router.unsubscribe(receiver)
    forward_all(place.router, events, port)
    assert message.delivered == 0
    assert other.take() == b""


def test_group_of_very_many_that_take_nothing_is_served_behind_a_link(place: Place):
    port = crowd(place)
    spoke = place.spoke((b"news", b"group"))
    forward_all(place.router, [make_message(b"news", b"x")], port)
    assert spoke.take().count(b"LMSG ") == 1
    few = place.client(b"news", queue=b"few")
    messages: list[Any] = [make_message(b"news", b"y"), Burst(b"news", 0, 1, [b"1", b"2"], 2, None)]
    forward_all(place.router, messages, port)
    assert spoke.take().count(b"LMSG ") == 3
    assert few.take().count(b"MSG ") == 3


def test_burst_for_a_group_whose_members_take_nothing_goes_out_message_by_message(place: Place):
    port = place.client()
    port.echo = False
    for number in range(1000):
        place.router.subscribe(port.subscription(b"news", b"group", b"%d" % number))
    events: list[Any] = [Burst(b"news", 0, 1, [b"x"] * 100, 100, None)]
    assert rounds(place.router, events, port) >= 100
    assert port.in_messages >= 100
    other = place.client(b"news", queue=b"group")
    assert rounds(place.router, [Burst(b"news", 0, 1, [b"x", b"y"], 2, None)], port) >= 1
    assert other.take().count(b"MSG ") == 2


def test_telling_one_port_among_very_many_is_done_in_shares(place: Place):
    crowd, port = place.client(), place.client()
    for number in range(CROWD):
        place.router.subscribe(crowd.subscription(b"inbox", b"", b"%d" % number))
    place.router.subscribe(port.subscription(b"inbox"))
    telling = place.router.begin_telling(make_message(b"inbox", b"x"), port)
    steps = 1
    while telling.go_on(Port(None)):
        steps += 1
    assert steps >= CROWD // LOOKED_AT_ONCE
    assert telling.looked > CROWD
    assert telling.delivered == 1
    assert port.take().count(b"MSG ") == 1
    assert crowd.take() == b""


def test_how_many_there_are_elsewhere_is_more_than_a_share_where_that_takes_long_to_find(place: Place):
    port = place.client()
    for number in range(CROWD):
        place.router.subscribe(port.subscription(b"news", b"", b"%d" % number))
    assert place.router.reach(b"news") > SHARE
    carrying = place.router.begin_carrying(make_message(b"news", b""), Port(None))
    steps = 1
    while carrying.go_on():
        steps += 1
    assert steps > CROWD // SHARE
    assert carrying.taken()
    assert port.take().count(b"MSG ") == CROWD


class DearReceiver(Receiver):
    """Takes as long over a message as a share of others."""

    def deliver(self, message: Message, source: Port) -> bool:
        source.effort += SHARE
        return True


def test_receivers_say_what_a_message_costs_them(place: Place):
    place.router.subscribe(DearReceiver(Port(None), b"dear", b""))
    events: list[Any] = [make_message(b"dear", b"%d" % number) for number in range(10)]
    assert rounds(place.router, events, Port(None)) == 10


class Keeper:
    """Keeps what it is told to (Retainer)."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0) -> bool:
        return True

    def keep(self, message: Message, source: Port) -> bool:
        self.kept.append(message.subject)
        return True


def test_what_was_published_before_is_not_retained_when_it_goes_out_once_more() -> None:
    keeper = Keeper()
    router = Router(keeper)
    message = make_message(b"state", b"old", header=RETAIN_HEADER)
    router.publish(message, Port(None), b"deliver.1")
    router.publish_run([message], Port(None), b"deliver.1")
    router.begin(message, Port(None), b"", False, False)
    assert keeper.kept == []
    router.publish(message, Port(None))
    assert keeper.kept == [b"state"]
