"""Retained messages, and what subscription options of 5.0 say about them."""

import pytest

from protocols.mqtt.packets import Subscription
from protocols.mqtt.properties import Properties
from tests.integration.mqtt_conformance.marks import qualities, versions
from tests.integration.mqtt_conformance.raw_client import MQTT_5_0, Clients, unique


@versions
@qualities
def test_retained_message_waits_for_subscribers(clients: Clients, version: int, qos: int) -> None:
    topic = unique("kept")
    clients.connect(version).publish(topic, b"kept", qos, retain=True)
    reader = clients.connect(version)
    reader.subscribe(topic, 2)
    message = reader.take()
    assert (message.topic, message.payload, message.qos) == (topic, b"kept", qos)
    assert (message.retain, message.dup) == (True, False)
    reader.assert_silence()


@versions
def test_retained_message_is_replaced(clients: Clients, version: int) -> None:
    topic = unique("replaced")
    writer = clients.connect(version)
    writer.publish(topic, b"old", 1, retain=True)
    writer.publish(topic, b"new", 0, retain=True)
    reader = clients.connect(version)
    reader.subscribe(topic, 1)
    message = reader.take()
    assert (message.payload, message.qos) == (b"new", 0)
    reader.assert_silence()


@versions
def test_message_that_is_not_retained_changes_nothing(clients: Clients, version: int) -> None:
    topic, other = unique("kept"), unique("passing")
    writer = clients.connect(version)
    writer.publish(topic, b"kept", 1, retain=True)
    writer.publish(topic, b"passing", 1)
    writer.publish(topic, b"", 1)
    writer.publish(other, b"passing", 1)
    reader = clients.connect(version)
    reader.subscribe(topic)
    assert reader.take().payload == b"kept"
    reader.subscribe(other)
    reader.assert_silence()


@versions
def test_empty_retained_message_is_delivered_and_removes_what_is_kept(clients: Clients, version: int) -> None:
    topic = unique("removed")
    early = clients.connect(version)
    early.subscribe(topic)
    writer = clients.connect(version)
    writer.publish(topic, b"kept", 1, retain=True)
    writer.publish(topic, b"", 1, retain=True)
    assert early.take_payloads(2) == [b"kept", b""]
    late = clients.connect(version)
    late.subscribe(topic)
    late.assert_silence()


@versions
def test_retained_message_comes_to_established_subscriptions_without_the_flag(clients: Clients, version: int) -> None:
    topic = unique("flag")
    reader = clients.connect(version)
    reader.subscribe(topic, 1)
    clients.connect(version).publish(topic, b"live", 1, retain=True)
    message = reader.take()
    assert (message.payload, message.retain) == (b"live", False)


@versions
def test_wildcards_find_retained_messages(clients: Clients, version: int) -> None:
    root = unique("tree")
    writer = clients.connect(version)
    for suffix in (b"", b"/a", b"/b", b"/a/deep", b"/b/deep"):
        writer.publish(root + suffix, b"x", 1, retain=True)
    matches = {
        b"/+": {b"/a", b"/b"},
        b"/+/deep": {b"/a/deep", b"/b/deep"},
        b"/#": {b"", b"/a", b"/b", b"/a/deep", b"/b/deep"},
    }
    for topic_filter, suffixes in matches.items():
        reader = clients.connect(version)
        reader.subscribe(root + topic_filter)
        assert {reader.take().topic for _ in suffixes} == {root + suffix for suffix in suffixes}
        reader.assert_silence()


@versions
def test_subscribing_again_sends_retained_messages_again(clients: Clients, version: int) -> None:
    topic = unique("again")
    clients.connect(version).publish(topic, b"kept", 1, retain=True)
    reader = clients.connect(version)
    for qos in (0, 1, 1):
        reader.subscribe(topic, qos)
        message = reader.take()
        assert (message.payload, message.qos, message.retain) == (b"kept", qos, True)


