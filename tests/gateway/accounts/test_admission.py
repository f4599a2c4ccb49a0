"""Who comes in: what a peer says before that is decided, decisions that take time, and those that refuse."""

from collections.abc import Awaitable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from gateway.accounts.account import Account
from gateway.accounts.admission import Admission
from gateway.accounts.identity import Credentials, Decision, Identity, Refusal
from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.settings.limits import Timeouts
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.websocket.session import WebSocketSession
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.publish import Publish
from protocols.websocket.close_codes import close_code
from tests.gateway.memory_connection import running_gateway
from tests.gateway.memory_transport import Peer
from tests.protocols.websocket.client_frames import frame

CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"user":"anna","pass":"secret"}\r\n'
VIOLATION = b"-ERR 'Authorization Violation'\r\n"
ALL_AT_ONCE = CONNECT + b"SUB foo 1\r\nPUB foo 2\r\nhi\r\nPING\r\n"
REQUEST = (
    b"GET /%b HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)


class Gatekeeper:
    """Decides when it is told to: `decide` ends the wait of everybody who has asked."""

    def __init__(self, account: Account, anonymous: bool = False) -> None:
        self.account = account
        self.asked: list[Credentials] = []
        self._open_to_all = anonymous
        self._decision: Decision | None = None
        self._decided = trio.Event()

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return Identity(self.account) if self._open_to_all else None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        self.asked.append(credentials)
        return self._wait()

    async def decide(self, decision: Decision) -> None:
        self._decision = decision
        self._decided.set()
        await trio.testing.wait_all_tasks_blocked()

    async def _wait(self) -> Decision:
        await self._decided.wait()
        assert self._decision is not None
        return self._decision


class Strict:
    """Lets nobody in without credentials, and answers at once: `refused` are the users who may not come."""

    def __init__(self, account: Account, *refused: str) -> None:
        self._account = account
        self._refused = refused

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        if credentials.user in self._refused:
            return Refusal("a wrong password")
        return Identity(self._account, credentials.user)


def nats(gateway: Gateway, admission: Admission) -> Peer:
    return Peer(gateway, lambda connection: NatsClientSession(connection, admission))


def mqtt(gateway: Gateway, admission: Admission) -> Peer:
    directory = gateway.mqtt_sessions
    assert directory is not None
    return Peer(gateway, lambda connection: MqttClient(connection, admission, directory))


def websocket(gateway: Gateway, admission: Admission, path: bytes) -> Peer:
    """A peer whose upgrade was accepted."""
    directory = gateway.mqtt_sessions
    assert directory is not None
    listener = Listener(protocol="websocket", address="127.0.0.1:0")
    inner = {
        "nats": lambda connection: NatsClientSession(connection, admission),
        "mqtt": lambda connection: MqttClient(connection, admission, directory),
    }
    peer = Peer(gateway, lambda connection: WebSocketSession(connection, listener, inner))
    peer.say(REQUEST % path)
    assert peer.hear().startswith(b"HTTP/1.1 101 ")
    return peer


def mqtt_words(version: int) -> bytes:
    """CONNECT, SUBSCRIBE and PUBLISH in one segment."""
    connect = packets.Connect(version, b"anna", clean_start=True, username=b"anna", password=b"secret")
    return (
        encoder.encode_connect(connect)
        + encoder.encode_subscribe(version, 1, [packets.Subscription(b"foo", 0)])
        + encoder.encode_publish(version, b"foo", b"hi", 0, 0, False, False)
    )


def mqtt_packets(data: bytes, version: int) -> list[object]:
    return ClientDecoder(1 << 20, version).receive(data)


def is_quiet(gateway: Gateway) -> bool:
    """Whether nobody has subscribed to anything."""
    return gateway.account.router.local_interest() == []


# NATS.


async def test_nats_client_is_heard_behind_its_connect_once_it_is_admitted():
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = nats(gateway, keeper)
        assert peer.hear().startswith(b"INFO {")
        peer.say(ALL_AT_ONCE)
        peer.say(b"PUB foo 2\r\nho\r\n")
        assert peer.hear() == b""
        assert is_quiet(gateway)
        asked = keeper.asked[0]
        assert (asked.kind, asked.user, asked.password) == ("nats", "anna", b"secret")
        await keeper.decide(Identity(gateway.account, "anna"))
        assert peer.hear() == b"MSG foo 1 2\r\nhi\r\nPONG\r\nMSG foo 1 2\r\nho\r\n"
        assert len(keeper.asked) == 1


async def test_nats_client_that_is_refused_has_done_nothing():
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = nats(gateway, keeper)
        peer.hear()
        peer.say(ALL_AT_ONCE)
        await keeper.decide(Refusal("a wrong password"))
        assert peer.hear() == VIOLATION
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_FAILURE
        assert is_quiet(gateway)
        assert gateway.account.port.in_messages == 0


@pytest.mark.parametrize("is_admitted", [True, False])
async def test_nats_client_that_leaves_before_the_decision_leaves_nothing_behind(is_admitted: bool):
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = nats(gateway, keeper)
        peer.hear()
        peer.say(CONNECT + b"SUB foo 1\r\n")
        peer.leave()
        assert peer.connection.close_reason is None  # It is not read.
        await keeper.decide(Identity(gateway.account) if is_admitted else Refusal("a wrong password"))
        assert VIOLATION not in peer.hear() or not is_admitted
        assert peer.connection.close_reason is not None
        assert is_quiet(gateway)
        assert gateway.registry.open == {}


async def test_second_connect_that_takes_time_keeps_the_first_one_until_then():
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account, anonymous=True)
        plant = gateway.open_account("plant")
        peer = nats(gateway, keeper)
        peer.say(b"SUB foo 1\r\n")
        peer.say(CONNECT + b"SUB bar 2\r\nPUB bar 2\r\nhi\r\n")
        peer.hear()
        assert len(gateway.account.router.local_interest()) == 1
        await keeper.decide(Identity(plant, "anna"))
        assert peer.hear() == b"MSG bar 2 2\r\nhi\r\n"
        assert is_quiet(gateway)
        assert plant.router.local_interest() == [(b"bar", b"", 1)]
        peer.leave()
        assert plant.router.local_interest() == []


