"""Settings that are replaced while peers are there: who came before is treated as who comes behind."""

import msgspec
import pytest
import trio
from trio.testing import MockClock

from gateway.accounts.admission import OpenAdmission
from gateway.accounts.identity import Identity
from gateway.assembly import Gateway
from gateway.devices.device import ALLOWANCE, DeviceNatsSession
from gateway.mqtt.client import MqttClient
from gateway.mqtt.session import MqttSession
from gateway.nats.client import NatsClientSession
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.listener import Listener
from gateway.settings.live import SECTIONS
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from gateway.transport.connection import Connection
from gateway.websocket.session import WebSocketSession
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.memory_connection import running_gateway
from tests.gateway.memory_transport import Peer
from tests.protocols.websocket.client_frames import deflate, frame

QUIET = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"protocol":%d}\r\n'
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


def with_other_values(section: str) -> msgspec.Struct:
    """The section with every number changed: halved, and those for "no limit" made limits. What is a name, and not a
    number, is of the start alone.
    """
    before = getattr(Config(), section)
    values = {key: value for key, value in msgspec.structs.asdict(before).items() if not isinstance(value, str)}
    others = {key: (value // 2 or 1 << 30 if isinstance(value, int) else value / 2) for key, value in values.items()}
    changed = msgspec.structs.replace(before, **others)
    assert all(getattr(changed, key) != value for key, value in values.items())
    return changed


OTHER = msgspec.structs.replace(Config(), **{section: with_other_values(section) for section in SECTIONS})


def nats(gateway: Gateway, protocol: int = 0) -> Peer:
    peer = Peer(gateway, lambda connection: NatsClientSession(connection, gateway.admission))
    peer.say(QUIET % protocol)
    peer.hear()
    return peer


def device(gateway: Gateway) -> Peer:
    return Peer(gateway, lambda connection: DeviceNatsSession(connection, gateway.admission, 5000))


def mqtt(gateway: Gateway, client_id: bytes = b"c", version: int = MQTT_3_1_1, **asked: int) -> Peer:
    assert gateway.mqtt_sessions is not None
    directory = gateway.mqtt_sessions
    peer = Peer(gateway, lambda connection: MqttClient(connection, gateway.admission, directory))
    properties = Properties(**asked) if version == MQTT_5_0 else None  # type: ignore[arg-type]
    connect = packets.Connect(version, client_id, clean_start=False, properties=properties)
    peer.say(encoder.encode_connect(connect))
    peer.hear()
    return peer


def websocket(gateway: Gateway) -> Peer:
    listener = Listener(protocol="websocket", address="127.0.0.1:0", compression=True)
    admission = gateway.admission

    def make(connection: Connection) -> WebSocketSession:
        return WebSocketSession(connection, listener, {"nats": lambda inner: NatsClientSession(inner, admission)})

    peer = Peer(gateway, make)
    peer.say(UPGRADE + frame(QUIET % 0))
    peer.hear()
    return peer


class Everybody:
    """Somebody of each kind, and a session whose client is away."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._nats = {"nats": nats(gateway), "device": device(gateway), "web": websocket(gateway)}
        self._mqtt = mqtt(gateway)
        self._sessions = {"here": session_of(self._mqtt)}
        away = mqtt(gateway, b"away")
        self._sessions["away"] = session_of(away)
        away.leave()

    def values(self) -> dict[str, object]:
        """Every limit that somebody keeps a copy of."""
        found: dict[str, object] = {"mqtt": self._mqtt.connection.outbox.limit}
        for name, peer in self._nats.items():
            found[name] = peer.connection.outbox.limit
            session = peer.connection.session
            session = session.inner if isinstance(session, WebSocketSession) else session
            assert isinstance(session, NatsClientSession)
            decoder = session.decoder
            found[f"{name} decoder"] = (decoder.max_payload, decoder.max_control_line, decoder.max_header_lines)
        client = self._mqtt.connection.session
        assert isinstance(client, MqttClient)
        publishes = client.decoder.publishes
        found["mqtt decoder"] = (client.decoder.max_packet_size, client.decoder.max_user_properties)
        found["mqtt publishes"] = (
            publishes.max_packet_size,
            publishes.max_payload,
            publishes.max_levels,
            publishes.max_user_properties,
        )
        for name, kept in self._sessions.items():
            found[f"{name} session"] = (kept.limit, kept.high_water, kept.most_aliases)
            found[f"{name} queue"] = (kept.outgoing.max_messages, kept.outgoing.max_bytes, kept.outgoing.window)
        account = self._gateway.account
        found["retained"] = (account.retained.max_messages, account.retained.max_bytes)
        found["a client's retained"] = (account.max_retained_per_client, account.max_retained_bytes_per_client)
        found["memory"] = self._gateway.runtime.budget.limit
        return found


def session_of(peer: Peer) -> MqttSession:
    client = peer.connection.session
    assert isinstance(client, MqttClient)
    assert client.session is not None
    return client.session


async def test_who_was_there_before_has_every_value_of_who_comes_behind():
    async with running_gateway(OTHER) as begun_so, running_gateway() as gateway:
        everybody = Everybody(gateway)
        before = everybody.values()
        assert gateway.settings.replace(OTHER) == list(SECTIONS)
        after = everybody.values()
        assert after == Everybody(begun_so).values()
        assert [name for name in after if after[name] == before[name]] == []
        assert after["device"] == 5000 + OTHER.limits.max_payload_bytes + ALLOWANCE


async def test_account_that_is_opened_later_has_the_limits_in_force():
    async with running_gateway() as gateway:
        gateway.settings.replace(OTHER)
        retained = gateway.open_account("plant").retained
        assert (retained.max_messages, retained.max_bytes) == (
            OTHER.mqtt.max_retained_messages,
            OTHER.mqtt.max_retained_bytes,
        )
        gateway.settings.replace(Config())
        assert retained.max_messages == Mqtt().max_retained_messages


async def test_largest_payload_is_told_to_nats_clients_that_understand_it():
    async with running_gateway() as gateway:
        old, new = nats(gateway, protocol=0), nats(gateway, protocol=1)
        gateway.settings.replace(Config(limits=Limits(max_payload_bytes=100)))
        assert old.hear() == b""
        told = new.hear()
        assert told.startswith(b"INFO {")
        assert b'"max_payload":100,' in told
        gateway.settings.replace(Config(limits=Limits(max_payload_bytes=100, max_subscriptions=5)))
        assert new.hear() == b""


async def test_nats_client_that_is_there_may_send_no_more_header_lines_than_new_ones():
    async with running_gateway() as gateway:
        peer = nats(gateway)
        header = b"NATS/1.0\r\n" + b"A: b\r\n" * 40 + b"\r\n"
        message = b"HPUB foo %d %d\r\n%b\r\n" % (len(header), len(header), header)
        peer.say(message)
        assert peer.hear() == b""
        gateway.settings.replace(Config(limits=Limits(max_header_lines=39)))
        peer.say(message)
        assert peer.hear().startswith(b"-ERR ")
        assert peer.connection.close_reason is not None


async def test_what_a_websocket_may_inflate_follows_the_largest_payload():
    async with running_gateway() as gateway:
        peer = websocket(gateway)
        message = frame(deflate(b"PING\r\n" * 200), first=0xC2)
        peer.say(message)
        assert peer.connection.close_reason is None
        gateway.settings.replace(Config(limits=Limits(max_payload_bytes=100)))
        peer.say(message)
        assert peer.connection.close_reason is CloseReason.MAXIMUM_PAYLOAD_EXCEEDED


async def test_larger_window_lets_go_what_waits_for_room_in_it():
    async with running_gateway(Config(mqtt=Mqtt(max_inflight=1))) as gateway:
        reader, writer = mqtt(gateway, b"reader"), mqtt(gateway, b"writer")
        decoder = ClientDecoder(1 << 20, MQTT_3_1_1)
        reader.say(encoder.encode_subscribe(MQTT_3_1_1, 1, [packets.Subscription(b"foo", 1)]))
        decoder.receive(reader.hear())
        for packet_id in (1, 2, 3):
            writer.say(encoder.encode_publish(MQTT_3_1_1, b"foo", b"%d" % packet_id, 1, packet_id, False, False))
        assert [packet.payload for packet in decoder.receive(reader.hear()) if isinstance(packet, Publish)] == [b"1"]
        gateway.settings.replace(Config(mqtt=Mqtt(max_inflight=2)))
        assert [packet.payload for packet in decoder.receive(reader.hear()) if isinstance(packet, Publish)] == [b"2"]


async def test_what_a_client_was_promised_holds_as_long_as_its_connection():
    promised = Config(mqtt=Mqtt(receive_maximum=3, max_packet_bytes=1000, max_topic_aliases=4))
    less = Config(mqtt=Mqtt(receive_maximum=1, max_packet_bytes=500, max_topic_aliases=0))
    async with running_gateway(promised) as gateway:
        peer, other = mqtt(gateway, version=MQTT_5_0), mqtt(gateway, b"other")
        gateway.settings.replace(less)
        for packet_id in (1, 2, 3):
            properties = Properties(topic_alias=packet_id + 1)
            peer.say(encoder.encode_publish(MQTT_5_0, b"a", b"x" * 900, 2, packet_id, False, False, properties))
        assert peer.connection.close_reason is None
        peer.say(encoder.encode_publish(MQTT_5_0, b"a", b"x", 2, 4, False, False))
        last = ClientDecoder(1 << 20, MQTT_5_0).receive(peer.hear())[-1]
        assert isinstance(last, packets.Disconnect)
        assert last.reason_code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
        other.say(encoder.encode_publish(MQTT_3_1_1, b"a", b"x" * 900, 0, 0, False, False))
        assert other.connection.close_reason is CloseReason.MAXIMUM_PAYLOAD_EXCEEDED


class Named(OpenAdmission):
    """Everybody must have said who he is."""

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return None


@pytest.mark.parametrize("arrive", [nats, mqtt, websocket, device])
async def test_time_to_introduce_oneself_is_the_one_in_force(arrive, autojump_clock: MockClock):
    short = Config(timeouts=Timeouts(connect_seconds=2.0))
    async with running_gateway() as gateway:
        directory, listener = gateway.mqtt_sessions, Listener(protocol="websocket", address="127.0.0.1:0")
        assert directory is not None
        admission = Named(gateway.account)
        silent = {
            nats: lambda connection: NatsClientSession(connection, admission),
            mqtt: lambda connection: MqttClient(connection, admission, directory),
            websocket: lambda connection: WebSocketSession(connection, listener, {}),
            device: lambda connection: DeviceNatsSession(connection, admission, 5000),
        }
        stranger = Peer(gateway, silent[arrive])
        gateway.settings.replace(short)
        await trio.sleep(1.9)
        assert stranger.connection.close_reason is None
        await trio.sleep(0.2)
        assert stranger.connection.close_reason is CloseReason.AUTHENTICATION_TIMEOUT


async def test_shorter_interval_between_pings_holds_at_once(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        peer = nats(gateway)
        await trio.sleep(3)
        peer.say(b"PONG\r\n")
        await trio.sleep(1)
        peer.hear()
        gateway.settings.replace(Config(timeouts=Timeouts(ping_interval_seconds=10)))
        await trio.sleep(20.1)
        assert peer.hear().startswith(b"PING\r\n")


async def test_nobody_who_has_left_is_told():
    async with running_gateway() as gateway:
        peer = nats(gateway, protocol=1)
        peer.leave()
        gateway.settings.replace(OTHER)
        assert peer.hear() == b""