@versions
def test_retained_messages_outlive_the_session_that_sent_them(clients: Clients, version: int) -> None:
    topic = unique("outlives")
    writer = clients.connect(version)
    writer.publish(topic, b"kept", 1, retain=True)
    writer.disconnect()
    reader = clients.connect(version)
    reader.subscribe(topic)
    assert reader.take().payload == b"kept"


# Options of 5.0.


@pytest.mark.parametrize(("handling", "first", "second"), [(0, True, True), (1, True, False), (2, False, False)])
def test_retain_handling_says_when_retained_messages_are_sent(
    clients: Clients, handling: int, first: bool, second: bool
) -> None:
    topic = unique("handling")
    clients.connect().publish(topic, b"kept", 1, retain=True)
    reader = clients.connect()
    for expected in (first, second):
        reader.subscribe(topic, 1, retain_handling=handling)
        if expected:
            assert reader.take().payload == b"kept"
        reader.assert_silence()
    # A subscription that was given up is a new one.
    assert reader.unsubscribe(topic) == [0]
    reader.subscribe(topic, 1, retain_handling=handling)
    if first:
        assert reader.take().payload == b"kept"
    reader.assert_silence()


def test_retain_handling_1_knows_the_subscriptions_of_a_resumed_session(clients: Clients) -> None:
    client_id, topic = unique("handling"), unique("handling")
    clients.connect().publish(topic, b"kept", 1, retain=True)
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 1, retain_handling=1)
    assert reader.take().payload == b"kept"
    reader.disconnect()
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 1, retain_handling=1)
    reader.assert_silence()


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("as_published", [False, True])
def test_retain_as_published_keeps_the_flag(clients: Clients, retain: bool, as_published: bool) -> None:
    topic = unique("published")
    reader = clients.connect()
    reader.subscribe(topic, 1, retain_as_published=as_published)
    clients.connect().publish(topic, b"live", 1, retain=retain)
    assert reader.take().retain == (retain and as_published)


@pytest.mark.parametrize("as_published", [False, True])
def test_retained_message_for_a_new_subscription_always_has_the_flag(clients: Clients, as_published: bool) -> None:
    topic = unique("flag")
    clients.connect().publish(topic, b"kept", 1, retain=True)
    reader = clients.connect()
    reader.subscribe(topic, 1, retain_as_published=as_published)
    assert reader.take().retain


def test_retained_message_keeps_its_properties(clients: Clients) -> None:
    topic = unique("properties")
    properties = Properties(
        payload_format_indicator=1,
        content_type=b"text/plain",
        response_topic=b"answer/here",
        correlation_data=b"\0\xff",
        user_properties=((b"b", b"1"), (b"a", b"2"), (b"b", b"1")),
    )
    clients.connect().publish(topic, b"kept", 1, retain=True, properties=properties)
    reader = clients.connect()
    reader.subscribe(topic, 1)
    assert reader.take().properties == properties


def test_retained_message_carries_the_identifier_of_the_subscription(clients: Clients) -> None:
    topic = unique("identified")
    clients.connect().publish(topic, b"kept", 1, retain=True)
    reader = clients.connect()
    reader.subscribe(topic, 1, identifier=11)
    properties = reader.take().properties
    assert properties is not None
    assert properties.subscription_identifiers == (11,)


def test_every_filter_of_a_subscribe_gets_its_retained_messages(clients: Clients) -> None:
    topics = [unique("many") for _ in range(3)]
    writer = clients.connect()
    for topic in topics:
        writer.publish(topic, topic, 1, retain=True)
    reader = clients.connect()
    codes = reader.subscribe_all([Subscription(topic, 1, retain_handling=2 * (topic == topics[1])) for topic in topics])
    assert codes == [1, 1, 1]
    assert set(reader.take_payloads(2)) == {topics[0], topics[2]}
    reader.assert_silence()
