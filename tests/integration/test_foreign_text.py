"""Whatever bytes a device, a client or a file gives us, nobody who listens loses its connection over them."""

import asyncio
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from paho.mqtt.client import MQTTv5, MQTTv311

from protocols.mqtt import encoder, packets
from protocols.mqtt.primitives import is_string
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    clients,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.mqtt_peers import MosquittoSub, PahoClient
from tests.integration.node_peers import node_client
from tests.integration.peers import Peer, gateway, nats_server, uplink
from tests.integration.raw_peer import RawPeer
from tests.integration.serial_line import serial_table
from tests.patience import PATIENCE_SECONDS

PIECES = (
    b"temp",
    b"Alecto WS V1 out temp",
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x1b",
    b" ",
    b"\t",
    b"\v",
    b"\f",
    b"\r",
    b"\0",
    b"\x01",
    b"\x7f",
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    "ü".encode(),
    "\x85".encode(),
    "\u2028".encode(),
    "\ufffe".encode(),
    b"*",
    b">",
    b"+",
    b"#",
    b"/",
    b".",
    b"..",
    b"$",
    b"x" * 700,
    b'"',
    b"'",
    b"\\",
)
LAST = b"the.last"
MALFORMED = bytes((0xE0, 1, ReasonCode.MALFORMED_PACKET))


def foreign_texts(count: int) -> list[bytes]:
    chance = random.Random(11)
    return [*PIECES, *(b"".join(chance.choices(PIECES, k=chance.randint(1, 5))) for _ in range(count))]


class Everybody:
    """Clients of all kinds that listen to everything at the edge, and one at the hub."""

    def __init__(self, hub: Peer, edge: Peer) -> None:
        self.hub = hub
        self.edge = edge

    def hears(self, speak: "threading.Thread") -> None:
        """Return once every client has heard the last message; fail when one was thrown off before."""
        with ExitStack() as programs, node_client("nats_client.mjs", self.edge.url("websocket", "ws")) as node:
            mqtt_clients = [PahoClient(version=version) for version in (MQTTv311, MQTTv5)]
            for one in mqtt_clients:
                one.connect(self.edge)
                one.subscribe("#")
            node.call("subscribe", subject=">")
            # They print each CONNECT, and connect again by themselves.
            arguments = ["-d", "-F", "%t", "-t", "#", "-V"]
            strict = [MosquittoSub(self.edge, [*arguments, version]) for version in ("mqttv311", "mqttv5")]
            for program in strict:
                programs.callback(program.close)
                assert hears_through(program, "ready/") == 1

            async def listen() -> None:
                async with clients(self.hub, self.edge) as listeners:
                    subscriptions = [await one.subscribe(">") for one in listeners]
                    await settled_both_ways(*listeners)
                    speak.start()
                    for subscription in subscriptions:
                        async for message in subscription.messages:
                            if message.subject.encode().endswith(LAST):
                                break
                    for one in listeners:
                        assert one.is_connected

            run(listen)
            while not node.next_message()["subject"].endswith(LAST.decode()):
                pass
            for one in mqtt_clients:
                while not one.next_message().topic.endswith(LAST.decode().replace(".", "/")):
                    pass
                one.paho.disconnect()
                one.paho.loop_stop()
            for program in strict:
                assert hears_through(program, LAST.decode().replace(".", "/")) == 0
        assert "event=down" not in self.edge.log()


def hears_through(program: MosquittoSub, topic: str) -> int:
    """How often a program connects until it hears of a topic."""
    connects = 0
    while topic not in (line := program.next_line()) or line.startswith("Client"):
        connects += "sending CONNECT" in line
    return connects


def publish_alone(edge: Peer, topic: bytes, properties: Properties | None = None) -> bytes:
    """Publish from a connection of its own; returns the answer, or what ends the stream."""
    with RawPeer(edge.address("mqtt")) as publisher:
        publisher.send(encoder.encode_connect(packets.Connect(5, b"", clean_start=True)))
        publisher.read(1)
        publisher.read(publisher.read(1)[0])
        publisher.send(encoder.encode_publish(5, topic, b"", 1, 1, False, False, properties))
        return publisher.read(3)


