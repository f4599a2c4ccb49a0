"""Two gateways of a pair that live, and do not see each other for a while: split brain, and what becomes of it."""

from collections.abc import Iterator

import pytest

from tests.integration.link_cutter import LinkCutter
from tests.integration.mqtt5_peers import NEVER_EXPIRES, Paho5Client, paho5_client
from tests.integration.pair_boxes import PATIENCE_SECONDS, Box, await_pair, box
from tests.integration.peers import wait_until
from tests.integration.test_pair import await_copies, await_told, payloads, told

LASTING = {"SessionExpiryInterval": NEVER_EXPIRES}


Pair = tuple[Box, Box, LinkCutter]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("apart")
    with box(directory / "one", "box-1", None, "", "") as first:
        cutter = LinkCutter(first.ports["leafnode"])
        try:
            with box(directory / "two", "box-2", cutter.port, "", "") as second:
                await_pair(first, second)
                yield first, second, cutter
        finally:
            cutter.close()


@pytest.fixture
def boxes(pair: Pair) -> Iterator[Pair]:
    """Both, which see each other again at the end and have told what has ended, whatever became of the test."""
    yield pair
    for one in pair[:2]:
        if one.is_dead():
            one.come_back()
    join(pair)


def part(boxes: Pair) -> None:
    *both, cutter = boxes
    cutter.cut()
    for one in both:
        wait_until(lambda one=one: not one.sees_the_other(), f"{one.name} sees nobody", PATIENCE_SECONDS)


def join(boxes: Pair) -> None:
    first, second, cutter = boxes
    cutter.mend()
    await_pair(first, second)
    for one in (first, second):
        await_told(one)


def test_session_stays_where_its_client_is_and_gets_what_the_other_took(boxes: Pair) -> None:
    first, second, _ = boxes
    with (
        paho5_client(first, "stays", **LASTING) as client,
        paho5_client(first) as here,
        paho5_client(second) as there,
    ):
        client.ask("stays/#", qos=1)
        await_told(first)
        part(boxes)
        here.tell("stays/one", b"here", qos=1)
        there.tell("stays/two", b"there", qos=1)
        assert payloads(client, 1) == [b"here"]
        join(boxes)
        assert payloads(client, 1) == [b"there"]
        client.nothing_more()
        client.leave(SessionExpiryInterval=0)


def test_session_goes_where_its_client_came_while_they_were_apart(boxes: Pair) -> None:
    first, second, _ = boxes
    with paho5_client(first, "goes", **LASTING) as client, paho5_client(first) as here:
        client.ask("goes/#", qos=1)
        client.leave(SessionExpiryInterval=NEVER_EXPIRES)
        here.tell("goes/before", b"before", qos=1)
        await_copies(second, 1)
        part(boxes)
        here.tell("goes/here", b"here", qos=1)
        assert client.open(second, clean=False, **LASTING) == 0
        assert client.session_present
        assert payloads(client, 1) == [b"before"]
        client.leave(SessionExpiryInterval=NEVER_EXPIRES)
        join(boxes)
        # It is the second one's now, with what the first took alone; that has given its own up.
        assert client.open(second, clean=False, **LASTING) == 0
        assert client.session_present
        assert payloads(client, 1) == [b"here"]
        client.nothing_more()
        client.leave(SessionExpiryInterval=0)


def test_two_clients_of_one_name_are_one_again(boxes: Pair) -> None:
    first, second, _ = boxes
    with paho5_client(first, "twin", **LASTING) as old:
        old.ask("twin/#", qos=1)
        await_told(first)
        part(boxes)
        new = Paho5Client("twin")
        try:
            assert new.open(second, clean=False, **LASTING) == 0
            assert new.session_present
            join(boxes)
            assert old.wait_disconnected().value == 0x8E
            with paho5_client(first) as publisher:
                publisher.tell("twin/now", b"now", qos=1)
                assert payloads(new, 1) == [b"now"]
            new.leave(SessionExpiryInterval=0)
        finally:
            new.close()


def test_copies_outlive_the_gateway_that_has_them(boxes: Pair) -> None:
    """Both die, and the one that had copies alone comes back; then the other, with what it had."""
    first, second, _ = boxes
    with paho5_client(first, "outlives", **LASTING) as client:
        client.ask("outlives/#", qos=1)
        with paho5_client(first) as publisher:
            client.leave(SessionExpiryInterval=NEVER_EXPIRES)
            for number in range(3):
                publisher.tell("outlives/number", b"%d" % number, qos=1)
        await_copies(second, 3)
        first.kill()
        second.kill()
        second.come_back()
        assert client.open(second, clean=False, **LASTING) == 0
        assert client.session_present
        assert payloads(client, 3) == [b"0", b"1", b"2"]
        second.kill()
        client.wait_disconnected()
        client._rest()
        second.come_back()
        first.come_back()
        await_pair(first, second)
        for one in (first, second):
            await_told(one)
        # That it was the second one's, it has not forgotten.
        wait_until(lambda: told(second)["sessions"] == 0, "nothing is the first one's", PATIENCE_SECONDS)
        assert client.open(second, clean=False, **LASTING) == 0
        assert client.session_present
        client.leave(SessionExpiryInterval=0)
