"""The WebSocket codec against wsproto's client: whatever way the bytes are cut, both ends see the same stream."""

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol

from protocols.close_reason import CloseReason
from protocols.errors import MisuseError, PeerViolation
from protocols.websocket.codec import WebSocketServerCodec
from protocols.websocket.compression import INFLATER_BYTES, MessageDeflate
from protocols.websocket.control_frames import Closed
from protocols.websocket.frames import FrameDecoder
from protocols.websocket.upgrade import Upgraded, UpgradePolicy
from tests.protocols.websocket.client_frames import KEY, VIOLATIONS, cut, deflate, frame

ALL = frozenset(("nats", "mqtt", "leafnode"))
LIMIT = 1 << 16


def connect(compression: bool = False, path: str = "/") -> tuple[WSConnection, WebSocketServerCodec]:
    """A client and a codec that have shaken hands."""
    client = WSConnection(ConnectionType.CLIENT)
    codec = WebSocketServerCodec(UpgradePolicy(compression=True), ALL, LIMIT)
    request = Request(
        host="gateway",
        target=path,
        subprotocols=["mqtt"] if path == "/mqtt" else [],
        extensions=[PerMessageDeflate()] if compression else [],
    )
    (event,) = codec.receive(client.send(request))
    assert isinstance(event, Upgraded)
    client.receive_data(codec.bytes_to_send())
    (accepted,) = client.events()
    assert isinstance(accepted, AcceptConnection)
    assert codec.compresses == bool(accepted.extensions) == compression
    return client, codec


def close_frame(farewell: bytes) -> tuple[int, str]:
    """Code and reason in the bytes that end a connection, which are one unmasked close frame and nothing else."""
    assert farewell[0] == 0x88
    assert farewell[1] == len(farewell) - 2
    return int.from_bytes(farewell[2:4], "big"), farewell[4:].decode()


def feed(codec: WebSocketServerCodec, stream: bytes, cuts: list[int]) -> tuple[bytes, list[object]]:
    """The application bytes and the other events of a stream that arrives in pieces."""
    events: list[object] = []
    for piece in cut(stream, cuts):
        events += codec.receive(piece)
        while codec.has_more:
            events += codec.receive(b"")
    application = [event for event in events if isinstance(event, bytes)]
    return b"".join(application), [event for event in events if not isinstance(event, bytes)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=20)
