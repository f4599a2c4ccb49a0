"""Topic aliases, which either side may set (MQTT 5.0, 3.3.2.3.4)."""

from typing import Any

import pytest

from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import LONG, MQTT_5_0, Clients, RawClient, unique


def alias(number: int) -> Properties:
    return Properties(topic_alias=number)


def alias_maximum(client: RawClient) -> int:
    """How many aliases the server takes."""
    properties = client.connack.properties
    assert properties is not None
    assert properties.topic_alias_maximum, "the server takes no aliases"
    return properties.topic_alias_maximum


# Set by a client.


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_alias_stands_for_its_topic(clients: Clients, qos: int) -> None:
    root = unique("alias")
    reader = clients.connect()
    reader.subscribe(root + b"/#", qos)
    writer = clients.connect()
    largest = alias_maximum(writer)
    writer.publish(root + b"/a", b"1", qos, properties=alias(1))
    writer.publish(root + b"/b", b"2", qos, properties=alias(largest))
    for number, payload in ((1, b"3"), (largest, b"4"), (1, b"5")):
        writer.publish(b"", payload, qos, properties=alias(number))
    messages = [reader.take() for _ in range(5)]
    topics = [root + suffix for suffix in (b"/a", b"/b", b"/a", b"/b", b"/a")]
    assert [message.topic for message in messages] == topics
    assert [message.payload for message in messages] == [b"1", b"2", b"3", b"4", b"5"]
    assert all(message.properties is None for message in messages)


def test_alias_may_be_given_to_another_topic(clients: Clients) -> None:
    root = unique("alias")
    reader = clients.connect()
    reader.subscribe(root + b"/+", 1)
    writer = clients.connect()
    writer.publish(root + b"/a", b"1", 1, properties=alias(1))
    writer.publish(root + b"/b", b"2", 1, properties=alias(1))
    writer.publish(b"", b"3", 1, properties=alias(1))
    writer.publish(root + b"/a", b"4", 1)
    topics = [reader.take().topic for _ in range(4)]
    assert topics == [root + suffix for suffix in (b"/a", b"/b", b"/b", b"/a")]


def test_message_with_an_alias_can_be_retained(clients: Clients) -> None:
    topic = unique("alias")
    writer = clients.connect()
    writer.publish(topic, b"1", 1, properties=alias(1))
    writer.publish(b"", b"kept", 1, retain=True, properties=alias(1))
    reader = clients.connect()
    reader.subscribe(topic, 1)
    message = reader.take()
    assert (message.topic, message.payload, message.properties) == (topic, b"kept", None)


def test_alias_that_was_never_set_is_a_protocol_error(clients: Clients) -> None:
    writer = clients.connect()
    alias_maximum(writer)
    writer.send_publish(b"", b"x", 0, properties=alias(1))
    writer.assert_ended(ReasonCode.PROTOCOL_ERROR, ReasonCode.TOPIC_ALIAS_INVALID)


def test_aliases_of_one_connection_mean_nothing_to_the_next(clients: Clients) -> None:
    client_id = unique("alias")
    before = clients.resume(MQTT_5_0, client_id)
    before.publish(unique("alias"), b"x", 1, properties=alias(1))
    before.cut()
    after = clients.resume(MQTT_5_0, client_id)
    assert after.connack.session_present
    after.send_publish(b"", b"x", 0, properties=alias(1))
    after.assert_ended(ReasonCode.PROTOCOL_ERROR, ReasonCode.TOPIC_ALIAS_INVALID)


def test_aliases_of_one_client_mean_nothing_to_another(clients: Clients) -> None:
    clients.connect().publish(unique("alias"), b"x", 1, properties=alias(1))
    other = clients.connect()
    other.send_publish(b"", b"x", 0, properties=alias(1))
    other.assert_ended(ReasonCode.PROTOCOL_ERROR, ReasonCode.TOPIC_ALIAS_INVALID)


