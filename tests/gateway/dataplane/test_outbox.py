import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.outbox import CONGESTED_AT, FLUSH_AT, GATHER_EACH, GATHER_FROM, Outbox, Switch
from protocols.message import Buffer
from tests.gateway.dataplane.places import MemorySink

LIMIT = 8 << 20


class Ends:
    """An outbox between a switch and a sink."""

    def __init__(self, room: int | None = None, limit: int = LIMIT) -> None:
        self.switch = Switch()
        self.sink = MemorySink(room)
        self.outbox = Outbox(self.sink, self.switch, limit)


def test_batch_leaves_in_one_send():
    ends = Ends()
    ends.outbox.write(b"PING\r\n")
    ends.outbox.append(b"MSG a 1 ", b"2\r\nhi\r\n", 2)
    ends.outbox.append_burst([b"MSG a 1 2\r\nhi\r\n", memoryview(b"MSG a 1 2\r\nhi\r\n")], 30, 2, 4)
    assert ends.sink.sends == []
    ends.switch.flush()
    assert ends.sink.sends == [b"PING\r\n" + b"MSG a 1 2\r\nhi\r\n" * 3]
    assert (ends.outbox.out_messages, ends.outbox.out_bytes) == (3, 6)
    ends.switch.flush()
    assert len(ends.sink.sends) == 1


def test_outbox_is_flushed_in_every_batch_that_touches_it():
    ends = Ends()
    other = Outbox(MemorySink(), ends.switch, LIMIT)
    for number in range(3):
        ends.outbox.write(b"%d" % number)
        other.write(b"x")
        assert len(ends.switch.touched) == 2
        ends.switch.flush()
        assert ends.switch.touched == []
    assert ends.sink.sends == [b"0", b"1", b"2"]


# Few bytes are joined before they are sent, many are sent in pieces.
chunk = st.one_of(st.binary(min_size=1, max_size=9), st.integers(1, GATHER_FROM).map(lambda size: b"%5d" % size * size))


@given(
    rooms=st.lists(st.one_of(st.integers(0, 12), st.integers(0, 3 * GATHER_FROM)), max_size=12),
    writes=st.lists(st.lists(chunk, min_size=1, max_size=3), max_size=6),
)
def test_bytes_arrive_once_and_in_order_however_little_the_peer_takes(rooms: list[int], writes: list[list[bytes]]):
    ends = Ends(room=0)
    places = iter(rooms)
    for batch in writes:
        for data in batch:
            ends.outbox.write(data)
        ends.sink.room = next(places, 0)
        ends.switch.flush()
        ends.sink.room = next(places, 0)
        ends.outbox.resume()
    written = b"".join(data for batch in writes for data in batch)
    assert written == ends.sink.received() + written[len(written) - ends.outbox.pending() :]
    ends.sink.room = None
    while ends.outbox.resume():
        pass
    ends.switch.flush()
    assert ends.sink.received() == written
    assert ends.outbox.pending() == 0


def test_full_peer_gets_a_writer_and_is_left_alone_until_it_is_ready():
    ends = Ends(room=3)
    ends.outbox.write(b"hello")
    ends.switch.flush()
    assert (ends.sink.sends, ends.sink.writer_starts, ends.outbox.pending()) == ([b"hel"], 1, 2)
    ends.outbox.write(b" world")
    ends.switch.flush()
    assert (ends.sink.sends, ends.sink.writer_starts, ends.outbox.pending()) == ([b"hel"], 1, 8)
    ends.sink.room = 4
    assert ends.outbox.resume() is True
    ends.sink.room = None
    assert ends.outbox.resume() is False
    assert ends.sink.received() == b"hello world"


def test_writer_takes_along_what_the_current_batch_has_queued():
    ends = Ends(room=0)
    ends.outbox.write(b"early ")
    ends.switch.flush()
    ends.outbox.write(b"late")
    ends.sink.room = None
    assert ends.outbox.resume() is False
    assert ends.sink.received() == b"early late"
    ends.switch.flush()
    assert ends.sink.received() == b"early late"


