"""What MQTT 3.1 has of its own: its protocol name, identifiers that must be there, DUP on requests."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connack, Connect, Pubcomp, Pubrec, Suback, Subscription, Unsuback
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import KEEP_ALIVE, MQTT_3_1, MQTT_3_1_1, Clients, unique

DUP = 0x08


def repeated(packet: bytes) -> bytes:
    """The packet with its DUP flag, as 3.1 wants it of requests that are sent again."""
    return bytes((packet[0] | DUP,)) + packet[1:]


def test_name_and_level_belong_together(clients: Clients) -> None:
    for version, name in ((MQTT_3_1, b"MQIsdp"), (MQTT_3_1_1, b"MQTT")):
        packet = encoder.encode_connect(Connect(version, unique("old"), keep_alive=KEEP_ALIVE))
        assert name in packet
        client = clients.open(version)
        client.send(packet)
        assert client.receive() == Connack(False)


@pytest.mark.parametrize("clean", [False, True])
def test_empty_client_identifier_is_refused(clients: Clients, clean: bool) -> None:
    client = clients.open(MQTT_3_1)
    assert client.connect(b"", clean_start=clean) == Connack(False, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)
    assert client.rest() == []


def test_requests_may_come_again_with_dup(clients: Clients) -> None:
    topic = unique("old")
    client = clients.connect(MQTT_3_1)
    client.send(repeated(encoder.encode_subscribe(MQTT_3_1, 1, [Subscription(topic, 1)])))
    assert client.answer(Suback) == Suback(1, (ReasonCode.GRANTED_QOS_1,))
    client.send_publish(topic, b"x", 2, packet_id=2)
    assert client.answer(Pubrec) == Pubrec(2)
    client.send(repeated(encoder.encode_pubrel(MQTT_3_1, 2)))
    assert client.answer(Pubcomp) == Pubcomp(2)
    assert client.take().payload == b"x"
    client.send(repeated(encoder.encode_unsubscribe(MQTT_3_1, 3, [topic])))
    assert client.answer(Unsuback) == Unsuback(3)


@pytest.mark.parametrize(
    "packet", [b"\x8a\x06\x00\x01\x00\x01a\x00", b"\x6a\x02\x00\x01", b"\xaa\x05\x00\x01\x00\x01a"]
)
def test_dup_on_requests_is_malformed_since_3_1_1(clients: Clients, packet: bytes) -> None:
    client = clients.connect(MQTT_3_1_1)
    client.send(packet)
    client.assert_ended()


def test_versions_share_topics(clients: Clients) -> None:
    topic = unique("shared")
    old, middle, new = clients.connect(MQTT_3_1), clients.connect(MQTT_3_1_1), clients.connect()
    for client in (old, middle, new):
        client.subscribe(topic, 2)
    for writer in (old, middle, new):
        writer.publish(topic, b"x", 2)
        for reader in (old, middle, new):
            assert reader.take().payload == b"x"
