"""Who is let in: `max-connections` and the limits for peers that have not introduced themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gateway.assembly import Gateway
from gateway.doors.listeners import open_listener
from gateway.settings.limits import Limits
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from protocols.mqtt import encoder, packets
from tests.patience import PATIENCE_SECONDS

PROTOCOLS = ("nats", "mqtt", "websocket")
INTRODUCTIONS = {
    "nats": b"PING\r\n",
    "mqtt": encoder.encode_connect(packets.Connect(4, b"", clean_start=True)),
    "websocket": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    b"\x82\x86\0\0\0\0PING\r\n",
}


class House:
    """A gateway with one listener for each protocol."""

    def __init__(self, limits: Limits) -> None:
        listeners = tuple(Listener(protocol=one, address="127.0.0.1:0") for one in PROTOCOLS)  # type: ignore[arg-type]
        self.gateway = Gateway(Config(listeners=listeners, limits=limits))
        self.opened = [open_listener(self.gateway.settings.config, index) for index in range(len(listeners))]
        self.peers: list[trio.SocketStream] = []

    async def come(self, protocol: str, said: bytes = b"") -> trio.SocketStream:
        """A peer that has been taken, or turned away."""
        peer = await self._connect(protocol)
        if said:
            await peer.send_all(said)
        await self.settle()
        return peer

    async def come_many(self, protocol: str, count: int) -> None:
        """Peers that say nothing, all at once."""
        for _ in range(count):
            await self._connect(protocol)
        await self.settle()

    async def _connect(self, protocol: str) -> trio.SocketStream:
        (address,) = (one.socket.getsockname() for one in self.opened if one.config.protocol == protocol)
        peer = await trio.open_tcp_stream(*address)
        self.peers.append(peer)
        return peer

    async def settle(self) -> None:
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked(0.01)


@asynccontextmanager
async def open_house(**limits: int) -> AsyncIterator[House]:
    house = House(Limits(**limits))
    gateway = house.gateway
    doors = [gateway.door(listener) for listener in house.opened]
    async with trio.open_nursery() as services:
        services.start_soon(gateway.runtime.deadlines.run, gateway.runtime.switch.flush)
        services.start_soon(gateway.reader.run_inside_trio)
        gateway.runtime.nursery = services
        for door in doors:
            door.open()
        try:
            yield house
        finally:
            for door in doors:
                door.close()
            gateway.registry.cut_all()
            for peer in house.peers:
                peer.socket.close()
        services.cancel_scope.cancel()


async def answer(peer: trio.SocketStream) -> bytes:
    """Everything up to the end of the stream."""
    with trio.fail_after(PATIENCE_SECONDS):
        return b"".join([piece async for piece in peer])


async def refusal(peer: trio.SocketStream, protocol: str) -> None:
    heard = await answer(peer)
    if protocol == "nats":
        assert heard.startswith(b"INFO {")
        assert heard.endswith(b"\r\n-ERR 'maximum connections exceeded'\r\n")
    elif protocol == "websocket":
        assert heard.startswith(b"HTTP/1.1 503 ")
    else:
        assert heard == b""


@pytest.mark.parametrize("silent", PROTOCOLS)
@pytest.mark.parametrize("late", PROTOCOLS)
async def test_every_socket_counts_from_its_first_moment_on(silent: str, late: str):
    async with open_house(max_connections=5) as house:
        registry = house.gateway.registry
        await house.come_many(silent, 60)
        assert (len(registry.open), registry.clients, registry.strangers) == (5, 5, 5)
        await refusal(await house.come(late, INTRODUCTIONS[late]), late)
        for peer in house.peers:
            await peer.aclose()
        await house.settle()
        assert (registry.clients, registry.strangers, registry.strangers_from) == (0, 0, {})
        await house.come(late, INTRODUCTIONS[late])
        assert (registry.clients, registry.strangers) == (1, 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("key", ["max_unintroduced", "max_unintroduced_per_address"])
async def test_strangers_take_no_places_but_their_own(protocol: str, key: str):
    async with open_house(**{key: 3}) as house:
        registry = house.gateway.registry
        for _ in range(5):
            await house.come(protocol, INTRODUCTIONS[protocol])
        assert (registry.clients, registry.strangers) == (5, 0)
        await house.come_many(protocol, 10)
        assert (registry.clients, registry.strangers) == (8, 3)
        await refusal(await house.come(protocol, INTRODUCTIONS[protocol]), protocol)
        await house.peers[5].send_all(INTRODUCTIONS[protocol])
        await house.settle()
        assert registry.strangers == 2
        await house.come(protocol, INTRODUCTIONS[protocol])
        assert (registry.clients, registry.strangers) == (9, 2)


async def test_connection_that_lingers_keeps_its_place_until_its_socket_is_closed():
    async with open_house(max_connections=1) as house:
        registry = house.gateway.registry
        peer = await house.come("nats", b"NONSENSE\r\n")
        assert registry.clients == len(registry.open)
        await peer.aclose()
        await house.settle()
        assert registry.clients == 0


async def test_turned_away_peers_are_one_line_of_the_log(caplog: pytest.LogCaptureFixture):
    async with open_house(max_connections=1) as house:
        await house.come("nats", INTRODUCTIONS["nats"])
        await house.come_many("nats", 20)
        lines = [line for line in caplog.messages if "event=turned-away" in line]
        assert len(lines) == 1
        assert lines[0].endswith("peer=127.0.0.1 limit=max-connections")
