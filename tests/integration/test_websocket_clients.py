"""Clients over WebSocket, in Node and in Python, exchange messages with each other and with clients over TCP."""

from collections.abc import Iterator

import pytest
from amqtt.client import MQTTClient

from tests.integration.leafnode_pair import PATIENCE_SECONDS, answer_with, client, run
from tests.integration.mqtt_peers import paho_client, unique_topic
from tests.integration.node_peers import NodeClient, node_client, require_node
from tests.integration.peers import Peer, gateway

BIG_BATCH = 3000


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    protocols = ("nats", "mqtt", "websocket")
    with gateway(tmp_path_factory.mktemp("edge"), protocols=protocols, monitoring=True) as peer:
        yield peer


@pytest.fixture(scope="module")
def compressing_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    config = '[[listeners]]\nprotocol = "websocket"\naddress = "127.0.0.1:0"\ncompression = true\n'
    with gateway(tmp_path_factory.mktemp("compressing"), config=config) as peer:
        yield peer


@pytest.fixture(scope="module")
def browser(edge: Peer) -> Iterator[NodeClient]:
    """`@nats-io/nats-core` at the path /."""
    with node_client("nats_client.mjs", edge.url("websocket", "ws")) as peer:
        yield peer


@pytest.fixture(scope="module")
def panel(edge: Peer) -> Iterator[NodeClient]:
    """`mqtt` at the path /mqtt."""
    with node_client("mqtt_client.mjs", edge.url("websocket", "ws") + "/mqtt") as peer:
        yield peer


def subject_of(topic: str) -> str:
    return topic.replace("/", ".")


def test_nats_client_exchanges_messages_with_one_over_tcp(edge: Peer, browser: NodeClient) -> None:
    async def test() -> None:
        subject = subject_of(unique_topic("exchange"))
        async with client(edge) as tcp:
            inbox = await tcp.subscribe(f"{subject}.up")
            await tcp.flush()
            browser.call("subscribe", subject=f"{subject}.*")
            browser.call("publish", subject=f"{subject}.up", payload="a", fields={"Unit": "C"})
            message = await inbox.next_msg(PATIENCE_SECONDS)
            assert (message.subject, message.data, message.headers) == (f"{subject}.up", b"a", {"Unit": "C"})
            assert browser.next_message() == {"subject": f"{subject}.up", "payload": "a", "headers": {"Unit": "C"}}
            await tcp.publish(f"{subject}.down", b"b", headers={"Unit": "F"})
            await tcp.flush()
            assert browser.next_message() == {"subject": f"{subject}.down", "payload": "b", "headers": {"Unit": "F"}}
            browser.call("unsubscribe", subject=f"{subject}.*")

    run(test)


def test_nats_client_requests_and_answers(edge: Peer, browser: NodeClient) -> None:
    async def test() -> None:
        subject = subject_of(unique_topic("service"))
        async with client(edge) as tcp:
            browser.call("answer", subject=f"{subject}.here", lead="browser: ")
            answer = await tcp.request(f"{subject}.here", b"who?", PATIENCE_SECONDS, headers={"Id": "7"})
            assert (answer.data, answer.headers) == (b"browser: who?", {"Id": "7"})

    run(test)


def test_nats_client_is_told_that_nobody_answers(browser: NodeClient) -> None:
    with pytest.raises(AssertionError, match="no responders"):
        browser.call("request", subject="nobody.listens", payload="")


def test_request_from_websocket_is_answered_over_tcp(edge: Peer) -> None:
    require_node("@nats-io/nats-core")

    async def test() -> None:
        import asyncio

        subject = subject_of(unique_topic("service"))
        async with client(edge) as tcp:
            await tcp.subscribe(subject, cb=answer_with(b"tcp: "))
            await tcp.flush()
            with node_client("nats_client.mjs", edge.url("websocket", "ws")) as requester:
                answer = await asyncio.to_thread(requester.call, "request", subject=subject, payload="who?")
            assert answer["payload"] == "tcp: who?"

    run(test)


