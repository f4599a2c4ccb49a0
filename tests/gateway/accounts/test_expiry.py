"""An identity that expires ends its connection, in the words of its protocol, and by the clock of the wall."""

import time
from collections.abc import Awaitable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from gateway.accounts.account import Account
from gateway.accounts.identity import Credentials, Decision, Identity
from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.runtime.deadlines import Deadline
from gateway.settings.listener import Listener
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.accounts.test_admission import mqtt_packets
from tests.gateway.memory_connection import running_gateway
from tests.gateway.memory_transport import Peer

CONNECT = b'CONNECT {"verbose":false,"user":"anna"}\r\nPING\r\n'


class Passing:
    """Admits everybody for some seconds of the wall's clock."""

    def __init__(self, account: Account, seconds: float) -> None:
        self._identity = Identity(account, "anna", expires=time.time() + seconds)

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        return self._identity

    def renew(self, identity: Identity) -> Decision:
        return replace(identity)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> list[float]:
    """The clock of the wall goes as trio's does, and can be set by adding to the one number."""
    offset = [time.time() - autojump_clock.current_time()]
    monkeypatch.setattr(time, "time", lambda: autojump_clock.current_time() + offset[0])
    return offset


def nats(gateway: Gateway, seconds: float) -> Peer:
    admission = Passing(gateway.account, seconds)
    peer = Peer(gateway, lambda connection: NatsClientSession(connection, admission))
    peer.say(CONNECT)
    assert peer.hear().endswith(b"PONG\r\n")
    return peer


def mqtt(gateway: Gateway, seconds: float, version: int) -> Peer:
    directory, admission = gateway.mqtt_sessions, Passing(gateway.account, seconds)
    assert directory is not None
    peer = Peer(gateway, lambda connection: MqttClient(connection, admission, directory))
    peer.say(encoder.encode_connect(packets.Connect(version, b"anna", clean_start=True, username=b"anna")))
    (connack,) = mqtt_packets(peer.hear(), version)
    assert isinstance(connack, packets.Connack)
    assert connack.reason_code == 0
    return peer


def expiries(gateway: Gateway) -> list[Deadline]:
    waiting = [one for one in gateway.runtime.deadlines._heap if one.action is not None]
    return [one for one in waiting if one.action.__qualname__.startswith("AdmissionRequest.")]


async def test_nats_client_is_told_and_sent_away(wall: list[float], autojump_clock: MockClock):
    async with running_gateway() as gateway:
        peer = nats(gateway, 5000)
        for _ in range(49):
            await trio.sleep(100)
            assert peer.connection.close_reason is None
            peer.hear()
            peer.say(b"PONG\r\n")
        await trio.sleep(101)
        assert peer.hear().endswith(b"-ERR 'User Authentication Expired'\r\n")
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_EXPIRED


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_mqtt_client_is_told_as_its_version_can(wall: list[float], autojump_clock: MockClock, version: int):
    async with running_gateway() as gateway:
        peer = mqtt(gateway, 50, version)
        await trio.sleep(51)
        told = mqtt_packets(peer.hear(), version)
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_EXPIRED
        if version == MQTT_3_1_1:
            assert told == []
        else:
            (disconnect,) = told
            assert isinstance(disconnect, packets.Disconnect)
            assert disconnect.reason_code == ReasonCode.NOT_AUTHORIZED


async def test_clock_of_the_wall_that_is_set_counts(wall: list[float], autojump_clock: MockClock):
    async with running_gateway() as gateway:
        peers = nats(gateway, 3700), nats(gateway, 100)
        await trio.sleep(10)
        wall[0] += 3600
        await trio.sleep(100)
        for peer in peers:
            peer.say(b"PONG\r\n")
        assert [peer.connection.close_reason for peer in peers] == [None, CloseReason.AUTHENTICATION_EXPIRED]
        for _ in range(5):
            await trio.sleep(100)
            peers[0].say(b"PONG\r\n")
        await trio.sleep(1)
        assert [peer.connection.close_reason for peer in peers] == [CloseReason.AUTHENTICATION_EXPIRED] * 2


async def test_who_expired_already_is_in_for_a_moment_and_then_out(wall: list[float], autojump_clock: MockClock):
    async with running_gateway() as gateway:
        peer = nats(gateway, -1)
        await trio.sleep(0.1)
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_EXPIRED


async def test_who_has_gone_leaves_no_timer(wall: list[float], autojump_clock: MockClock):
    async with running_gateway() as gateway:
        peers = nats(gateway, 50), mqtt(gateway, 50, MQTT_5_0)
        await trio.sleep(1)
        assert len(expiries(gateway)) == 2
        for peer in peers:
            peer.leave()
        assert expiries(gateway) == []
