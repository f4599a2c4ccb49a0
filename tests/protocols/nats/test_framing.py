"""What the client and the leafnode decoder have in common, shown on the decoder of a NATS server."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.close_reason import CloseReason
from protocols.leafnode.hub import HubDecoder
from protocols.leafnode.spoke import SpokeDecoder
from protocols.nats.framing import Framing, parse_size, split_arguments, split_operation
from protocols.nats.server import Ping, ServerDecoder, Subscribe
from tests.forms.both_forms import Form, installed_form, needs_both_forms, pure_form
from tests.protocols.nats.events import cut, decode, plain, violation

MIB = 1 << 20
HEADERS_AGREED = b'CONNECT {"headers":true}\r\n'


def server_decoder(max_payload: int = 10_000, max_control_line: int = 4096, headers: bool = True) -> ServerDecoder:
    decoder = ServerDecoder(max_payload, max_control_line)
    decoder.headers = headers
    return decoder


operation = st.sampled_from(
    [
        b"PING\r\n",
        b"pong\r\n",
        b"CONNECT {}\r\n",
        b"SUB foo 1\r\n",
        b"sub\tfoo.*  queue\t1\r\n",
        b"UNSUB 1 5\n",
        b"PUB foo 0\r\n\r\n",
        b"PUB foo 2\r\nhi\r\n",
        b"PUB foo 2\r\nhi\r\nPUB foo 2\r\nho\r\nPUB foo 2\r\n\r\n\r\n",
        b"PUB foo 7\r\nPING\r\nX\r\n",
        b"PUB foo.bar reply 3\r\n\x00\xff\n\r\n",
        b"pub  foo\t2 \nhi\r\n",
        b"HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        b"HPUB foo reply 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        b"HPUB foo 0 2\r\nhi\r\n",
        b"PUB foo $JS.ACK.x 2\r\nhi\r\n",
        b"PUB " + b"long." * 40 + b"x 2\r\nhi\r\n",
        b"PUB foo 9000\r\n%b\r\n" % (b"large\r\nPUB" * 900),
        (b"PUB foo 9000\r\n%b\r\n" % (b"large\r\nPUB" * 900)) * 2,
        b"HPUB foo 12 9012\r\nNATS/1.0\r\n\r\n%b\r\n" % (b"0123456789" * 900),
        b"+OK\r\n",
    ]
)
wrong = st.sampled_from(
    [
        b"",
        b"BOGUS\r\n",
        b"PUB foo\r\n",
        b"PUB foo 2\r\nhip\r\n",
        b"PUB foo 10001\r\n",
        b"SUB " + b"s" * 5000 + b" 1\r\n",
        b"PUB\r\n",
        b" PING\r\n",
        b"\r\n",
        b"-ERR 'x'\r\n",
    ]
)


@given(
    operations=st.lists(operation, max_size=8),
    end=wrong,
    places=st.lists(st.one_of(st.integers(0, 400), st.integers(0, 40_000)), max_size=20),
)
def test_any_cut_of_the_stream_gives_the_same_events(operations: list[bytes], end: bytes, places: list[int]):
    stream = b"".join(operations) + end
    whole = decode(server_decoder(), [stream])
    assert decode(server_decoder(), cut(stream, places)) == whole
    if len(stream) < 1000:
        assert decode(server_decoder(), [bytes([byte]) for byte in stream]) == whole


@given(
    operations=st.lists(operation, max_size=8),
    end=wrong,
    places=st.lists(st.integers(0, 400), max_size=5),
    slice_size=st.integers(1, 40),
)
def test_slices_of_any_size_give_the_same_events(
    operations: list[bytes], end: bytes, places: list[int], slice_size: int
):
    stream = b"".join(operations) + end
    decoder = server_decoder()
    decoder.slice_size = slice_size
    events: list[object] = []
    for piece in cut(stream, places):
        events += decoder.receive(piece)
        while decoder.has_more:
            events += decoder.receive(b"")
    assert plain(events) == decode(server_decoder(), [stream])


@pytest.mark.parametrize(
    ("row", "most"),
    [(b"SUB foo 1\r\n", 20), (b"PUB %d 1\r\nx\r\n", 100), (b"pub foo\t1\r\nx\r\n", 20)],
    ids=["lines", "messages", "messages written unusually"],
)
def test_one_call_decodes_no_more_than_a_slice(row: bytes, most: int):
    """A batch may hold tens of thousands; each line of another kind than the usual ones costs several messages."""
    rows = [row % number if b"%d" in row else row for number in range(1000)]
    decoder = server_decoder()
    decoder.slice_size = 100
    counts = [len(decoder.receive(b"".join(rows)))]
    while decoder.has_more:
        counts.append(len(decoder.receive(b"")))
    assert sum(counts) == 1000
    assert max(counts) <= most


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_random_bytes_never_raise(pieces: list[bytes]):
    for decoder in (server_decoder(), SpokeDecoder(), HubDecoder(MIB, 4096)):
        events = decode(decoder, pieces)
        if decoder.stopped:
            violation(events)


WORDS = (
    "PUB ",
    "HPUB ",
    "SUB ",
    "LMSG ",
    "HMSG ",
    "LS+ ",
    "INFO ",
    "CONNECT ",
    "foo ",
    "+ ",
    "| ",
    "2",
    " ",
    "0",
    "-1",
)
MARKS = ("\t", "\r", "\n", "\r\n", "{", "}", '"', "$JS.ACK.a.b.c.d.e.f.g@x ", "hi\r\n", "\x00", "\xff")
fragment = st.sampled_from((*WORDS, *MARKS)).map(lambda text: text.encode("latin-1"))


@given(st.lists(fragment, max_size=40))
def test_pieces_of_operations_in_any_order_never_raise(fragments: list[bytes]):
    stream = b"".join(fragments)
    for decoder in (server_decoder(), SpokeDecoder(), HubDecoder(MIB, 4096)):
        events = decode(decoder, [stream])
        if decoder.stopped:
            violation(events)


@pytest.mark.parametrize("make", [server_decoder, SpokeDecoder])
def test_nothing_is_heard_after_a_violation(make: Callable[[], Framing]):
    decoder = make()
    violation(decode(decoder, [b"PING\r\nBOGUS\r\nPING\r\n"]))
    assert decode(decoder, [b"PING\r\n", b"PI", b"NG\r\n"]) == []


def test_what_came_before_a_violation_is_told():
    events = decode(server_decoder(), [b"PING\r\nPUB foo 2\r\nhi\r\nBOGUS\r\n"])
    assert events[0] == Ping()
    assert events[1] == (b"foo", b"2\r\nhi\r\n", 0, 2, b"", None)
    assert violation(events).reason is CloseReason.PARSE_ERROR


def test_payload_over_the_limit_is_refused_before_a_byte_of_it_is_there():
    found = violation(decode(server_decoder(max_payload=10), [b"PUB foo 11\r\n"]))
    assert (found.reason, found.farewell) == (
        CloseReason.MAXIMUM_PAYLOAD_EXCEEDED,
        b"-ERR 'Maximum Payload Violation'\r\n",
    )


def test_payload_limit_holds_for_lines_that_another_decoder_has_seen():
    line = b"PUB limit.shared 11\r\n"
    assert decode(server_decoder(max_payload=11), [line, b"hello world\r\n"])
    assert violation(decode(server_decoder(max_payload=10), [line])).reason is CloseReason.MAXIMUM_PAYLOAD_EXCEEDED


def test_headers_are_refused_where_another_decoder_has_agreed_to_them():
    message = b"HPUB headers.shared 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    assert len(decode(server_decoder(), [message, message])) == 2
    found = violation(decode(server_decoder(headers=False), [message]))
    assert (found.reason, found.farewell) == (CloseReason.PROTOCOL_VIOLATION, b"")


def test_control_line_limit_holds_for_lines_that_another_decoder_has_seen():
    message = b"PUB " + b"s" * 80 + b" 2\r\nhi\r\n"
    assert len(decode(server_decoder(), [message, message])) == 2
    found = violation(decode(server_decoder(max_control_line=64), [message]))
    assert found.reason is CloseReason.MAXIMUM_CONTROL_LINE_EXCEEDED


@pytest.mark.parametrize("separator", [b" ", b"\t"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_control_line_limit_counts_the_arguments(separator: bytes, end: bytes):
    def line(arguments_size: int) -> bytes:
        return b"SUB" + separator + b"s" * (arguments_size - 2) + b" 1" + end

    assert len(decode(server_decoder(max_control_line=200), [line(200)])) == 1
    found = violation(decode(server_decoder(max_control_line=200), [line(201)]))
    assert (found.reason, found.farewell) == (
        CloseReason.MAXIMUM_CONTROL_LINE_EXCEEDED,
        b"-ERR 'maximum control line exceeded'\r\n",
    )


def test_control_line_without_end_is_refused_soon_after_the_limit():
    decoder = server_decoder(max_control_line=200)
    sent = 0
    events: list[object] = []
    while not events:
        events = decode(decoder, [b"SUB " if sent == 0 else b"sssss"])
        sent += 5
        assert sent < 230
    assert violation(events).reason is CloseReason.MAXIMUM_CONTROL_LINE_EXCEEDED


@pytest.mark.parametrize("start", [b"X", b"PUX", b"GET /", b" ", b"\t", b"PINPONG", b"SUBJECT", b"\x16\x03\x01"])
def test_unknown_operation_is_told_before_its_line_ends(start: bytes):
    found = violation(decode(server_decoder(), [start]))
    assert (found.reason, found.farewell) == (CloseReason.PARSE_ERROR, b"-ERR 'Unknown Protocol Operation'\r\n")


@pytest.mark.parametrize("piece_size", [1, 1000, 100_000])
def test_large_payload_arrives_in_small_pieces(piece_size: int):
    """A decoder that copied or searched all it holds for each byte would move half a terabyte here."""
    payload = bytes(range(256)) * (MIB // 256)
    stream = b"PUB foo %d\r\n%b\r\n" % (MIB, payload)
    decoder = server_decoder(max_payload=MIB)
    pieces = [stream[start : start + piece_size] for start in range(0, len(stream), piece_size)]
    for piece in pieces[:-1]:
        assert decoder.receive(piece) == []
    (message,) = plain(decoder.receive(pieces[-1]))
    assert message == (b"foo", b"%d\r\n%b\r\n" % (MIB, payload), 0, MIB, b"", None)


def test_long_control_line_arrives_in_small_pieces():
    decoder = server_decoder(max_control_line=MIB)
    line = b"SUB " + b"s" * (MIB - 10) + b" 1\r\n"
    events = [event for byte in line for event in decoder.receive(bytes((byte,)))]
    assert events == [Subscribe(b"s" * (MIB - 10), b"", b"1")]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (b"pub foo 2\r\nhi\r\n", b"PUB foo 2\r\nhi\r\n"),
        (b"PuB\tfoo\t2\r\nhi\r\n", b"PUB foo 2\r\nhi\r\n"),
        (b"PUB  foo   2\r\nhi\r\n", b"PUB foo 2\r\nhi\r\n"),
        (b"PUB foo 2 \t\r\nhi\r\n", b"PUB foo 2\r\nhi\r\n"),
        (b"PUB foo 2\nhi\r\n", b"PUB foo 2\r\nhi\r\n"),
        (b"PUB foo \treply  2\nhi\r\n", b"PUB foo reply 2\r\nhi\r\n"),
        (b"hpub foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", b"HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
        (b"HPUB\tfoo\treply\t12\t14\nNATS/1.0\r\n\r\nhi\r\n", b"HPUB foo reply 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
    ],
)
def test_however_a_publish_is_written_it_is_the_same_message_with_the_same_tail(written: bytes, canonical: bytes):
    expected = decode(server_decoder(), [canonical])
    assert decode(server_decoder(), [written]) == expected
    assert decode(server_decoder(), [written * 3]) == expected * 3
    assert decode(server_decoder(), [canonical * 3]) == expected * 3


@given(
    payloads=st.lists(st.binary(max_size=3), max_size=12),
    subjects=st.lists(st.sampled_from([b"foo", b"bar"]), min_size=12, max_size=12),
)
def test_runs_of_messages_keep_their_order_and_their_payloads(payloads: list[bytes], subjects: list[bytes]):
    pairs = list(zip(subjects, payloads, strict=False))
    stream = b"".join(b"PUB %b %d\r\n%b\r\n" % (subject, len(payload), payload) for subject, payload in pairs)
    expected = [(subject, b"%d\r\n%b\r\n" % (len(load), load), 0, len(load), b"", None) for subject, load in pairs]
    assert decode(server_decoder(), [stream]) == expected


def test_size_has_at_most_nine_digits():
    assert [parse_size(token) for token in (b"0", b"007", b"999999999")] == [0, 7, 999_999_999]
    wrong_sizes = (b"", b"-1", b"+1", b"1.0", b"1_0", b"0000000000", b" 1", b"\xd9\xa1", b"\xb2")
    assert {parse_size(token) for token in wrong_sizes} == {-1}


@given(st.lists(st.sampled_from([b"a", b"bc", b"+"])), st.sampled_from([b" ", b"\t", b"  ", b" \t "]))
def test_arguments_are_separated_by_runs_of_space_and_tab(arguments: list[bytes], separator: bytes):
    assert split_arguments(separator.join(arguments)) == (arguments or [])
    assert split_arguments(separator + separator.join(arguments) + separator) == arguments


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"pub a b\r", (b"PUB", b"a b")),
        (b"Pub\t a b \t\r", (b"PUB", b"a b")),
        (b"PING", (b"PING", b"")),
        (b" PING", (b"", b"PING")),
        (b"", (b"", b"")),
    ],
)
def test_operation_is_what_the_line_begins_with(line: bytes, expected: tuple[bytes, bytes]):
    assert split_operation(line) == expected


@needs_both_forms
@pytest.mark.parametrize(
    "line",
    [
        b"PUB a.b 3\r\nabc\r\n",
        b"PUB a.b r.s 3\r\nabc\r\n",
        b"PUB a.b r.s t 3\r\nabc\r\n",
        b"PUB  a.b 3\r\nabc\r\n",
        b"PUB a.b  3\r\nabc\r\n",
        b"PUB a.b 3 \r\nabc\r\n",
        b"PUB a.b\t3\r\nabc\r\n",
        b"PUB a.b 3\nabc\r\n",
        b"PUB a.b 3\r\r\nabc\r\n",
        b"PUB a.b x\r\nabc\r\n",
        b"PUB a.b 1234567890\r\nabc\r\n",
        b"PUB a.b -3\r\nabc\r\n",
        b"PUB 3\r\nabc\r\n",
        b"PUB \r\nabc\r\n",
        b"PUB _GR_.a 3\r\nabc\r\n",
        b"PUB a _R_.b 3\r\nabc\r\n",
        b"PUB $JS.API 3\r\nabc\r\n",
        b"PUB a $JS.ACK.b 3\r\nabc\r\n",
        b"PUB \xc3\xa4.b 3\r\nabc\r\n",
        b"PUB a\x7f 3\r\nabc\r\n",
        b"PUB " + b"a" * 5000 + b" 3\r\nabc\r\n",
        b"PUB " + b"a" * 4080 + b" 3\r\nabc\r\n",
        b"PUB a.b 3\r\nabcde",
        b"PUB a.b 3",
    ],
)
def test_line_that_is_read_in_one_pass_means_what_it_means_when_it_is_looked_at_step_by_step(line: bytes) -> None:
    def events(form: Form) -> list[str]:
        decoder = form["protocols.nats.server"].ServerDecoder(1000, 4096)
        found = decoder.receive(line) + decoder.receive(b"PING\r\n")
        fields = ("subject", "reply", "size", "count")
        return [
            repr(one)
            if isinstance(one, tuple)
            else f"{type(one).__name__} {[getattr(one, name, None) for name in fields]}"
            for one in found
        ]

    assert events(installed_form()) == events(pure_form())