@pytest.mark.parametrize(
    "words",
    [
        b"PING\r\n",
        b"PONG\r\n",
        b"SUB foo 1\r\n",
        b"UNSUB 1\r\n",
        b"PUB foo 2\r\nhi\r\n",
        b"PUB foo 1000000\r\n",
        b"HPUB foo 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\r\n",
        b"P",
    ],
)
async def test_nats_client_without_a_name_may_only_give_one(words: bytes):
    async with running_gateway() as gateway:
        peer = nats(gateway, Strict(gateway.account))
        peer.hear()
        peer.say(words + CONNECT)
        assert peer.hear() == VIOLATION
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_FAILURE
        assert is_quiet(gateway)


@pytest.mark.parametrize("cut", range(1, len(CONNECT), 7))
async def test_connect_may_come_in_pieces(cut: int):
    async with running_gateway() as gateway:
        peer = nats(gateway, Strict(gateway.account))
        peer.hear()
        peer.say(CONNECT[:cut])
        assert peer.connection.session.describe().account == ""
        peer.say(CONNECT[cut:] + b"PING\r\n")
        assert peer.hear() == b"PONG\r\n"
        assert peer.connection.session.describe().account == gateway.account.name


async def test_refusal_at_once_is_answered_like_one_that_took_time():
    async with running_gateway() as gateway:
        peer = nats(gateway, Strict(gateway.account, "anna"))
        peer.hear()
        peer.say(ALL_AT_ONCE)
        assert peer.hear() == VIOLATION
        assert is_quiet(gateway)


@pytest.mark.parametrize("words", [b"", b"CONN", CONNECT])
async def test_nats_client_is_given_its_time_and_no_more_whoever_is_slow(words: bytes, autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(connect_seconds=2.0))) as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = nats(gateway, keeper)
        peer.hear()
        peer.say(words)
        await trio.sleep(1.9)
        assert peer.hear() == b""
        await trio.sleep(0.2)
        assert peer.hear() == b"-ERR 'Authentication Timeout'\r\n"
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_TIMEOUT
        await keeper.decide(Identity(gateway.account))
        assert peer.hear() == b""
        assert is_quiet(gateway)