payloads = st.binary(max_size=300) | st.integers(0, 3000).map(lambda size: b"\x00\xffab" * (size // 4))
# A message is its fragments; pings may come between them.
messages = st.lists(payloads, min_size=1, max_size=4) | st.lists(st.text(max_size=200), min_size=1, max_size=4)
pings = st.binary(max_size=125).map(Ping)


@st.composite
def conversations(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for fragments in draw(st.lists(messages, max_size=5)):
        kind = TextMessage if isinstance(fragments[0], str) else BytesMessage
        for index, fragment in enumerate(fragments):
            events += draw(st.lists(pings, max_size=2))
            events.append(kind(fragment, message_finished=index == len(fragments) - 1))
    return events


@given(conversations(), cuts, st.booleans())
def test_what_a_client_sends_arrives_however_it_is_fragmented_and_cut(conversation, cuts, compression):
    client, codec = connect(compression)
    stream = b"".join(client.send(event) for event in conversation)
    expected = b"".join(
        event.data.encode() if isinstance(event, TextMessage) else event.data
        for event in conversation
        if not isinstance(event, Ping)
    )
    assert feed(codec, stream, cuts) == (expected, [])
    client.receive_data(codec.bytes_to_send())
    assert [event.payload for event in client.events() if isinstance(event, Pong)] == [
        event.payload for event in conversation if isinstance(event, Ping)
    ]


@given(st.lists(payloads, max_size=5), cuts, st.booleans())
def test_what_the_codec_encodes_reaches_the_client_as_one_message_each(batches, cuts, compression):
    client, codec = connect(compression)
    stream = b"".join(codec.encode(batch) for batch in batches)
    received = [b""]
    for piece in cut(stream, cuts):
        client.receive_data(piece)
        for event in client.events():
            assert isinstance(event, BytesMessage)
            received[-1] += event.data
            if event.message_finished:
                received.append(b"")
    assert received == [*batches, b""]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_frame_head_is_the_shortest_one(size):
    _, codec = connect()
    data = bytes(size)
    assert codec.encode(data) == bytes(FrameProtocol(client=False, extensions=[]).send_data(data))


@pytest.mark.parametrize("step", [1 << 20, 4096, 61])
def test_large_frame_arrives_however_it_is_cut(step):
    client, codec = connect()
    data = bytes(range(251)) * 800
    stream = client.send(BytesMessage(data))
    assert feed(codec, stream, list(range(0, len(stream), step))) == (data, [])


def test_only_payloads_that_shrink_and_are_worth_it_are_compressed():
    _, codec = connect(compression=True)
    assert codec.encode(b"a" * 64)[0] == 0x82
    assert codec.encode(b"a" * 65)[0] == 0xC2
    assert codec.encode(zlib.compress(bytes(range(256)) * 3))[0] == 0x82


def test_compressed_messages_stand_alone():
    _, codec = connect(compression=True)
    assert codec.encode(b"a" * 1000) == codec.encode(b"a" * 1000)


def test_frames_behind_the_request_are_read_with_it():
    client = WSConnection(ConnectionType.CLIENT)
    codec = WebSocketServerCodec(UpgradePolicy(), ALL, LIMIT)
    stream = client.send(Request(host="gateway", target="/x")) + frame(b"PING\r\n") + frame(b"hi", 0x89)
    upgraded, data = codec.receive(stream)
    assert isinstance(upgraded, Upgraded)
    assert data == b"PING\r\n"
    client.receive_data(codec.bytes_to_send())
    assert [type(event) for event in client.events()] == [AcceptConnection, Pong]


def test_a_batch_of_frames_is_one_event():
    client, codec = connect()
    frames = [client.send(BytesMessage(b"PUB a 1\r\nx\r\n")) for _ in range(100)]
    assert codec.receive(b"".join(frames)) == [b"PUB a 1\r\nx\r\n" * 100]


def test_payload_is_delivered_before_its_frame_is_complete():
    _, codec = connect()
    head = frame(b"", length=1 << 40)
    assert codec.receive(head + bytes(4)) == [KEY]


def test_pong_is_no_event():
    client, codec = connect()
    ping = codec.encode_ping(b"there?")
    client.receive_data(ping)
    (event,) = client.events()
    assert codec.receive(client.send(event.response())) == []
    assert codec.bytes_to_send() == b""


def test_codec_bytes_are_handed_out_once():
    client, codec = connect()
    codec.receive(client.send(Ping(b"1")))
    assert codec.bytes_to_send() == b"\x8a\x011"
    assert codec.bytes_to_send() == b""


@pytest.mark.parametrize(("code", "reason"), [(1000, "bye"), (1001, ""), (3000, "x"), (4999, "é")])
def test_close_of_the_peer_is_echoed_and_ends_the_stream(code, reason):
    client, codec = connect()
    stream = client.send(BytesMessage(b"last")) + client.send(CloseConnection(code, reason))
    assert codec.receive(stream + b"\xff" * 100) == [b"last", Closed(code, reason)]
    client.receive_data(codec.bytes_to_send())
    (echo,) = client.events()
    assert isinstance(echo, CloseConnection)
    assert echo.code == code
    assert codec.receive(frame(b"more")) == []
    assert codec.encode_close(1000, "bye") == b""


def test_close_without_code_is_echoed_without_code():
    _, codec = connect()
    assert codec.receive(frame(b"", 0x88)) == [Closed(1005, "")]
    assert codec.bytes_to_send() == b"\x88\x00"


def test_answer_to_our_close_is_not_echoed():
    client, codec = connect()
    client.receive_data(codec.encode_close(1001, "Server Shutdown"))
    (event,) = client.events()
    assert event == CloseConnection(1001, "Server Shutdown")
    assert codec.receive(client.send(event.response())) == [Closed(1001, "Server Shutdown")]
    assert codec.bytes_to_send() == b""


def test_close_frame_is_the_one_nats_server_sends():
    _, codec = connect()
    assert codec.encode_close(1008, "Authentication Failure") == b"\x88\x18\x03\xf0Authentication Failure"


def test_long_close_reason_is_cut_between_characters():
    _, codec = connect()
    code, reason = close_frame(codec.encode_close(1008, "é" * 100))
    assert (code, reason) == (1008, "é" * 61)


def test_nothing_but_http_is_said_before_the_upgrade():
    codec = WebSocketServerCodec(UpgradePolicy(), ALL, LIMIT)
    assert not codec.upgraded
    assert codec.encode_close(1001, "Server Shutdown") == b""
    with pytest.raises(MisuseError):
        codec.encode_ping(b"")


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 5000])
def test_codes_that_must_not_be_sent_are_refused(code):
    _, codec = connect()
    with pytest.raises(MisuseError):
        codec.encode_close(code, "")


def test_ping_that_fits_no_control_frame_is_refused():
    _, codec = connect()
    with pytest.raises(MisuseError):
        codec.encode_ping(bytes(126))


@pytest.mark.parametrize(("stream", "code", "text"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
@pytest.mark.parametrize("step", [1, 1000])
def test_violation_ends_the_stream_with_its_close_code(stream, code, text, step):
    _, codec = connect()
    stream = frame(b"before") + stream
    application, (violation,) = feed(codec, stream, list(range(0, len(stream), step)))
    assert application.startswith(b"before")
    assert isinstance(violation, PeerViolation)
    assert violation.reason is CloseReason.PROTOCOL_VIOLATION
    assert close_frame(violation.farewell) == (code, violation.detail[:123])
    assert text is None or violation.detail == text
    assert codec.receive(frame(b"after")) == []
    assert codec.encode_close(1000, "") == b""


def test_violation_after_our_close_brings_no_second_close_frame():
    _, codec = connect()
    codec.encode_close(1001, "")
    (violation,) = codec.receive(b"\x00\x00")
    assert violation.farewell == b""


def test_mqtt_takes_no_text_frames():
    _, codec = connect(path="/mqtt")
    assert codec.receive(frame(b"binary")) == [b"binary"]
    (violation,) = codec.receive(frame(b"text", 0x81))
    assert close_frame(violation.farewell) == (1003, "MQTT takes binary frames")


@pytest.mark.parametrize(
    ("stream", "code", "reason"),
    [
        (frame(deflate(bytes(LIMIT + 1)), 0xC2), 1009, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED),
        (frame(deflate(bytes(1 << 25)), 0xC2), 1009, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED),
        (frame(b"", 0xC2, length=LIMIT + 1), 1009, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED),
        (frame(b"", 0x42) + frame(b"", 0x00, length=LIMIT + 1), 1009, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED),
        (frame(b"\xff\xff", 0xC2), 1007, CloseReason.PROTOCOL_VIOLATION),
        (frame(deflate(b"x")[:1], 0x42) + frame(deflate(b"x")[1:], 0xC0), 1002, CloseReason.PROTOCOL_VIOLATION),
        (frame(b"", 0xC9), 1002, CloseReason.PROTOCOL_VIOLATION),
    ],
    ids=["inflated", "bomb", "on the wire", "in fragments", "corrupt", "bit on a continuation", "bit on a ping"],
)
@pytest.mark.parametrize("step", [1 << 20, 100])
def test_bad_compressed_message_ends_the_stream(stream, code, reason, step):
    _, codec = connect(compression=True)
    application, (violation,) = feed(codec, stream, list(range(0, len(stream), step)))
    assert len(application) <= LIMIT
    assert isinstance(violation, PeerViolation)
    assert violation.reason is reason
    assert close_frame(violation.farewell) == (code, violation.detail)


def test_bomb_is_not_inflated_beyond_the_limit():
    _, codec = connect(compression=True)
    bomb = frame(deflate(bytes(1 << 25)), 0xC2)
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        codec.receive(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    finally:
        tracemalloc.stop()


@given(cuts)
def test_compressed_message_may_be_as_long_as_the_limit_and_the_next_one_too(cuts):
    _, codec = connect(compression=True)
    stream = frame(deflate(bytes(LIMIT)), 0xC2) * 3
    assert feed(codec, stream, cuts) == (bytes(3 * LIMIT), [])


def test_compressed_data_may_end_with_a_final_block():
    # RFC 7692 7.2.3.4.
    _, codec = connect(compression=True)
    assert codec.receive(frame(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 0xC2)) == [b"Hello"]
    assert codec.receive(frame(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 0xC2)) == [b"Hello"]


def test_text_may_be_compressed():
    _, codec = connect(compression=True)
    assert codec.receive(frame(deflate("é".encode()), 0xC1)) == ["é".encode()]


@given(st.lists(st.binary(max_size=50) | st.sampled_from([frame(b"x"), b"\x82\xfe", b"\x89\x80", b"\xc2\x85"])))
def test_random_bytes_never_raise_and_the_end_is_the_last_event(chunks):
    for compression in (False, True):
        _, codec = connect(compression)
        events = [event for chunk in chunks for event in codec.receive(chunk)]
        assert not any(isinstance(event, PeerViolation | Closed) for event in events[:-1])


@given(st.binary(), st.integers(0, 3), cuts)
def test_random_bytes_end_the_same_way_however_they_are_cut(stream, frames, cuts):
    stream = frame(b"some") * frames + stream
    whole, pieces = connect()[1], connect()[1]
    _, expected = feed(whole, stream, [])
    _, events = feed(pieces, stream, cuts)
    assert [type(event) for event in events] == [type(event) for event in expected]
    assert pieces.bytes_to_send() == whole.bytes_to_send()


def test_unfinished_message_counts_with_what_inflating_it_keeps():
    decoder = FrameDecoder(True, MessageDeflate(1 << 20, 15))
    payload = deflate(b"x" * 1000)
    head = bytes((0x42, 0x80 | len(payload)))
    decoder.receive(head + bytes(4) + payload)
    assert decoder.unfinished_bytes() == INFLATER_BYTES
    decoder.receive(b"\x80\x80\x00\x00\x00")
    assert decoder.unfinished_bytes() == INFLATER_BYTES + 5
    decoder.receive(b"\x00")
    assert decoder.unfinished_bytes() == 0
