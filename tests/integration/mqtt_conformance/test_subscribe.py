"""Subscriptions: SUBACK and UNSUBACK, which topics match, what overlaps, options and identifiers of 5.0."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Puback, Pubcomp, Pubrel, Suback, Subscription, Unsuback
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.marks import all_versions, versions
from tests.integration.mqtt_conformance.raw_client import MQTT_3_1_1, MQTT_5_0, Clients, unique

LARGEST_IDENTIFIER = 268_435_455


@all_versions
def test_suback_tells_of_every_filter_in_order(clients: Clients, version: int) -> None:
    client = clients.connect(version)
    root = unique("order")
    wanted = [0, 2, 1, 0, 2]
    subscriptions = [Subscription(root + b"/%d" % index, qos) for index, qos in enumerate(wanted)]
    client.send(encoder.encode_subscribe(version, 40_000, subscriptions))
    assert client.answer(Suback) == Suback(40_000, tuple(map(ReasonCode, wanted)))


@versions
def test_every_filter_of_a_subscribe_counts(clients: Clients, version: int) -> None:
    root = unique("several")
    reader = clients.connect(version)
    assert reader.subscribe_all([Subscription(root + b"/a", 1), Subscription(root + b"/b", 1)]) == [1, 1]
    writer = clients.connect(version)
    writer.publish(root + b"/a", b"a", 1)
    writer.publish(root + b"/b", b"b", 1)
    assert reader.take_payloads(2) == [b"a", b"b"]


# Topic names beneath one of its own, by filter (MQTT 5.0, 4.7.1).
COMPOSED, DECOMPOSED = "/é".encode(), "/e\u0301".encode()
TOPICS = [b"", b"/", b"/a", b"/b", b"/A", b"/a/", b"/a/b", b"//b", b"/a/b/c", b"/a b", COMPOSED, DECOMPOSED]
MATCHES = {
    b"/#": TOPICS,
    b"": [b""],
    b"/+": [b"/", b"/a", b"/b", b"/A", b"/a b", COMPOSED, DECOMPOSED],
    b"/a/#": [b"/a", b"/a/", b"/a/b", b"/a/b/c"],
    b"/+/b": [b"/a/b", b"//b"],
    b"/a/+": [b"/a/", b"/a/b"],
    b"/+/+": [b"/a/", b"/a/b", b"//b"],
    b"/a": [b"/a"],
    b"/a b": [b"/a b"],
    COMPOSED: [COMPOSED],
    b"/+/b/#": [b"/a/b", b"//b", b"/a/b/c"],
}


@versions
@pytest.mark.parametrize("topic_filter", MATCHES, ids=lambda topic_filter: topic_filter.decode() or "itself")
def test_filter_matches_its_topics_and_no_others(clients: Clients, version: int, topic_filter: bytes) -> None:
    root = unique("match")
    reader = clients.connect(version)
    reader.subscribe(root + topic_filter, 1)
    writer = clients.connect(version)
    for topic in TOPICS:
        writer.publish(root + topic, topic, 1)
    assert reader.take_payloads(len(MATCHES[topic_filter])) == MATCHES[topic_filter]
    reader.assert_silence()


@versions
def test_topic_of_a_delivered_message_is_as_it_was_published(clients: Clients, version: int) -> None:
    root = unique("spelling")
    reader = clients.connect(version)
    reader.subscribe(root + b"/#", 1)
    writer = clients.connect(version)
    spellings = ("a.b", "*", ">", " ", "a  b", "\ufeff", "😀", "$x", "%20", "\\", "//", ".", "..", "a.", ".a")
    suffixes = [f"/{spelling}".encode() for spelling in spellings]
    for suffix in suffixes:
        writer.publish(root + suffix, suffix, 1)
    messages = [reader.take() for _ in suffixes]
    assert [message.topic for message in messages] == [root + suffix for suffix in suffixes]
    assert [message.payload for message in messages] == suffixes


@versions
def test_what_is_a_wildcard_elsewhere_is_a_letter_here(clients: Clients, version: int) -> None:
    root = unique("letters")
    star, greater = clients.connect(version), clients.connect(version)
    star.subscribe(root + b"/*", 1)
    greater.subscribe(root + b"/>", 1)
    writer = clients.connect(version)
    writer.publish(root + b"/a", b"no", 1)
    writer.publish(root + b"/*", b"star", 1)
    writer.publish(root + b"/>", b"greater", 1)
    assert (star.take().payload, greater.take().payload) == (b"star", b"greater")
    star.assert_silence()
    greater.assert_silence()


@versions
def test_byte_order_mark_is_a_character_of_the_topic(clients: Clients, version: int) -> None:
    topic = unique("mark")
    marked = b"\xef\xbb\xbf" + topic
    plain, other = clients.connect(version), clients.connect(version)
    plain.subscribe(topic, 1)
    other.subscribe(marked, 1)
    clients.connect(version).publish(marked, b"marked", 1)
    message = other.take()
    assert message.topic == marked
    plain.assert_silence()


@versions
@pytest.mark.parametrize("topic_filter", [b"#", b"+/%b", b"+/#"], ids=bytes.decode)
def test_wildcard_at_the_beginning_does_not_match_dollar_topics(
    clients: Clients, version: int, topic_filter: bytes
) -> None:
    name = unique("dollar")
    reader = clients.connect(version)
    reader.subscribe(topic_filter.replace(b"%b", name), 1)
    exact = clients.connect(version)
    exact.subscribe(b"$private/" + name, 1)
    under = clients.connect(version)
    under.subscribe(b"$private/#", 1)
    writer = clients.connect(version)
    writer.publish(b"$private/" + name, b"hidden", 1)
    writer.publish(b"open/" + name, b"marker", 1)
    assert exact.take().payload == b"hidden"
    assert under.take().payload == b"hidden"
    while (message := reader.take()).payload != b"marker":
        assert not message.topic.startswith(b"$")


@versions
def test_long_topics_and_many_levels(clients: Clients, version: int) -> None:
    root = unique("long")
    topics = [root + b"/" + b"x" * 1000, root + b"/y" * 60]
    reader = clients.connect(version)
    reader.subscribe(root + b"/#", 1)
    writer = clients.connect(version)
    for topic in topics:
        writer.publish(topic, b"", 1)
    assert [reader.take().topic for _ in topics] == topics


@versions
def test_subscribing_again_replaces_the_subscription(clients: Clients, version: int) -> None:
    topic = unique("replace")
    reader = clients.connect(version)
    writer = clients.connect(version)
    for qos in (0, 2, 1):
        reader.subscribe(topic, qos)
        writer.publish(topic, b"%d" % qos, 2)
        message = reader.take()
        assert (message.payload, message.qos) == (b"%d" % qos, qos)
        reader.assert_silence()


@versions
def test_overlapping_subscriptions_deliver_once_with_the_highest_quality_of_service(
    clients: Clients, version: int
) -> None:
    root = unique("overlap")
    reader = clients.connect(version)
    for topic_filter, qos in ((b"/#", 0), (b"/a", 2), (b"/+", 1)):
        reader.subscribe(root + topic_filter, qos)
    writer = clients.connect(version)
    for qos in (0, 1, 2):
        writer.publish(root + b"/a", b"x", qos)
        message = reader.take()
        assert (message.payload, message.qos) == (b"x", qos)
        reader.assert_silence()


# Unsubscribing.


@versions
def test_unsubscribed_filter_delivers_no_more(clients: Clients, version: int) -> None:
    topic = unique("gone")
    reader = clients.connect(version)
    reader.subscribe(topic, 1)
    assert reader.unsubscribe(topic) == ([0] if version == MQTT_5_0 else [])
    clients.connect(version).publish(topic, b"no", 1)
    reader.assert_silence()


@versions
def test_unsubscribe_takes_filters_letter_by_letter(clients: Clients, version: int) -> None:
    root = unique("letter")
    reader = clients.connect(version)
    reader.subscribe(root + b"/+", 1)
    codes = reader.unsubscribe(root + b"/#", root + b"/a", root.upper() + b"/+", root + b"/+/")
    assert codes == ([ReasonCode.NO_SUBSCRIPTION_EXISTED] * 4 if version == MQTT_5_0 else [])
    clients.connect(version).publish(root + b"/a", b"still", 1)
    assert reader.take().payload == b"still"


@versions
def test_unsuback_tells_of_every_filter_in_order(clients: Clients, version: int) -> None:
    client = clients.connect(version)
    root = unique("unsubscribe")
    client.subscribe_all([Subscription(root + b"/a", 1), Subscription(root + b"/c", 0)])
    client.send(encoder.encode_unsubscribe(version, 50_000, [root + b"/a", root + b"/b", root + b"/c"]))
    absent = ReasonCode.NO_SUBSCRIPTION_EXISTED
    codes = (ReasonCode.SUCCESS, absent, ReasonCode.SUCCESS) if version == MQTT_5_0 else ()
    assert client.answer(Unsuback) == Unsuback(50_000, codes)
    writer = clients.connect(version)
    writer.publish(root + b"/a", b"no", 1)
    writer.publish(root + b"/c", b"no", 1)
    client.assert_silence()


@versions
def test_delivery_that_has_begun_goes_on_after_unsubscribe(clients: Clients, version: int) -> None:
    topic = unique("begun")
    reader = clients.connect(version)
    reader.subscribe(topic, 2)
    clients.connect(version).publish(topic, b"begun", 2)
    message = reader.message()
    reader.unsubscribe(topic)
    reader.send(encoder.encode_pubrec(version, message.packet_id))
    assert reader.answer(Pubrel) == Pubrel(message.packet_id)
    reader.send(encoder.encode_pubcomp(version, message.packet_id))
    reader.assert_silence()


# Options and identifiers of 5.0.


def test_no_local_keeps_own_messages_away(clients: Clients) -> None:
    topic = unique("local")
    client, other = clients.connect(), clients.connect()
    client.subscribe(topic, 1, no_local=True)
    client.publish(topic, b"own", 1)
    other.publish(topic, b"other", 1)
    assert client.take().payload == b"other"
    client.assert_silence()


def test_no_local_goes_by_the_subscription(clients: Clients) -> None:
    root = unique("local")
    client = clients.connect()
    client.subscribe(root + b"/#", 2, no_local=True)
    client.subscribe(root + b"/a", 1)
    client.publish(root + b"/a", b"own", 2)
    message = client.take()
    assert (message.payload, message.qos) == (b"own", 1)
    client.publish(root + b"/b", b"own", 2)
    client.assert_silence()


def test_options_are_replaced_with_the_subscription(clients: Clients) -> None:
    topic = unique("options")
    client = clients.connect()
    client.subscribe(topic, 1, no_local=True)
    client.subscribe(topic, 1, no_local=False, identifier=3)
    client.publish(topic, b"own", 1)
    message = client.take()
    assert message.payload == b"own"
    assert message.properties is not None
    assert message.properties.subscription_identifiers == (3,)
    client.subscribe(topic, 1)
    client.publish(topic, b"own", 1)
    assert client.take().properties is None


@pytest.mark.parametrize("identifier", [1, 127, 128, LARGEST_IDENTIFIER])
def test_message_carries_the_identifier_of_its_subscription(clients: Clients, identifier: int) -> None:
    topic = unique("identified")
    reader = clients.connect()
    reader.subscribe(topic, 1, identifier=identifier)
    clients.connect().publish(topic, b"x", 1)
    properties = reader.take().properties
    assert properties is not None
    assert properties.subscription_identifiers == (identifier,)


def test_overlapping_subscriptions_deliver_once_with_all_their_identifiers(clients: Clients) -> None:
    root = unique("overlap")
    reader = clients.connect()
    reader.subscribe(root + b"/#", 0, identifier=1)
    reader.subscribe(root + b"/a", 1, identifier=2)
    reader.subscribe(root + b"/+", 0)
    reader.subscribe(root + b"/a/#", 0, identifier=2)
    reader.subscribe(root + b"/b", 1, identifier=9)
    clients.connect().publish(root + b"/a", b"x", 2)
    message = reader.take()
    assert message.qos == 1
    assert message.properties is not None
    assert sorted(message.properties.subscription_identifiers) == [1, 2, 2]  # 3.3.2.3.8: the same one more than once
    reader.assert_silence()


def test_each_message_carries_an_identifier_of_every_matching_subscription(clients: Clients) -> None:
    """Also of a server that sends a copy for each subscription."""
    root = unique("copies")
    reader = clients.connect()
    reader.subscribe(root + b"/#", 1, identifier=1)
    reader.subscribe(root + b"/a", 1, identifier=2)
    writer = clients.connect()
    writer.publish(root + b"/a", b"x", 1)
    writer.publish(root + b"/end", b"end", 1)
    found: list[int] = []
    while (message := reader.take()).payload == b"x":
        assert message.properties is not None
        found += message.properties.subscription_identifiers
    assert sorted(found) == [1, 2]


def test_wildcard_at_the_beginning_keeps_its_identifier_off_dollar_topics(clients: Clients) -> None:
    name = unique("dollar")
    reader = clients.connect()
    reader.subscribe(b"+/" + name, 1, identifier=1)
    reader.subscribe(b"$private/" + name, 1, identifier=2)
    clients.connect().publish(b"$private/" + name, b"x", 1)
    properties = reader.take().properties
    assert properties is not None
    assert properties.subscription_identifiers == (2,)


def test_identifiers_of_one_subscribe_hold_for_all_its_filters(clients: Clients) -> None:
    root = unique("shared")
    reader = clients.connect()
    properties = Properties(subscription_identifiers=(5,))
    assert reader.subscribe_all([Subscription(root + b"/a", 1), Subscription(root + b"/b", 1)], properties) == [1, 1]
    writer = clients.connect()
    for suffix in (b"/a", b"/b"):
        writer.publish(root + suffix, suffix, 1)
        found = reader.take().properties
        assert found is not None
        assert found.subscription_identifiers == (5,)


def test_message_that_nobody_wants_is_acknowledged(clients: Clients) -> None:
    client = clients.connect()
    assert client.publish(unique("nobody"), b"", 1) in (0, ReasonCode.NO_MATCHING_SUBSCRIBERS)
    assert client.publish(unique("nobody"), b"", 2) in (0, ReasonCode.NO_MATCHING_SUBSCRIBERS)


@versions
def test_ping_is_answered(clients: Clients, version: int) -> None:
    client = clients.connect(version)
    for _ in range(3):
        client.barrier()


def test_older_version_has_no_options(clients: Clients) -> None:
    """Bits of options are reserved in 3.1.1."""
    client = clients.connect(MQTT_3_1_1)
    packet = bytearray(encoder.encode_subscribe(MQTT_3_1_1, 1, [Subscription(b"a", 1)]))
    packet[-1] |= 0x04
    client.send(bytes(packet))
    assert not any(isinstance(packet, Suback | Puback | Pubcomp) for packet in client.rest())
