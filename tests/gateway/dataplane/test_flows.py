"""Flows: a publisher with rules reaches whom one without reaches, whatever changes, and is judged by one look-up."""

import weakref

from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.flows import Flows
from gateway.dataplane.outbox import Switch
from gateway.dataplane.port import Port
from gateway.dataplane.router import REMEMBERED_SUBJECTS, Router
from gateway.dataplane.verdicts import Denied, Verdicts
from protocols.message import make_message
from tests.gateway.dataplane.places import ClientPort, LinkPort, forward_all

SUBJECTS = (b"a", b"a.b", b"a.c", b"b", b"b.c")
FILTERS = (*SUBJECTS, b"a.*", b">", b"*")


class World:
    """A router, somebody who may publish on all but `denied`, and how often that was asked."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.router = Router()
        self.asked: list[bytes] = []
        self.verdicts = Verdicts(self._judge)
        self.publisher = self.make_publisher()

    def _judge(self, subject: bytes) -> bool:
        self.asked.append(subject)
        return not subject.startswith(b"denied")

    def make_publisher(self) -> Port:
        port = Port(None)
        port.may_publish = self.verdicts
        return port

    def subscribe(self, subject: bytes) -> ClientPort:
        port = ClientPort(self.switch)
        self.router.subscribe(port.subscription(subject, b"", b"1"))
        return port

    def publish(self, subject: bytes, source: Port | None = None) -> int:
        """How many take a message on the subject, from `publisher` unless from somebody else."""
        message = make_message(bytes(bytearray(subject)), b"")  # As from the network: each time another object.
        forward_all(self.router, [message], source or self.publisher)
        return message.delivered

    def flows(self) -> Flows:
        flows = self.publisher.flows
        assert flows is not None
        return flows


def test_what_comes_again_is_found_in_one_dictionary():
    world = World()
    here, there = world.subscribe(b"a"), world.subscribe(b"b")
    for _ in range(3):
        world.publish(b"a")
        world.publish(b"b")
    routes = world.flows().routes
    assert sorted(routes) == [b"a", b"b"]
    here.take()
    there.take()
    routes[b"a"] = routes[b"b"]  # What the verdicts and the router remember would lead elsewhere.
    world.publish(b"a")
    assert not here.take()
    assert there.take()


def test_what_is_denied_is_no_flow():
    world = World()
    world.subscribe(b">")
    for _ in range(5):
        events: list[object] = [make_message(b"denied.a", b"")]
        assert world.router.forward(events, 0, world.publisher) == 0
        assert isinstance(events[0], Denied)
    assert world.flows().routes == {}


def test_subjects_that_come_once_are_no_flows():
    world = World()
    world.subscribe(b"inbox.*")
    for number in range(2 * REMEMBERED_SUBJECTS):
        assert world.publish(b"inbox.%d" % number) == 1
    assert len(world.flows().routes) < REMEMBERED_SUBJECTS // 8


def test_there_are_no_more_flows_than_the_router_remembers():
    world = World()
    world.subscribe(b">")
    for _ in range(3):
        for number in range(3 * REMEMBERED_SUBJECTS):
            world.publish(b"many.%d" % number)
            assert len(world.flows().routes) <= REMEMBERED_SUBJECTS


def test_those_with_the_same_rules_share_their_flows_while_one_of_them_is_there():
    world = World()
    other = world.make_publisher()
    for _ in range(3):
        world.publish(b"a")
        world.publish(b"a", other)
    assert world.flows() is other.flows
    there = weakref.ref(world.flows())
    world.publisher.flows = None
    world.publish(b"a")
    assert world.flows() is there()
    world.publisher.flows = other.flows = None
    assert there() is None


def test_in_another_account_there_are_other_flows():
    world = World()
    here = world.subscribe(b"a")
    elsewhere = Router()
    there = ClientPort(world.switch)
    elsewhere.subscribe(there.subscription(b"a", b"", b"1"))
    for _ in range(5):
        world.publish(b"a")
        forward_all(elsewhere, [make_message(b"a", b"")], world.publisher)
    assert here.take().count(b"MSG ") == there.take().count(b"MSG ") == 5


def test_other_verdicts_are_asked_at_once():
    world = World()
    world.subscribe(b"a")
    for _ in range(3):
        assert world.publish(b"a") == 1
    world.publisher.may_publish = Verdicts(lambda subject: False)
    events: list[object] = [make_message(b"a", b"")]
    assert world.router.forward(events, 0, world.publisher) == 0
    world.publisher.may_publish = world.verdicts
    assert world.publish(b"a") == 1


def test_mapped_subjects_go_where_they_lead():
    class Mapper:
        def draws(self, subject: bytes) -> bool:
            return False

        def destination(self, subject: bytes) -> bytes:
            return b"b"

    world = World()
    plain, mapped = world.subscribe(b"a"), world.subscribe(b"b")
    for mapper in (None, Mapper(), None):
        world.router.mapper = mapper
        for _ in range(3):
            world.publish(b"a")
    assert plain.take().count(b"MSG ") == 6
    assert mapped.take().count(b"MSG ") == 3


def test_a_link_that_comes_is_followed():
    world = World()
    for _ in range(3):
        assert world.publish(b"a") == 0
    link = LinkPort(world.switch)
    world.router.subscribe(link.interest(b"a", b""))
    assert world.publish(b"a") == 1


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("publish"), st.sampled_from(SUBJECTS)),
            st.tuples(st.just("subscribe"), st.sampled_from(FILTERS)),
            st.tuples(st.just("unsubscribe"), st.integers(0, 5)),
            st.tuples(st.just("crowd"), st.just(b"")),
        ),
        max_size=60,
    )
)
def test_whoever_has_rules_reaches_the_same(steps: list[tuple[str, object]]):
    world = World()
    subscriptions = []
    nobody_asks = Port(None)
    for what, which in steps:
        if what == "publish":
            assert isinstance(which, bytes)
            for _ in range(2):
                assert world.publish(which) == world.publish(which, nobody_asks)
        elif what == "subscribe":
            assert isinstance(which, bytes)
            subscriptions.append(ClientPort(world.switch).subscription(which, b"", b"1"))
            world.router.subscribe(subscriptions[-1])
        elif what == "crowd":  # So many others that the router forgets.
            for number in range(REMEMBERED_SUBJECTS):
                for _ in range(2):
                    world.publish(b"crowd.%d" % number, nobody_asks)
        elif subscriptions:
            assert isinstance(which, int)
            world.router.unsubscribe(subscriptions.pop(which % len(subscriptions)))
