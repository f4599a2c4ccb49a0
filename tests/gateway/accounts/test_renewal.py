"""Everybody who is there is looked at again: by all doors, and whatever each of them was doing."""

import msgspec
import pytest
import trio

from gateway.accounts.passwords import hash_password
from gateway.accounts.renewal import renew_everybody
from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.settings.limits import Limits
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, User
from gateway.transport.connection import Connection
from gateway.websocket.session import WebSocketSession
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.primitives import MQTT_3_1_1
from tests.gateway.memory_connection import running_gateway
from tests.gateway.memory_transport import Peer
from tests.gateway.test_changed_settings import UPGRADE
from tests.patience import PATIENCE_SECONDS
from tests.protocols.websocket.client_frames import frame

ANN = User(name="ann", password=Secret("a"))
BOB = User(name="bob", password=Secret("b"))
BOTH = Config(users=(ANN, BOB), accounts=(AccountRules(name="plant"),))
LOGIN = b'CONNECT {"verbose":false,"protocol":1,"user":"%b","pass":"%b"}\r\n'


def nats(gateway: Gateway, name: bytes) -> Peer:
    peer = Peer(gateway, lambda connection: NatsClientSession(connection, gateway.admission))
    peer.say(LOGIN % (name, name[:1]))
    return peer


def websocket(gateway: Gateway, name: bytes) -> Peer:
    listener = Listener(protocol="websocket", address="127.0.0.1:0")
    admission = gateway.admission

    def make(connection: Connection) -> WebSocketSession:
        return WebSocketSession(connection, listener, {"nats": lambda inner: NatsClientSession(inner, admission)})

    peer = Peer(gateway, make)
    peer.say(UPGRADE + frame(LOGIN % (name, name[:1])))
    return peer


def mqtt(gateway: Gateway, name: bytes) -> Peer:
    directory = gateway.mqtt_sessions
    assert directory is not None
    peer = Peer(gateway, lambda connection: MqttClient(connection, gateway.admission, directory))
    peer.say(encoder.encode_connect(packets.Connect(MQTT_3_1_1, name, username=name, password=name[:1])))
    return peer


async def change(gateway: Gateway, config: Config) -> None:
    gateway.settings.replace(config)
    gateway.admission.apply()
    await renew_everybody(gateway.runtime, gateway.registry, gateway.admission)


@pytest.mark.parametrize("come", [nats, websocket, mqtt])
async def test_who_lost_the_user_is_closed_at_every_door_and_nobody_else(come):
    async with running_gateway(BOTH) as gateway:
        ann, bob = come(gateway, b"ann"), come(gateway, b"bob")
        await change(gateway, msgspec.structs.replace(BOTH, users=(BOB,)))
        assert ann.connection.close_reason is CloseReason.CREDENTIALS_REVOKED
        assert bob.connection.close_reason is None


@pytest.mark.parametrize("come", [nats, websocket, mqtt])
async def test_who_belongs_to_another_account_now_cannot_stay(come):
    async with running_gateway(BOTH) as gateway:
        ann = come(gateway, b"ann")
        moved = msgspec.structs.replace(ANN, account="plant")
        await change(gateway, msgspec.structs.replace(BOTH, users=(moved, BOB)))
        assert ann.connection.close_reason is CloseReason.CREDENTIALS_REVOKED
        assert ann.connection.close_detail == "the user belongs to another account"


async def test_who_has_not_said_yet_who_he_is_is_left_alone():
    async with running_gateway(BOTH) as gateway:
        stranger = Peer(gateway, lambda connection: NatsClientSession(connection, gateway.admission))
        await change(gateway, msgspec.structs.replace(BOTH, users=(BOB,)))
        assert stranger.connection.close_reason is None
        stranger.say(LOGIN % (b"ann", b"a"))
        assert stranger.connection.close_reason is CloseReason.AUTHENTICATION_FAILURE


async def test_fault_in_one_takes_rights_from_nobody_else(monkeypatch: pytest.MonkeyPatch, caplog):
    async with running_gateway(BOTH) as gateway:
        ann, bob = nats(gateway, b"ann"), nats(gateway, b"bob")
        real = gateway.admission.renew

        def renew(identity):
            if identity.user == "ann":
                raise RuntimeError("oops")
            return real(identity)

        monkeypatch.setattr(gateway.admission, "renew", renew)
        await change(gateway, msgspec.structs.replace(BOTH, users=(ANN,)))
        assert ann.connection.close_reason is CloseReason.INTERNAL_ERROR
        assert bob.connection.close_reason is CloseReason.CREDENTIALS_REVOKED
        assert "event=renewal-failed" in caplog.text


async def test_nothing_is_said_to_who_has_what_he_had():
    async with running_gateway(BOTH) as gateway:
        ann = nats(gateway, b"ann")
        ann.hear()
        await change(gateway, msgspec.structs.replace(BOTH, limits=Limits(max_connections=7)))
        assert ann.hear() == b""
        assert ann.connection.close_reason is None


async def test_password_that_is_still_being_checked_is_judged_by_the_users_there_are_then():
    ann = User(name="ann", password=Secret(hash_password(b"a", 4)))
    async with running_gateway(msgspec.structs.replace(BOTH, users=(ann, BOB))) as gateway:
        peer = nats(gateway, b"ann")
        assert peer.connection.close_reason is None
        await change(gateway, msgspec.structs.replace(BOTH, users=(BOB,)))
        with trio.fail_after(PATIENCE_SECONDS):
            while peer.connection.close_reason is None:  # noqa: ASYNC110 - a thread checks it, and tells nobody here
                await trio.sleep(0.005)
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_FAILURE