@contextmanager
def printing_device() -> Iterator[socket.socket]:
    """A port of another machine; what connects to it hears the device."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(scope="module")
def device() -> Iterator[socket.socket]:
    with printing_device() as listener:
        yield listener


@pytest.fixture(scope="module")
def everybody(device: socket.socket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everybody]:
    directory = tmp_path_factory.mktemp("everybody")
    table = serial_table(
        f"socket://127.0.0.1:{device.getsockname()[1]}",
        protocol="lines",
        name="dev1",
        pattern="(?P<subject>[^=]+)=(?P<payload>.*)",
    )
    with nats_server(directory / "hub", leafnodes=LEAF_AUTHORIZATION) as hub:
        config = uplink(leaf_url(hub), **IMPATIENT) + table
        with gateway(directory / "edge", protocols=("nats", "mqtt", "websocket"), config=config) as edge:
            edge.wait_for_log(LINK_UP)
            yield Everybody(hub, edge)


def test_random_output_of_a_device_throws_nobody_off(everybody: Everybody, device: socket.socket) -> None:
    def speak() -> None:
        connection, _ = device.accept()
        with connection:
            for text in foreign_texts(200):
                connection.sendall(text.replace(b"\n", b"") + b"=1\n" + text + b"\n")
            connection.sendall(LAST + b"=1\n")
            stopped.wait(PATIENCE_SECONDS)

    stopped = threading.Event()
    try:
        everybody.hears(threading.Thread(target=speak, daemon=True))
    finally:
        stopped.set()


def test_subjects_that_only_some_can_read_throw_nobody_off(everybody: Everybody) -> None:
    def speak() -> None:
        with RawPeer(everybody.edge.address("nats")) as publisher:
            publisher.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n')
            for text in foreign_texts(200):
                subject = text.translate(None, b" \t\r\n") or b"x"
                publisher.send(b"PUB %b 0\r\n\r\nPUB good %b 0\r\n\r\n" % (subject, subject))
                header = b"NATS/1.0\r\nX: %b\r\n\r\n" % text.translate(None, b"\r\n")
                publisher.send(b"HPUB h.%b %d %d\r\n%b\r\n" % (subject, len(header), len(header), header))
                publisher.send(b"HPUB good %d %d\r\n%b\r\n" % (len(header), len(header), header))
            publisher.send(b"PUB client.%b 0\r\n\r\nPING\r\n" % LAST)
            publisher.read_through(b"PONG\r\n")

    everybody.hears(threading.Thread(target=speak, daemon=True))


def test_subjects_of_the_hub_that_only_some_can_read_throw_nobody_off(everybody: Everybody) -> None:
    async def test() -> None:
        async with clients(everybody.edge) as (listener,):
            subscription = await listener.subscribe("odd.>")
            with RawPeer(everybody.hub.address("nats")) as publisher:
                publisher.send(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
                while subscription.pending_msgs == 0:
                    publisher.send(b"PUB odd.first 0\r\n\r\n")
                    await asyncio.sleep(0.02)
                for text in foreign_texts(100):
                    publisher.send(b"PUB odd.%b 0\r\n\r\n" % (text.translate(None, b" \t\r\n") or b"x"))
                publisher.send(b"PUB odd.%b 0\r\n\r\n" % LAST)
                async for message in subscription.messages:
                    if message.subject.endswith(LAST.decode()):
                        return

    run(test)


def test_topics_and_properties_of_mqtt_clients_throw_nobody_off(everybody: Everybody) -> None:
    def speak() -> None:
        publisher = PahoClient(version=MQTTv5)
        publisher.connect(everybody.edge)
        for text in foreign_texts(200):
            topic = text.translate(None, b"+#")
            if topic and is_string(topic):
                publisher.publish(topic.decode(), b"", 0)
            elif topic:
                assert publish_alone(everybody.edge, topic)[:3] == MALFORMED
            fields = Properties(user_properties=((b"a", text),), content_type=text, response_topic=topic or b"x")
            assert (publish_alone(everybody.edge, b"good", fields) == MALFORMED) is not is_string(text)
        publisher.publish("mqtt/the/last", b"", 1)
        publisher.paho.disconnect()
        publisher.paho.loop_stop()

    everybody.hears(threading.Thread(target=speak, daemon=True))


@pytest.mark.parametrize("text", [b"a\vb", b"a\fb", b"\xff", b"\xc3\x28"])
def test_publisher_hears_that_its_subject_is_none(everybody: Everybody, text: bytes) -> None:
    with RawPeer(everybody.edge.address("nats")) as publisher:
        publisher.send(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        publisher.send(b"PUB %b 0\r\n\r\nPUB good %b 0\r\n\r\nPING\r\n" % (text, text))
        said = publisher.read_through(b"PONG\r\n")
    assert said.count(b"-ERR 'Invalid Publish Subject'\r\n") == 2
