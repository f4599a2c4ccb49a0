"""A connection that has ended is gone at once: nothing of it waits for a garbage collection."""

import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from gateway.devices.device import DeviceNatsSession
from gateway.devices.link_transport import LinkTransport
from gateway.doors.session_makers import session_makers
from gateway.nats.spoke_directory import SpokeDirectory
from gateway.runtime.identity import random_sid
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.serial_link.link import Link, LinkSettings
from tests.gateway.transport.test_connection import House
from tests.patience import PATIENCE_SECONDS

OURS = ("gateway", "protocols")
NATS = b'CONNECT {"presence":"sheds.one"}\r\nSUB a.* 1\r\nPUB a.b 2\r\nhi\r\nPING\r\n'
UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n%b"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def mqtt(version: int) -> bytes:
    subscribe = encoder.encode_subscribe(version, 1, [packets.Subscription(b"a/+", 1)])
    publish = encoder.encode_publish(version, b"a/b", b"hi", 1, 2, False, False)
    return encoder.encode_connect(packets.Connect(version, b"x", clean_start=True)) + subscribe + publish


SAID = {
    "nats": ("nats", NATS),
    "mqtt 3.1.1": ("mqtt", mqtt(4)),
    "mqtt 5.0": ("mqtt", mqtt(5)),
    "mqtt, refused": ("mqtt", b"\x10\x00"),
    "nothing": ("nats", b""),
    "leafnode": ("leafnode", b'CONNECT {"name":"a","remote_account":"A"}\r\nLS+ a.*\r\nLMSG a.b 2\r\nhi\r\nPING\r\n'),
    "leafnode, refused": ("leafnode", b"PING\r\n"),
    "websocket": ("websocket", UPGRADE % (b"/", b"") + b"\x82\x86\0\0\0\0PING\r\n"),
    "websocket, refused": ("websocket", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
}


@contextmanager
def no_circles() -> Iterator[None]:
    """What is dropped within leaves nothing of ours for the collector."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        left = [type(one).__name__ for one in gc.garbage if type(one).__module__.partition(".")[0] in OURS]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


async def come_and_go(house: House, protocol: str, said: bytes) -> None:
    gateway = house.gateway
    spokes = SpokeDirectory(gateway.runtime.repeats)
    protocols = ("nats", "mqtt", "websocket", "leafnode")
    makers = session_makers(protocols, gateway.admission, gateway.mqtt_sessions, lambda: spokes, dict)
    with socket.socket() as listener, socket.socket() as near:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        far.setblocking(False)
        connection = house.registry.connection_over(far)
        connection.session = makers[protocol](connection, Listener(protocol=protocol, address="127.0.0.1:1"))  # type: ignore[arg-type]
        connection.begin()
        connection.runtime.switch.flush()
        near.sendall(said)
        await trio.testing.wait_all_tasks_blocked(0.02)
    with trio.fail_after(PATIENCE_SECONDS):
        await connection.wait_ended()


@pytest.mark.parametrize("kind", SAID)
async def test_connection_leaves_no_circles(kind: str):
    async with House(Config()).open() as house:
        await come_and_go(house, *SAID[kind])
        with no_circles():
            await come_and_go(house, *SAID[kind])
            await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.parametrize("said", [b"", NATS])
async def test_connection_of_a_device_leaves_no_circles(said: bytes):
    async with House(Config()).open() as house:

        def come() -> Callable[[], None]:
            link = Link(LinkSettings(mtu=512, send_buffer=16_384), random_sid, trio.current_time(), 115_200)
            transport = LinkTransport(link, "/dev/ttyUSB0", lambda: None)
            connection = Connection(house.runtime, house.registry, transport)
            connection.session = DeviceNatsSession(connection, house.gateway.admission, 5000)
            connection.begin()
            transport.feed(said)
            house.runtime.switch.flush()
            return lambda: connection.cut(CloseReason.CLIENT_CLOSED)

        come()()
        with no_circles():
            come()()
            house.runtime.switch.flush()
