"""What an MQTT session does in time, at its ends, and for a client that is slow; packets are checked on the wire."""

import pytest
import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.mqtt.client import MqttClient
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from protocols.message import make_message
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.memory_connection import MemoryConnection, running_gateway

MQTT_3_1_1 = 4
ACCEPTED = packets.Connack(False)


def arrive(gateway: Gateway) -> MemoryConnection:
    """A client that has said nothing yet."""
    connection = MemoryConnection(gateway)
    connection.start(MqttClient(connection, connection.gateway.admission, connection.gateway.mqtt_sessions))  # type: ignore[arg-type]
    return connection


def connect(
    gateway: Gateway, client_id: bytes = b"", keep_alive: int = 0, will: packets.Will | None = None
) -> MemoryConnection:
    connection = arrive(gateway)
    connect = packets.Connect(MQTT_3_1_1, client_id, keep_alive=keep_alive, will=will)
    connection.receive(encoder.encode_connect(connect))
    return connection


def subscribe(connection: MemoryConnection, topic_filter: bytes, qos: int = 0) -> list[object]:
    subscription = packets.Subscription(topic_filter, qos)
    connection.receive(encoder.encode_subscribe(MQTT_3_1_1, 1, [subscription]))
    return take(connection)


def publish(connection: MemoryConnection, topic: bytes, payload: bytes, qos: int = 0, retain: bool = False) -> None:
    packet = encoder.encode_publish(MQTT_3_1_1, topic, payload, qos, 1 if qos else 0, retain, False)
    connection.receive(packet)


def take(connection: MemoryConnection) -> list[object]:
    """The packets that the client has got since the last time."""
    return ClientDecoder(1 << 20, MQTT_3_1_1).receive(connection.take())


def payloads(connection: MemoryConnection) -> list[tuple[bytes, int]]:
    """Payload and QoS of the messages among them."""
    messages = []
    for packet in take(connection):
        if isinstance(packet, Publish):
            messages.append((packet.payload, packet.qos))
        else:
            count = getattr(packet, "count", None)
            assert count is not None, packet
            messages += [(payload, 0) for payload in packet.payloads()]  # type: ignore[attr-defined]
    return messages


def listener(gateway: Gateway, subject: bytes) -> ClientPort:
    """A NATS client that is subscribed to a subject."""
    port = ClientPort(gateway.runtime.switch)
    gateway.account.router.subscribe(NatsSubscription(port, subject, b"", b"1"))
    return port


WILL = packets.Will(b"house/state", b"gone")
SAID = b"MSG house.state 1 4\r\ngone\r\n"


async def test_peer_that_does_not_connect_is_sent_away(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(connect_seconds=2.0))) as gateway:
        connection = arrive(gateway)
        connection.receive(b"\x10\x10\x00\x04MQ")
        await trio.sleep(1.9)
        assert connection.close_reason is None
        await trio.sleep(0.2)
        assert connection.close_reason is CloseReason.AUTHENTICATION_TIMEOUT


async def test_silent_client_is_closed_after_one_and_a_half_keep_alives(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        port = listener(gateway, b"house.state")
        connection = connect(gateway, keep_alive=10, will=WILL)
        await trio.sleep(14)
        connection.receive(encoder.PINGREQ)
        await trio.sleep(14)
        assert connection.close_reason is None
        assert port.take() == b""
        await trio.sleep(2)
        assert connection.close_reason is CloseReason.STALE_CONNECTION
        assert port.take() == SAID
        assert gateway.registry.stale_connections == 1


async def test_client_without_keep_alive_may_be_silent(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        connection = connect(gateway, keep_alive=0)
        await trio.sleep(80_000)
        assert connection.close_reason is None


@pytest.mark.parametrize(("keep_alive", "allowed"), [(0, 30), (65_535, 30), (4, 6)])
async def test_longest_keep_alive_holds_for_all(keep_alive: int, allowed: float, autojump_clock: MockClock):
    async with running_gateway(Config(mqtt=Mqtt(max_keep_alive_seconds=20))) as gateway:
        connection = connect(gateway, keep_alive=keep_alive)
        await trio.sleep(allowed - 0.1)
        assert connection.close_reason is None
        await trio.sleep(0.2)
        assert connection.close_reason is CloseReason.STALE_CONNECTION


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (CloseReason.CLIENT_CLOSED, SAID),  # the stream ended without a DISCONNECT
        (CloseReason.READ_ERROR, SAID),
        (CloseReason.SLOW_CONSUMER_WRITE_DEADLINE, SAID),
        (CloseReason.SERVER_SHUTDOWN, SAID),
    ],
)
async def test_will_is_said_when_the_client_did_not_say_goodbye(reason: CloseReason, said: bytes):
    async with running_gateway() as gateway:
        port = listener(gateway, b"house.state")
        connection = connect(gateway, will=WILL)
        connection.close(reason)
        assert port.take() == said


async def test_will_is_not_said_after_disconnect():
    async with running_gateway() as gateway:
        port = listener(gateway, b"house.state")
        connection = connect(gateway, will=WILL)
        connection.receive(encoder.encode_disconnect(MQTT_3_1_1))
        assert connection.close_reason is CloseReason.CLIENT_CLOSED
        assert port.take() == b""


