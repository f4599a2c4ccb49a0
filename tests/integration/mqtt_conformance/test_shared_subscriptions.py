"""Shared subscriptions (MQTT 5.0, 4.8.2): one member of a group gets each message."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Disconnect, Pubrel, Suback, Subscription
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import MQTT_5_0, Clients, RawClient, unique

ROUNDS = 40


def share(group: bytes, topic_filter: bytes) -> bytes:
    return b"$share/" + group + b"/" + topic_filter


def drain(client: RawClient) -> list[bytes]:
    """Payloads of all messages that have come, acknowledged."""
    client.barrier()
    payloads = []
    while client.has_message():
        payloads.append(client.take().payload)
        client.barrier()
    return payloads


def test_each_message_goes_to_one_member(clients: Clients) -> None:
    topic = unique("shared")
    members = [clients.connect() for _ in range(3)]
    for member in members:
        member.subscribe(share(b"group", topic), 1)
    writer = clients.connect()
    wanted = [b"%d" % number for number in range(ROUNDS)]
    for payload in wanted:
        writer.publish(topic, payload, 1)
    received = [drain(member) for member in members]
    assert sorted(payload for payloads in received for payload in payloads) == sorted(wanted)
    assert all(received)


def test_groups_and_plain_subscriptions_get_their_own_copies(clients: Clients) -> None:
    topic = unique("copies")
    plain, first, second = (clients.connect() for _ in range(3))
    plain.subscribe(topic, 1)
    first.subscribe(share(b"first", topic), 1)
    second.subscribe(share(b"second", topic), 1)
    clients.connect().publish(topic, b"x", 1)
    assert [drain(client) for client in (plain, first, second)] == [[b"x"]] * 3


def test_one_client_may_be_in_a_group_and_have_a_subscription_of_its_own(clients: Clients) -> None:
    topic = unique("both")
    client = clients.connect()
    client.subscribe(topic, 1, identifier=1)
    client.subscribe(share(b"group", topic), 1, identifier=2)
    clients.connect().publish(topic, b"x", 1)
    found: list[int] = []
    client.barrier()
    while client.has_message():
        message = client.take()
        assert message.properties is not None
        found += message.properties.subscription_identifiers
        client.barrier()
    assert sorted(found) == [1, 2]


def test_wildcards_match_in_shared_subscriptions(clients: Clients) -> None:
    root = unique("wild")
    member = clients.connect()
    member.subscribe(share(b"group", root + b"/+/x"), 1)
    writer = clients.connect()
    writer.publish(root + b"/a/x", b"yes", 1)
    writer.publish(root + b"/a/y", b"no", 1)
    assert drain(member) == [b"yes"]


def test_groups_are_told_apart_by_their_filter_too(clients: Clients) -> None:
    root = unique("filters")
    exact, wild = clients.connect(), clients.connect()
    exact.subscribe(share(b"group", root + b"/a"), 1)
    wild.subscribe(share(b"group", root + b"/+"), 1)
    clients.connect().publish(root + b"/a", b"x", 1)
    assert [drain(exact), drain(wild)] == [[b"x"], [b"x"]]


@pytest.mark.parametrize(("published", "granted"), [(0, 2), (2, 0), (2, 1), (1, 2), (2, 2)])
def test_granted_quality_of_service_is_respected(clients: Clients, published: int, granted: int) -> None:
    topic = unique("granted")
    member = clients.connect()
    member.subscribe(share(b"group", topic), granted)
    clients.connect().publish(topic, b"x", published)
    assert member.take().qos == min(published, granted)


@pytest.mark.parametrize("handling", [0, 1, 2])
def test_retained_messages_are_not_sent_to_shared_subscriptions(clients: Clients, handling: int) -> None:
    topic = unique("kept")
    clients.connect().publish(topic, b"kept", 1, retain=True)
    member = clients.connect()
    member.subscribe(share(b"group", topic), 1, retain_handling=handling)
    member.assert_silence()


def test_member_that_leaves_gets_no_more(clients: Clients) -> None:
    topic = unique("leaves")
    first, second = clients.connect(), clients.connect()
    for member in (first, second):
        member.subscribe(share(b"group", topic), 1)
    assert first.unsubscribe(share(b"group", topic)) == [0]
    assert first.unsubscribe(share(b"group", topic)) == [ReasonCode.NO_SUBSCRIPTION_EXISTED]
    writer = clients.connect()
    for _ in range(10):
        writer.publish(topic, b"x", 1)
    assert drain(second) == [b"x"] * 10
    assert drain(first) == []
    second.cut()
    writer.publish(topic, b"x", 1)


@pytest.mark.parametrize(
    "topic_filter", [b"$share/group", b"$share//a", b"$share/group/", b"$share/+/a", b"$share/#", b"$share/a+b/c"]
)
def test_shared_filter_that_is_incomplete_is_refused(clients: Clients, topic_filter: bytes) -> None:
    client = clients.connect()
    client.send_subscribe([Subscription(topic_filter, 1)])
    answer = client.receive()
    if isinstance(answer, Suback):
        assert answer.reason_codes[0] >= 0x80
    else:
        assert isinstance(answer, Disconnect)
        wanted = (ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR, ReasonCode.TOPIC_FILTER_INVALID)
        assert answer.reason_code in wanted


def test_no_local_on_a_shared_subscription_is_a_protocol_error(clients: Clients) -> None:
    client = clients.connect()
    client.send_subscribe([Subscription(share(b"group", b"a"), 1, no_local=True)])
    client.assert_ended(ReasonCode.PROTOCOL_ERROR)


def test_absent_member_completes_what_was_sent_to_it(clients: Clients) -> None:
    client_id, topic = unique("member"), unique("member")
    member = clients.resume(MQTT_5_0, client_id)
    member.subscribe(share(b"group", topic), 2)
    clients.connect().publish(topic, b"x", 2)
    message = member.message()
    member.send(encoder.encode_pubrec(5, message.packet_id))
    member.answer(Pubrel)
    other = clients.connect()
    other.subscribe(share(b"group", topic), 2)
    member.cut()
    back = clients.resume(MQTT_5_0, client_id)
    assert back.receive() == Pubrel(message.packet_id)
    back.send(encoder.encode_pubcomp(5, message.packet_id))
    other.assert_silence()


def test_message_of_quality_of_service_2_dies_with_the_session_that_it_was_sent_to(clients: Clients) -> None:
    client_id, topic = unique("dies"), unique("dies")
    member = clients.resume(MQTT_5_0, client_id)
    member.subscribe(share(b"group", topic), 2)
    clients.connect().publish(topic, b"x", 2)
    member.send(encoder.encode_pubrec(5, member.message().packet_id))
    member.answer(Pubrel)
    other = clients.connect()
    other.subscribe(share(b"group", topic), 2)
    member.cut()
    clients.connect(client_id=client_id, clean_start=True).assert_silence()
    other.assert_silence()


@pytest.mark.parametrize("qos", [1, 2])
def test_refused_message_is_sent_to_nobody_else(clients: Clients, qos: int) -> None:
    topic = unique("refused")
    members = [clients.connect() for _ in range(2)]
    for member in members:
        member.subscribe(share(b"group", topic), qos)
    clients.connect().publish(topic, b"x", qos)
    for member in members:
        member.barrier()
    (chosen,) = [member for member in members if member.has_message()]
    encode = encoder.encode_puback if qos == 1 else encoder.encode_pubrec
    chosen.send(encode(5, chosen.message().packet_id, ReasonCode.UNSPECIFIED_ERROR))
    for member in members:
        member.assert_silence()