async def test_nats_client_is_pinged_once_it_is_in(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = nats(gateway, keeper)
        peer.hear()
        peer.say(CONNECT)
        await trio.sleep(5)
        assert peer.hear() == b""
        await keeper.decide(Identity(gateway.account))
        await trio.sleep(3)
        assert peer.hear() == b"PING\r\n"


# MQTT.


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_mqtt_client_is_heard_behind_its_connect_once_it_is_admitted(version: int):
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = mqtt(gateway, keeper)
        peer.say(mqtt_words(version))
        assert peer.hear() == b""
        assert is_quiet(gateway)
        asked = keeper.asked[0]
        assert (asked.kind, asked.user, asked.password, asked.client_id) == ("mqtt", "anna", b"secret", b"anna")
        await keeper.decide(Identity(gateway.account, "anna"))
        connack, suback, publish = mqtt_packets(peer.hear(), version)
        assert isinstance(connack, packets.Connack)
        assert connack.reason_code == 0
        assert isinstance(suback, packets.Suback)
        assert isinstance(publish, Publish)
        assert publish.payload == b"hi"


@pytest.mark.parametrize(
    ("version", "connack"), [(MQTT_3_1_1, b"\x20\x02\x00\x04"), (MQTT_5_0, b"\x20\x03\x00\x86\x00")]
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_mqtt_client_that_is_refused_is_told_in_its_version_and_has_done_nothing(
    version: int, connack: bytes, at_once: bool
):
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = mqtt(gateway, Strict(gateway.account, "anna") if at_once else keeper)
        peer.say(mqtt_words(version))
        await keeper.decide(Refusal("a wrong password"))
        assert peer.hear() == connack
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_FAILURE
        assert is_quiet(gateway)
        assert gateway.mqtt_sessions is not None
        assert len(gateway.mqtt_sessions) == 0


async def test_mqtt_client_that_leaves_before_the_decision_leaves_nothing_behind():
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = mqtt(gateway, keeper)
        peer.say(mqtt_words(MQTT_3_1_1))
        peer.leave()
        await keeper.decide(Identity(gateway.account))
        peer.hear()
        assert peer.connection.close_reason is not None
        assert is_quiet(gateway)
        assert gateway.mqtt_sessions is not None
        assert len(gateway.mqtt_sessions) == 0


async def test_mqtt_client_is_given_its_time_and_no_more_whoever_is_slow(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(connect_seconds=2.0))) as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = mqtt(gateway, keeper)
        peer.say(mqtt_words(MQTT_5_0))
        await trio.sleep(2.1)
        assert peer.connection.close_reason is CloseReason.AUTHENTICATION_TIMEOUT
        await keeper.decide(Identity(gateway.account))
        assert is_quiet(gateway)


# WebSocket.


@pytest.mark.parametrize("is_admitted", [True, False])
@pytest.mark.parametrize("cut", [True, False])
async def test_nats_in_a_websocket_waits_for_the_decision(is_admitted: bool, cut: bool):
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = websocket(gateway, keeper, b"")
        peer.say(frame(ALL_AT_ONCE[:90]) + frame(ALL_AT_ONCE[90:]) if cut else frame(ALL_AT_ONCE))
        assert peer.hear() == b""
        assert is_quiet(gateway)
        await keeper.decide(Identity(gateway.account) if is_admitted else Refusal("a wrong password"))
        heard = peer.hear()
        if is_admitted:
            assert heard[2:] == b"MSG foo 1 2\r\nhi\r\nPONG\r\n"
        else:
            assert heard[2:].startswith(VIOLATION)
            assert close_code(CloseReason.AUTHENTICATION_FAILURE).to_bytes(2) in heard
            assert is_quiet(gateway)


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize("is_admitted", [True, False])
async def test_mqtt_in_a_websocket_waits_for_the_decision(is_admitted: bool, version: int):
    async with running_gateway() as gateway:
        keeper = Gatekeeper(gateway.account)
        peer = websocket(gateway, keeper, b"mqtt")
        peer.say(frame(mqtt_words(version)))
        assert peer.hear() == b""
        await keeper.decide(Identity(gateway.account) if is_admitted else Refusal("a wrong password"))
        first, *others = mqtt_packets(peer.hear()[2:], version)
        assert isinstance(first, packets.Connack)
        assert (first.reason_code == 0) is is_admitted
        if is_admitted:
            assert [type(packet) for packet in others] == [packets.Suback, Publish]


async def test_websocket_asks_for_a_name_in_nats_as_a_plain_connection_does():
    async with running_gateway() as gateway:
        peer = websocket(gateway, Strict(gateway.account), b"")
        peer.say(frame(b"PING\r\n"))
        assert peer.hear()[2:].startswith(VIOLATION)
