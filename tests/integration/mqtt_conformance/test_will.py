"""Wills: when they are said, how, and when not (MQTT 5.0, 3.1.2.5). Delays are in test_time.py."""

import pytest

from protocols.mqtt.packets import Will
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.marks import all_versions, qualities, versions
from tests.integration.mqtt_conformance.raw_client import LONG, MQTT_5_0, Clients, RawClient, unique


def watcher(clients: Clients, version: int, topic: bytes) -> RawClient:
    client = clients.connect(version)
    client.subscribe(topic, 2)
    return client


@all_versions
@qualities
def test_will_is_said_when_the_connection_breaks(clients: Clients, version: int, qos: int) -> None:
    topic = unique("will")
    display = watcher(clients, version, topic)
    clients.with_will(Will(topic, b"gone", qos), version).cut()
    message = display.take()
    assert (message.topic, message.payload, message.qos) == (topic, b"gone", qos)
    assert (message.retain, message.dup) == (False, False)
    display.assert_silence()


@versions
def test_will_is_not_said_after_disconnect(clients: Clients, version: int) -> None:
    topic = unique("will")
    display = watcher(clients, version, topic)
    clients.with_will(Will(topic, b"gone", 1), version).disconnect()
    display.assert_silence()


@versions
def test_client_without_a_will_leaves_silently(clients: Clients, version: int) -> None:
    topic, client_id = unique("will"), unique("will")
    display = watcher(clients, version, topic)
    clients.with_will(Will(topic, b"gone", 1), version, client_id=client_id).disconnect()
    client = clients.connect(version, client_id)
    client.cut()
    display.assert_silence()


@versions
def test_will_is_said_after_a_broken_rule(clients: Clients, version: int) -> None:
    topic = unique("will")
    display = watcher(clients, version, topic)
    sensor = clients.with_will(Will(topic, b"gone", 1), version)
    sensor.send(b"\x00\x00")
    sensor.assert_ended(ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR)
    assert display.take().payload == b"gone"


@versions
def test_will_is_said_when_another_connection_takes_over(clients: Clients, version: int) -> None:
    topic, client_id = unique("will"), unique("will")
    display = watcher(clients, version, topic)
    clients.with_will(Will(topic, b"gone", 1), version, client_id=client_id)
    clients.connect(version, client_id)
    assert display.take().payload == b"gone"
    display.assert_silence()


@versions
def test_will_is_said_once(clients: Clients, version: int) -> None:
    topic, client_id = unique("will"), unique("will")
    display = watcher(clients, version, topic)
    clients.with_will(Will(topic, b"gone", 1), version, expiry=LONG, client_id=client_id).cut()
    assert display.take().payload == b"gone"
    clients.resume(version, client_id).cut()
    display.assert_silence()


@versions
@pytest.mark.parametrize("retain", [False, True])
def test_will_is_retained_if_it_says_so(clients: Clients, version: int, retain: bool) -> None:
    topic = unique("will")
    display = watcher(clients, version, topic)
    clients.with_will(Will(topic, b"gone", 1, retain), version).cut()
    assert not display.take().retain
    late = watcher(clients, version, topic)
    if retain:
        message = late.take()
        assert (message.payload, message.retain, message.qos) == (b"gone", True, 1)
    late.assert_silence()


@versions
def test_empty_retained_will_removes_what_is_kept(clients: Clients, version: int) -> None:
    topic = unique("will")
    clients.connect(version).publish(topic, b"kept", 1, retain=True)
    display = watcher(clients, version, topic)
    display.take()
    clients.with_will(Will(topic, b"", 1, True), version).cut()
    assert display.take().payload == b""
    watcher(clients, version, topic).assert_silence()


@versions
def test_will_waits_for_absent_clients(clients: Clients, version: int) -> None:
    topic, client_id = unique("will"), unique("reader")
    reader = clients.resume(version, client_id)
    reader.subscribe(topic, 1)
    reader.disconnect()
    display = watcher(clients, version, topic)
    clients.with_will(Will(topic, b"gone", 1), version).cut()
    display.take()
    assert clients.resume(version, client_id).take().payload == b"gone"


