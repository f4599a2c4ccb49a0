"""What MQTT clients written by others publish and receive: quality of service, filters, retained messages, subjects."""

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from amqtt.client import MQTTClient

from protocols.mqtt.primitives import is_string
from tests.integration.leafnode_pair import client, run
from tests.integration.mqtt_peers import (
    MQTT_3_1,
    MQTT_3_1_1,
    PATIENCE_SECONDS,
    mosquitto_pub,
    mosquitto_sub,
    paho_client,
    unique_topic,
)
from tests.integration.peers import Peer, gateway, require_peer

VECTORS = tomllib.loads((Path(__file__).parents[1] / "vectors" / "topics.toml").read_text())
REFUSED = 0x80

versions = pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1], ids=["3.1", "3.1.1"])


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), protocols=("nats", "mqtt")) as peer:
        yield peer


@pytest.fixture
def fresh_edge(tmp_path: Path) -> Iterator[Peer]:
    """For subscriptions that would match what other tests publish and leave behind."""
    with gateway(tmp_path, protocols=("nats", "mqtt")) as peer:
        yield peer


@versions
@pytest.mark.parametrize(
    ("published", "granted", "received"),
    [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 2, 1), (2, 0, 0), (2, 1, 1), (2, 2, 2)],
)
def test_message_arrives_with_the_lower_quality_of_service(
    edge: Peer, version: int, published: int, granted: int, received: int
) -> None:
    topic = unique_topic("qos")
    with paho_client(edge, version=version) as sensor, paho_client(edge, version=version) as display:
        assert display.subscribe(topic, granted) == granted
        sensor.publish(topic, b"21.5", published)
        message = display.next_message()
        assert (message.topic, message.payload, message.qos) == (topic, b"21.5", received)
        assert not message.retain
        assert not message.dup
        display.nothing_more()


def test_own_messages_come_back(edge: Peer) -> None:
    topic = unique_topic("own")
    with paho_client(edge) as sensor:
        sensor.subscribe(topic)
        sensor.publish(topic, b"hello")
        assert sensor.next_pair() == (topic, b"hello")


@pytest.mark.parametrize(
    ("suffix", "topics"),
    [
        ("/+/temp", ["/hall/temp", "/kitchen/temp"]),
        ("/+", ["/hall"]),
        ("/#", ["", "/hall", "/hall/temp", "/kitchen/temp", "/kitchen/temp/max"]),
        ("/kitchen/#", ["/kitchen/temp", "/kitchen/temp/max"]),
        ("/+/+/max", ["/kitchen/temp/max"]),
    ],
)
def test_wildcards_match_levels(edge: Peer, suffix: str, topics: list[str]) -> None:
    root = unique_topic("house")
    with paho_client(edge) as sensor, paho_client(edge) as display:
        display.subscribe(root + suffix)
        for topic in ("", "/hall", "/hall/temp", "/kitchen/temp", "/kitchen/temp/max"):
            sensor.publish(root + topic, b"1", 1)
        assert [display.next_message().topic for _ in topics] == [root + topic for topic in topics]
        display.nothing_more()


def test_overlapping_filters_deliver_once_with_the_higher_quality_of_service(edge: Peer) -> None:
    root = unique_topic("overlap")
    with paho_client(edge) as sensor, paho_client(edge) as display:
        display.subscribe(f"{root}/+", 0)
        display.subscribe(f"{root}/#", 1)
        display.subscribe(f"{root}/temp", 0)
        sensor.publish(f"{root}/temp", b"1", 1)
        assert display.next_message().qos == 1
        display.nothing_more()


def test_subscribing_again_replaces_the_quality_of_service(edge: Peer) -> None:
    topic = unique_topic("again")
    with paho_client(edge) as display:
        display.subscribe(topic, 1)
        display.subscribe(topic, 0)
        display.publish(topic, b"1", 1)
        assert display.next_message().qos == 0
        display.nothing_more()


def test_unsubscribed_filter_delivers_no_more(edge: Peer) -> None:
    root = unique_topic("unsubscribe")
    with paho_client(edge) as display:
        display.subscribe(f"{root}/#")
        display.subscribe(f"{root}/kept")
        display.unsubscribe(f"{root}/#")
        display.unsubscribe(f"{root}/never/subscribed")
        display.publish(f"{root}/gone", b"1")
        display.publish(f"{root}/kept", b"2")
        assert display.next_pair() == (f"{root}/kept", b"2")