async def test_retained_will_is_kept():
    async with running_gateway() as gateway:
        connection = connect(gateway, will=packets.Will(WILL.topic, WILL.payload, qos=1, retain=True))
        connection.close(CloseReason.READ_ERROR)
        late = connect(gateway)
        take(late)
        _, message = subscribe(late, b"house/#", 1)
        assert isinstance(message, Publish)
        assert (message.topic, message.payload, message.qos, message.retain) == (b"house/state", b"gone", 1, True)


async def test_newer_connection_takes_the_client_id_over():
    async with running_gateway() as gateway:
        port = listener(gateway, b"house.state")
        old = connect(gateway, b"sensor", will=WILL)
        other = connect(gateway, b"other")
        new = connect(gateway, b"sensor")
        assert old.close_reason is CloseReason.DUPLICATE_CLIENT_ID
        assert port.take() == SAID
        assert take(new) == [ACCEPTED]
        assert (new.close_reason, other.close_reason) == (None, None)
        assert gateway.mqtt_sessions.of(gateway.account).connected == 2


async def test_client_ids_are_free_again_when_clients_have_left():
    async with running_gateway() as gateway:
        for _ in range(3):
            connect(gateway, b"sensor").close(CloseReason.CLIENT_CLOSED)
            connect(gateway).close(CloseReason.CLIENT_CLOSED)
        assert gateway.mqtt_sessions.of(gateway.account).connected == 0
        assert gateway.account.router.tree.count == 0


@pytest.mark.parametrize(
    ("connect", "code", "reason"),
    [
        (
            packets.Connect(4, b"a", will=packets.Will(b"$GR/1", b"")),
            ReasonCode.NOT_AUTHORIZED,
            CloseReason.PROTOCOL_VIOLATION,
        ),
        (
            packets.Connect(4, b"a", will=packets.Will(b"long", bytes(1001))),
            ReasonCode.SERVER_UNAVAILABLE,
            CloseReason.MAXIMUM_PAYLOAD_EXCEEDED,
        ),
        (
            packets.Connect(4, b"", clean_start=False),
            ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
            CloseReason.PROTOCOL_VIOLATION,
        ),
    ],
)
async def test_refused_client_is_told_why_and_leaves_no_will(
    connect: packets.Connect, code: ReasonCode, reason: CloseReason
):
    async with running_gateway(Config(limits=Limits(max_payload_bytes=1000))) as gateway:
        port = listener(gateway, b">")
        connection = arrive(gateway)
        connection.receive(encoder.encode_connect(connect))
        assert connection.take() == encoder.encode_connack(connect.version, False, code)
        assert connection.close_reason is reason
        assert port.take() == b""
        assert gateway.mqtt_sessions.of(gateway.account).connected == 0


@pytest.mark.parametrize("count", [1, 2])
async def test_payload_that_nats_may_not_carry_ends_the_connection(count: int):
    async with running_gateway(Config(limits=Limits(max_payload_bytes=1000))) as gateway:
        port = listener(gateway, b">")
        connection = connect(gateway)
        publish(connection, b"t", bytes(1000))
        assert len(port.take()) > 1000
        packet = encoder.encode_publish(MQTT_3_1_1, b"t", bytes(1001), 0, 0, False, False)
        connection.receive(packet * count)
        assert port.take() == b""
        assert connection.close_reason is CloseReason.MAXIMUM_PAYLOAD_EXCEEDED
        assert connection.close_detail == "payload of 1001 bytes is longer than 1000"


async def test_message_with_quality_of_service_2_is_routed_once_until_it_is_released():
    async with running_gateway() as gateway:
        port = listener(gateway, b"t")
        connection = connect(gateway)
        take(connection)
        again = encoder.encode_publish(MQTT_3_1_1, b"t", b"1", 2, 1, False, True)
        publish(connection, b"t", b"1", 2)
        connection.receive(again)
        assert port.take() == b"MSG t 1 1\r\n1\r\n"
        connection.receive(encoder.encode_pubrel(MQTT_3_1_1, 1))
        assert take(connection) == [packets.Pubrec(1), packets.Pubrec(1), packets.Pubcomp(1)]
        publish(connection, b"t", b"2", 2)
        assert port.take() == b"MSG t 1 1\r\n2\r\n"


async def test_release_of_an_unknown_message_is_completed():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        take(connection)
        connection.receive(encoder.encode_pubrel(MQTT_3_1_1, 7))
        assert take(connection) == [packets.Pubcomp(7)]


async def test_client_that_acknowledges_nothing_gets_a_window_and_loses_what_the_queue_cannot_hold():
    async with running_gateway(Config(mqtt=Mqtt(max_inflight=2, max_queued_messages=3))) as gateway:
        sensor, display = connect(gateway), connect(gateway)
        take(display)
        subscribe(display, b"t", 1)
        for number in range(7):
            publish(sensor, b"t", b"%d" % number, 1)
        assert payloads(display) == [(b"0", 1), (b"1", 1)]
        assert display.session.session.dropped == 2  # type: ignore[attr-defined]
        display.receive(encoder.encode_puback(MQTT_3_1_1, 2) + encoder.encode_puback(MQTT_3_1_1, 1))
        assert payloads(display) == [(b"2", 1), (b"3", 1)]
        display.receive(encoder.encode_puback(MQTT_3_1_1, 3) + encoder.encode_puback(MQTT_3_1_1, 4))
        assert payloads(display) == [(b"4", 1)]


