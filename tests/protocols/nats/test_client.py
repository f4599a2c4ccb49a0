"""NATS client role: what a server sends becomes events, and what it is sent can be read by the server role."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MisuseError, PeerViolation
from protocols.message import Burst, Message
from protocols.nats.client import (
    ClientDecoder,
    Ok,
    Ping,
    Pong,
    ServerError,
    ServerInfo,
    encode_connect,
    encode_header,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
    read_header,
    read_status,
)
from protocols.nats.login import Login
from protocols.nats.server import Connect, ServerDecoder, Subscribe, Unsubscribe

HEADER = b"NATS/1.0\r\nK: v\r\n\r\n"
STREAM = (
    b'INFO {"server_id":"N","max_payload":1024} \r\n+OK\r\nPING\r\nPONG\r\n'
    b"MSG a.b 1 5\r\nhello\r\nMSG a.b 1 r.s 0\r\n\r\n"
    b"HMSG a.b 1 18 20\r\n" + HEADER + b"hi\r\nHMSG a 1 r 18 18\r\n" + HEADER + b"\r\n"
    b"MSG  a\t1   3 \r\n\r\n\n\r\nmsg a 1 0\n\r\n-ERR 'Stale Connection'\r\n"
)
EVENTS = [
    ServerInfo({"server_id": "N", "max_payload": 1024}),
    Ok(),
    Ping(),
    Pong(),
    ("a.b", "", b"", b"hello"),
    ("a.b", "r.s", b"", b""),
    ("a.b", "", HEADER, b"hi"),
    ("a", "r", HEADER, b""),
    ("a", "", b"", b"\r\n\n"),
    ("a", "", b"", b""),
    ServerError("Stale Connection"),
]


def messages(events: list[object]) -> list[object]:
    """The events with bursts taken apart."""
    return [one for event in events for one in (event.messages() if isinstance(event, Burst) else [event])]


def plain(events: list[object]) -> list[object]:
    """Messages as tuples, so that they can be compared."""
    return [
        (event.subject.decode(), event.reply.decode(), event.header(), event.payload())
        if isinstance(event, Message)
        else event
        for event in messages(events)
    ]


def test_every_operation_becomes_its_event():
    assert plain(ClientDecoder(1024).receive(STREAM)) == EVENTS


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_split_gives_the_same_events(cuts):
    decoder = ClientDecoder(1024)
    places = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in pairwise(places) for event in decoder.receive(STREAM[start:end])]
    assert plain(events) == EVENTS


@given(st.lists(st.binary() | st.sampled_from([b"MSG ", b"HMSG ", b"INFO ", b"a 1 ", b"5", b"\r\n", b"{", b"}"])))
def test_random_bytes_never_raise_and_a_violation_is_the_last_event(chunks):
    decoder = ClientDecoder(1024)
    events = [event for chunk in chunks for event in decoder.receive(chunk)]
    assert not any(isinstance(event, PeerViolation) for event in events[:-1])


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a 1\r\n",
        b"MSG a 1 r 5 5\r\n",
        b"MSG a 1 x\r\n",
        b"MSG a 1 1025\r\n",
        b"MSG a 1 9999999999\r\n",
        b"MSG a 1 1\r\nabc",
        b"HMSG a 1 5\r\n",
        b"HMSG a 1 6 5\r\n",
        b"INFO {\r\n",
        b"INFO []\r\n",
        b"INFO " + b"[" * 5000 + b"\r\n",
        b"INFO " + b" " * 70_000,
        b"PUB a 1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_what_no_server_sends_is_a_violation(line):
    decoder = ClientDecoder(1024)
    (event,) = decoder.receive(line)
    assert isinstance(event, PeerViolation)
    assert decoder.receive(b"PING\r\n") == []


def test_what_the_client_writes_is_what_the_server_role_reads():
    events = ServerDecoder(1024, 4096).receive(
        encode_connect({"verbose": False, "user": "u", "pass": "p"})
        + encode_subscribe(b"a.>", b"1")
        + encode_subscribe(b"a.*", b"2", b"workers")
        + encode_unsubscribe(b"1")
        + encode_unsubscribe(b"2", 3)
        + encode_publish(b"a.b", b"x\r\n", b"r.s")
        + encode_publish(b"a.b", b"")
    )
    assert plain(events) == [
        Connect({"verbose": False, "user": "u"}, Login(user="u", password="p")),
        Subscribe(b"a.>", b"", b"1"),
        Subscribe(b"a.*", b"workers", b"2"),
        Unsubscribe(b"1", 0),
        Unsubscribe(b"2", 3),
        ("a.b", "r.s", b"", b"x\r\n"),
        ("a.b", "", b"", b""),
    ]


def test_header_travels_to_the_server_role_and_back_into_fields():
    header = encode_header([("Unit", "°C"), ("Empty", "")])
    decoder = ServerDecoder(1024, 4096)
    decoder.headers = True
    (message,) = messages(decoder.receive(encode_publish(b"a", b"21", b"", header)))
    assert (message.header(), message.payload()) == (header, b"21")
    assert read_header(message.header()) == [("Unit", "°C"), ("Empty", "")]


def test_no_fields_make_no_header():
    assert encode_header([]) == b""


@pytest.mark.parametrize("field", [("", "v"), ("a b", "v"), ("a:b", "v"), ("a\r", "v"), ("a", "v\nX: y"), ("a", "\r")])
def test_field_that_would_break_the_header_is_refused(field):
    with pytest.raises(MisuseError):
        encode_header([field])


@pytest.mark.parametrize("subject", [b"", b"a b", b"a\r\nPING", b"a\tb", b"a\x00"])
def test_subject_that_would_break_the_line_is_refused(subject):
    for encode in (
        lambda: encode_publish(subject, b""),
        lambda: encode_subscribe(subject, b"1"),
        lambda: encode_publish(b"a", b"", subject or b" "),
        lambda: encode_subscribe(b"a", b"1", subject or b" "),
    ):
        with pytest.raises(MisuseError):
            encode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"NATS/1.0 503\r\n\r\n", (503, "")),
        (b"NATS/1.0 408 Request Timeout\r\n\r\n", (408, "Request Timeout")),
        (HEADER, (0, "")),
        (b"", (0, "")),
        (b"NATS/1.0 x\r\n", (0, "")),
    ],
)
def test_status_is_read_from_the_first_line(header, status):
    assert read_status(header) == status
