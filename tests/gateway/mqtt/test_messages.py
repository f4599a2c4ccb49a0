"""MQTT publishes as messages and back."""

import time

import pytest

from gateway.mqtt.messages import contents_of, expiry_of, message_of, publish_packet
from protocols.message import make_message
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.header_mapping import HeaderContents
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.published_topics import topic_of

ID = b"GATEWAY1"


@pytest.mark.parametrize(
    ("subject", "topic"),
    [(b"a.b", b"a/b"), (b"a.+", None), (b"a.\xff", None), (b"a.\0", None), (b"a" * 65_536, None)],
)
def test_topic_of_a_subject(subject: bytes, topic: bytes | None):
    assert topic_of(subject) == topic


def test_message_without_an_expiry_never_expires():
    assert expiry_of(make_message(b"a", b""), time.monotonic) == 0.0
    assert expiry_of(make_message(b"a", b"", b"", b"NATS/1.0\r\nX: y\r\n\r\n"), time.monotonic) == 0.0


def round_trip(properties: Properties) -> Properties | None:
    message = message_of(b"a", b"payload", 0, False, properties, ID)
    packet = publish_packet(message, b"a", 0, 0, False, False, (), None, 0, ID)
    (publish,) = ClientDecoder(100_000, 5).receive(packet)
    assert isinstance(publish, Publish)
    assert publish.payload == b"payload"
    return publish.properties


@pytest.mark.parametrize(
    "properties",
    [
        Properties(response_topic=b"answers/here", correlation_data=b"\0\xff"),
        Properties(response_topic=b"answers/here", correlation_data=b""),
        Properties(response_topic=b"answers/here"),
        Properties(correlation_data=b"alone"),
        Properties(content_type=b"text/plain", user_properties=((b"a", b"b"), (b"a", b"c"))),
        Properties(message_expiry_interval=7, payload_format_indicator=1),
        Properties(response_topic=b"long" * 1000, correlation_data=b"more" * 1000),
    ],
)
def test_what_a_publish_says_comes_out_again(properties: Properties):
    assert round_trip(properties) == properties


def test_what_belongs_to_the_connection_comes_beside_what_the_message_says():
    message = message_of(b"a", b"", 1, False, Properties(message_expiry_interval=7), ID)
    packet = publish_packet(message, b"", 1, 3, True, True, (4, 5), 2, 6, ID)
    (publish,) = ClientDecoder(1000, 5).receive(packet)
    assert isinstance(publish, Publish)
    assert (publish.packet_id, publish.retain, publish.dup) == (3, True, True)
    expected = Properties(message_expiry_interval=2, subscription_identifiers=(4, 5), topic_alias=6)
    assert publish.properties == expected


@pytest.mark.parametrize(("remaining", "told"), [(0, 0), (4, 4), (10, 10), (3600, 10), (1 << 33, 10)])
def test_message_never_has_longer_than_it_was_given(remaining: int, told: int):
    message = message_of(b"a", b"", 1, False, Properties(message_expiry_interval=10), ID)
    packet = publish_packet(message, b"a", 1, 7, False, False, (), remaining, 0, ID)
    (publish,) = ClientDecoder(100_000, 5).receive(packet)
    assert isinstance(publish, Publish)
    assert publish.properties == Properties(message_expiry_interval=told)


def test_header_is_read_once_for_all_receivers():
    message = make_message(b"a", b"x", b"to.me", b"NATS/1.0\r\nMqtt-Message-Expiry: 60\r\nA: b\r\nC: d\r\n\r\n")
    assert expiry_of(message, time.monotonic) > 0
    read = contents_of(message)
    packets = [
        publish_packet(message, b"a", 0, 0, False, False, (), None, 0, ID),
        publish_packet(message, b"a", 1, 5, False, False, (7,), 30, 2, ID),
        publish_packet(message, b"a", 0, 0, False, False, (), None, 0, ID),
    ]
    assert contents_of(message) is read
    assert packets[0] == packets[2] != packets[1]
    (plain,), (full,) = (ClientDecoder(1 << 16, 5).receive(packet) for packet in packets[:2])
    assert (plain.properties.message_expiry_interval, full.properties.message_expiry_interval) == (60, 30)
    assert (plain.properties.topic_alias, full.properties.topic_alias) == (None, 2)
    assert plain.properties.user_properties == full.properties.user_properties == ((b"A", b"b"), (b"C", b"d"))
    # What is known is not read again, whoever gets it.
    message.header_contents = HeaderContents(Properties(content_type=b"known"), False, 9)
    (publish,) = ClientDecoder(1 << 16, 5).receive(publish_packet(message, b"a", 0, 0, False, False, (), 5, 0, ID))
    assert (publish.properties.content_type, publish.properties.user_properties) == (b"known", ())
    assert 0 < expiry_of(message, time.monotonic) - time.monotonic() < 10
