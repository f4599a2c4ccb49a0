"""A WebSocket's session: the upgrade, then NATS or MQTT in frames, a batch of frames at a time."""

import tracemalloc
from collections.abc import Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.runtime.turns import DECODED_AT_ONCE
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.transport.connection import Connection
from gateway.transport.session import Session
from gateway.websocket.session import WebSocketSession
from protocols.close_reason import CloseReason
from protocols.websocket.upgrade import Page
from tests.gateway.memory_connection import MemoryConnection, running_gateway
from tests.protocols.websocket.client_frames import deflate, frame

REQUEST = (
    b"GET %b HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
QUIET = frame(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
MQTT_CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c"


def spoken(connection: MemoryConnection) -> dict[str, Callable[[Connection], Session]]:
    gateway = connection.gateway
    return {
        "nats": lambda inner: NatsClientSession(inner, gateway.admission),
        "mqtt": lambda inner: MqttClient(inner, gateway.admission, gateway.mqtt_sessions),
    }


def open_socket(gateway: Gateway, compression: bool = False) -> MemoryConnection:
    connection = MemoryConnection(gateway)
    listener = Listener(protocol="websocket", address="127.0.0.1:0", compression=compression)
    connection.start(WebSocketSession(connection, listener, spoken(connection)))  # type: ignore[arg-type]
    return connection


def connect(gateway: Gateway, compression: bool = False) -> MemoryConnection:
    """A NATS client that has said its first words, and taken the answer and its INFO."""
    connection = open_socket(gateway, compression)
    connection.receive(REQUEST % b"/" + QUIET)
    answer, _, info = connection.take().partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert (b"permessage-deflate" in answer) == compression
    assert compression or b"INFO {" in info
    return connection


async def test_frames_of_a_batch_are_answered_in_one_frame():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        said = frame(b"SUB a 1\r\n") + frame(b"PUB a 1\r\nx\r\n") * 2 + frame(b"PUB a 1\r") + frame(b"\ny\r\n")
        connection.receive(said)
        assert connection.take() == b"\x82\x2a" + b"MSG a 1 1\r\nx\r\n" * 2 + b"MSG a 1 1\r\ny\r\n"


async def test_message_in_a_frame_that_is_not_whole_is_delivered():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        connection.receive(frame(b"SUB a 1\r\n"))
        stream = frame(b"PUB a 1\r\nx\r\nPUB a 1\r\ny\r\n")
        connection.receive(stream[:-3])
        assert connection.take() == b"\x82\x0eMSG a 1 1\r\nx\r\n"
        connection.receive(stream[-3:])
        assert connection.take() == b"\x82\x0eMSG a 1 1\r\ny\r\n"


async def test_mqtt_is_spoken_at_its_path():
    async with running_gateway() as gateway:
        connection = open_socket(gateway)
        connection.receive(REQUEST % b"/mqtt" + frame(MQTT_CONNECT[:5]) + frame(MQTT_CONNECT[5:]))
        assert connection.take().endswith(b"\r\n\r\n\x82\x04\x20\x02\x00\x00")
        assert connection.session.kind == "mqtt-websocket"


@pytest.mark.parametrize(("proxies", "address"), [((), "127.0.0.1"), (("127.0.0.0/8",), "192.0.2.7")])
async def test_address_of_the_client_is_what_a_trusted_proxy_says(proxies: tuple[str, ...], address: str):
    async with running_gateway() as gateway:
        connection = MemoryConnection(gateway)
        listener = Listener(protocol="websocket", address="127.0.0.1:0", trusted_proxies=proxies)
        connection.start(WebSocketSession(connection, listener, spoken(connection)))  # type: ignore[arg-type]
        connection.receive(REQUEST[:-2] % b"/" + b"X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n\r\n")
        assert connection.address[0] == address


async def test_ping_of_the_socket_is_answered_and_the_close_ends_it():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        connection.receive(frame(b"PING\r\n") + frame(b"you?", 0x89))
        assert connection.take() == b"\x8a\x04you?" + b"\x82\x06PONG\r\n"
        connection.receive(frame(b"\x03\xe8", 0x88) + frame(b"PING\r\n"))
        assert connection.take() == b"\x88\x02\x03\xe8"
        assert connection.close_reason is CloseReason.CLIENT_CLOSED


async def test_violation_ends_the_connection_behind_what_came_before_it():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        connection.receive(frame(b"PING\r\n") + frame(b"PING\r\n", mask=None))
        assert connection.take() == b"\x82\x06PONG\r\n\x88\x12\x03\xeamask bit missing"
        assert connection.close_reason is CloseReason.PROTOCOL_VIOLATION
        assert connection.close_detail == "mask bit missing"


@pytest.mark.parametrize("said", [b"", REQUEST[:70]])
async def test_peer_that_asks_for_no_websocket_is_sent_away(said: bytes, autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(connect_seconds=2.0))) as gateway:
        connection = open_socket(gateway)
        if said:
            connection.receive(said)
        await trio.sleep(1.9)
        assert connection.close_reason is None
        await trio.sleep(0.2)
        assert connection.close_reason is CloseReason.AUTHENTICATION_TIMEOUT
        assert connection.take().startswith(b"HTTP/1.1 408 ")


async def test_batch_of_compressed_messages_is_not_inflated_at_once():
    async with running_gateway(Config(limits=Limits(max_payload_bytes=8000))) as gateway:
        connection = connect(gateway, compression=True)
        message = frame(deflate(b"PUB a 8000\r\n" + bytes(8000) + b"\r\n"), 0xC2)
        batch = message * ((1 << 18) // len(message))
        assert 8000 * len(batch) // len(message) > 1 << 24
        tracemalloc.start()
        try:
            connection.receive(batch)
            assert tracemalloc.get_traced_memory()[1] < 1 << 23
        finally:
            tracemalloc.stop()
        assert connection.close_reason is None
        assert connection.session.port.in_messages == len(batch) // len(message)


async def test_others_have_their_turn_between_the_slices_of_what_inflates_a_thousandfold():
    async with running_gateway() as gateway:
        connection = connect(gateway, compression=True)
        pings = 100_000
        connection.receive(frame(deflate(b"PING\r\n" * pings), 0xC2))
        assert connection.slices > 6 * pings // 8192
        assert connection.outbox.pending() == 0


async def test_what_came_before_the_close_frame_is_acted_on_first():
    """A batch holds more than one slice of messages, and the client's close frame behind them."""
    async with running_gateway() as gateway:
        connection = connect(gateway)
        count = 2 * DECODED_AT_ONCE
        said = b"".join(b"PUB a.%d 0\r\n\r\n" % number for number in range(count))
        port = connection.session.port
        connection.receive(frame(said) + frame((1000).to_bytes(2, "big"), 0x88))
        assert connection.slices > 2
        assert port.in_messages == count
        assert connection.close_reason is CloseReason.CLIENT_CLOSED


PAGE = Page(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"page")


@pytest.mark.parametrize(
    ("request_head", "answer"),
    [
        (b"GET /console/?x=1 HTTP/1.1\r\nHost: edge\r\n\r\n", PAGE.head + PAGE.body),
        (b"HEAD /console/ HTTP/1.1\r\nHost: edge\r\n\r\n", PAGE.head),
    ],
)
async def test_page_is_for_who_asks_for_no_websocket(request_head: bytes, answer: bytes):
    async with running_gateway() as gateway:
        connection = MemoryConnection(gateway)
        listener = Listener(protocol="websocket", address="127.0.0.1:0")
        connection.start(WebSocketSession(connection, listener, spoken(connection), {"/console/": PAGE}))  # type: ignore[arg-type]
        connection.receive(request_head)
        assert connection.take() == answer
        assert connection.close_reason is CloseReason.CLIENT_CLOSED


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_other_paths_and_methods_are_refused_as_where_there_is_no_page(method: bytes):
    async with running_gateway() as gateway:
        connection = MemoryConnection(gateway)
        listener = Listener(protocol="websocket", address="127.0.0.1:0")
        connection.start(WebSocketSession(connection, listener, spoken(connection), {"/console/": PAGE}))  # type: ignore[arg-type]
        path = b"/other" if method == b"GET" else b"/console/"
        connection.receive(method + b" " + path + b" HTTP/1.1\r\nHost: edge\r\n\r\n")
        assert connection.take().startswith(b"HTTP/1.1 40")
        assert connection.close_reason is CloseReason.PROTOCOL_VIOLATION


async def test_websocket_at_the_path_of_a_page_is_one():
    async with running_gateway() as gateway:
        connection = MemoryConnection(gateway)
        listener = Listener(protocol="websocket", address="127.0.0.1:0")
        connection.start(WebSocketSession(connection, listener, spoken(connection), {"/console/": PAGE}))  # type: ignore[arg-type]
        connection.receive(REQUEST % b"/console/")
        assert connection.take().startswith(b"HTTP/1.1 101 ")