def test_outbox_over_its_limit_closes_and_tells():
    ends = Ends(room=0, limit=10)
    ends.outbox.write(b"0123456789")
    ends.switch.flush()
    assert (ends.outbox.closed, ends.sink.overruns) == (False, 0)
    ends.outbox.append(b"a", b"", 0)
    ends.switch.flush()
    assert (ends.outbox.closed, ends.sink.overruns, ends.outbox.pending()) == (True, 1, 0)
    ends.sink.room = None
    ends.outbox.append(b"b", b"", 0)
    ends.outbox.write(b"c")
    ends.switch.flush()
    assert ends.outbox.resume() is False
    assert (ends.sink.received(), ends.sink.overruns) == (b"", 1)


def test_batch_larger_than_the_limit_passes_when_the_peer_takes_it():
    ends = Ends(limit=10)
    ends.outbox.write(b"x" * 1000)
    ends.switch.flush()
    assert (ends.outbox.closed, len(ends.sink.received())) == (False, 1000)


def test_batch_larger_than_the_limit_closes_when_the_peer_takes_too_little_of_it():
    ends = Ends(room=100, limit=10)
    ends.outbox.write(b"x" * 1000)
    ends.switch.flush()
    assert (ends.outbox.closed, ends.sink.overruns) == (True, 1)


@pytest.mark.parametrize("frames", [False, True])
def test_congested_outboxes_do_not_pile_up_where_nobody_asks_for_them(frames: bool):
    ends = Ends(room=0)
    ends.outbox.write(bytes(CONGESTED_AT + 1))
    for _ in range(1000):
        if frames:
            ends.outbox.write_wire(b"x")
        else:
            ends.outbox.write(b"x")
            ends.switch.flush()
    assert ends.switch.congested == [ends.outbox]


def test_congested_outboxes_are_listed_until_they_have_drained():
    ends = Ends(room=0)
    ends.outbox.write(b"x" * CONGESTED_AT)
    ends.switch.flush()
    assert ends.switch.congested == []
    for _ in range(2):
        ends.outbox.write(b"x")
        ends.switch.flush()
    assert set(ends.switch.congested) == {ends.outbox}
    ends.switch.congested.clear()
    ends.sink.room = None
    ends.outbox.resume()
    ends.outbox.write(b"x")
    ends.switch.flush()
    assert ends.switch.congested == []


@pytest.mark.parametrize("burst", [False, True])
def test_large_batch_is_flushed_before_it_ends(burst: bool):
    ends = Ends()
    block = b"x" * 1000
    count = 2 * FLUSH_AT // len(block)
    for _ in range(count):
        if burst:
            ends.outbox.append_burst([block], len(block), 1, len(block))
        else:
            ends.outbox.append(b"", block, len(block))
        assert ends.outbox.pending() <= FLUSH_AT
    assert len(ends.sink.sends) == 1
    ends.switch.flush()
    assert len(ends.sink.received()) == count * len(block)
    assert ends.switch.touched == []


def test_large_batch_to_a_full_peer_stops_at_the_limit():
    ends = Ends(room=0)
    block = b"x" * 10_000
    while not ends.outbox.closed:
        ends.outbox.append(b"", block, len(block))
        assert ends.outbox.pending() <= LIMIT + len(block)
    assert ends.sink.overruns == 1


class GatheringSink(MemorySink):
    """Counts how often it was given pieces."""

    gathered = 0

    def send_pieces(self, pieces: list[Buffer]) -> int:
        self.gathered += 1
        return super().send_pieces(pieces)


@pytest.mark.parametrize(("size", "gathered"), [(100, 0), (GATHER_EACH - 1, 0), (GATHER_EACH, 1)])
@pytest.mark.parametrize("room", [None, 0, GATHER_FROM + 5])
def test_large_and_small_pieces_arrive_alike_and_only_large_ones_are_left_to_the_system(
    size: int, gathered: int, room: int | None
):
    ends = Ends(room)
    ends.sink = ends.outbox.sink = GatheringSink(room)
    pieces = [b"%06d" % number + b"x" * (size - 6) for number in range(400)]
    for piece in pieces:
        ends.outbox.write(piece)
    ends.switch.flush()
    ends.sink.room = None
    assert ends.outbox.resume() is False
    assert ends.sink.received() == b"".join(pieces)
    assert ends.sink.gathered == gathered


