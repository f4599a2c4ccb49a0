"""The WebSocket of boards: byte by byte against wsproto, and from a real MicroPython to gateway and nats-server."""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request

from tests.integration.peers import free_port, gateway, nats_server
from tests.micropython.device_peer import meet
from tests.micropython.unix_port import load_here


websocket = load_here("websocket")


class Stream:
    """What the other end sends comes in these chunks; `sent` is what it gets. It may answer what it gets."""

    def __init__(self, chunks: Iterable[bytes], answer: Callable[[bytes], bytes] | None = None) -> None:
        self.sent = b""
        self._chunks = list(chunks)
        self._answer = answer

    async def readinto(self, buffer: Any) -> int:
        if not self._chunks:
            return 0
        chunk = self._chunks.pop(0)
        count = min(len(chunk), len(buffer))
        buffer[:count] = chunk[:count]
        if count < len(chunk):
            self._chunks.insert(0, chunk[count:])
        return count

    def write(self, data: bytes) -> None:
        self.sent += bytes(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)
        if self._answer is not None:
            self._chunks.append(self._answer(self.sent))

    async def wait_closed(self) -> None:
        self._chunks.clear()


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Non-empty parts of the data."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


async def read_all(stream: Stream, size: int, rest: bytes = b"") -> bytes:
    """What comes out until the end, read with buffers of a size."""
    end = websocket.WebSocket(stream, rest)
    received = b""
    buffer = bytearray(size)
    while (count := await end.readinto(memoryview(buffer))) != 0:
        received += buffer[: count or 0]
    return received


server_says = st.lists(
    st.one_of(
        st.builds(BytesMessage, st.binary(max_size=300), message_finished=st.booleans()),
        st.builds(Ping, st.binary(max_size=125)),
    )
)


@given(server_says, st.lists(st.integers(0, 10_000)), st.integers(1, 400), st.integers(0, 9))
@example([BytesMessage(bytes(70_000))], [], 1024, 0)
@example([Ping(b"a"), Ping(b""), BytesMessage(b"")], [], 1, 0)
def test_content_of_messages_comes_out_however_it_is_cut(said: list[Any], places: list[int], size: int, early: int):
    server = Connection(ConnectionType.SERVER)
    wire = b"".join(server.send(event) for event in said)
    stream = Stream(cut(wire[early:], places))
    received = asyncio.run(read_all(stream, size, wire[:early]))
    assert received == b"".join(bytes(event.data) for event in said if isinstance(event, BytesMessage))
    server.receive_data(stream.sent)
    pongs = [bytes(event.payload) for event in server.events() if isinstance(event, Pong)]
    assert pongs == [bytes(event.payload) for event in said if isinstance(event, Ping)]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 100))
def test_no_bytes_do_more_than_end_the_connection(chunks: list[bytes], size: int):
    try:
        asyncio.run(read_all(Stream(filter(None, chunks)), size))
    except OSError:
        pass


@given(st.lists(st.lists(st.binary(max_size=300), min_size=1), max_size=5))
@example([[bytes(range(256)) * 280, b"", b"\r\n"]])
@example([[b""]])
def test_what_is_written_up_to_a_drain_is_one_masked_frame(batches: list[list[bytes]]):
    stream = Stream([])

    async def send() -> None:
        end = websocket.WebSocket(stream)
        for batch in batches:
            for piece in batch:
                end.write(memoryview(piece))
            await end.drain()
        await end.wait_closed()

    asyncio.run(send())
    server = Connection(ConnectionType.SERVER)
    server.receive_data(stream.sent)
    *events, last = server.events()
    received = [b""]
    for event in events:
        received[-1] += event.data
        if event.message_finished:
            received.append(b"")
    assert received == [*(b"".join(batch) for batch in batches), b""]
    assert isinstance(last, CloseConnection)
    assert last.code == 1000


def test_every_frame_has_a_mask_of_its_own():
    stream = Stream([])

    async def send() -> None:
        end = websocket.WebSocket(stream)
        for _ in range(50):
            end.write(b"1234")
            await end.drain()

    asyncio.run(send())
    frames = [stream.sent[start : start + 10] for start in range(0, 500, 10)]
    assert all(frame[:2] == b"\x82\x84" for frame in frames)
    assert len({frame[2:6] for frame in frames}) == 50


BINARY, TEXT, MORE, PING = b"\x82\x01a", b"\x81\x01a", b"\x00\x01a", b"\x89\x01a"


@pytest.mark.parametrize(
    "wire",
    [
        TEXT,
        MORE,
        b"\x02\x01a" + BINARY,
        b"\x82\x81\0\0\0\0a",
        b"\xc2\x01a",
        b"\x83\x01a",
        b"\x8b\x00",
        b"\x09\x00",
        b"\x89\x7e\x00\x7e" + bytes(126),
    ],
    ids=[
        "text",
        "continuation of nothing",
        "message within a message",
        "masked",
        "reserved bit",
        "unknown opcode",
        "unknown control opcode",
        "control in fragments",
        "control too long",
    ],
)
def test_frame_against_the_rules_ends_the_connection(wire: bytes):
    with pytest.raises(OSError, match="WebSocket"):
        asyncio.run(read_all(Stream([wire]), 1024))


def test_close_frame_is_the_end():
    assert asyncio.run(read_all(Stream([BINARY + PING + b"\x88\x02\x03\xe8" + BINARY, BINARY]), 1024)) == b"a"


def accepted(request: bytes, *headers: tuple[bytes, bytes], extra: bytes = b"") -> bytes:
    """wsproto's answer to a request."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(request)
    (event,) = server.events()
    assert isinstance(event, Request)
    return server.send(AcceptConnection(extra_headers=list(headers))) + extra


def shake_hands(answer: Callable[[bytes], bytes]) -> bytes:
    rest: bytes = asyncio.run(websocket._shake_hands(Stream([], answer), "edge:8080", "/"))
    return rest


def test_handshake_is_wsprotos_and_keeps_what_comes_behind_it():
    assert shake_hands(accepted) == b""
    assert shake_hands(lambda request: accepted(request, extra=BINARY)) == BINARY


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: b"HTTP/1.1 404 Not Found\r\n\r\n",
        lambda request: accepted(request).replace(b" 101 ", b" 200 "),
        lambda request: accepted(request).replace(b"websocket", b"h2c"),
        lambda request: accepted(request).replace(b"Accept: ", b"Accept: A"),
        lambda request: accepted(request).replace(b"Sec-WebSocket-Accept", b"X"),
        lambda request: accepted(request, (b"Sec-WebSocket-Extensions", b"permessage-deflate")),
        lambda request: accepted(request, (b"Sec-WebSocket-Protocol", b"mqtt")),
        lambda request: b"x" * 10_000,
        lambda request: b"",
    ],
)
def test_answer_that_is_no_websocket_is_refused(answer: Callable[[bytes], bytes]):
    with pytest.raises(OSError, match="no WebSocket"):
        shake_hands(answer)


def test_device_meets_the_gateway_over_a_websocket(tmp_path: Path):
    with gateway(tmp_path, protocols=("nats", "websocket")) as edge:
        meet(edge.url("websocket", "ws"), edge.url())


def test_device_meets_nats_server_over_a_websocket(tmp_path: Path):
    port = free_port()
    with nats_server(tmp_path, f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}') as server:
        meet(f"ws://127.0.0.1:{port}", server.url())


def test_device_meets_the_gateway_over_tcp(tmp_path: Path):
    with gateway(tmp_path) as edge:
        meet(edge.url(), edge.url())
