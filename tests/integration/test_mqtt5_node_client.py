"""MQTT 5.0 with mqtt.js, over TCP and over WebSocket: properties, sessions, delayed wills, subscription identifiers."""

from collections.abc import Iterator

import pytest

from tests.integration.mqtt5_peers import paho5_client
from tests.integration.mqtt_peers import paho_client, unique_topic
from tests.integration.mqtt_servers import mqtt_server, only_gateway
from tests.integration.node_peers import NodeClient, node_client, require_node
from tests.integration.peers import Peer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    require_node("mqtt")
    with mqtt_server(tmp_path_factory.mktemp("server"), ("mqtt", "websocket")) as peer:
        yield peer


@pytest.fixture(params=["mqtt", "websocket"])
def panel(request: pytest.FixtureRequest, server: Peer) -> Iterator[NodeClient]:
    """A client that is not connected yet."""
    url = server.url("mqtt", "mqtt") if request.param == "mqtt" else server.url("websocket", "ws") + "/mqtt"
    with node_client("mqtt5_client.mjs", url) as peer:
        yield peer


def connect(panel: NodeClient, **options: object) -> bool:
    """Returns whether the server had a session."""
    present: bool = panel.call("connect", options=options)["sessionPresent"]
    return present


def session(client_id: str, **options: object) -> dict[str, object]:
    return {"clientId": client_id, "clean": False, "properties": {"sessionExpiryInterval": 300}, **options}


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_and_identifiers_go_both_ways(server: Peer, panel: NodeClient, qos: int) -> None:
    topic = unique_topic("node")
    values = {
        "contentType": "text/plain",
        "responseTopic": "answers",
        "correlationData": "abc",
        "payloadFormatIndicator": True,
        "userProperties": {"unit": "C"},
    }
    with paho5_client(server) as device:
        connect(panel)
        device.ask(f"{topic}/up", qos=qos)
        assert panel.call("subscribe", filter=f"{topic}/#", qos=qos, properties={"subscriptionIdentifier": 8}) == [qos]
        assert panel.call("publish", topic=f"{topic}/up", payload="21.5", qos=qos, properties=values) == 0
        message = device.next_message()
        assert (message.payload, message.qos, message.properties.ContentType) == (b"21.5", qos, "text/plain")
        assert message.properties.UserProperty == [("unit", "C")]
        echoed = panel.next_message()
        assert (echoed["payload"], echoed["qos"]) == ("21.5", qos)
        assert echoed["properties"] == values | {"subscriptionIdentifier": 8}


@pytest.mark.parametrize("qos", [1, 2])
def test_session_is_resumed(server: Peer, panel: NodeClient, qos: int) -> None:
    topic = unique_topic("node")
    assert not connect(panel, **session(topic))
    panel.call("subscribe", filter=topic, qos=qos)
    for ending in ("leave", "break"):
        panel.call(ending)
        with paho_client(server) as sensor:
            for number in range(10):
                sensor.publish(topic, b"%d" % number, qos)
        assert connect(panel, **session(topic))
        received = [panel.next_message() for _ in range(10)]
        assert [(one["payload"], one["qos"]) for one in received] == [(str(n), qos) for n in range(10)]


def test_delayed_will_comes_with_its_properties(server: Peer, panel: NodeClient) -> None:
    topic = unique_topic("node")
    will_properties = {"willDelayInterval": 1, "contentType": "text/plain"}
    will = {"topic": topic, "payload": "gone", "qos": 1, "retain": True, "properties": will_properties}
    connect(panel, **session(topic, will=will))
    with paho5_client(server) as display:
        display.ask(topic, qos=1)
        panel.call("break")
        message = display.next_message()
        assert (message.payload, message.properties.ContentType) == (b"gone", "text/plain")


@only_gateway("it sends one copy for each overlapping subscription")
def test_overlapping_subscriptions_bring_one_message(server: Peer, panel: NodeClient) -> None:
    topic = unique_topic("node")
    connect(panel)
    panel.call("subscribe", filter=f"{topic}/+", qos=1, properties={"subscriptionIdentifier": 1})
    panel.call("subscribe", filter=f"{topic}/#", qos=2, properties={"subscriptionIdentifier": 2})
    with paho5_client(server) as device:
        device.tell(f"{topic}/up", b"1", 2)
        device.tell(f"{topic}/up", b"2", 2)
    for payload in ("1", "2"):
        message = panel.next_message()
        assert (message["payload"], message["qos"]) == (payload, 2)
        assert sorted(message["properties"]["subscriptionIdentifier"]) == [1, 2]


def test_topic_aliases_are_assigned_by_the_client(server: Peer, panel: NodeClient) -> None:
    topics = [unique_topic("node") for _ in range(3)]
    with paho5_client(server) as display:
        for topic in topics:
            display.ask(topic, qos=1)
        connect(panel, autoAssignTopicAlias=True)
        for round_number in range(3):
            for topic in topics:
                panel.call("publish", topic=topic, payload=str(round_number), qos=1)
                assert display.next_pair() == (topic, b"%d" % round_number)


def test_shared_subscription_and_no_local(server: Peer, panel: NodeClient) -> None:
    topic = unique_topic("node")
    connect(panel)
    assert panel.call("subscribe", filter=f"$share/crew/{topic}/job", qos=1) == [1]
    assert panel.call("subscribe", filter=f"{topic}/own", qos=1, nl=True, rap=True, rh=2) == [1]
    panel.call("publish", topic=f"{topic}/own", payload="not for me", qos=1)
    with paho5_client(server) as boss:
        boss.tell(f"{topic}/job", b"work", 1)
        assert panel.next_message()["payload"] == "work"
        boss.tell(f"{topic}/own", b"told", 1, retain=True)
        message = panel.next_message()
        assert (message["payload"], message["retain"]) == ("told", True)
