"""MQTT 5.0 with paho-mqtt: properties, sessions, subscription options, shared subscriptions, requests, flow control."""

from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes

from tests.integration.mqtt5_peers import NEVER_EXPIRES, Paho5Client, paho5_client, properties, told
from tests.integration.mqtt_peers import paho_client, unique_topic
from tests.integration.mqtt_servers import mqtt_server, only_gateway, restart
from tests.integration.peers import Peer, wait_until

NO_MATCHING_SUBSCRIBERS = 0x10
SESSION_TAKEN_OVER = 0x8E
EVERYTHING = {
    "PayloadFormatIndicator": 1,
    "ContentType": "text/plain",
    "ResponseTopic": "answers/here",
    "CorrelationData": b"\x00\xff7",
    "UserProperty": [("unit", "C"), ("unit", "K"), ("Raum", "Küche")],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with mqtt_server(tmp_path_factory.mktemp("server")) as peer:
        yield peer


def said(message: paho.MQTTMessage, name: str) -> Any:
    return told(message).get(name)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_arrive_as_they_were_sent(server: Peer, qos: int) -> None:
    topic = unique_topic("properties")
    with paho5_client(server) as sensor, paho5_client(server) as display:
        assert display.ask(topic, qos=qos) == qos
        assert sensor.tell(topic, b"21.5", qos, **EVERYTHING) == 0
        message = display.next_message()
        assert (message.payload, message.qos, told(message)) == (b"21.5", qos, EVERYTHING)


def test_properties_of_a_retained_message_are_kept(server: Peer) -> None:
    topic = unique_topic("properties")
    with paho5_client(server) as sensor, paho5_client(server) as display:
        sensor.tell(topic, b"21.5", 1, retain=True, **EVERYTHING)
        display.ask(topic, qos=1)
        message = display.next_message()
        assert (message.payload, message.retain, told(message)) == (b"21.5", True, EVERYTHING)


def test_older_clients_get_the_message_without_properties(server: Peer) -> None:
    topic = unique_topic("properties")
    with paho5_client(server) as sensor, paho_client(server) as display:
        display.subscribe(topic, 1)
        sensor.tell(topic, b"21.5", 1, **EVERYTHING)
        assert display.next_pair() == (topic, b"21.5")


def test_expiry_is_counted_down_while_a_message_waits(server: Peer) -> None:
    topic = unique_topic("expiry")
    with paho5_client(server) as sensor, paho5_client(server) as display:
        sensor.tell(f"{topic}/long", b"2", 1, retain=True, MessageExpiryInterval=100)
        sensor.tell(f"{topic}/short", b"1", 1, retain=True, MessageExpiryInterval=1)
        # What is over cannot be observed coming; so ask until it is gone.
        waiting = [f"{topic}/short", f"{topic}/long"]
        while len(waiting) > 1:
            display.ask(f"{topic}/+", qos=1)
            sensor.tell(f"{topic}/fence", b"fence", 1)
            received = []
            while (message := display.next_message()).payload != b"fence":
                received.append(message)
            waiting = [message.topic for message in received]
        assert waiting == [f"{topic}/long"]
        assert said(received[0], "MessageExpiryInterval") in range(50, 100)


@pytest.mark.parametrize("qos", [1, 2])
def test_session_is_resumed_with_what_came_meanwhile(server: Peer, qos: int) -> None:
    topic = unique_topic("resume")
    client_id = f"resume {qos}"
    with paho5_client(server) as sensor:
        display = Paho5Client(client_id)
        assert display.open(server, clean=False, SessionExpiryInterval=300) == 0
        assert not display.session_present
        assert display.ask(topic, identifier=7, qos=qos) == qos
        display.leave()
        for number in range(50):
            assert sensor.tell(topic, b"%d" % number, qos, UserProperty=("number", str(number))) == 0
        assert display.open(server, clean=False, SessionExpiryInterval=300) == 0
        assert display.session_present
        for number in range(50):
            message = display.next_message()
            assert (message.payload, message.qos, message.dup) == (b"%d" % number, qos, False)
            assert said(message, "UserProperty") == [("number", str(number))]
            assert said(message, "SubscriptionIdentifier") == [7]
        display.nothing_more()
        display.close()


def test_session_ends_when_it_expires_or_is_not_wanted(server: Peer) -> None:
    display = Paho5Client("ends")
    for connect, leave, kept in (
        ({"SessionExpiryInterval": 300}, {}, True),
        ({"SessionExpiryInterval": 300}, {"SessionExpiryInterval": 0}, False),
        ({}, {}, False),
        ({"SessionExpiryInterval": NEVER_EXPIRES}, {}, True),
    ):
        assert display.open(server, clean=False, **connect) == 0
        display.leave(**leave)
        assert display.open(server, clean=False) == 0
        assert display.session_present == kept
        display.leave(SessionExpiryInterval=0)
    assert display.open(server, clean=False, SessionExpiryInterval=300) == 0
    display.leave()
    assert display.open(server, clean=True) == 0
    assert not display.session_present
    display.close()


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_not_acknowledged_comes_again_with_dup(server: Peer, qos: int) -> None:
    topic = unique_topic("dup")
    with paho5_client(server) as sensor:
        display = Paho5Client(f"dup {qos}", manual_ack=True)
        assert display.open(server, clean=False, SessionExpiryInterval=300) == 0
        display.ask(topic, qos=qos)
        sensor.tell(topic, b"once more", qos)
        if qos == 1:  # Of QoS 2 paho shows a message with its PUBREL only.
            assert not display.next_message().dup
        display.break_off()
        assert display.open(server, clean=False, SessionExpiryInterval=300) == 0
        message = display.next_message()
        assert message.payload == b"once more"
        assert message.dup or qos == 2
        display.paho.ack(message.mid, message.qos)
        display.nothing_more()
        display.close()


@only_gateway("2.0.11 closes without a word")
def test_newer_client_takes_the_session_over(server: Peer) -> None:
    topic = unique_topic("over")
    old = Paho5Client("over")
    assert old.open(server, clean=False, SessionExpiryInterval=300) == 0
    old.ask(topic, qos=1)
    with paho5_client(server, "over", clean=False, SessionExpiryInterval=300) as new:
        assert old.wait_disconnected().value == SESSION_TAKEN_OVER
        assert new.session_present
        new.tell(topic, b"1", 1)
        assert new.next_pair() == (topic, b"1")
    old.close()


@only_gateway("it sends one copy for each overlapping subscription")
def test_overlapping_subscriptions_bring_one_message_with_all_identifiers(server: Peer) -> None:
    topic = unique_topic("identifiers")
    with paho5_client(server) as sensor, paho5_client(server) as display:
        display.ask(f"{topic}/+", identifier=1, qos=0)
        display.ask(f"{topic}/#", identifier=268_435_455, qos=2)
        display.ask(f"{topic}/temp", qos=1)
        sensor.tell(f"{topic}/temp", b"1", 2)
        message = display.next_message()
        assert (message.qos, sorted(said(message, "SubscriptionIdentifier"))) == (2, [1, 268_435_455])
        display.nothing_more()


def test_no_local_keeps_own_messages_away(server: Peer) -> None:
    topic = unique_topic("local")
    with paho5_client(server) as sensor, paho5_client(server) as other:
        sensor.ask(topic, qos=1, noLocal=True)
        sensor.tell(topic, b"own", 1)
        other.tell(topic, b"other's", 1)
        assert sensor.next_pair() == (topic, b"other's")
        sensor.nothing_more()


@pytest.mark.parametrize("as_published", [False, True])
def test_retain_flag_is_kept_as_published_when_asked_for(server: Peer, as_published: bool) -> None:
    topic = unique_topic("retain")
    with paho5_client(server) as sensor:
        sensor.ask(topic, qos=1, retainAsPublished=as_published)
        sensor.tell(topic, b"1", 1, retain=True)
        assert sensor.next_message().retain == as_published
        sensor.tell(topic, b"2", 1)
        assert not sensor.next_message().retain


def test_retain_handling_says_when_retained_messages_come(server: Peer) -> None:
    topic = unique_topic("handling")
    with paho5_client(server) as sensor:
        sensor.tell(topic, b"kept", 1, retain=True)
        sensor.ask(topic, qos=1, retainHandling=2)
        sensor.nothing_more()
        sensor.ask(topic, qos=1, retainHandling=1)
        sensor.nothing_more()
        sensor.unsubscribe(topic)
        for handling in (1, 0):
            sensor.ask(topic, qos=1, retainHandling=handling)
            assert sensor.next_pair() == (topic, b"kept")
            sensor.nothing_more()


def test_shared_subscription_gives_each_message_to_one(server: Peer) -> None:
    topic = unique_topic("jobs")
    with paho5_client(server) as boss, paho5_client(server) as one, paho5_client(server) as two:
        for worker in (one, two):
            assert worker.ask(f"$share/crew/{topic}/+", qos=1) == 1
        boss.ask(f"{topic}/+", qos=1)
        sent = [b"%d" % number for number in range(60)]
        for payload in sent:
            boss.tell(f"{topic}/new", payload, 1)
        assert [boss.next_message().payload for _ in sent] == sent
        done = []
        for worker in (one, two):
            worker.ask(f"{topic}/end", qos=1)
            boss.tell(f"{topic}/end", b"end", 1)
            while (payload := worker.next_message().payload) != b"end":
                done.append(payload)
            assert done
            worker.unsubscribe(f"$share/crew/{topic}/+")
            worker.unsubscribe(f"{topic}/end")
        assert sorted(set(done) - {b"end"}, key=int) == sent


def test_request_is_answered_at_the_response_topic(server: Peer) -> None:
    topic = unique_topic("service")
    with paho5_client(server) as requester, paho5_client(server) as device:
        device.ask(topic, qos=1)
        requester.ask(f"{topic}/answers", qos=1)
        requester.tell(topic, b"time?", 1, ResponseTopic=f"{topic}/answers", CorrelationData=b"\x01\x00")
        request = device.next_message()
        device.tell(said(request, "ResponseTopic"), b"noon", 1, CorrelationData=said(request, "CorrelationData"))
        answer = requester.next_message()
        assert (answer.topic, answer.payload, said(answer, "CorrelationData")) == (
            f"{topic}/answers",
            b"noon",
            b"\x01\x00",
        )


def test_publisher_is_told_that_nobody_listens(server: Peer) -> None:
    with paho5_client(server) as sensor:
        assert sensor.tell(unique_topic("nobody"), b"1", 1) == NO_MATCHING_SUBSCRIBERS


def test_topic_alias_stands_for_the_topic(server: Peer) -> None:
    topics = [unique_topic("alias") for _ in range(2)]
    with paho5_client(server) as sensor, paho5_client(server) as display:
        assert sensor.connack is not None
        assert sensor.connack.TopicAliasMaximum >= 2
        for topic in topics:
            display.ask(topic, qos=1)
        for alias, topic in enumerate(topics, 1):
            sensor.tell(topic, b"named", 1, TopicAlias=alias)
        for alias, topic in enumerate(topics, 1):
            assert display.next_pair() == (topic, b"named")
            sensor.tell("", b"%d" % alias, 1, TopicAlias=alias)
        assert [display.next_pair() for _ in topics] == [(topics[0], b"1"), (topics[1], b"2")]


@only_gateway("2.0 does not use topic aliases itself")
def test_server_uses_topic_aliases_of_a_client_that_takes_them(server: Peer) -> None:
    topic = unique_topic("alias")
    with paho5_client(server, TopicAliasMaximum=3) as display, paho5_client(server) as sensor:
        display.ask(topic, qos=1)
        for number in range(4):
            sensor.tell(topic, b"%d" % number, 1)
        received = [display.next_message() for _ in range(4)]
        assert [message.payload for message in received] == [b"0", b"1", b"2", b"3"]
        assert {said(message, "TopicAlias") for message in received} == {1}
        assert [message.topic for message in received] == [topic, "", "", ""]  # paho does not put the name back.


def test_receive_maximum_of_a_client_is_kept_to(server: Peer) -> None:
    topic = unique_topic("window")
    display = Paho5Client(manual_ack=True)
    assert display.open(server, ReceiveMaximum=2) == 0
    with paho5_client(server) as sensor:
        display.ask(topic, qos=1)
        for number in range(5):
            sensor.tell(topic, b"%d" % number, 1)
        sensor.tell(topic, b"passes", 0)
        first = [display.next_message() for _ in range(3)]
        assert [message.payload for message in first] == [b"0", b"1", b"passes"]
        for message in first[:2]:
            display.paho.ack(message.mid, message.qos)
        assert [display.next_message().payload for _ in range(2)] == [b"2", b"3"]
    display.close()


def test_message_larger_than_a_client_takes_is_left_out(server: Peer) -> None:
    topic = unique_topic("size")
    with paho5_client(server, MaximumPacketSize=200) as display, paho5_client(server) as sensor:
        display.ask(topic, qos=1)
        sensor.tell(topic, bytes(300), 1)
        sensor.tell(topic, b"small", 1)
        assert display.next_pair() == (topic, b"small")


def test_client_without_an_id_is_given_one(server: Peer) -> None:
    client = Paho5Client()
    client.paho._client_id = b""
    assert client.open(server) == 0
    assert client.connack is not None
    given = client.connack.AssignedClientIdentifier
    assert given
    client.close()


class TestWill:
    """Wills of 5.0."""

    def with_will(self, client_id: str, topic: str, **values: Any) -> Paho5Client:
        client = Paho5Client(client_id)
        client.paho.will_set(topic, b"gone", 1, properties=properties(PacketTypes.WILLMESSAGE, **values))
        return client

    def test_properties_come_with_it(self, server: Peer) -> None:
        topic = unique_topic("will")
        with paho5_client(server) as display:
            display.ask(topic, qos=1)
            sensor = self.with_will("", topic, **EVERYTHING)
            assert sensor.open(server) == 0
            sensor.break_off()
            message = display.next_message()
            assert (message.payload, told(message)) == (b"gone", EVERYTHING)

    def test_it_waits_and_is_dropped_when_the_client_comes_back(self, server: Peer) -> None:
        topic = unique_topic("will")
        with paho5_client(server) as display:
            display.ask(f"{topic}/+", qos=1)
            # The one that comes back has time to do so, and the will of the other comes behind.
            back = self.with_will("back", f"{topic}/back", WillDelayInterval=5)
            away = self.with_will("away", f"{topic}/away", WillDelayInterval=6)
            for client in (back, away):
                assert client.open(server, clean=False, SessionExpiryInterval=300) == 0
                client.break_off()
            assert back.open(server, clean=False, SessionExpiryInterval=300) == 0
            assert display.next_pair() == (f"{topic}/away", b"gone")
            display.nothing_more()
            back.close()

    def test_disconnect_may_ask_for_it(self, server: Peer) -> None:
        topic = unique_topic("will")
        with paho5_client(server) as display:
            display.ask(topic, qos=1)
            sensor = self.with_will("asks", topic)
            assert sensor.open(server) == 0
            sensor.paho.disconnect(reasoncode=paho.ReasonCode(PacketTypes.DISCONNECT, identifier=4))
            assert display.next_pair() == (topic, b"gone")
            sensor.close()


def test_session_outlives_the_server(tmp_path: Any) -> None:
    topic = unique_topic("durable")
    display = Paho5Client("durable")
    with mqtt_server(tmp_path) as server:
        assert display.open(server, clean=False, SessionExpiryInterval=300) == 0
        display.ask(topic, identifier=3, qos=2)
        display.leave()
        with paho5_client(server) as sensor:
            for number in range(20):
                assert sensor.tell(topic, b"%d" % number, 2, **EVERYTHING) == 0
        restart(server)
        assert display.open(server, clean=False, SessionExpiryInterval=300) == 0
        assert display.session_present
        for number in range(20):
            message = display.next_message()
            assert (message.payload, message.qos) == (b"%d" % number, 2)
            assert told(message) == EVERYTHING | {"SubscriptionIdentifier": [3]}
        display.nothing_more()
        display.close()


def test_unacknowledged_messages_are_sent_again_by_the_client(tmp_path: Any) -> None:
    topic = unique_topic("durable")
    sensor = Paho5Client("sensor")
    with mqtt_server(tmp_path) as server:
        assert sensor.open(server, clean=False, SessionExpiryInterval=300) == 0
        with paho5_client(server, "display", clean=False, SessionExpiryInterval=300) as display:
            display.ask(topic, qos=2)
        sensor.break_off()
        waiting = [sensor.paho.publish(topic, b"%d" % number, 2) for number in range(10)]
        restart(server)
        assert sensor.open(server, clean=False, SessionExpiryInterval=300) == 0
        wait_until(lambda: all(one.mid in sensor.published for one in waiting), "acknowledgement of what waited")
        with paho5_client(server, "display", clean=False, SessionExpiryInterval=300) as display:
            assert [display.next_message().payload for _ in waiting] == [b"%d" % number for number in range(10)]
            display.nothing_more()
        sensor.close()