def test_flush_is_encoded_as_a_whole():
    ends = Ends()
    ends.outbox.encode = lambda data: b"[%b]" % data
    for data in (b"a", b"b", b"c"):
        ends.outbox.write(data)
    ends.switch.flush()
    ends.outbox.write(b"d")
    ends.switch.flush()
    assert ends.sink.sends == [b"[abc]", b"[d]"]


def test_what_waits_is_encoded_once():
    ends = Ends(room=2)
    ends.outbox.encode = lambda data: b"[%b]" % data
    ends.outbox.write(b"abc")
    ends.switch.flush()
    ends.outbox.write(b"d")
    ends.outbox.write(b"e")
    ends.switch.flush()
    ends.sink.room = None
    assert ends.outbox.resume() is False
    assert ends.sink.received() == b"[abc][de]"
    ends.outbox.write(b"f")
    ends.switch.flush()
    assert ends.sink.received() == b"[abc][de][f]"


@pytest.mark.parametrize("room", [None, 0, 3])
def test_wire_bytes_go_out_as_they_are_behind_what_was_queued(room: int | None):
    ends = Ends(room)
    ends.outbox.encode = lambda data: b"[%b]" % data
    ends.outbox.write(b"abc")
    ends.outbox.write_wire(b"<close>")
    ends.outbox.write_wire(b"")
    ends.switch.flush()
    ends.sink.room = None
    assert ends.outbox.resume() is False
    assert ends.sink.received() == b"[abc]<close>"


def test_wire_bytes_count_towards_the_limit():
    ends = Ends(room=0, limit=10)
    ends.outbox.write(b"x")
    ends.outbox.write_wire(b"0123456789")
    assert (ends.outbox.closed, ends.sink.overruns) == (True, 1)


class LeavingSink(MemorySink):
    """The peer is found gone while sending."""

    outbox: Outbox

    def send(self, data: bytes | memoryview) -> int:
        self.outbox.close()
        return 0


def test_outbox_that_closes_while_it_sends_stays_closed():
    sink = LeavingSink()
    switch = Switch()
    sink.outbox = Outbox(sink, switch, LIMIT)
    sink.outbox.write(b"x")
    switch.flush()
    assert (sink.outbox.closed, sink.outbox.pending(), sink.writer_starts) == (True, 0, 0)


def test_writer_that_finds_the_peer_gone_ends():
    ends = Ends(room=1)
    ends.outbox.write(b"xyz")
    ends.switch.flush()
    leaving = LeavingSink()
    leaving.outbox = ends.outbox
    ends.outbox.sink = leaving
    assert ends.outbox.resume() is False
    assert ends.outbox.pending() == 0


def test_many_control_writes_are_flushed_before_the_batch_ends():
    ends = Ends()
    pong = b"PONG\r\n" * 1000
    for _ in range(2 * FLUSH_AT // len(pong)):
        ends.outbox.write(pong)
        assert ends.outbox.pending() <= FLUSH_AT
    assert ends.sink.sends
    ends.switch.flush()
    assert b"".join(ends.sink.sends) == pong * (2 * FLUSH_AT // len(pong))


def test_outbox_that_fails_is_closed_and_leaves_none_of_the_others_unsent():
    ends = Ends()
    others = [Outbox(MemorySink(), ends.switch, LIMIT) for _ in range(2)]
    others[0].write(b"1")
    ends.outbox.encode = lambda data: 1 // 0
    ends.outbox.write(b"x")
    others[1].write(b"2")
    ends.switch.flush()
    assert [type(fault) for fault in ends.sink.faults] == [ZeroDivisionError]
    assert ends.outbox.closed
    assert [other.sink.sends for other in others] == [[b"1"], [b"2"]]
    assert ends.switch.touched == []


def test_peer_that_reads_as_fast_as_is_sent_gets_a_share_at_a_time():
    ends = Ends(room=0)
    for _ in range(64):
        ends.outbox.write(b"x" * (1 << 16))
        ends.switch.flush()
    ends.sink.room = None
    calls = 1
    while ends.outbox.resume():
        calls += 1
    assert calls > 2
    assert len(ends.sink.received()) == 64 << 16