def test_will_carries_its_properties(clients: Clients) -> None:
    topic = unique("will")
    properties = Properties(
        payload_format_indicator=1,
        content_type="text/plain; grüße".encode(),
        response_topic=b"answers/to me",
        correlation_data=b"\0\xff",
        user_properties=((b"z", b"1"), (b"a", b"2"), (b"z", b"1"), (b"", b"")),
    )
    display = watcher(clients, MQTT_5_0, topic)
    clients.with_will(Will(topic, b"gone", 1, properties=properties)).cut()
    assert display.take().properties == properties


def test_will_delay_stays_with_the_server(clients: Clients) -> None:
    topic = unique("will")
    display = watcher(clients, MQTT_5_0, topic)
    properties = Properties(will_delay_interval=0, user_properties=((b"a", b"b"),))
    clients.with_will(Will(topic, b"gone", 1, properties=properties)).cut()
    assert display.take().properties == Properties(user_properties=((b"a", b"b"),))


def test_will_with_a_message_expiry_carries_it(clients: Clients) -> None:
    topic = unique("will")
    display = watcher(clients, MQTT_5_0, topic)
    clients.with_will(Will(topic, b"gone", 1, properties=Properties(message_expiry_interval=100))).cut()
    properties = display.take().properties
    assert properties is not None
    assert properties.message_expiry_interval in range(50, 101)


GOODBYES_WITH_WILL = [
    ReasonCode.DISCONNECT_WITH_WILL_MESSAGE,
    ReasonCode.UNSPECIFIED_ERROR,
    ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
    ReasonCode.ADMINISTRATIVE_ACTION,
]


@pytest.mark.parametrize("reason", GOODBYES_WITH_WILL, ids=lambda reason: reason.name)
def test_goodbye_with_another_reason_leaves_the_will(clients: Clients, reason: ReasonCode) -> None:
    topic = unique("will")
    display = watcher(clients, MQTT_5_0, topic)
    clients.with_will(Will(topic, b"gone", 1)).disconnect(reason)
    assert display.take().payload == b"gone"
    display.assert_silence()


def test_will_with_a_delay_is_said_at_once_when_the_session_ends_with_the_connection(clients: Clients) -> None:
    topic = unique("will")
    display = watcher(clients, MQTT_5_0, topic)
    clients.with_will(Will(topic, b"gone", 1, properties=Properties(will_delay_interval=LONG)), expiry=0).cut()
    assert display.take().payload == b"gone"


def test_will_with_a_delay_is_said_when_a_clean_start_ends_the_session(clients: Clients) -> None:
    topic, client_id = unique("will"), unique("will")
    display = watcher(clients, MQTT_5_0, topic)
    delayed = Will(topic, b"gone", 1, properties=Properties(will_delay_interval=LONG))
    clients.with_will(delayed, expiry=LONG, client_id=client_id).cut()
    display.assert_silence()
    clients.connect(client_id=client_id, clean_start=True)
    assert display.take().payload == b"gone"


def test_will_with_a_delay_is_dropped_when_its_session_is_taken_over(clients: Clients) -> None:
    topic, client_id = unique("will"), unique("will")
    display = watcher(clients, MQTT_5_0, topic)
    delayed = Will(topic, b"gone", 1, properties=Properties(will_delay_interval=LONG))
    clients.with_will(delayed, expiry=LONG, client_id=client_id, clean_start=False)
    assert clients.resume(MQTT_5_0, client_id).connack.session_present
    display.assert_silence()


@versions
@pytest.mark.parametrize("topic", [b"", b"a/+", b"#"])
def test_will_topic_that_is_no_topic_name_is_refused(clients: Clients, version: int, topic: bytes) -> None:
    client = clients.open(version)
    try:
        connack = client.connect(unique("will"), will=Will(topic, b"gone"))
        assert connack.reason_code in (
            ReasonCode.TOPIC_NAME_INVALID,
            ReasonCode.MALFORMED_PACKET,
            ReasonCode.PROTOCOL_ERROR,
        )
    except EOFError:
        pass  # It may say nothing.
    assert client.rest() == []
