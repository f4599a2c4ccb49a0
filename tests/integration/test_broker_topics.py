"""`$SYS/broker/…`: what MQTT clients read of the gateway, beside what they read of a real mosquitto."""

import queue
import re
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest

from tests.integration.peers import Peer, gateway, mosquitto
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

CONFIG = """
[mqtt]
sys-interval-seconds = 1
[[accounts]]
name = "plant"
[[users]]
name = "anna"
password = "anna"
[[users]]
name = "plant"
password = "plant"
account = "plant"
[[users]]
name = "kept"
password = "kept"
permissions = { subscribe = { deny = ["$SYS.broker.heap.>"] } }
"""
# What it is about is not counted here: a shared subscription is one like others.
NOT_OURS = {"$SYS/broker/shared_subscriptions/count"}
LOGIN = b'CONNECT {"verbose":false,"user":"anna","pass":"anna"}\r\n'


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), protocols=("nats", "mqtt"), config=CONFIG) as peer:
        yield peer


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with mosquitto(tmp_path_factory.mktemp("mosquitto"), "sys_interval 1") as peer:
        yield peer


class Reader:
    """A client that reads the topics."""

    def __init__(self, peer: Peer, user: str, topic_filter: str = "$SYS/#") -> None:
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.username_pw_set(user, user)
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        self.client.on_connect = lambda client, *more: client.subscribe(topic_filter, 1)
        self.client.connect("127.0.0.1", peer.ports["mqtt"])
        self.client.loop_start()

    def read_until(self, topic: str, payload: str = "") -> dict[str, paho.MQTTMessage]:
        """All messages by their topics, up to one on this topic, with this pattern in it."""
        found: dict[str, paho.MQTTMessage] = {}
        while topic not in found or not re.fullmatch(payload or ".*", found[topic].payload.decode()):
            message = self.messages.get(timeout=PATIENCE_SECONDS)
            found[message.topic] = message
        return found

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def form_of(payload: bytes) -> str:
    """What a value looks like, whatever it is."""
    return re.sub(r"\d+", "0", re.sub(r"\d+\.\d+\.\d+", "0.0.0", payload.decode()))


def test_topics_and_forms_are_mosquittos(edge: Peer, reference: Peer):
    told = []
    for peer, user in ((reference, "anna"), (edge, "anna")):
        reader = Reader(peer, user)
        last = "$SYS/broker/clients/maximum"
        found = reader.read_until(last)
        # mosquitto tells of some things once they are no longer nothing.
        found |= reader.read_until("$SYS/broker/uptime")
        told.append({topic: form_of(one.payload) for topic, one in found.items()})
        reader.close()
    theirs, ours = told
    theirs["$SYS/broker/version"] = theirs["$SYS/broker/version"].replace("mosquitto", "leafgate")
    assert {topic: form for topic, form in theirs.items() if topic not in NOT_OURS and ours.get(topic) != form} == {}


def test_later_reader_gets_all_at_once_as_if_retained(edge: Peer):
    first = Reader(edge, "anna", "$SYS/broker/uptime")
    first.read_until("$SYS/broker/uptime")
    second = Reader(edge, "anna", "$SYS/broker/+")
    found = second.read_until("$SYS/broker/uptime")
    assert found["$SYS/broker/version"].retain
    assert found["$SYS/broker/version"].payload.startswith(b"leafgate version ")
    assert not second.read_until("$SYS/broker/uptime")["$SYS/broker/uptime"].retain
    first.close()
    second.close()


def test_account_is_told_of_itself(edge: Peer):
    reader = Reader(edge, "plant")
    other = Reader(edge, "anna", "a/#")
    found = reader.read_until("$SYS/broker/clients/connected")
    assert found["$SYS/broker/clients/connected"].payload == b"1"
    reader.client.publish("a/b", "12345", 1, retain=True).wait_for_publish(PATIENCE_SECONDS)
    found = reader.read_until("$SYS/broker/retained messages/count", "1")
    found |= reader.read_until("$SYS/broker/uptime")
    assert other.messages.empty()
    reader.close()
    other.close()


def test_who_may_not_read_does_not(edge: Peer):
    reader = Reader(edge, "kept")
    found = reader.read_until("$SYS/broker/uptime")
    found |= reader.read_until("$SYS/broker/uptime")
    assert not any(topic.startswith("$SYS/broker/heap/") for topic in found)
    reader.close()


def test_nobody_publishes_there(edge: Peer):
    reader = Reader(edge, "anna", "$SYS/broker/version")
    reader.read_until("$SYS/broker/version")
    said = reader.client.publish("$SYS/broker/version", "mine", 1)
    said.wait_for_publish(PATIENCE_SECONDS)
    with RawPeer(edge.address("nats")) as client:
        client.send(b'CONNECT {"user":"anna","pass":"anna"}\r\nPUB $SYS.broker.version 4\r\nmine\r\nPING\r\n')
        assert b"-ERR 'Permissions Violation for Publish to \"$SYS.broker.version\"'" in client.read_through(
            b"PONG\r\n"
        )
    later = Reader(edge, "anna", "$SYS/broker/+")
    assert later.read_until("$SYS/broker/version")["$SYS/broker/version"].payload != b"mine"
    assert reader.messages.empty()
    reader.close()
    later.close()


def test_wildcards_of_nats_do_not_hear_of_it(edge: Peer):
    reader = Reader(edge, "anna")
    with RawPeer(edge.address("nats")) as client:
        client.send(LOGIN + b"SUB > 1\r\nPING\r\n")
        client.read_through(b"PONG\r\n")
        reader.read_until("$SYS/broker/uptime")
        reader.read_until("$SYS/broker/uptime")
        client.send(b"PUB last 0\r\n\r\n")
        assert client.read_line() == b"MSG last 1 0\r\n"
    reader.close()
