"""Receive maximum and maximum packet size, in both directions (MQTT 5.0, 4.9, 3.1.2.11)."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Disconnect, Puback, Pubcomp, Pubrec, Pubrel, Subscription
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import LONG, MQTT_5_0, Clients, RawClient, unique
from tests.integration.mqtt_conformance.server import MAX_INFLIGHT, MAX_PACKET

WINDOW = 3


def narrow_reader(clients: Clients, topic: bytes, qos: int) -> RawClient:
    reader = clients.connect(properties=Properties(receive_maximum=WINDOW))
    reader.subscribe(topic, qos)
    return reader


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_server_sends_no_more_than_the_client_takes(clients: Clients) -> None:
    topic = unique("window")
    reader = narrow_reader(clients, topic, 1)
    writer = clients.connect()
    for payload in numbers(10):
        writer.publish(topic, payload, 1)
    waiting = [reader.message() for _ in range(WINDOW)]
    reader.assert_silence()
    received = [message.payload for message in waiting]
    while waiting:
        reader.acknowledge(waiting.pop(0))
        if len(received) < 10:
            waiting.append(reader.message())
            received.append(waiting[-1].payload)
        reader.assert_silence()
    assert received == numbers(10)


def test_pubrec_does_not_open_the_window_and_pubcomp_does(clients: Clients) -> None:
    topic = unique("window")
    reader = narrow_reader(clients, topic, 2)
    writer = clients.connect()
    for payload in numbers(WINDOW + 2):
        writer.publish(topic, payload, 2)
    first, second, _ = (reader.message() for _ in range(WINDOW))
    reader.send(encoder.encode_pubrec(5, first.packet_id))
    assert reader.answer(Pubrel) == Pubrel(first.packet_id)
    reader.assert_silence()
    reader.send(encoder.encode_pubcomp(5, first.packet_id))
    assert reader.message().payload == b"3"
    reader.assert_silence()
    reader.send(encoder.encode_pubrec(5, second.packet_id, ReasonCode.UNSPECIFIED_ERROR))
    assert reader.message().payload == b"4"
    reader.assert_silence()


def test_full_window_holds_nothing_else_up(clients: Clients) -> None:
    topic, other = unique("window"), unique("plain")
    reader = narrow_reader(clients, topic, 1)
    reader.subscribe(other, 0)
    writer = clients.connect()
    for payload in numbers(WINDOW + 1):
        writer.publish(topic, payload, 1)
    waiting = [reader.message() for _ in range(WINDOW)]
    writer.publish(other, b"plain", 0)
    assert reader.take().payload == b"plain"
    assert reader.publish(unique("up"), b"", 1) in (0, ReasonCode.NO_MATCHING_SUBSCRIBERS)
    reader.subscribe(unique("more"), 1)
    reader.barrier()
    reader.acknowledge(waiting[0])
    assert reader.message().payload == b"3"


def test_quality_of_service_0_does_not_count(clients: Clients) -> None:
    topic = unique("plain")
    reader = narrow_reader(clients, topic, 0)
    writer = clients.connect()
    for payload in numbers(20):
        writer.publish(topic, payload, 1)
    assert reader.take_payloads(20) == numbers(20)


def test_window_holds_for_what_is_sent_again(clients: Clients) -> None:
    client_id, topic = unique("resumed"), unique("resumed")
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 1)
    writer = clients.connect()
    for payload in numbers(6):
        writer.publish(topic, payload, 1)
    for _ in range(6):
        reader.message()
    reader.cut()
    narrow = Properties(session_expiry_interval=LONG, receive_maximum=2)
    back = clients.resume(MQTT_5_0, client_id, properties=narrow)
    waiting = [back.message(), back.message()]
    back.assert_silence()
    received = [message.payload for message in waiting]
    while len(received) < 6:
        back.acknowledge(waiting.pop(0))
        waiting.append(back.message())
        received.append(waiting[-1].payload)
        back.assert_silence()
    assert received == numbers(6)


def test_client_may_fill_the_servers_window(clients: Clients) -> None:
    writer = clients.connect()
    properties = writer.connack.properties
    assert properties is not None
    assert properties.receive_maximum == MAX_INFLIGHT
    for packet_id in range(1, MAX_INFLIGHT + 1):
        writer.send_publish(b"nobody/reads", b"", 2, packet_id=packet_id)
        assert writer.answer(Pubrec).packet_id == packet_id
    # One may come again, a release makes room for another, and other packets do not count.
    writer.send_publish(b"nobody/reads", b"", 2, packet_id=1, dup=True)
    assert writer.answer(Pubrec).packet_id == 1
    writer.send_publish(b"nobody/reads", b"", 0)
    writer.barrier()
    writer.send(encoder.encode_pubrel(5, 1))
    assert writer.answer(Pubcomp) == Pubcomp(1)
    writer.send_publish(b"nobody/reads", b"", 2, packet_id=1)
    assert writer.answer(Pubrec).packet_id == 1


@pytest.mark.parametrize("qos", [1, 2])
def test_client_that_sends_more_than_the_server_takes_is_told_and_closed(clients: Clients, qos: int) -> None:
    writer = clients.connect()
    for packet_id in range(1, MAX_INFLIGHT + 1):
        writer.send_publish(b"nobody/reads", b"", 2, packet_id=packet_id)
        writer.answer(Pubrec)
    writer.send_publish(b"nobody/reads", b"", qos, packet_id=MAX_INFLIGHT + 1)
    writer.assert_ended(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)


@pytest.mark.parametrize(
    "properties", [Properties(receive_maximum=0), Properties(maximum_packet_size=0)], ids=["window", "packet size"]
)
def test_limit_of_0_is_a_protocol_error(clients: Clients, properties: Properties) -> None:
    client = clients.open()
    try:
        assert client.connect(unique("zero"), properties=properties).reason_code == ReasonCode.PROTOCOL_ERROR
    except EOFError:
        pass  # It may say nothing.
    assert client.rest() == []


# Packet sizes.


def limited_reader(clients: Clients, size: int) -> RawClient:
    """A client that takes packets of this size, and checks that none is larger."""
    reader = clients.open(MQTT_5_0, max_packet_size=size)
    assert reader.connect(unique("limited"), properties=Properties(maximum_packet_size=size)).reason_code == 0
    return reader


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_message_too_large_for_a_client_is_passed_over(clients: Clients, qos: int) -> None:
    topic = unique("large")
    size = 200
    reader = limited_reader(clients, size)
    reader.subscribe(topic, qos)
    other = clients.connect()
    other.subscribe(topic, qos)
    # Fixed header of three bytes, topic with its length, packet identifier, property length.
    fitting = size - 3 - 2 - len(topic) - (2 if qos else 0) - 1
    writer = clients.connect()
    for extra in (0, 1, 1000):
        writer.publish(topic, bytes(fitting + extra), qos)
    writer.publish(topic, b"small", qos)
    assert [len(payload) for payload in reader.take_payloads(2)] == [fitting, 5]
    reader.assert_silence()
    assert [len(payload) for payload in other.take_payloads(4)] == [fitting, fitting + 1, fitting + 1000, 5]


def test_messages_too_large_take_no_place_in_the_window(clients: Clients) -> None:
    topic = unique("large")
    reader = clients.open(MQTT_5_0, max_packet_size=100)
    limits = Properties(maximum_packet_size=100, receive_maximum=1)
    reader.connect(unique("limited"), properties=limits)
    reader.subscribe(topic, 1)
    writer = clients.connect()
    for _ in range(5):
        writer.publish(topic, bytes(200), 1)
    writer.publish(topic, b"small", 1)
    assert reader.take().payload == b"small"


def test_queued_message_too_large_for_the_returned_client_is_passed_over(clients: Clients) -> None:
    client_id, topic = unique("returned"), unique("returned")
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 1)
    reader.disconnect()
    writer = clients.connect()
    writer.publish(topic, bytes(1000), 1)
    writer.publish(topic, b"small", 1)
    limits = Properties(session_expiry_interval=LONG, maximum_packet_size=200)
    back = clients.open(MQTT_5_0, max_packet_size=200)
    assert back.connect(client_id, clean_start=False, properties=limits).session_present
    assert back.take().payload == b"small"
    back.assert_silence()


def test_answers_fit_into_the_packets_that_the_client_takes(clients: Clients) -> None:
    """No reason string or user property makes an answer larger than that."""
    client = limited_reader(clients, 30)
    client.publish(unique("up"), b"", 1)
    client.publish(unique("up"), b"", 2)
    client.subscribe_all([Subscription(unique("down"), 1), Subscription(b"$share/group/" + unique("down"), 1)])
    client.unsubscribe(unique("down"))
    client.send(b"\x00\x00")
    client.rest()


def test_packet_as_large_as_the_server_takes_is_fine(clients: Clients) -> None:
    topic = unique("largest")
    client = clients.connect()
    assert client.connack.properties is not None
    assert client.connack.properties.maximum_packet_size == MAX_PACKET
    client.subscribe(topic, 1)
    # Fixed header of four bytes, topic with its length, packet identifier, property length.
    payload = bytes(MAX_PACKET - 4 - 2 - len(topic) - 2 - 1)
    client.publish(topic, payload, 1)
    assert client.take().payload == payload


def test_packet_larger_than_the_server_takes_ends_the_connection(clients: Clients) -> None:
    client = clients.connect()
    client.send(b"\x30\xa1\x8d\x06")  # A remaining length of 100,001 is enough to know it.
    client.send(bytes(100))
    packets = [packet for packet in client.rest() if not isinstance(packet, Puback)]
    assert packets == [Disconnect(ReasonCode.PACKET_TOO_LARGE)]
