"""Leafnodes that break, flood or stall: each ends its own link at most, and everybody else is served meanwhile."""

import json
import random
from collections.abc import Iterator

import pytest

from tests.integration.leafnode_pair import PATIENCE_SECONDS, clients, run, settled_both_ways
from tests.integration.leafnode_spokes import SPOKE_UP, hub, remote, spoke
from tests.integration.peers import Peer, wait_until
from tests.integration.raw_peer import RawPeer

LIMITS = """
[limits]
max-payload-bytes = 100000
max-pending-bytes = 1000000
max-subscription-bytes = 2000000
"""
CONNECT = b'CONNECT {"name":"%b","cluster":"%b","headers":true,"remote_account":"A"}\r\n'


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    """A gateway and a sound spoke of it."""
    directory = tmp_path_factory.mktemp("attacks")
    with hub(directory / "hub", LIMITS) as above, spoke(directory / "spoke", remote(above)) as below:
        above.wait_for_log(SPOKE_UP)
        yield above, below
        assert "Traceback" not in above.log()
        assert "Internal Error" not in above.log()


@pytest.fixture(autouse=True)
def others_are_served(pair: tuple[Peer, Peer]) -> Iterator[None]:
    """The sound link works on behind every test, without having been lost."""
    yield

    async def test() -> None:
        async with clients(*pair) as (above, below):
            await settled_both_ways(above, below)

    run(test)
    assert pair[1].log().count("Leafnode connection created") == 1


def link(peer: Peer, name: bytes) -> RawPeer:
    """A link that is up."""
    leaf = RawPeer(peer.address("leafnode"))
    leaf.read_line()
    leaf.send(CONNECT % (name, name))
    assert b'"connect_info":true' in leaf.read_line()
    return leaf


@pytest.mark.parametrize("before", [b"", CONNECT % (b"x", b"x")], ids=["at first", "on a link"])
def test_random_bytes_end_one_link(pair: tuple[Peer, Peer], before: bytes) -> None:
    source = random.Random(1)
    words = [
        b"LMSG ",
        b"HMSG ",
        b"LS+ ",
        b"LS- ",
        b"CONNECT ",
        b"INFO ",
        b"\r\n",
        b" ",
        b"| ",
        b"+ ",
        b"q",
        b"$LDS.",
        b">",
        b"*",
    ]
    for _ in range(150):
        with RawPeer(pair[0].address("leafnode")) as leaf:
            said = b"".join(
                source.choice(words) if source.random() < 0.7 else source.randbytes(source.randrange(1, 9))
                for _ in range(source.randrange(1, 60))
            )
            try:
                leaf.send(before + said + b"\r\nBOGUS\r\n")
                leaf.read_to_end()
            except (ConnectionError, TimeoutError):
                pass


def test_a_flood_of_interest_is_bounded_and_given_back(pair: tuple[Peer, Peer]) -> None:
    with link(pair[0], b"flood") as leaf:
        for start in range(0, 60_000, 1000):
            leaf.send(
                b"".join(b"LS+ flood.%d.*.x q%d 3\r\n" % (number, number % 7) for number in range(start, start + 1000))
            )
        leaf.send(b"PING\r\n")
        answer = leaf.read_through(b"PONG\r\n")
        assert answer.count(b"-ERR 'maximum subscriptions exceeded'") > 50_000


def test_interest_that_comes_and_goes_without_end(pair: tuple[Peer, Peer]) -> None:
    with link(pair[0], b"flicker") as leaf:
        for _ in range(40):
            leaf.send(b"LS+ flicker\r\nLS+ flicker q 2\r\nLS+ flicker q 3\r\nLS- flicker q\r\nLS- flicker\r\n" * 100)
        leaf.send(b"PING\r\n")
        leaf.read_through(b"PONG\r\n")


def test_thousands_of_queue_groups_in_every_message(pair: tuple[Peer, Peer]) -> None:
    names = b" ".join(b"q%d" % number for number in range(9000))
    with link(pair[0], b"member") as member, link(pair[0], b"many") as leaf:
        member.send(b"".join(b"LS+ many q%d 1\r\n" % number for number in range(1000)) + b"PING\r\n")
        member.read_through(b"PONG\r\n")
        leaf.send(b"LMSG many | %b 2\r\nhi\r\n" % names * 50 + b"PING\r\n")
        leaf.read_through(b"PONG\r\n")
        first = member.read_through(b"\r\nhi\r\n").rpartition(b"LMSG many ")[2]
        assert first.count(b" q") + first.startswith(b"q") >= 999


def test_a_spoke_that_does_not_read_loses_its_link(pair: tuple[Peer, Peer]) -> None:
    above, below = pair
    before = above.log().count("Slow Consumer")
    stalled = RawPeer(above.address("leafnode"), receive_buffer=4096)
    with stalled:
        stalled.read_line()
        stalled.send(CONNECT % (b"stalled", b"stalled") + b"LS+ heavy\r\nPING\r\n")
        stalled.read_through(b"PONG\r\n")

        async def test() -> None:
            async with clients(below) as (there,):
                for _ in range(200):
                    await there.publish("heavy", b"x" * 90_000)
                await there.flush(PATIENCE_SECONDS)

        run(test)
        wait_until(lambda: above.log().count("Slow Consumer") > before, "a slow consumer is parted with")


@pytest.mark.parametrize("said", [b"LMSG a 100001\r\n", b"HMSG a 12 100001\r\n", b"LMSG a 999999999\r\n"])
def test_what_is_announced_as_too_large_is_not_read(pair: tuple[Peer, Peer], said: bytes) -> None:
    with link(pair[0], b"large") as leaf:
        leaf.send(said + b"x" * 50_000)
        assert b"-ERR 'Maximum Payload Violation'\r\n" in leaf.read_to_end()


def test_objects_that_no_spoke_would_send(pair: tuple[Peer, Peer]) -> None:
    strange = [
        {"name": 1},
        {"deny_pub": "a"},
        {"deny_pub": ["a..b", ">", " ", ""], "name": "\u0000"},
        {"cluster": "x\ny", "name": "a" * 3000},
        {"user": None, "pass": None, "jwt": "a.b.c", "sig": "?"},
        {"nkey": "U" * 56, "sig": "A" * 86},
        {"remote_account": " ", "domain": "\ud800"},
        {"isolate": True, "is_hub": True, "headers": None},
        [],
        "text",
        None,
    ]
    for one in strange:
        with RawPeer(pair[0].address("leafnode")) as leaf:
            leaf.send(b"CONNECT " + json.dumps(one).encode() + b"\r\nLS+ a\r\nPING\r\nBOGUS\r\n")
            assert leaf.read_to_end().startswith(b"INFO ")


def test_strangers_that_come_and_go_leave_nothing(pair: tuple[Peer, Peer]) -> None:
    peers = [RawPeer(pair[0].address("leafnode")) for _ in range(200)]
    for number, peer in enumerate(peers):
        peer.send((b"", b"C", b"CONNECT {", CONNECT % (b"s%d" % number, b"s%d" % number))[number % 4])
    for peer in peers:
        peer.close()
