"""Doors that become others."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.assembly import Gateway
from gateway.doors.listeners import open_listener
from gateway.doors.reception import Reception
from gateway.errors import ListenError
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from tests.gateway.memory_connection import running_gateway


def on(port: int, protocol: str = "nats", host: str = "127.0.0.1") -> Listener:
    return Listener(protocol=protocol, address=f"{host}:{port}")


class House:
    def __init__(self, gateway: Gateway, config: Config) -> None:
        self.config = config
        self.reception = Reception(gateway.door)
        for index in range(len(config.listeners)):
            self.reception.let_in(open_listener(config, index))

    def port(self, index: int) -> int:
        return self.reception.doors[index].listener.port

    async def change(self, *listeners: Listener) -> None:
        step = await self.reception.prepare(self.config, Config(listeners=listeners))
        assert step is not None
        step.apply()


@asynccontextmanager
async def house(*listeners: Listener) -> AsyncIterator[House]:
    async with running_gateway() as gateway:
        found = House(gateway, Config(listeners=listeners))
        try:
            yield found
        finally:
            found.reception.close()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def shares(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))


async def test_equal_listeners_keep_their_doors():
    async with house(on(0), on(0, "mqtt")) as one:
        nats, mqtt = one.reception.doors
        await one.change(on(0, "mqtt"), on(0, "websocket"), on(0))
        assert one.reception.doors[0] is mqtt
        assert one.reception.doors[2] is nats
        assert [door.listener.config.protocol for door in one.reception.doors] == ["mqtt", "websocket", "nats"]


async def test_nothing_is_done_where_all_are_equal():
    async with house(on(0)) as one:
        assert await one.reception.prepare(one.config, Config(listeners=(on(0),))) is None


async def test_listener_with_other_keys_keeps_its_socket():
    async with house(on(0)) as one:
        (before,) = one.reception.doors
        await one.change(Listener(protocol="nats", address="127.0.0.1:0", allow_anonymous=True))
        (door,) = one.reception.doors
        assert door is not before
        assert door.listener.socket is before.listener.socket
        assert door.listener.config.allow_anonymous


async def test_what_cannot_be_opened_closes_what_could_and_changes_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with house(on(0)) as one:
            before = one.reception.doors
            port = one.port(0)
            new = Config(listeners=(on(port, host="localhost"), on(0, "mqtt"), on(taken.getsockname()[1])))
            with pytest.raises(ListenError, match=r"^listeners\[2\].address: cannot listen on "):
                await one.reception.prepare(one.config, new)
            assert one.reception.doors is before
            assert not shares(before[0].listener.socket)
            assert is_open(port)


async def test_door_on_the_port_of_one_that_goes_opens_first_and_shares_it_with_nobody_later():
    async with house(on(0)) as one:
        port = one.port(0)
        await one.change(on(port, host="localhost"))
        assert is_open(port)
        assert not shares(one.reception.doors[0].listener.socket)


async def test_doors_that_opened_late_come_into_their_order():
    async with house(on(0), on(0, "mqtt")) as one:
        listeners = one.reception.listeners
        one.reception.doors.reverse()
        one.reception.put_in_order(listeners)
        assert one.reception.listeners == listeners


async def test_gateway_without_mqtt_begins_to_speak_it():
    config = Config(listeners=(on(0),))
    async with running_gateway(config) as gateway:
        assert gateway.mqtt_sessions is None
        one = House(gateway, config)
        try:
            await one.change(on(0), on(0, "mqtt"))
            assert gateway.mqtt_sessions is not None
            assert is_open(one.port(1))
        finally:
            one.reception.close()
