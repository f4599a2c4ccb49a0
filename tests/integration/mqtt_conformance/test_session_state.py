"""What a session keeps while its client is away, and how deliveries go on when it is back (MQTT 5.0, 4.1, 4.4)."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Pubcomp, Pubrec, Pubrel
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.marks import all_versions, versions
from tests.integration.mqtt_conformance.raw_client import (
    LONG,
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5_0,
    Clients,
    RawClient,
    unique,
)


def subscribed(clients: Clients, version: int, client_id: bytes, topic: bytes, qos: int = 2) -> RawClient:
    """A client with a lasting session and a subscription."""
    client = clients.resume(version, client_id)
    client.subscribe(topic, qos)
    return client


@all_versions
@pytest.mark.parametrize("qos", [1, 2])
def test_messages_wait_for_an_absent_client(clients: Clients, version: int, qos: int) -> None:
    client_id, topic = unique("absent"), unique("absent")
    subscribed(clients, version, client_id, topic).disconnect()
    writer = clients.connect(version)
    payloads = [b"%d" % number for number in range(50)]
    for payload in payloads:
        writer.publish(topic, payload, qos)
    reader = clients.resume(version, client_id)
    messages = [reader.take() for _ in payloads]
    assert [message.payload for message in messages] == payloads
    assert {(message.qos, message.dup, message.retain) for message in messages} == {(qos, False, False)}
    reader.assert_silence()
    reader.disconnect()
    clients.resume(version, client_id).assert_silence()


@versions
def test_messages_wait_for_a_client_whose_connection_broke(clients: Clients, version: int) -> None:
    client_id, topic = unique("broken"), unique("broken")
    subscribed(clients, version, client_id, topic, 1).cut()
    clients.connect(version).publish(topic, b"x", 1)
    assert clients.resume(version, client_id).take().payload == b"x"


@versions
def test_subscriptions_are_part_of_the_session(clients: Clients, version: int) -> None:
    client_id, topic = unique("kept"), unique("kept")
    subscribed(clients, version, client_id, topic, 1).disconnect()
    reader = clients.resume(version, client_id)
    clients.connect(version).publish(topic, b"x", 2)
    message = reader.take()
    assert (message.payload, message.qos) == (b"x", 1)
    reader.unsubscribe(topic)
    reader.disconnect()
    clients.connect(version).publish(topic, b"no", 1)
    clients.resume(version, client_id).assert_silence()


def test_options_and_identifiers_are_part_of_the_session(clients: Clients) -> None:
    client_id, topic = unique("options"), unique("options")
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 1, identifier=7, no_local=True, retain_as_published=True)
    reader.disconnect()
    clients.connect().publish(topic, b"away", 1, retain=True)
    reader = clients.resume(MQTT_5_0, client_id)
    clients.connect().publish(topic, b"back", 1, retain=True)
    reader.publish(topic, b"own", 1)
    for payload in (b"away", b"back"):
        message = reader.take()
        assert (message.payload, message.retain) == (payload, True)
        assert message.properties is not None
        assert message.properties.subscription_identifiers == (7,)
    reader.assert_silence()


@pytest.mark.parametrize("expiry", [None, 0])
def test_session_without_expiry_ends_with_its_connection(clients: Clients, expiry: int | None) -> None:
    client_id, topic = unique("short"), unique("short")
    properties = Properties(session_expiry_interval=expiry)
    client = clients.connect(client_id=client_id, clean_start=False, properties=properties)
    client.subscribe(topic, 1)
    client.cut()
    clients.connect().publish(topic, b"no", 1)
    back = clients.resume(MQTT_5_0, client_id)
    assert not back.connack.session_present
    back.assert_silence()


def test_clean_session_ends_with_its_connection(clients: Clients) -> None:
    client_id, topic = unique("clean"), unique("clean")
    client = clients.connect(MQTT_3_1_1, client_id, clean_start=True)
    client.subscribe(topic, 1)
    client.cut()
    clients.connect(MQTT_3_1_1).publish(topic, b"no", 1)
    back = clients.resume(MQTT_3_1_1, client_id)
    assert not back.connack.session_present
    back.assert_silence()


def test_clean_start_does_not_say_how_long_a_session_lasts(clients: Clients) -> None:
    client_id = unique("fresh")
    keep = Properties(session_expiry_interval=LONG)
    clients.connect(client_id=client_id, clean_start=True, properties=keep).disconnect()
    assert clients.resume(MQTT_5_0, client_id).connack.session_present


@pytest.mark.parametrize("old", [MQTT_3_1_1, MQTT_5_0], ids=["from 3.1.1", "from 5.0"])
@pytest.mark.parametrize("new", [MQTT_3_1_1, MQTT_5_0], ids=["to 3.1.1", "to 5.0"])
def test_session_goes_on_in_another_version(clients: Clients, old: int, new: int) -> None:
    client_id, topic = unique("upgrade"), unique("upgrade")
    subscribed(clients, old, client_id, topic, 1).disconnect()
    clients.connect().publish(topic, b"x", 1)
    reader = clients.resume(new, client_id)
    assert reader.connack.session_present
    assert reader.take().payload == b"x"


@versions
def test_taken_over_session_goes_on(clients: Clients, version: int) -> None:
    client_id, topic = unique("over"), unique("over")
    before = subscribed(clients, version, client_id, topic, 1)
    clients.connect(version).publish(topic, b"x", 1)
    message = before.message()
    after = clients.resume(version, client_id)
    assert after.connack.session_present
    again = after.take()
    assert (again.packet_id, again.payload, again.dup) == (message.packet_id, b"x", True)


# Deliveries from the server that a broken connection interrupts.


@versions
def test_unacknowledged_messages_are_sent_again_in_order(clients: Clients, version: int) -> None:
    client_id, topic = unique("again"), unique("again")
    before = subscribed(clients, version, client_id, topic)
    writer = clients.connect(version)
    for qos in (1, 2, 1, 2):
        writer.publish(topic, b"%d" % qos, qos)
    sent = [before.message() for _ in range(4)]
    before.cut()
    after = clients.resume(version, client_id)
    resent = [after.message() for _ in range(4)]
    assert [(message.packet_id, message.payload, message.qos) for message in resent] == [
        (message.packet_id, message.payload, message.qos) for message in sent
    ]
    assert all(message.dup for message in resent)
    for message in resent:
        after.acknowledge(message)
    after.disconnect()
    clients.resume(version, client_id).assert_silence()


@versions
def test_what_was_acknowledged_is_not_sent_again(clients: Clients, version: int) -> None:
    client_id, topic = unique("done"), unique("done")
    before = subscribed(clients, version, client_id, topic)
    writer = clients.connect(version)
    for payload in (b"1", b"2", b"3"):
        writer.publish(topic, payload, 1)
    first, second, third = (before.message() for _ in range(3))
    before.acknowledge(second)
    before.cut()
    after = clients.resume(version, client_id)
    assert [after.message().packet_id for _ in range(2)] == [first.packet_id, third.packet_id]
    after.assert_silence()


@versions
def test_received_message_of_quality_of_service_2_goes_on_with_its_release(clients: Clients, version: int) -> None:
    client_id, topic = unique("release"), unique("release")
    before = subscribed(clients, version, client_id, topic)
    clients.connect(version).publish(topic, b"x", 2)
    message = before.message()
    before.send(encoder.encode_pubrec(version, message.packet_id))
    before.answer(Pubrel)
    before.cut()
    after = clients.resume(version, client_id)
    assert after.receive() == Pubrel(message.packet_id)
    after.assert_silence()
    after.send(encoder.encode_pubcomp(version, message.packet_id))
    after.disconnect()
    clients.resume(version, client_id).assert_silence()


@versions
def test_nothing_is_sent_again_on_the_same_connection(clients: Clients, version: int) -> None:
    client_id, topic = unique("still"), unique("still")
    reader = subscribed(clients, version, client_id, topic)
    writer = clients.connect(version)
    writer.publish(topic, b"1", 1)
    writer.publish(topic, b"2", 2)
    reader.message()
    reader.message()
    reader.subscribe(topic + b"/other", 1)
    reader.unsubscribe(topic + b"/other")
    writer.publish(topic, b"3", 1)
    assert reader.message().payload == b"3"
    reader.assert_silence()


@versions
def test_new_messages_come_behind_those_that_are_sent_again(clients: Clients, version: int) -> None:
    client_id, topic = unique("behind"), unique("behind")
    before = subscribed(clients, version, client_id, topic, 1)
    writer = clients.connect(version)
    writer.publish(topic, b"1", 1)
    before.message()
    before.cut()
    for payload in (b"2", b"3"):
        writer.publish(topic, payload, 1)
    after = clients.resume(version, client_id)
    messages = [after.take() for _ in range(3)]
    assert [(message.payload, message.dup) for message in messages] == [(b"1", True), (b"2", False), (b"3", False)]


def test_refusing_puback_ends_the_delivery(clients: Clients) -> None:
    client_id, topic = unique("refused"), unique("refused")
    before = subscribed(clients, MQTT_5_0, client_id, topic)
    writer = clients.connect()
    writer.publish(topic, b"1", 1)
    writer.publish(topic, b"2", 2)
    before.send(encoder.encode_puback(5, before.message().packet_id, ReasonCode.UNSPECIFIED_ERROR))
    before.send(encoder.encode_pubrec(5, before.message().packet_id, ReasonCode.NOT_AUTHORIZED))
    before.cut()
    clients.resume(MQTT_5_0, client_id).assert_silence()


# Deliveries to the server that a broken connection interrupts.


@versions
def test_message_of_quality_of_service_2_is_known_after_a_reconnect(clients: Clients, version: int) -> None:
    client_id, topic = unique("known"), unique("known")
    reader = clients.connect(version)
    reader.subscribe(topic, 2)
    before = clients.resume(version, client_id)
    before.send_publish(topic, b"x", 2, packet_id=21)
    assert before.answer(Pubrec).packet_id == 21
    before.cut()
    after = clients.resume(version, client_id)
    after.send_publish(topic, b"x", 2, packet_id=21, dup=True)
    assert after.answer(Pubrec).packet_id == 21
    after.send(encoder.encode_pubrel(version, 21))
    assert after.answer(Pubcomp) == Pubcomp(21)
    assert reader.take().payload == b"x"
    reader.assert_silence()


@versions
def test_release_after_a_reconnect_is_completed(clients: Clients, version: int) -> None:
    client_id, topic = unique("complete"), unique("complete")
    reader = clients.connect(version)
    reader.subscribe(topic, 2)
    before = clients.resume(version, client_id)
    before.send_publish(topic, b"x", 2, packet_id=22)
    assert before.answer(Pubrec).packet_id == 22
    before.cut()
    after = clients.resume(version, client_id)
    after.send(encoder.encode_pubrel(version, 22))
    assert after.answer(Pubcomp) == Pubcomp(22)
    after.publish(topic, b"y", 2, packet_id=22)
    assert reader.take_payloads(2) == [b"x", b"y"]
    reader.assert_silence()


@versions
def test_new_session_knows_no_message_of_the_old_one(clients: Clients, version: int) -> None:
    client_id, topic = unique("forgotten"), unique("forgotten")
    before = clients.resume(version, client_id)
    before.send_publish(b"nobody/reads", b"x", 2, packet_id=23)
    before.answer(Pubrec)
    before.cut()
    reader = clients.connect(version)
    reader.subscribe(topic, 2)
    after = clients.connect(version, client_id, clean_start=True)
    after.publish(topic, b"y", 2, packet_id=23)
    assert reader.take().payload == b"y"


def test_3_1_has_no_flag_for_a_present_session(clients: Clients) -> None:
    client_id, topic = unique("old"), unique("old")
    subscribed(clients, MQTT_3_1, client_id, topic, 1).disconnect()
    clients.connect().publish(topic, b"x", 1)
    reader = clients.resume(MQTT_3_1, client_id)
    assert not reader.connack.session_present
    assert reader.take().payload == b"x"