@pytest.mark.parametrize("size", [1, 100_000])
def test_large_and_many_messages_arrive_whole_and_in_order(edge: Peer, browser: NodeClient, size: int) -> None:
    async def test() -> None:
        subject = subject_of(unique_topic("many"))
        count = BIG_BATCH if size == 1 else 30
        async with client(edge) as tcp:
            inbox = await tcp.subscribe(subject)
            await tcp.flush()
            browser.call("subscribe", subject=subject)
            browser.call("publishMany", subject=subject, count=count, size=size)
            for number in range(count):
                expected = str(number).rjust(size, ".")
                assert (await inbox.next_msg(PATIENCE_SECONDS)).data == expected.encode()
                assert browser.next_message()["payload"] == expected
            browser.call("unsubscribe", subject=subject)

    run(test)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_client_exchanges_messages_with_one_over_tcp(edge: Peer, panel: NodeClient, qos: int) -> None:
    topic = unique_topic("house")
    with paho_client(edge) as tcp:
        assert panel.call("subscribe", filter=f"{topic}/#", qos=qos) == [qos]
        tcp.subscribe(f"{topic}/up", 1)
        panel.call("publish", topic=f"{topic}/up", payload="a", qos=qos)
        message = tcp.next_message()
        assert (message.payload, message.qos) == (b"a", min(qos, 1))
        assert panel.next_message()["topic"] == f"{topic}/up"
        tcp.publish(f"{topic}/down", b"b", qos)
        expected = {"topic": f"{topic}/down", "payload": "b", "qos": qos, "retain": False}
        assert panel.next_message() == expected
        panel.call("unsubscribe", filter=f"{topic}/#")


def test_mqtt_client_gets_what_is_retained(edge: Peer, panel: NodeClient) -> None:
    topic = unique_topic("state")
    with paho_client(edge) as tcp:
        tcp.publish(topic, b"on", 1, retain=True)
    panel.call("subscribe", filter=topic, qos=1)
    assert panel.next_message() == {"topic": topic, "payload": "on", "qos": 1, "retain": True}
    panel.call("unsubscribe", filter=topic)


def test_nats_and_mqtt_over_websocket_share_one_subject_space(browser: NodeClient, panel: NodeClient) -> None:
    topic = unique_topic("shared")
    browser.call("subscribe", subject=subject_of(topic))
    panel.call("subscribe", filter=topic, qos=1)
    browser.call("publish", subject=subject_of(topic), payload="from nats")
    assert panel.next_message()["payload"] == "from nats"
    panel.call("publish", topic=topic, payload="from mqtt", qos=1)
    assert [browser.next_message()["payload"] for _ in range(2)] == ["from nats", "from mqtt"]
    browser.call("unsubscribe", subject=subject_of(topic))
    panel.call("unsubscribe", filter=topic)


def test_amqtt_client_over_websocket(edge: Peer) -> None:
    async def test() -> None:
        topic = unique_topic("amqtt")
        panel = MQTTClient(config={"auto_reconnect": False})
        await panel.connect(edge.url("websocket", "ws") + "/mqtt")
        await panel.subscribe([(topic, 1)])
        await panel.publish(topic, b"hello", qos=1)
        message = await panel.deliver_message(PATIENCE_SECONDS)
        assert message is not None
        assert (message.topic, bytes(message.data)) == (topic, b"hello")
        await panel.disconnect()

    run(test)


def test_frames_are_compressed_where_both_sides_want_it(compressing_edge: Peer, browser: NodeClient) -> None:
    assert browser.call("extensions") == ""

    async def test() -> None:
        async with client(compressing_edge) as tcp:
            inbox = await tcp.subscribe("squeezed.up")
            await tcp.flush()
            with node_client("nats_client.mjs", compressing_edge.url("websocket", "ws")) as peer:
                assert "permessage-deflate" in peer.call("extensions")
                peer.call("subscribe", subject="squeezed.*")
                await tcp.publish("squeezed.down", b"0123456789" * 10_000)
                await tcp.flush()
                assert peer.next_message()["payload"] == "0123456789" * 10_000
                peer.call("publishMany", subject="squeezed.up", count=200, size=1000)
                for number in range(200):
                    expected = str(number).rjust(1000, ".")
                    assert (await inbox.next_msg(PATIENCE_SECONDS)).data == expected.encode()
                    assert peer.next_message()["payload"] == expected

    run(test)