async def test_quality_of_service_0_passes_those_that_wait():
    async with running_gateway(Config(mqtt=Mqtt(max_inflight=1))) as gateway:
        sensor, display = connect(gateway), connect(gateway)
        take(display)
        subscribe(display, b"t", 1)
        publish(sensor, b"t", b"1", 1)
        publish(sensor, b"t", b"2", 1)
        publish(sensor, b"t", b"3", 0)
        assert payloads(display) == [(b"1", 1), (b"3", 0)]


async def test_retained_messages_wait_for_the_window_too_and_keep_their_flag():
    async with running_gateway(Config(mqtt=Mqtt(max_inflight=1))) as gateway:
        sensor, display = connect(gateway), connect(gateway)
        publish(sensor, b"a", b"1", 1, retain=True)
        publish(sensor, b"b", b"2", 1, retain=True)
        take(display)
        _, first = subscribe(display, b"+", 1)
        assert isinstance(first, Publish)
        display.receive(encoder.encode_puback(MQTT_3_1_1, first.packet_id))
        (second,) = take(display)
        assert isinstance(second, Publish)
        assert [(one.payload, one.retain) for one in (first, second)] == [(b"1", True), (b"2", True)]


async def test_client_that_takes_nothing_loses_messages_of_quality_of_service_0_and_stays():
    async with running_gateway(Config(limits=Limits(max_payload_bytes=1000, max_pending_bytes=4096))) as gateway:
        sensor, display = connect(gateway), connect(gateway)
        publish(sensor, b"old", bytes(1000), retain=True)
        take(display)
        subscribe(display, b"t")
        display.sink.room = 0
        for _ in range(10):
            publish(sensor, b"t", bytes(1000))
        subscribe(display, b"old")
        assert display.session.session.dropped == 6  # type: ignore[attr-defined]
        assert display.outbox.pending() <= 4096
        assert display.close_reason is None
        assert display.sink.overruns == 0


async def test_client_that_takes_everything_gets_more_retained_messages_than_may_wait():
    async with running_gateway(Config(limits=Limits(max_payload_bytes=1000, max_pending_bytes=4096))) as gateway:
        sensor, display = connect(gateway), connect(gateway)
        for number in range(10):
            publish(sensor, b"%d" % number, bytes(1000), retain=True)
        take(display)
        assert len(subscribe(display, b"#")) == 11


async def test_sent_messages_are_counted_whatever_their_kind():
    async with running_gateway() as gateway:
        display = connect(gateway)
        publish(display, b"t", b"1234", 1, retain=True)
        subscribe(display, b"t", 1)
        publish(display, b"t", b"56", 0)
        publish(display, b"t", b"78", 1)
        display.take()
        assert (display.outbox.out_messages, display.outbox.out_bytes) == (3, 8)


async def test_subject_that_makes_no_topic_is_not_delivered():
    async with running_gateway() as gateway:
        display = connect(gateway)
        take(display)
        subscribe(display, b"#")
        for subject in (b"a.\xff", b"a.b+", b"a.#", b"a.\0"):
            gateway.account.router.publish(make_message(subject, b"lost"), gateway.account.port)
        gateway.account.router.publish(make_message(b"a.b", b"found"), gateway.account.port)
        assert payloads(display) == [(b"found", 0)]


async def test_subscriptions_over_the_limit_are_refused():
    async with running_gateway(Config(limits=Limits(max_subscriptions=1))) as gateway:
        display = connect(gateway)
        take(display)
        assert subscribe(display, b"a/#", 1) == [packets.Suback(1, (ReasonCode.GRANTED_QOS_1,))]
        assert subscribe(display, b"b") == [packets.Suback(1, (ReasonCode.UNSPECIFIED_ERROR,))]
        assert subscribe(display, b"a/#") == [packets.Suback(1, (ReasonCode.GRANTED_QOS_0,))]
        publish(display, b"b", b"1")
        publish(display, b"a", b"2")
        assert payloads(display) == [(b"2", 0)]


async def test_acknowledgements_of_what_was_never_sent_are_let_pass():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        take(connection)
        connection.receive(encoder.encode_puback(MQTT_3_1_1, 1) + encoder.encode_pubcomp(MQTT_3_1_1, 1))
        assert take(connection) == []
        connection.receive(encoder.encode_pubrec(MQTT_3_1_1, 1))
        assert connection.take() == encoder.encode_pubrel(MQTT_3_1_1, 1)
        assert connection.close_reason is None


async def test_pings_in_a_row_are_answered_in_one_block():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        connection.take()
        connection.receive(encoder.PINGREQ * 1000)
        assert connection.sink.sends == [encoder.PINGRESP * 1000]
