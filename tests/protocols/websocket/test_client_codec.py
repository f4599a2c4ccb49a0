"""The client codec against wsproto's server and our own: whatever way the bytes are cut, both ends see one stream."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request

from protocols.close_reason import CloseReason
from protocols.errors import MisuseError, PeerViolation
from protocols.websocket.client_codec import Accepted, WebSocketClientCodec
from protocols.websocket.codec import WebSocketServerCodec
from protocols.websocket.control_frames import Closed
from protocols.websocket.server_frames import FRAMES_AT_ONCE
from protocols.websocket.upgrade import Upgraded, UpgradePolicy
from tests.protocols.websocket.client_frames import cut, frame

HANDED_BACK = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def client() -> WebSocketClientCodec:
    return WebSocketClientCodec("hub.example:443", "/leafnode", os.urandom)


def accept(codec: WebSocketClientCodec, more: bytes = b"") -> bytes:
    """A server's answer to the codec's request."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(codec.bytes_to_send())
    (request,) = server.events()
    assert isinstance(request, Request)
    answer = server.send(AcceptConnection())
    return answer[:-2] + more + b"\r\n"


def connected(more: bytes = b"") -> WebSocketClientCodec:
    codec = client()
    assert codec.receive(accept(codec, more)) == [Accepted()]
    return codec


def test_request_asks_for_the_path_of_leafnodes_at_the_host() -> None:
    head = client().bytes_to_send()
    assert head.startswith(b"GET /leafnode HTTP/1.1\r\n")
    for line in (b"Host: hub.example:443", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"):
        assert line.lower() + b"\r\n" in head.lower()
    assert b"nats-no-masking: true" in head.lower()


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(0, 5000), max_size=8))
def test_wsproto_and_the_codec_see_one_stream_however_it_is_cut(payloads: list[bytes], places: list[int]) -> None:
    server = WSConnection(ConnectionType.SERVER)
    codec = client()
    server.receive_data(codec.bytes_to_send())
    list(server.events())
    stream = server.send(AcceptConnection())
    for payload in payloads:
        stream += server.send(BytesMessage(payload)) + server.send(Ping(payload[:125]))
    events = [event for piece in cut(stream, places) for event in codec.receive(piece)]
    assert events[0] == Accepted()
    assert b"".join(event for event in events if isinstance(event, bytes)) == b"".join(payloads)
    server.receive_data(codec.bytes_to_send())
    assert [bytes(event.payload) for event in server.events() if isinstance(event, Pong)] == [
        payload[:125] for payload in payloads
    ]
    for payload in payloads:
        server.receive_data(codec.encode(payload))
    assert b"".join(bytes(event.data) for event in server.events() if isinstance(event, BytesMessage)) == b"".join(
        payloads
    )


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_of_every_size_reach_our_own_server(size: int) -> None:
    codec = client()
    server = WebSocketServerCodec(UpgradePolicy(), frozenset(("nats",)), 1 << 20)
    request = codec.bytes_to_send().replace(b"/leafnode", b"/")
    (upgraded,) = server.receive(request)
    assert isinstance(upgraded, Upgraded)
    assert codec.receive(server.bytes_to_send()) == [Accepted()]
    assert codec.masks
    payload = os.urandom(size)
    assert server.receive(codec.encode(payload)) == ([payload] if size else [])
    assert codec.receive(server.encode(payload)) == ([payload] if size else [])


def test_frames_have_no_mask_where_the_server_wants_none() -> None:
    codec = connected(b"Nats-No-Masking: true\r\n")
    assert codec.encode(b"PING\r\n") == b"\x82\x06PING\r\n"


def test_what_comes_behind_the_answer_is_not_lost() -> None:
    codec = client()
    assert codec.receive(accept(codec) + frame(b"INFO", mask=None)) == [Accepted(), b"INFO"]


def test_one_call_reads_no_more_frames_than_a_slice() -> None:
    """A batch may hold a hundred thousand of them."""
    codec = connected()
    sizes = [len(event) for event in codec.receive(b"\x82\x01x" * 10 * FRAMES_AT_ONCE) if isinstance(event, bytes)]
    while codec.has_more:
        sizes += [len(event) for event in codec.receive(b"") if isinstance(event, bytes)]
    assert sizes == [FRAMES_AT_ONCE] * 10


def test_close_is_echoed_once() -> None:
    codec = connected()
    assert codec.receive(frame(b"\x03\xe8bye", 0x88, None)) == [Closed(1000, "bye")]
    assert len(codec.bytes_to_send()) == 2 + 4 + 2
    assert codec.encode_close(1000, "") == b""
    assert codec.receive(frame(b"more", mask=None)) == []


def test_our_close_frame_says_why() -> None:
    codec = client()
    server = WSConnection(ConnectionType.SERVER)
    assert codec.encode_close(1001, "too early") == b""
    server.receive_data(codec.bytes_to_send())
    list(server.events())
    codec.receive(server.send(AcceptConnection()))
    server.receive_data(codec.encode_close(1001, "Stale Connection"))
    (event,) = server.events()
    assert isinstance(event, CloseConnection)
    assert (event.code, event.reason) == (1001, "Stale Connection")
    with pytest.raises(MisuseError):
        codec.encode_close(1006, "")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"INFO {}\r\n", "does not speak HTTP"),
        (b"HELLO\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200"),
        (HANDED_BACK + b"\r\n", "no WebSocket upgrade"),
        (HANDED_BACK + b"Sec-WebSocket-Accept: nonsense\r\n\r\n", "no WebSocket upgrade"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "too long"),
    ],
)
def test_an_answer_that_is_no_upgrade_is_a_violation(answer: bytes, complaint: str) -> None:
    (event,) = client().receive(answer)
    assert isinstance(event, PeerViolation)
    assert complaint in event.detail
    assert event.farewell == b""


def test_an_extension_that_was_not_offered_is_a_violation() -> None:
    codec = client()
    (event,) = codec.receive(accept(codec, b"Sec-WebSocket-Extensions: permessage-deflate\r\n"))
    assert isinstance(event, PeerViolation)


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (frame(b"x"), "with a mask"),
        (frame(b"x", 0x81, None), "text"),
        (frame(b"x", 0xC2, None), "reserved bit"),
        (frame(b"x", 0x83, None), "opcode 3"),
        (frame(b"x", 0x80, None), "continuation of nothing"),
        (frame(b"x", 0x02, None) + frame(b"y", 0x82, None), "within a message"),
        (frame(b"x" * 126, 0x89, None), "control frame of more than"),
        (frame(b"x", 0x09, None), "in fragments"),
        (frame(b"x", 0x88, None), "one byte"),
        (b"\x82\x7e\x00\x01x", "shortest way"),
    ],
)
def test_what_no_server_may_send_is_a_violation(stream: bytes, complaint: str) -> None:
    codec = connected(b"Nats-No-Masking: true\r\n")
    events = codec.receive(stream)
    event = events[-1]
    assert isinstance(event, PeerViolation)
    assert complaint in event.detail
    assert event.reason is CloseReason.PROTOCOL_VIOLATION
    assert event.farewell[0] == 0x88
    assert codec.receive(frame(b"more", mask=None)) == []


@given(st.lists(st.binary(max_size=100), max_size=5), st.booleans())
def test_random_bytes_never_raise(pieces: list[bytes], upgraded: bool) -> None:
    codec = connected() if upgraded else client()
    for piece in pieces:
        codec.receive(piece)
        codec.bytes_to_send()
