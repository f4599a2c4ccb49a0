"""Limits of what is retained: whoever asked for a message that is not kept hears so, and the log and health tell."""

import json
import logging

import pytest
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.monitoring.observer import Observer
from gateway.monitoring.sources import Sources
from gateway.nats.client import NatsClientSession
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from protocols.message import make_message
from protocols.mqtt import packets
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.dataplane.places import LinkPort
from tests.gateway.memory_connection import MemoryConnection, running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer

HEADER = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"
FULL = {
    "max-retained-messages": Mqtt(max_retained_messages=2),
    "max-retained-bytes": Mqtt(max_retained_bytes=130),
    "max-retained-messages-per-client": Mqtt(max_retained_messages_per_client=2),
    "max-retained-bytes-per-client": Mqtt(max_retained_bytes_per_client=130),
}


def observer(gateway: Gateway) -> Observer:
    sources = Sources(
        runtime=gateway.runtime,
        registry=gateway.registry,
        accounts=gateway.accounts,
        mqtt_sessions=gateway.mqtt_sessions,
    )
    return Observer(sources, [], lambda: "127.0.0.1:8222")


def code_of(answers: list[object]) -> int:
    (answer,) = answers
    assert isinstance(answer, packets.Puback | packets.Pubrec)
    nobody = answer.reason_code == ReasonCode.NO_MATCHING_SUBSCRIBERS
    return ReasonCode.SUCCESS if nobody else answer.reason_code


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("limit", FULL)
async def test_message_that_finds_no_room_is_refused_and_reaches_nobody(limit: str, qos: int):
    async with running_gateway(Config(mqtt=FULL[limit])) as gateway:
        listener = Peer(gateway, b"listener")
        listener.subscribe(b"#")
        peer = Peer(gateway, b"keeper")
        for packet_id, topic in enumerate((b"a", b"b"), 1):
            peer.publish(topic, b"0123456789", qos, packet_id, retain=True)
            assert code_of(peer.hear()) == ReasonCode.SUCCESS
        listener.hear()
        peer.publish(b"c", bytes(80), qos, 3, retain=True)
        (answer,) = peer.hear()
        assert isinstance(answer, packets.Puback | packets.Pubrec)
        assert answer.reason_code == ReasonCode.QUOTA_EXCEEDED
        assert answer.properties is not None
        assert limit.encode() in (answer.properties.reason_string or b"")
        assert listener.hear() == []
        assert b"c" not in gateway.account.retained
        # What takes no more room than there is goes on: replacing, deleting, messages that are not retained.
        for packet_id, (topic, payload, retain) in enumerate(
            ((b"b", b"9876543210", True), (b"a", b"", True), (b"c", b"", True), (b"c", b"x", False)), 4
        ):
            peer.publish(topic, payload, qos, packet_id, retain=retain)
            assert code_of(peer.hear()) == ReasonCode.SUCCESS
        peer.publish(b"c", b"x", qos, 9, retain=True)
        assert code_of(peer.hear()) == ReasonCode.SUCCESS
        assert b"c" in gateway.account.retained


@pytest.mark.parametrize(("version", "qos"), [(4, 1), (4, 2), (3, 1)])
async def test_client_of_a_version_without_such_an_answer_is_closed_unacknowledged(version: int, qos: int):
    async with running_gateway(Config(mqtt=FULL["max-retained-messages"])) as gateway:
        peer = Peer(gateway, b"keeper", version)
        for packet_id in (1, 2):
            peer.publish(b"t/%d" % packet_id, b"x", qos, packet_id, retain=True)
            peer.hear()
        peer.publish(b"c", b"x", qos, 3, retain=True)
        assert peer.hear() == []
        assert peer.close_reason is CloseReason.STORAGE_FAILURE


async def test_message_of_quality_of_service_0_is_delivered_and_not_kept():
    async with running_gateway(Config(mqtt=FULL["max-retained-messages-per-client"])) as gateway:
        listener = Peer(gateway, b"listener")
        listener.subscribe(b"#")
        peer = Peer(gateway, b"keeper")
        for number in range(4):
            peer.publish(b"t/%d" % number, b"x", retain=True)
        assert len(gateway.account.retained) == 2
        assert gateway.account.retained.refused == 2
        assert len(listener.hear()) > 0
        assert peer.close_reason is None


