import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.close_reason import CloseReason
from protocols.leafnode import spoke
from protocols.leafnode.link import (
    LeafSubscribe,
    LeafUnsubscribe,
    PeerError,
    Permissions,
    Redirected,
    encode_interest,
    is_permitted,
    split_ack_reply,
)
from protocols.leafnode.spoke import HubInfo, SpokeDecoder
from protocols.nats.server import Ping, Pong
from tests.protocols.nats.events import cut, decode, plain, violation

HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"
ACK = b"$JS.ACK.ORDERS.puller.1.22.3.1795399042643183431.0"


def decoded(data: bytes) -> list[object]:
    return decode(SpokeDecoder(), [data])


@pytest.mark.parametrize(
    ("data", "subject", "tail", "header_size", "size", "reply", "queues"),
    [
        (b"LMSG foo 2\r\nhi\r\n", b"foo", b"2\r\nhi\r\n", 0, 2, b"", ()),
        (b"LMSG foo to.me 2\r\nhi\r\n", b"foo", b"to.me 2\r\nhi\r\n", 0, 2, b"to.me", ()),
        (b"LMSG foo | q1 2\r\nhi\r\n", b"foo", b"2\r\nhi\r\n", 0, 2, b"", (b"q1",)),
        (b"LMSG foo | q1 q2 0\r\n\r\n", b"foo", b"0\r\n\r\n", 0, 0, b"", (b"q1", b"q2")),
        (b"LMSG foo + to.me q1 2\r\nhi\r\n", b"foo", b"to.me 2\r\nhi\r\n", 0, 2, b"to.me", (b"q1",)),
        (b"LMSG foo + to.me q1 q2 2\r\nhi\r\n", b"foo", b"to.me 2\r\nhi\r\n", 0, 2, b"to.me", (b"q1", b"q2")),
        (b"LMSG foo + to.me 2\r\nhi\r\n", b"foo", b"to.me 2\r\nhi\r\n", 0, 2, b"to.me", ()),
        (b"HMSG foo 18 20\r\n" + HEADER + b"hi\r\n", b"foo", b"18 20\r\n" + HEADER + b"hi\r\n", 18, 20, b"", ()),
        (
            b"HMSG foo to.me 18 18\r\n" + HEADER + b"\r\n",
            b"foo",
            b"to.me 18 18\r\n" + HEADER + b"\r\n",
            18,
            18,
            b"to.me",
            (),
        ),
        (b"HMSG foo | q1 18 18\r\n" + HEADER + b"\r\n", b"foo", b"18 18\r\n" + HEADER + b"\r\n", 18, 18, b"", (b"q1",)),
        (
            b"HMSG foo + to.me q1 q2 18 20\r\n" + HEADER + b"hi\r\n",
            b"foo",
            b"to.me 18 20\r\n" + HEADER + b"hi\r\n",
            18,
            20,
            b"to.me",
            (b"q1", b"q2"),
        ),
        # System messages come with an empty reply, which shows as two spaces.
        (b"LMSG foo  2\r\nhi\r\n", b"foo", b"2\r\nhi\r\n", 0, 2, b"", ()),
        # A queue group may be called + or |.
        (b"LMSG foo | + 2\r\nhi\r\n", b"foo", b"2\r\nhi\r\n", 0, 2, b"", (b"+",)),
    ],
)
def test_message_forms(
    data: bytes, subject: bytes, tail: bytes, header_size: int, size: int, reply: bytes, queues: tuple[bytes, ...]
):
    expected = (subject, tail, header_size, size, reply, queues)
    assert decoded(data) == [expected]
    assert decoded(data * 3) == [expected] * 3


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"LS+ foo.*", LeafSubscribe(b"foo.*", b"", 0)),
        (b"LS+ foo group 3", LeafSubscribe(b"foo", b"group", 3)),
        (b"LS+ foo group 0", LeafSubscribe(b"foo", b"group", 0)),
        (b"LS- foo", LeafUnsubscribe(b"foo", b"")),
        (b"LS- foo group", LeafUnsubscribe(b"foo", b"group")),
        (b"PING", Ping()),
        (b"PONG", Pong()),
        (b"-ERR 'Authorization Violation'", PeerError(b"Authorization Violation")),
    ],
)
def test_operation_becomes_its_event(line: bytes, event: object):
    assert decoded(line + b"\r\n") == [event]


def test_info_tells_permissions_limits_and_urls():
    (info,) = decoded(
        b'INFO {"server_id":"N","max_payload":5,"client_id":7,"proto":3,"info_on_connect":true,"connect_info":true,'
        b'"jetstream":true,"leafnode_urls":["a:1","b:2"],"import":{"allow":["down.\\u003e"],"deny":["down.no"]},'
        b'"export":{"deny":["up.no"]},"git_commit":"x"} \r\n'
    )
    assert isinstance(info, HubInfo)
    assert (info.max_payload, info.client_id, info.info_on_connect, info.connect_info) == (5, 7, True, True)
    assert info.leafnode_urls == ("a:1", "b:2")
    assert info.may_receive == Permissions(("down.>",), ("down.no",))
    assert info.may_send == Permissions(None, ("up.no",))