def test_many_messages_keep_their_order(edge: Peer) -> None:
    topic = unique_topic("order")
    with paho_client(edge) as sensor, paho_client(edge) as display:
        display.subscribe(topic, 1)
        for number in range(500):
            sensor.paho.publish(topic, str(number), qos=number % 2)
        received = [int(display.next_message().payload) for _ in range(500)]
        # paho itself lets QoS 0 pass what waits for its window.
        for parity in (0, 1):
            assert [number for number in received if number % 2 == parity] == list(range(parity, 500, 2))


class TestRetained:
    """Retained messages."""

    @versions
    @pytest.mark.parametrize(("published", "granted", "received"), [(0, 1, 0), (1, 0, 0), (1, 1, 1), (2, 1, 1)])
    def test_last_one_comes_on_subscribe_with_the_flag(
        self, edge: Peer, version: int, published: int, granted: int, received: int
    ) -> None:
        root = unique_topic("retained")
        with paho_client(edge, version=version) as sensor, paho_client(edge, version=version) as display:
            sensor.publish(f"{root}/temp", b"20", published, retain=True)
            sensor.publish(f"{root}/temp", b"21", published, retain=True)
            sensor.publish(f"{root}/temp", b"22", published)
            sensor.nothing_more()
            display.subscribe(f"{root}/+", granted)
            message = display.next_message()
            assert (message.payload, message.qos, message.retain) == (b"21", received, True)
            display.nothing_more()

    def test_subscriber_that_is_there_gets_it_without_the_flag(self, edge: Peer) -> None:
        topic = unique_topic("retained")
        with paho_client(edge) as sensor, paho_client(edge) as display:
            display.subscribe(topic)
            sensor.publish(topic, b"20", retain=True)
            assert not display.next_message().retain

    def test_empty_payload_deletes_it_and_is_delivered(self, edge: Peer) -> None:
        topic = unique_topic("retained")
        with paho_client(edge) as sensor, paho_client(edge) as display:
            sensor.publish(topic, b"20", 1, retain=True)
            display.subscribe(topic)
            assert display.next_pair() == (topic, b"20")
            sensor.publish(topic, b"", 1, retain=True)
            assert display.next_pair() == (topic, b"")
            display.unsubscribe(topic)
            display.subscribe(topic)
            display.nothing_more()

    def test_more_than_the_window_holds_all_arrive(self, edge: Peer) -> None:
        root = unique_topic("window")
        topics = {f"{root}/{number}" for number in range(150)}
        with paho_client(edge) as sensor, paho_client(edge) as display:
            for topic in topics:
                sensor.paho.publish(topic, b"1", qos=1, retain=True)
            sensor.publish(root, b"last", 1)
            display.subscribe(f"{root}/+", 1)
            received = [display.next_message() for _ in topics]
            assert {message.topic for message in received} == topics
            assert all(message.retain for message in received)
            display.nothing_more()


def test_wildcard_at_the_beginning_does_not_match_dollar_topics(fresh_edge: Peer) -> None:
    with paho_client(fresh_edge) as sensor, paho_client(fresh_edge) as display:
        sensor.publish("$site/name", b"old", 1, retain=True)
        display.subscribe("#", 1)
        display.subscribe("+/name", 1)
        sensor.publish("$site/name", b"new", 1)
        sensor.publish("house/name", b"home", 1)
        assert display.next_pair() == ("house/name", b"home")
        display.subscribe("$site/#")
        assert display.next_pair() == ("$site/name", b"old")


def test_every_topic_has_its_subject_and_comes_back(fresh_edge: Peer) -> None:
    async def test() -> None:
        async with client(fresh_edge) as nats:
            inbox = await nats.subscribe(">")
            await nats.flush()
            with paho_client(fresh_edge) as sensor:
                for topic, subject in VECTORS["topics"].items():
                    # A server's own, where nobody else says anything; and what no client may send.
                    if topic.startswith("$SYS/") or not is_string(topic.encode()):
                        continue
                    sensor.publish(topic, topic.encode(), 1)
                    message = await inbox.next_msg(PATIENCE_SECONDS)
                    assert (message.subject, message.data) == (subject, topic.encode())
                    sensor.subscribe(topic)
                    await nats.publish(subject, b"back")
                    await nats.flush()
                    assert sensor.next_pair() == (topic, b"back")
                    assert (await inbox.next_msg(PATIENCE_SECONDS)).data == b"back"
                    sensor.unsubscribe(topic)

    run(test)


def test_filters_match_what_nats_clients_publish(fresh_edge: Peer) -> None:
    async def test() -> None:
        async with client(fresh_edge) as nats:
            for topic_filter, subjects in VECTORS["filters"].items():
                # `$SYS/#` hears of the server at once, and nobody else may say anything there.
                if not is_legal(topic_filter) or topic_filter.startswith(("#", "$share/", "$SYS/")):
                    continue
                with paho_client(fresh_edge) as display:
                    assert display.subscribe(topic_filter) == 0
                    for subject in subjects:
                        tokens = {"*": "one", ">": "one.two"}
                        literal = ".".join(tokens.get(token, token) for token in subject.split("."))
                        await nats.publish(literal, subject.encode())
                        await nats.flush()
                        assert display.next_message().payload == subject.encode()

    run(test)