@pytest.mark.parametrize("limit", FULL)
async def test_acknowledged_publish_answers_with_an_error_and_knows_what_it_took(limit: str):
    async with running_gateway(Config(mqtt=FULL[limit])) as gateway:
        gateway.offer_services()
        connection = MemoryConnection(gateway)
        connection.start(NatsClientSession(connection, gateway.admission))  # type: ignore[arg-type]
        connection.receive(b'CONNECT {"headers":true,"verbose":false}\r\nSUB answers 1\r\n')
        connection.take()

        def ask(subject: bytes, size: int, identifier: bytes) -> dict[str, object]:
            header = b"NATS/1.0\r\nMqtt-Retain: 1\r\nNats-Msg-Id: %b\r\n\r\n" % identifier
            head = b"HPUB $LEAFGATE.publish.%b answers %d %d\r\n" % (subject, len(header), len(header) + size)
            connection.receive(head + header + bytes(size) + b"\r\n")
            told: dict[str, object] = json.loads(connection.take().splitlines()[1])
            return told

        assert "seq" in ask(b"a", 1, b"1")
        if "messages" in limit:
            assert "seq" in ask(b"b", 1, b"2")
        refused = ask(b"c", 4000, b"3")["error"]
        assert isinstance(refused, dict)
        assert refused["code"] == 503
        assert limit in refused["description"]
        assert b"c" not in gateway.account.retained
        assert ask(b"a", 1, b"1")["duplicate"] is True
        assert [one for one in (b"a", b"b", b"$LEAFGATE.publish.a") if one in gateway.account.retained] == [
            b"a",
            *([b"b"] if "messages" in limit else []),
        ]


async def test_share_of_one_client_leaves_room_for_others_and_comes_back_with_what_it_deletes():
    async with running_gateway(Config(mqtt=FULL["max-retained-messages-per-client"])) as gateway:
        greedy, modest = Peer(gateway, b"greedy"), Peer(gateway, b"modest")
        for number in range(100):
            greedy.publish(b"greedy/%d" % number, b"x", retain=True)
        modest.publish(b"modest/0", b"x", 1, 1, retain=True)
        assert code_of(modest.hear()) == ReasonCode.SUCCESS
        assert len(gateway.account.retained) == 3
        greedy.publish(b"greedy/0", b"", retain=True)
        greedy.publish(b"greedy/7", b"x", 1, 1, retain=True)
        assert code_of(greedy.hear()) == ReasonCode.SUCCESS


async def test_gateway_and_hubs_have_no_share_to_keep_to():
    async with running_gateway(Config(mqtt=FULL["max-retained-messages-per-client"])) as gateway:
        for number in range(4):
            message = make_message(b"hub.%d" % number, b"x", header=HEADER)
            gateway.account.router.publish(message, LinkPort(gateway.runtime.switch))
            gateway.account.publish(make_message(b"own.%d" % number, b"x", header=HEADER))
        assert len(gateway.account.retained) == 8


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_log_tells_once_a_minute_and_health_until_there_is_room(
    qos: int, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
):
    async with running_gateway(Config(mqtt=FULL["max-retained-messages"])) as gateway:
        health = observer(gateway)
        peer = Peer(gateway, b"keeper")
        for number in range(2):
            peer.publish(b"t/%d" % number, b"x", retain=True)
        assert health.degradations() == {}
        with caplog.at_level(logging.WARNING):
            for number in range(100):
                peer.publish(b"t/%d" % number, b"x", qos, number + 1, retain=True)
        assert caplog.messages == ["event=not-retained limit=mqtt.max-retained-messages value=2"]
        assert health.degradations() == {"retained": "max-retained-messages is reached: new messages are not retained"}
        assert gateway.account.retained.refused == 98
        assert health.health() is None
        peer.publish(b"t/0", b"", retain=True)
        assert health.degradations() == {}
