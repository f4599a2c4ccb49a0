"""Two ends of a pair link: who is recognised, and who is not."""

import pytest

from gateway.nats import aside
from gateway.pair import wire
from gateway.pair.pair_link import PairLink
from gateway.runtime.neighbour import Link
from protocols.leafnode.link import LinkDecoder
from protocols.leafnode.spoke import SpokeDecoder
from protocols.message import Message

SECRET = "one secret of the two"


class Wire:
    """One end of a leafnode link, as far as this is concerned; the other end is `peer`."""

    def __init__(self) -> None:
        self.peer: PairLink | None = None
        self.ended = ""
        self._decoder: LinkDecoder = SpokeDecoder()

    def is_by(self, uplink: str, account: str) -> bool:
        return True

    def local_host(self) -> str:
        return "127.0.0.1"

    def send_aside(self, data: bytes) -> None:
        if self.peer is not None:
            events = self._decoder.receive(aside.encode(data))
            assert aside.take_out(events, self.peer.take) == []

    def end(self, detail: str) -> None:
        self.ended = detail


class Gateway:
    """A Partner that notes what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known: list[str] = []
        self.packets: list[wire.Packet] = []

    def facts(self, link: Link) -> wire.Facts:
        return wire.Facts(self.name, self.name, "", [], [], "")

    def recognised(self, link: PairLink) -> None:
        assert link.other is not None
        self.known.append(link.other.name)

    def heard(self, link: PairLink, packet: wire.Packet) -> None:
        self.packets.append(packet)


def joined(first: str, second: str) -> tuple[Gateway, Gateway, Wire, Wire, PairLink, PairLink]:
    """Two gateways with these secrets; the second one has opened the link."""
    one, two = Gateway("one"), Gateway("two")
    here, there = Wire(), Wire()
    taker = PairLink(one, here, first, opened_here=False)
    there.peer = taker
    opener = PairLink(two, there, second, opened_here=True)
    here.peer = opener
    opener.send(wire.Hello(wire.VERSION, opener._nonce))
    return one, two, here, there, taker, opener


def test_gateways_with_one_secret_know_each_other() -> None:
    one, two, here, there, _, opener = joined(SECRET, SECRET)
    assert (one.known, two.known) == (["two"], ["one"])
    assert (here.ended, there.ended) == ("", "")
    opener.send(wire.Settled())
    assert one.packets == [wire.Settled()]


def test_gateway_with_another_secret_is_refused() -> None:
    one, two, _, there, *_ = joined(SECRET, SECRET + "!")
    assert (one.known, two.known) == ([], [])
    assert "another secret" in there.ended


def test_stranger_who_says_nothing_of_himself_is_not_heard() -> None:
    one, here = Gateway("one"), Wire()
    link = PairLink(one, here, SECRET, opened_here=False)
    link.take(b"." + wire.encode(wire.Settled()))
    assert one.packets == []
    assert "not said who it is" in here.ended


@pytest.mark.parametrize("piece", [b".", b".\x00", b".\xc1", b"." + wire.encode(wire.Hello(99, b"x"))])
def test_what_is_not_understood_ends_the_link(piece: bytes) -> None:
    here = Wire()
    PairLink(Gateway("one"), here, SECRET, opened_here=False).take(piece)
    assert here.ended


def test_long_packets_go_in_pieces() -> None:
    one, *_, opener = joined(SECRET, SECRET)
    configs = [b"x" * 100_000, b""]
    opener.send(wire.Streams(configs))
    assert one.packets == [wire.Streams(configs)]


def test_pieces_have_a_bound() -> None:
    pieces = aside.Pieces(10)
    assert pieces.add(b"+12345") is None
    with pytest.raises(ValueError, match="more than 10 bytes"):
        pieces.add(b".12345")


def test_what_is_aside_is_taken_out_of_the_messages_of_a_link() -> None:
    taken: list[bytes] = []
    decoder = SpokeDecoder()
    same = aside.encode(b"one") + aside.encode(b"two")
    events = decoder.receive(b"LMSG a 1\r\nA\r\n" + same + b"LMSG b 1\r\nB\r\n")
    left = aside.take_out(events, taken.append)
    assert taken == [b".one", b".two"]
    assert [one.subject for one in left if isinstance(one, Message)] == [b"a", b"b"]