@pytest.mark.parametrize(
    "line",
    [
        b"LMSG foo",
        b"LMSG 2",
        b"LMSG",
        b"LMSG foo x",
        b"LMSG foo a b 2",
        b"HMSG foo 2",
        b"HMSG foo 3 2",
        b"HMSG foo x 2",
        b"LS+",
        b"LS+ foo group",
        b"LS+ foo group x",
        b"LS+ foo group 1 2",
        b"LS-",
        b"LS- a b c",
        b"INFO",
        b"INFO {",
        b'INFO {"leafnode_urls":5}',
    ],
)
def test_malformed_line_of_a_hub_ends_the_link(line: bytes):
    assert violation(decoded(line + b"\r\n")).reason is CloseReason.PROTOCOL_VIOLATION


@pytest.mark.parametrize("line", [b"PUB foo 0", b"MSG foo 1 0", b"RS+ foo", b"SSH-2.0-x", b"220 mail"])
def test_what_no_hub_says_is_unknown(line: bytes):
    assert violation(decoded(line + b"\r\n")).reason is CloseReason.PARSE_ERROR


def test_message_of_a_consumer_is_seen_under_the_subject_that_it_was_stored_under():
    events = SpokeDecoder().receive(b"LMSG _INBOX.x %b@orders.new 2\r\nhi\r\n" % ACK)
    (event,) = events
    assert isinstance(event, Redirected)
    assert event.subject == b"_INBOX.x"
    assert plain([event.message]) == [(b"orders.new", ACK + b" 2\r\nhi\r\n", 0, 2, ACK, ())]


def test_redirected_message_keeps_headers_and_queue_groups():
    data = b"HMSG deliver + %b@orders.a@b q1 18 20\r\n%bhi\r\n" % (ACK, HEADER)
    (event,) = SpokeDecoder().receive(data)
    assert isinstance(event, Redirected)
    assert plain([event.message]) == [(b"orders.a@b", ACK + b" 18 20\r\n" + HEADER + b"hi\r\n", 18, 20, ACK, (b"q1",))]


def test_acknowledgement_without_an_original_subject_is_an_ordinary_reply():
    assert decoded(b"LMSG foo %b 2\r\nhi\r\n" % ACK) == [(b"foo", ACK + b" 2\r\nhi\r\n", 0, 2, ACK, ())]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (ACK, (ACK, b"")),
        (ACK + b"@foo.bar", (ACK, b"foo.bar")),
        (ACK + b"@foo@bar", (ACK, b"foo@bar")),
        (b"$JS.ACK.str@eam.con@sumer.1.2.3.4.5", (b"$JS.ACK.str@eam.con@sumer.1.2.3.4.5", b"")),
        (b"$JS.ACK.str@eam.con@sumer.1.2.3.4.5@foo", (b"$JS.ACK.str@eam.con@sumer.1.2.3.4.5", b"foo")),
        (b"$JS.ACK.short@foo", (b"$JS.ACK.short@foo", b"")),
        (b"$JS.ACK.dom.hash.s.c.1.2.3.4.5.r@foo", (b"$JS.ACK.dom.hash.s.c.1.2.3.4.5.r", b"foo")),
    ],
)
def test_original_subject_stands_behind_an_at_sign_after_the_eighth_dot(reply: bytes, expected: tuple[bytes, bytes]):
    assert split_ack_reply(reply) == expected


lines = st.sampled_from(
    [
        b"INFO {}\r\n",
        b"PING\r\n",
        b"LS+ foo\r\nLS+ foo q 2\r\nLS- foo q\r\n",
        b"LMSG foo 2\r\nhi\r\n",
        b"LMSG foo 2\r\nhi\r\nLMSG foo 2\r\nho\r\n",
        b"LMSG foo | q 2\r\nhi\r\n",
        b"HMSG foo + r q1 q2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        b"-ERR 'x'\r\n",
    ]
)


@given(st.lists(lines, max_size=8), st.lists(st.integers(0, 300), max_size=20))
def test_any_cut_of_the_stream_gives_the_same_events(stream_lines: list[bytes], places: list[int]):
    stream = b"".join(stream_lines)
    assert decode(SpokeDecoder(), cut(stream, places)) == decode(SpokeDecoder(), [stream])


@pytest.mark.parametrize(
    ("interest", "wire"),
    [
        ((b"foo", b"", 1), b"LS+ foo\r\n"),
        ((b"foo", b"", 7), b"LS+ foo\r\n"),
        ((b"foo", b"", 0), b"LS- foo\r\n"),
        ((b"foo", b"q", 7), b"LS+ foo q 7\r\n"),
        ((b"foo", b"q", 0), b"LS- foo q\r\n"),
    ],
)
def test_interest_is_told_with_the_weight_of_queue_groups(interest: tuple[bytes, bytes, int], wire: bytes):
    assert encode_interest(*interest) == wire


@pytest.mark.parametrize(
    ("permissions", "subject", "expected"),
    [
        (None, b"foo", True),
        (Permissions(), b"foo", True),
        (Permissions(allow=()), b"foo", True),
        (Permissions(allow=("a.*", "foo")), b"foo", True),
        (Permissions(allow=("a.*",)), b"foo", False),
        (Permissions(deny=("f.>", "foo")), b"foo", False),
        (Permissions(allow=("a.>",), deny=("a.b",)), b"a.b", False),
        (Permissions(allow=("a.>",), deny=("a.b",)), b"a.c", True),
    ],
)
def test_permission_is_what_is_allowed_and_not_denied(permissions: Permissions | None, subject: bytes, expected: bool):
    assert is_permitted(subject, permissions) is expected


def test_connect_names_no_language():
    wire = spoke.encode_connect({"name": "edge", "headers": True})
    assert wire == b'CONNECT {"name":"edge","headers":true}\r\n'
