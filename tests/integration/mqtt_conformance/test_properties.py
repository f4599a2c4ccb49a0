"""Properties that pass through the server, and those that say what may be said (MQTT 5.0, 3.3.2.3, 3.1.2.11)."""

import pytest

from protocols.mqtt.encoder import encode_unsubscribe
from protocols.mqtt.packets import Connack, Disconnect, Subscription
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.integration.mqtt_conformance.raw_client import LONG, MQTT_3_1_1, MQTT_5_0, Clients, unique

EVERYTHING = Properties(
    payload_format_indicator=1,
    content_type="application/vnd.übung".encode(),
    response_topic=b"answers/to me/$1",
    correlation_data=bytes(range(256)),
    user_properties=((b"b", b"1"), (b"a", b"2"), (b"b", b"1"), (b"", b""), ("ß".encode(), "→".encode())),
)
TEXT = "grüße".encode()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_of_a_message_pass_unaltered(clients: Clients, qos: int) -> None:
    topic = unique("everything")
    reader = clients.connect()
    reader.subscribe(topic, qos)
    clients.connect().publish(topic, TEXT, qos, properties=EVERYTHING)
    message = reader.take()
    assert (message.payload, message.properties) == (TEXT, EVERYTHING)


SINGLE = [
    Properties(payload_format_indicator=0),
    Properties(payload_format_indicator=1),
    Properties(content_type=b""),
    Properties(response_topic=b"a"),
    Properties(correlation_data=b""),
    Properties(user_properties=((b"same", b"1"), (b"same", b"1"))),
]


@pytest.mark.parametrize("properties", SINGLE, ids=str)
def test_property_passes_unaltered(clients: Clients, properties: Properties) -> None:
    topic = unique("single")
    reader = clients.connect()
    reader.subscribe(topic, 1)
    clients.connect().publish(topic, TEXT, 1, properties=properties)
    assert reader.take().properties == properties


def test_properties_of_a_message_wait_with_it(clients: Clients) -> None:
    client_id, topic = unique("absent"), unique("absent")
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 2)
    reader.disconnect()
    writer = clients.connect()
    for qos in (1, 2):
        writer.publish(topic, TEXT, qos, properties=EVERYTHING)
    back = clients.resume(MQTT_5_0, client_id)
    for qos in (1, 2):
        message = back.take()
        assert (message.qos, message.payload, message.properties) == (qos, TEXT, EVERYTHING)


def test_properties_are_sent_again_with_their_message(clients: Clients) -> None:
    client_id, topic = unique("again"), unique("again")
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 1)
    clients.connect().publish(topic, TEXT, 1, properties=EVERYTHING)
    reader.message()
    reader.cut()
    message = clients.resume(MQTT_5_0, client_id).take()
    assert (message.dup, message.properties) == (True, EVERYTHING)


def test_message_expiry_is_passed_on(clients: Clients) -> None:
    topic = unique("expiry")
    reader = clients.connect()
    reader.subscribe(topic, 1)
    clients.connect().publish(topic, b"x", 1, properties=Properties(message_expiry_interval=1000))
    properties = reader.take().properties
    assert properties is not None
    assert properties.message_expiry_interval in range(900, 1001)


def test_versions_understand_each_other(clients: Clients) -> None:
    topic = unique("versions")
    old, new = clients.connect(MQTT_3_1_1), clients.connect()
    old.subscribe(topic, 1)
    new.subscribe(topic, 1)
    new.publish(topic, TEXT, 1, properties=EVERYTHING)
    message = old.take()
    assert (message.topic, message.payload, message.qos) == (topic, TEXT, 1)
    assert new.take().properties == EVERYTHING
    old.publish(topic, b"plain", 1)
    message = new.take()
    assert (message.payload, message.properties) == (b"plain", None)
    assert old.take().payload == b"plain"


def test_request_is_answered(clients: Clients) -> None:
    """The pattern that response topic and correlation data are there for (4.10.1)."""
    service, answers = unique("service"), unique("answers")
    responder, requester = clients.connect(), clients.connect()
    responder.subscribe(service, 1)
    requester.subscribe(answers, 1)
    question = Properties(response_topic=answers, correlation_data=b"\x00\x01")
    requester.publish(service, b"question", 1, properties=question)
    properties = responder.take().properties
    assert properties is not None
    assert properties.response_topic == answers
    answer = Properties(correlation_data=properties.correlation_data)
    responder.publish(properties.response_topic, b"answer", 1, properties=answer)
    message = requester.take()
    assert (message.payload, message.properties) == (b"answer", answer)


@pytest.mark.parametrize("wanted", [None, 0])
def test_response_information_comes_only_when_asked_for(clients: Clients, wanted: int | None) -> None:
    client = clients.connect(properties=Properties(request_response_information=wanted))
    properties = client.connack.properties or Properties()
    assert properties.response_information is None


def test_response_information_is_the_begin_of_topics_for_answers(clients: Clients) -> None:
    wanted = Properties(request_response_information=1)
    infos = []
    for _ in range(2):
        client = clients.connect(properties=wanted)
        assert client.connack.properties is not None
        information = client.connack.properties.response_information
        assert information
        client.subscribe(information + b"#" if information.endswith(b"/") else information + b"/#", 1)
        infos.append(information)
    assert infos[0] != infos[1]


def test_no_problem_information_where_none_is_wanted(clients: Clients) -> None:
    """Neither reason strings nor user properties but in PUBLISH, CONNACK and DISCONNECT."""
    topic = unique("terse")
    client = clients.connect(properties=Properties(request_problem_information=0))
    client.subscribe(topic, 2)
    client.publish(topic, b"x", 2, properties=EVERYTHING_BUT_TEXT)
    assert client.take().properties == EVERYTHING_BUT_TEXT
    client.send_publish(unique("nobody"), b"", 1)
    client.send_publish(unique("nobody"), b"", 2)
    client.send_subscribe([Subscription(b"$share/group/a/#", 1)])
    client.send(encode_unsubscribe(MQTT_5_0, client.next_id(), [unique("nobody")]))
    client.send(b"\x00\x00")
    answers = client.rest()
    assert len(answers) >= 4
    for packet in answers:
        if not isinstance(packet, Publish | Connack | Disconnect):
            properties = getattr(packet, "properties", None) or Properties()
            assert (properties.reason_string, properties.user_properties) == (None, ())


EVERYTHING_BUT_TEXT = Properties(user_properties=((b"k", b"v"),), correlation_data=b"\0")


def test_session_expiry_that_the_server_uses_is_the_clients_own(clients: Clients) -> None:
    client = clients.connect(properties=Properties(session_expiry_interval=LONG))
    properties = client.connack.properties or Properties()
    assert properties.session_expiry_interval in (None, LONG)


def test_client_may_send_user_properties_anywhere(clients: Clients) -> None:
    """They mean nothing to the server (3.1.2.11.8, 3.8.2.1.3)."""
    said = Properties(user_properties=((b"k", b"v"), (b"k", b"v")))
    client = clients.connect(properties=said)
    assert client.subscribe_all([Subscription(unique("said"), 1)], said) == [1]
    client.disconnect(properties=said)