def is_legal(topic_filter: str) -> bool:
    """Whether paho-mqtt and the gateway take it."""
    levels = topic_filter.split("/")
    return is_string(topic_filter.encode()) and all(one in ("+", "#") or not set(one) & set("+#") for one in levels)


def test_message_from_nats_is_acknowledged_by_who_wants_that(edge: Peer) -> None:
    async def test() -> None:
        topic = unique_topic("nats")
        async with client(edge) as nats:
            with paho_client(edge) as display:
                display.subscribe(topic, 2)
                await nats.publish(topic.replace("/", "."), b"21.5")
                await nats.flush()
                message = display.next_message()
                assert (message.topic, message.payload, message.qos) == (topic, b"21.5", 1)

    run(test)


def test_headers_and_reply_subjects_mean_nothing_before_mqtt_5(edge: Peer) -> None:
    async def test() -> None:
        topic = unique_topic("headers")
        async with client(edge) as nats:
            with paho_client(edge) as display:
                display.subscribe(topic, 0)
                await nats.publish(topic.replace("/", "."), b"21.5", reply="answer", headers={"Unit": "C"})
                await nats.flush()
                message = display.next_message()
                assert (message.topic, message.payload, message.qos) == (topic, b"21.5", 0)

    run(test)


@pytest.mark.parametrize("topic", ["two words/are", "caf\u00e9", "star/*/>"])
def test_topic_with_characters_that_mean_something_to_nats_arrives(edge: Peer, topic: str) -> None:
    with paho_client(edge) as sensor, paho_client(edge) as display:
        for topic_filter in (topic, topic.replace("/", "/+/", 1) + "/none"):
            display.subscribe(topic_filter, 1)
        sensor.publish(topic, b"1", 1)
        assert display.next_pair() == (topic, b"1")
        display.nothing_more()


def test_bookkeeping_of_nats_servers_is_out_of_bounds(edge: Peer) -> None:
    with paho_client(edge) as display:
        assert display.subscribe("$MQTT/sess/#", 1) == REFUSED
        display.nothing_more()


def test_reserved_subjects_are_out_of_bounds(edge: Peer) -> None:
    with paho_client(edge) as sensor:
        sensor.paho.publish("$GR/1", b"1")
        sensor.wait_disconnected()
    edge.wait_for_log("detail='the subject is reserved'")


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_clients_exchange_messages(edge: Peer, version: str, qos: str) -> None:
    topic = unique_topic("mosquitto")
    with mosquitto_sub(edge, "-V", version, "-q", qos, "-t", f"{topic}/+") as display:
        sent = mosquitto_pub(edge, "-V", version, "-q", qos, "-t", f"{topic}/temp", "-m", "21.5")
        assert (sent.returncode, sent.stderr) == (0, "")
        assert display.next_line() == f"{topic}/temp 21.5"


def test_mosquitto_client_sends_lines_to_a_nats_client(edge: Peer) -> None:
    require_peer("mosquitto_pub")

    async def test() -> None:
        topic = unique_topic("lines")
        async with client(edge) as nats:
            inbox = await nats.subscribe(topic.replace("/", "."))
            await nats.flush()
            for payload in ("one", "two"):
                assert mosquitto_pub(edge, "-t", topic, "-m", payload).returncode == 0
            assert [(await inbox.next_msg(PATIENCE_SECONDS)).data for _ in range(2)] == [b"one", b"two"]

    run(test)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_amqtt_clients_exchange_messages(edge: Peer, qos: int) -> None:
    async def test() -> None:
        topic = unique_topic("amqtt")
        url = f"mqtt://127.0.0.1:{edge.ports['mqtt']}/"
        sensor, display = (MQTTClient(config={"auto_reconnect": False}) for _ in range(2))
        await sensor.connect(url)
        await display.connect(url)
        assert await display.subscribe([(f"{topic}/#", qos)]) == [qos]
        await sensor.publish(f"{topic}/temp", b"21.5", qos=qos)
        message = await asyncio.wait_for(display.deliver_message(), PATIENCE_SECONDS)
        assert message is not None
        assert (message.topic, bytes(message.data), message.qos) == (f"{topic}/temp", b"21.5", qos)
        await display.unsubscribe([f"{topic}/#"])
        await display.disconnect()
        await sensor.disconnect()

    run(test)
