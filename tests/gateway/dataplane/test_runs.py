"""Runs: what a stream delivers in a row to one subject; and acknowledgements, no two of which have the same subject."""

import pytest

from gateway.dataplane.outbox import Switch
from gateway.dataplane.port import Port
from gateway.dataplane.router import Router
from protocols.message import Message, make_message
from tests.gateway.dataplane.places import ClientPort

HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"
INBOX = b"_INBOX.a.1"


def run(count: int) -> list[Message]:
    """Every other message has a header."""
    return [
        make_message(b"s.%d" % number, b"%d" % number, b"to.%d" % number, HEADER if number % 2 else b"")
        for number in range(count)
    ]


@pytest.fixture
def router() -> Router:
    return Router()


def client(router: Router, subject: bytes = INBOX, maximum: int = 0) -> ClientPort:
    port = ClientPort(Switch())
    router.subscribe(port.subscription(subject, b"", b"7", maximum))
    return port


def test_a_run_comes_as_its_messages_would_one_by_one(router: Router) -> None:
    port, other = client(router), client(router, b"_INBOX.b.*")
    assert router.publish_run(run(5), Port(None), INBOX) == 5
    for message in run(5):
        router.publish(message, Port(None), b"_INBOX.b.1")
    whole = port.take()
    assert whole == other.take()
    assert whole.startswith(b"MSG s.0 7 to.0 1\r\n0\r\nHMSG s.1 7 to.1 18 19\r\n" + HEADER + b"1\r\n")
    assert port.outbox is not None
    assert port.outbox.out_messages == 5


def test_a_run_is_taken_as_far_as_a_subscription_goes(router: Router) -> None:
    port = client(router, maximum=3)
    source = Port(None)
    assert router.publish_run(run(5), source, INBOX) == 3
    assert port.take().count(b"MSG ") == 3
    assert source.in_messages == 3


def test_who_knows_no_headers_gets_a_run_without_them(router: Router) -> None:
    port = client(router)
    port.headers = False
    assert router.publish_run(run(2), Port(None), INBOX) == 2
    assert port.take() == b"MSG s.0 7 to.0 1\r\n0\r\nMSG s.1 7 to.1 1\r\n1\r\n"


@pytest.mark.parametrize("subject", [b"_INBOX.c.1", INBOX])
def test_nobody_takes_a_run_who_is_not_there(router: Router, subject: bytes) -> None:
    port = client(router)
    assert port.outbox is not None
    port.outbox.close()
    assert router.publish_run(run(2), Port(None), subject) == 0


def test_several_get_all_of_a_run(router: Router) -> None:
    ports = [client(router), client(router, b"_INBOX.>")]
    assert router.publish_run(run(3), Port(None), INBOX) == 3
    for port in ports:
        assert port.take().count(b"MSG ") == 3


def test_names_may_be_longer_than_the_place_where_lines_are_put_together(router: Router) -> None:
    port = client(router)
    subject = b"s" * 3000
    router.publish_run([make_message(subject, b"x", b"r")], Port(None), INBOX)
    assert port.take() == b"MSG %b 7 r 1\r\nx\r\n" % subject


def acknowledge(router: Router, numbers: range, lead: bytes = b"$JS.ACK.S.C.") -> None:
    for number in numbers:
        router.publish(make_message(b"%b1.%d.%d.17.0" % (lead, number, number), b"+ACK"), Port(None))


def test_receivers_of_acknowledgements_are_looked_for_once(router: Router) -> None:
    port = client(router, b"$JS.ACK.S.C.*.*.*.*.*")
    acknowledge(router, range(1))
    resolved = router.resolved
    acknowledge(router, range(1, 100))
    assert router.resolved == resolved
    assert port.take().count(b"+ACK") == 100


@pytest.mark.parametrize("subject", [b"$JS.ACK.S.C.*.7.>", b"$JS.ACK.>", b">", b"*.ACK.S.*.1.*.7.*.*"])
@pytest.mark.parametrize("is_first", [True, False])
def test_another_filter_that_matches_gets_its_acknowledgements(router: Router, subject: bytes, is_first: bool) -> None:
    other = client(router, subject) if is_first else None
    port = client(router, b"$JS.ACK.S.C.*.*.*.*.*")
    acknowledge(router, range(5))
    other = other or client(router, subject)
    acknowledge(router, range(5, 10))
    assert port.take().count(b"+ACK") == 10
    among = 1 if b"7" in subject else 5
    assert other.take().count(b"+ACK") == (among if among == 1 or not is_first else 10)


def test_who_listens_to_a_single_acknowledgement_gets_it(router: Router) -> None:
    port = client(router, b"$JS.ACK.S.C.*.*.*.*.*")
    acknowledge(router, range(5))
    single = client(router, b"$JS.ACK.S.C.1.7.7.17.0")
    acknowledge(router, range(5, 10))
    assert single.take().count(b"+ACK") == 1
    assert port.take().count(b"+ACK") == 10


def test_acknowledgements_of_a_consumer_that_has_gone_reach_nobody(router: Router) -> None:
    port = ClientPort(Switch())
    subscription = port.subscription(b"$JS.ACK.S.C.*.*.*.*.*", b"", b"7", 0)
    router.subscribe(subscription)
    acknowledge(router, range(5))
    router.unsubscribe(subscription)
    acknowledge(router, range(5, 10))
    acknowledge(router, range(5, 10), b"$JS.ACK.S.D.")
    assert port.take().count(b"+ACK") == 5
