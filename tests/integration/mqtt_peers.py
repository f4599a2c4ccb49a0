"""MQTT clients written by others, for the integration tests: paho-mqtt and mosquitto's two programs.

What a client receives waits in a queue, so that a test waits for events and never for time to pass.
"""

import itertools
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.integration.peers import Peer, require_peer
from tests.patience import PATIENCE_SECONDS

MQTT_3_1 = paho.MQTTv31
MQTT_3_1_1 = paho.MQTTv311
MQTT_5_0 = paho.MQTTv5

_numbers = itertools.count(1)


def unique_topic(name: str) -> str:
    """A topic that no other test uses: tests share a gateway."""
    return f"{name}/{next(_numbers)}"


class PahoClient:
    """A paho-mqtt client whose network loop runs in a thread of its own. It does not reconnect by itself."""

    def __init__(self, client_id: str = "", version: int = MQTT_3_1_1, **options: Any) -> None:
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=client_id or f"paho-{next(_numbers)}",
            protocol=version,
            reconnect_on_failure=False,
            **options,
        )
        self._events: dict[str, queue.Queue[Any]] = {
            name: queue.Queue() for name in ("connected", "subscribed", "unsubscribed", "message", "disconnected")
        }
        self.paho.on_connect = lambda _client, _data, _flags, reason, _properties: self._note("connected", reason)
        self.paho.on_subscribe = lambda _client, _data, _id, reasons, _properties: self._note("subscribed", reasons)
        self.paho.on_unsubscribe = lambda _client, _data, _id, _reasons, _properties: self._note("unsubscribed", None)
        self.paho.on_disconnect = lambda _client, _data, _flags, reason, _properties: self._note("disconnected", reason)
        self.paho.on_message = lambda _client, _data, message: self._note("message", message)

    def connect(self, edge: Peer, keep_alive: int = 60) -> Any:
        """Connect; returns the reason code of the CONNACK."""
        self.paho.connect(*edge.address("mqtt"), keepalive=keep_alive)
        self.paho.loop_start()
        return self._wait("connected")

    def subscribe(self, topic_filter: str, qos: int = 0) -> int:
        """Returns what SUBACK says: the granted QoS, or 0x80."""
        self.paho.subscribe(topic_filter, qos)
        reasons = self._wait("subscribed")
        value: int = reasons[0].value
        return value

    def unsubscribe(self, topic_filter: str) -> None:
        self.paho.unsubscribe(topic_filter)
        self._wait("unsubscribed")

    def publish(self, topic: str, payload: bytes | str, qos: int = 0, retain: bool = False) -> None:
        """Returns once the message is sent, or acknowledged for QoS 1 and 2."""
        sent = self.paho.publish(topic, payload, qos, retain)
        sent.wait_for_publish(PATIENCE_SECONDS)
        assert sent.is_published()

    def next_message(self) -> paho.MQTTMessage:
        message: paho.MQTTMessage = self._wait("message")
        return message

    def next_pair(self) -> tuple[str, bytes]:
        """Topic and payload of the next message."""
        message = self.next_message()
        return message.topic, message.payload

    def nothing_more(self) -> None:
        """Fail if messages have come that nobody asked for: one that is sent now must be the next to come."""
        topic = unique_topic("fence")
        self.subscribe(topic)
        self.publish(topic, b"fence")
        assert self.next_pair() == (topic, b"fence")
        self.unsubscribe(topic)

    def wait_disconnected(self) -> Any:
        return self._wait("disconnected")

    def cut(self) -> None:
        """End the connection without a DISCONNECT."""
        sock = self.paho.socket()
        assert sock is not None
        sock.shutdown(2)
        self._wait("disconnected")

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()
        self.paho._reset_sockets()  # The pair that wakes its loop would wait, unclosed, for a garbage collection.

    def _note(self, event: str, value: Any) -> None:
        self._events[event].put(value)

    def _wait(self, event: str) -> Any:
        try:
            return self._events[event].get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            pytest.fail(f"paho was not {event} within {PATIENCE_SECONDS:g} s")


@contextmanager
def paho_client(
    edge: Peer, client_id: str = "", version: int = MQTT_3_1_1, keep_alive: int = 60, **options: Any
) -> Iterator[PahoClient]:
    """A connected paho client; ends with a DISCONNECT if it still can."""
    client = PahoClient(client_id, version, **options)
    try:
        reason = client.connect(edge, keep_alive)
        assert reason == 0, reason
        yield client
    finally:
        client.close()


def mosquitto_pub(edge: Peer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `mosquitto_pub` against a gateway to its end."""
    program = require_peer("mosquitto_pub")
    command = [program, "-h", "127.0.0.1", "-p", str(edge.ports["mqtt"]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@contextmanager
def mosquitto_sub(edge: Peer, *arguments: str) -> Iterator["MosquittoSub"]:
    """A `mosquitto_sub -v` whose subscriptions have been acknowledged."""
    subscriber = MosquittoSub(edge, arguments)
    try:
        subscriber.wait_ready()
        yield subscriber
    finally:
        subscriber.close()


class MosquittoSub:
    """Lines that a running `mosquitto_sub` prints.

    It tells of its SUBACK only with its first message, so it also subscribes to a topic that has a retained one.
    """

    def __init__(self, edge: Peer, arguments: Sequence[str]) -> None:
        self._ready = unique_topic("ready")
        assert mosquitto_pub(edge, "-t", self._ready, "-m", "yes", "-r").returncode == 0
        port = str(edge.ports["mqtt"])
        command = [require_peer("mosquitto_sub"), "-h", "127.0.0.1", "-p", port, "-v", "-t", self._ready, *arguments]
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_ready(self) -> None:
        assert self.next_line() == f"{self._ready} yes"

    def next_line(self) -> str:
        try:
            return self._lines.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            pytest.fail(f"mosquitto_sub printed nothing for {PATIENCE_SECONDS:g} s")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._lines.put(line.rstrip("\n"))
