"""Peers of Sparkplug that others wrote: pysparkplug's edge node and client, over paho-mqtt."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.integration.mqtt_peers import PATIENCE_SECONDS
from tests.integration.peers import Peer, missing_peer

try:
    import pysparkplug
    from pysparkplug import _client
except ImportError:
    pysparkplug = None


class OlderPaho(paho.Client):
    """paho-mqtt 2 as pysparkplug knows it: that of version 1, whose callbacks have one argument less."""

    def __init__(self, **options: Any) -> None:
        super().__init__(paho.CallbackAPIVersion.VERSION2, **options)

    def message_retry_set(self, retry: float) -> None:
        """It has no effect in either version."""

    @property
    def on_connect(self) -> Any:
        return paho.Client.on_connect.fget(self)

    @on_connect.setter
    def on_connect(self, callback: Any) -> None:
        def take(client: Any, data: Any, flags: Any, reason: Any, _properties: Any) -> None:
            callback(client, data, flags, reason.value)

        paho.Client.on_connect.fset(self, take)


def require_pysparkplug() -> None:
    if pysparkplug is None:
        missing_peer("pysparkplug (PyPI: pysparkplug) is not installed")


def make_client(name: str) -> Any:
    """pysparkplug's own client."""
    require_pysparkplug()
    before, _client.paho_mqtt.Client = _client.paho_mqtt.Client, OlderPaho
    try:
        return pysparkplug.Client(client_id=name)
    finally:
        _client.paho_mqtt.Client = before


def close(client: Any) -> None:
    client._client.disconnect()
    client._client.loop_stop()
    client._client._reset_sockets()


class Listener:
    """A host application of pysparkplug's, which hears everything and keeps it in its order."""

    def __init__(self, broker: Peer) -> None:
        self.client = make_client("pysparkplug-host")
        self._heard: queue.Queue[Any] = queue.Queue()
        ready: queue.Queue[None] = queue.Queue()
        paho_client = self.client._client
        paho_client.on_subscribe = lambda *_: ready.put(None)
        paho_client.on_message = lambda _client, _data, message: self._take(message)
        self.client.connect(*broker.address("mqtt")[:1], port=broker.ports["mqtt"])
        paho_client.subscribe("spBv1.0/+/+/+", 1)
        paho_client.subscribe("spBv1.0/+/+/+/+", 1)
        for _ in range(2):
            ready.get(timeout=PATIENCE_SECONDS)

    def _take(self, message: Any) -> None:
        try:
            self._heard.put(self.client._handle_message(message))
        except Exception as error:  # noqa: BLE001 -- seen by whoever waits, not by a thread of paho's
            self._heard.put(error)

    def next(self, kind: str, device: str | None = None) -> Any:
        """The payload of the next message, which is of that kind."""
        try:
            heard = self._heard.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            pytest.fail(f"no {kind} was heard")
        if isinstance(heard, Exception):
            raise heard
        assert (heard.topic.message_type.name, heard.topic.device_id) == (kind, device), heard
        return heard.payload

    def command(self, group: str, node: str, device: str | None, name: str, datatype: Any, value: object) -> None:
        kind = pysparkplug.MessageType.DCMD if device else pysparkplug.MessageType.NCMD
        now = pysparkplug.get_current_timestamp()
        metric = pysparkplug.Metric(timestamp=now, name=name, datatype=datatype, value=value)
        payload = (pysparkplug.DCmd if device else pysparkplug.NCmd)(timestamp=now, metrics=(metric,))
        topic = pysparkplug.Topic(message_type=kind, group_id=group, edge_node_id=node, device_id=device)
        self.client.publish(
            pysparkplug.Message(topic=topic, payload=payload, qos=pysparkplug.QoS.AT_MOST_ONCE, retain=False),
            include_dtypes=True,
        )


@contextmanager
def listening(broker: Peer) -> Iterator[Listener]:
    listener = Listener(broker)
    try:
        yield listener
    finally:
        close(listener.client)


def named(payload: Any) -> dict[str, object]:
    """The values of a payload by their names."""
    return {one.name: one.value for one in payload.metrics}
