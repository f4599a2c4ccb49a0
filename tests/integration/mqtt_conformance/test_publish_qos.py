"""Delivery of messages with each quality of service, to the server and from it (MQTT 5.0, 4.3)."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Puback, Pubcomp, Pubrec, Pubrel
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.marks import all_versions, qualities, versions
from tests.integration.mqtt_conformance.raw_client import Clients, RawClient, unique

TAKEN = (ReasonCode.SUCCESS, ReasonCode.NO_MATCHING_SUBSCRIBERS)


def subscriber(clients: Clients, version: int, topic: bytes, qos: int = 2) -> RawClient:
    client = clients.connect(version)
    client.subscribe(topic, qos)
    return client


@all_versions
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_message_arrives_with_the_lower_quality_of_service(
    clients: Clients, version: int, published: int, granted: int
) -> None:
    topic = unique("lower")
    reader = subscriber(clients, version, topic, granted)
    clients.connect(version).publish(topic, b"payload", published)
    message = reader.take()
    assert (message.topic, message.payload, message.qos) == (topic, b"payload", min(published, granted))
    assert (message.dup, message.retain) == (False, False)
    reader.assert_silence()


@versions
@pytest.mark.parametrize("packet_id", [1, 255, 256, 65_535])
def test_acknowledgement_names_the_packet(clients: Clients, version: int, packet_id: int) -> None:
    client = clients.connect(version)
    client.send_publish(b"nobody/reads", b"", 1, packet_id=packet_id)
    puback = client.answer(Puback)
    assert (puback.packet_id, puback.reason_code in TAKEN) == (packet_id, True)
    client.send_publish(b"nobody/reads", b"", 2, packet_id=packet_id)
    pubrec = client.answer(Pubrec)
    assert (pubrec.packet_id, pubrec.reason_code in TAKEN) == (packet_id, True)
    client.send(encoder.encode_pubrel(version, packet_id))
    assert client.answer(Pubcomp) == Pubcomp(packet_id)


@versions
def test_acknowledged_packet_identifier_is_free_for_a_new_message(clients: Clients, version: int) -> None:
    topic = unique("again")
    reader = subscriber(clients, version, topic)
    writer = clients.connect(version)
    for dup, payload in ((False, b"one"), (True, b"two")):
        writer.send_publish(topic, payload, 1, packet_id=7, dup=dup)
        assert writer.answer(Puback).packet_id == 7
    assert reader.take_payloads(2) == [b"one", b"two"]
    for payload in (b"three", b"four"):
        writer.publish(topic, payload, 2, packet_id=7)
    assert reader.take_payloads(2) == [b"three", b"four"]
    reader.assert_silence()


@versions
def test_message_with_quality_of_service_2_is_delivered_once_until_its_release(clients: Clients, version: int) -> None:
    topic = unique("once")
    reader = subscriber(clients, version, topic)
    writer = clients.connect(version)
    for dup in (False, True):
        writer.send_publish(topic, b"one", 2, packet_id=9, dup=dup)
        assert writer.answer(Pubrec).packet_id == 9
    writer.send(encoder.encode_pubrel(version, 9))
    assert writer.answer(Pubcomp) == Pubcomp(9)
    writer.publish(topic, b"two", 2, packet_id=9)
    assert reader.take_payloads(2) == [b"one", b"two"]
    reader.assert_silence()


@versions
def test_release_is_completed_every_time(clients: Clients, version: int) -> None:
    writer = clients.connect(version)
    writer.publish(b"nobody/reads", b"", 2, packet_id=5)
    writer.send(encoder.encode_pubrel(version, 5))
    again = writer.answer(Pubcomp)
    assert again.packet_id == 5
    assert again.reason_code in (ReasonCode.SUCCESS, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)


@versions
def test_deliveries_of_quality_of_service_2_interleave(clients: Clients, version: int) -> None:
    topic = unique("weave")
    reader = subscriber(clients, version, topic)
    writer = clients.connect(version)
    for packet_id in (3, 1, 2):
        writer.send_publish(topic, b"%d" % packet_id, 2, packet_id=packet_id)
        assert writer.answer(Pubrec).packet_id == packet_id
    for packet_id in (1, 3, 2):
        writer.send(encoder.encode_pubrel(version, packet_id))
        assert writer.answer(Pubcomp) == Pubcomp(packet_id)
    assert sorted(reader.take_payloads(3)) == [b"1", b"2", b"3"]


@versions
def test_acknowledgements_keep_the_order_of_messages(clients: Clients, version: int) -> None:
    writer = clients.connect(version)
    wanted = list(range(1, 11))
    for packet_id in wanted:
        writer.send_publish(b"nobody/reads", b"", 1, packet_id=packet_id)
    assert [writer.answer(Puback).packet_id for _ in wanted] == wanted
    for packet_id in wanted:
        writer.send_publish(b"nobody/reads", b"", 2, packet_id=packet_id)
    assert [writer.answer(Pubrec).packet_id for _ in wanted] == wanted
    writer.send(*(encoder.encode_pubrel(version, packet_id) for packet_id in wanted))
    assert [writer.answer(Pubcomp).packet_id for _ in wanted] == wanted


@versions
def test_dup_of_the_publisher_is_not_passed_on(clients: Clients, version: int) -> None:
    topic = unique("dup")
    reader = subscriber(clients, version, topic)
    writer = clients.connect(version)
    writer.publish(topic, b"1", 1, dup=True)
    writer.publish(topic, b"2", 2, dup=True)
    for payload in (b"1", b"2"):
        message = reader.take()
        assert (message.payload, message.dup) == (payload, False)


@versions
@pytest.mark.parametrize("qos", [1, 2])
def test_unacknowledged_messages_have_different_packet_identifiers(clients: Clients, version: int, qos: int) -> None:
    topic = unique("ids")
    reader = subscriber(clients, version, topic, qos)
    writer = clients.connect(version)
    for number in range(10):
        writer.publish(topic, b"%d" % number, qos)
    messages = [reader.message() for _ in range(10)]
    assert [message.payload for message in messages] == [b"%d" % number for number in range(10)]
    assert len({message.packet_id for message in messages} - {0}) == 10


@versions
def test_server_follows_the_states_of_quality_of_service_2(clients: Clients, version: int) -> None:
    topic = unique("states")
    reader = subscriber(clients, version, topic)
    clients.connect(version).publish(topic, b"x", 2)
    message = reader.message()
    assert (message.qos, message.dup) == (2, False)
    reader.assert_silence()
    reader.send(encoder.encode_pubrec(version, message.packet_id))
    assert reader.answer(Pubrel) == Pubrel(message.packet_id)
    reader.assert_silence()
    # A PUBREC that comes again is answered again, and the message is not.
    reader.send(encoder.encode_pubrec(version, message.packet_id))
    assert reader.answer(Pubrel) == Pubrel(message.packet_id)
    reader.send(encoder.encode_pubcomp(version, message.packet_id))
    reader.assert_silence()


def test_pubrec_of_something_unknown_is_answered(clients: Clients) -> None:
    client = clients.connect()
    client.send(encoder.encode_pubrec(client.version, 77))
    pubrel = client.answer(Pubrel)
    assert pubrel.packet_id == 77
    assert pubrel.reason_code in (ReasonCode.SUCCESS, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
    client.barrier()


@pytest.mark.parametrize("reason", [ReasonCode.UNSPECIFIED_ERROR, ReasonCode.QUOTA_EXCEEDED])
def test_refusing_pubrec_ends_the_delivery(clients: Clients, reason: ReasonCode) -> None:
    topic = unique("refuse")
    reader = subscriber(clients, 5, topic)
    clients.connect().publish(topic, b"x", 2)
    reader.send(encoder.encode_pubrec(5, reader.message().packet_id, reason))
    reader.barrier()
    reader.assert_silence()


@all_versions
@qualities
def test_messages_of_a_publisher_keep_their_order(clients: Clients, version: int, qos: int) -> None:
    topic = unique("order")
    reader = subscriber(clients, version, topic, qos)
    writer = clients.connect(version)
    payloads = [b"%d" % number for number in range(200)]
    for payload in payloads:
        writer.publish(topic, payload, qos)
    assert reader.take_payloads(200) == payloads


@versions
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 60_000])
def test_payloads_of_any_size_arrive(clients: Clients, version: int, size: int) -> None:
    topic = unique("size")
    reader = subscriber(clients, version, topic, 1)
    writer = clients.connect(version)
    payload = bytes(number % 251 for number in range(size))
    writer.publish(topic, payload, 0)
    writer.publish(topic, payload, 1)
    assert reader.take_payloads(2) == [payload, payload]


@versions
def test_own_messages_come_back(clients: Clients, version: int) -> None:
    topic = unique("own")
    client = subscriber(clients, version, topic, 1)
    client.publish(topic, b"echo", 1)
    assert client.take().payload == b"echo"
