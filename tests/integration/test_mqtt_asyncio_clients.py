"""gmqtt and aiomqtt with MQTT 5.0, amqtt's client with 3.1.1: properties, and sessions that are resumed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import gmqtt
import pytest
from amqtt.client import MQTTClient
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.integration.leafnode_pair import PATIENCE_SECONDS, run
from tests.integration.mqtt5_peers import properties, told
from tests.integration.mqtt_peers import paho_client, unique_topic
from tests.integration.mqtt_servers import mqtt_server
from tests.integration.peers import Peer

SESSION = {"session_expiry_interval": 300}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with mqtt_server(tmp_path_factory.mktemp("server")) as peer:
        yield peer


class GmqttClient:
    """gmqtt hands messages to a callback; here they wait in a queue, as (topic, payload, qos, properties)."""

    def __init__(self, client_id: str, **options: Any) -> None:
        self.client = gmqtt.Client(client_id, **options)
        self.messages: asyncio.Queue[tuple[str, bytes, int, dict[str, Any]]] = asyncio.Queue()
        self.session_present = False
        self._subscribed: asyncio.Queue[list[int]] = asyncio.Queue()
        self.client.set_config({"reconnect_retries": 0})
        self.client.on_message = self._receive
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda _client, _number, granted, _properties: self._subscribed.put_nowait(granted)

    async def subscribe(self, topic_filter: str, qos: int, identifier: int | None = None) -> None:
        self.client.subscribe(topic_filter, qos, **({"subscription_identifier": identifier} if identifier else {}))
        granted = await asyncio.wait_for(self._subscribed.get(), PATIENCE_SECONDS)
        assert list(granted) == [qos]

    async def next_message(self) -> tuple[str, bytes, int, dict[str, Any]]:
        return await asyncio.wait_for(self.messages.get(), PATIENCE_SECONDS)

    async def _receive(self, _client: Any, topic: str, payload: bytes, qos: int, found: dict[str, Any]) -> int:
        self.messages.put_nowait((topic, bytes(payload), qos, found))
        return 0

    def _connected(self, _client: Any, flags: int, _code: int, _properties: Any) -> None:
        self.session_present = bool(flags & 1)


@asynccontextmanager
async def gmqtt_client(server: Peer, client_id: str, **options: Any) -> AsyncIterator[GmqttClient]:
    peer = GmqttClient(client_id, **options)
    await asyncio.wait_for(peer.client.connect(*server.address("mqtt")), PATIENCE_SECONDS)
    try:
        yield peer
    finally:
        await peer.client.disconnect()


@asynccontextmanager
async def aiomqtt_client(server: Peer, client_id: str, expiry: int = 0) -> AsyncIterator[aiomqtt.Client]:
    host, port = server.address("mqtt")
    connect = properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry)
    async with aiomqtt.Client(
        host,
        port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=expiry == 0,
        properties=connect,
        timeout=PATIENCE_SECONDS,
    ) as client:
        yield client


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_gmqtt_exchanges_messages_with_properties(server: Peer, qos: int) -> None:
    async def test() -> None:
        topic = unique_topic("gmqtt")
        async with gmqtt_client(server, f"{topic}/a") as sensor, gmqtt_client(server, f"{topic}/b") as display:
            await display.subscribe(f"{topic}/#", qos, identifier=5)
            sensor.client.publish(
                f"{topic}/temp",
                b"21.5",
                qos=qos,
                content_type="text/plain",
                user_property=[("unit", "C"), ("unit", "K")],
                correlation_data=b"\x00\x01",
                response_topic="answers",
            )
            got_topic, payload, got_qos, found = await display.next_message()
            assert (got_topic, payload, got_qos) == (f"{topic}/temp", b"21.5", qos)
            assert found["content_type"] == ["text/plain"]
            assert found["user_property"] == [("unit", "C"), ("unit", "K")]
            assert found["correlation_data"] == [b"\x00\x01"]
            assert found["response_topic"] == ["answers"]
            assert found["subscription_identifier"] == [5]

    run(test)


@pytest.mark.parametrize("qos", [1, 2])
def test_gmqtt_resumes_its_session(server: Peer, qos: int) -> None:
    async def test() -> None:
        topic = unique_topic("gmqtt")
        async with gmqtt_client(server, topic, clean_session=False, **SESSION) as display:
            assert not display.session_present
            await display.subscribe(topic, qos)
        with paho_client(server) as sensor:
            for number in range(10):
                sensor.publish(topic, b"%d" % number, qos)
        async with gmqtt_client(server, topic, clean_session=False, **SESSION) as display:
            assert display.session_present
            received = [await display.next_message() for _ in range(10)]
            assert [(payload, got) for _, payload, got, _ in received] == [(b"%d" % n, qos) for n in range(10)]

    run(test)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_aiomqtt_exchanges_messages_with_properties(server: Peer, qos: int) -> None:
    async def test() -> None:
        topic = unique_topic("aiomqtt")
        values = {"UserProperty": [("unit", "C")], "ContentType": "text/plain", "CorrelationData": b"\x00"}
        async with aiomqtt_client(server, f"{topic}/a") as sensor, aiomqtt_client(server, f"{topic}/b") as display:
            await display.subscribe(topic, options=SubscribeOptions(qos=qos, noLocal=True))
            await display.publish(topic, b"own", qos=qos)
            await sensor.publish(topic, b"21.5", qos=qos, properties=properties(PacketTypes.PUBLISH, **values))
            message = await asyncio.wait_for(anext(display.messages), PATIENCE_SECONDS)
            assert (str(message.topic), message.payload, message.qos) == (topic, b"21.5", qos)
            assert told(message) == values

    run(test)


@pytest.mark.parametrize("qos", [1, 2])
def test_aiomqtt_resumes_its_session(server: Peer, qos: int) -> None:
    async def test() -> None:
        topic = unique_topic("aiomqtt")
        async with aiomqtt_client(server, topic, expiry=300) as display:
            await display.subscribe(topic, options=SubscribeOptions(qos=qos))
        async with aiomqtt_client(server, f"{topic}/sensor") as sensor:
            for number in range(10):
                await sensor.publish(topic, b"%d" % number, qos=qos)
        async with aiomqtt_client(server, topic, expiry=300) as display:
            for number in range(10):
                message = await asyncio.wait_for(anext(display.messages), PATIENCE_SECONDS)
                assert (message.payload, message.qos) == (b"%d" % number, qos)

    run(test)


@pytest.mark.parametrize("qos", [1, 2])
def test_amqtt_resumes_its_session(server: Peer, qos: int) -> None:
    async def test() -> None:
        topic = unique_topic("amqtt")
        url = f"mqtt://127.0.0.1:{server.ports['mqtt']}/"
        display = MQTTClient(client_id=topic.replace("/", "-"), config={"auto_reconnect": False})
        await display.connect(url, cleansession=False)
        assert await display.subscribe([(topic, qos)]) == [qos]
        await display.disconnect()
        with paho_client(server) as sensor:
            for number in range(10):
                sensor.publish(topic, b"%d" % number, qos)
        again = MQTTClient(client_id=topic.replace("/", "-"), config={"auto_reconnect": False})
        await again.connect(url, cleansession=False)
        for number in range(10):
            message = await asyncio.wait_for(again.deliver_message(), PATIENCE_SECONDS)
            assert message is not None
            assert (bytes(message.data), message.qos) == (b"%d" % number, qos)
        await again.disconnect()

    run(test)