def test_alias_outside_of_the_servers_range_is_told(clients: Clients) -> None:
    writer = clients.connect()
    writer.send_publish(b"a", b"x", 0, properties=alias(alias_maximum(writer) + 1))
    writer.assert_ended(ReasonCode.TOPIC_ALIAS_INVALID)


def test_alias_0_is_told(clients: Clients) -> None:
    writer = clients.connect()
    writer.send_publish(b"a", b"x", 0, properties=alias(0))
    writer.assert_ended(ReasonCode.TOPIC_ALIAS_INVALID, ReasonCode.PROTOCOL_ERROR, ReasonCode.MALFORMED_PACKET)


def test_neither_topic_nor_alias_is_a_protocol_error(clients: Clients) -> None:
    writer = clients.connect()
    writer.send_publish(b"", b"x", 0)
    writer.assert_ended(ReasonCode.PROTOCOL_ERROR, ReasonCode.MALFORMED_PACKET, ReasonCode.TOPIC_NAME_INVALID)


# Set by the server.


class Resolver:
    """Finds the topics of messages with aliases that the server has set."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._topics: dict[int, bytes] = {}

    def topic(self, message: Publish) -> bytes:
        number = message.properties.topic_alias if message.properties is not None else None
        if number is None:
            return message.topic
        assert 1 <= number <= self.most
        if message.topic:
            self._topics[number] = message.topic
        else:
            self.used += 1
        return self._topics[number]


def alias_reader(clients: Clients, most: int, **fields: Any) -> RawClient:
    properties = Properties(topic_alias_maximum=most, session_expiry_interval=LONG)
    return clients.connect(properties=properties, **fields)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("most", [1, 2, 65_535])
def test_servers_aliases_stand_for_the_right_topics(clients: Clients, most: int, qos: int) -> None:
    root = unique("alias")
    reader = alias_reader(clients, most)
    reader.subscribe(root + b"/#", qos)
    writer = clients.connect()
    topics = [root + b"/%d" % number for number in (1, 1, 2, 3, 1, 2, 4, 4, 1, 3, 2, 1)]
    for topic in topics:
        writer.publish(topic, topic, qos)
    resolver = Resolver(most)
    for topic in topics:
        message = reader.take()
        assert (resolver.topic(message), message.payload) == (topic, topic)


def test_server_uses_the_aliases_that_a_client_takes(clients: Clients) -> None:
    topic = unique("alias")
    reader = alias_reader(clients, 5)
    reader.subscribe(topic, 1)
    writer = clients.connect()
    resolver = Resolver(5)
    for _ in range(5):
        writer.publish(topic, b"x", 1)
        assert resolver.topic(reader.take()) == topic
    assert resolver.used


@pytest.mark.parametrize("most", [None, 0])
def test_server_sets_no_alias_that_the_client_does_not_take(clients: Clients, most: int | None) -> None:
    topic = unique("alias")
    reader = clients.connect(properties=Properties(topic_alias_maximum=most))
    reader.subscribe(topic, 1)
    writer = clients.connect()
    for _ in range(5):
        writer.publish(topic, b"x", 1)
        message = reader.take()
        assert (message.topic, message.properties) == (topic, None)


def test_server_begins_anew_with_its_aliases_on_a_new_connection(clients: Clients) -> None:
    client_id, topic = unique("alias"), unique("alias")
    before = alias_reader(clients, 5, client_id=client_id)
    before.subscribe(topic, 1)
    writer = clients.connect()
    resolver = Resolver(5)
    for _ in range(3):
        writer.publish(topic, b"x", 1)
        assert resolver.topic(before.take()) == topic
    writer.publish(topic, b"unacknowledged", 1)
    assert resolver.topic(before.message()) == topic
    before.cut()
    after = alias_reader(clients, 5, client_id=client_id, clean_start=False)
    fresh = Resolver(5)
    again = after.take()
    assert (fresh.topic(again), again.payload, again.dup) == (topic, b"unacknowledged", True)
    writer.publish(topic, b"x", 1)
    assert fresh.topic(after.take()) == topic
