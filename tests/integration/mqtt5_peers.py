"""paho-mqtt as an MQTT 5.0 client for the integration tests: properties, reason codes, sessions that are resumed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.integration.mqtt_peers import MQTT_5_0, PATIENCE_SECONDS, PahoClient
from tests.integration.peers import Peer

NEVER_EXPIRES = 0xFFFFFFFF


def properties(packet: int, **values: Any) -> Properties:
    """Properties for one of paho's PacketTypes; the names are the specification's without spaces."""
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def told(message: paho.MQTTMessage) -> dict[str, Any]:
    """The properties of a received message by name, what may be repeated as a list."""
    found = message.properties
    names = (name for name in found.names if hasattr(found, name.replace(" ", "")))
    return {name.replace(" ", ""): getattr(found, name.replace(" ", "")) for name in names}


class Paho5Client(PahoClient):
    """`session_present` and `connack` tell of the latest CONNACK, `goodbye` of the server's DISCONNECT."""

    def __init__(self, client_id: str = "", **options: Any) -> None:
        super().__init__(client_id, MQTT_5_0, **options)
        self.session_present = False
        self.connack: Properties | None = None
        self.published: dict[int, ReasonCode] = {}
        self.paho.on_connect = self._connected
        self.paho.on_publish = lambda _client, _data, number, reason, _properties: self._acknowledged(number, reason)

    def open(self, server: Peer, *, clean: bool = True, keep_alive: int = 60, **connect: Any) -> Any:
        """Connect with a clean start or without, and with CONNECT properties; returns the reason code."""
        self.paho.connect(
            *server.address("mqtt"),
            keepalive=keep_alive,
            clean_start=clean,
            properties=properties(PacketTypes.CONNECT, **connect),
        )
        self.paho.loop_start()
        return self._wait("connected")

    def ask(self, topic_filter: str, identifier: int = 0, **options: Any) -> int:
        """Subscribe with options (`qos`, `noLocal`, …) and an identifier; returns the reason code."""
        named = properties(PacketTypes.SUBSCRIBE, **({"SubscriptionIdentifier": identifier} if identifier else {}))
        self.paho.subscribe(topic_filter, options=SubscribeOptions(**options), properties=named)
        code: int = self._wait("subscribed")[0].value
        return code

    def tell(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False, **values: Any) -> int:
        """Publish with properties; returns the reason code of the acknowledgement, 0 for QoS 0."""
        sent = self.paho.publish(topic, payload, qos, retain, properties(PacketTypes.PUBLISH, **values))
        sent.wait_for_publish(PATIENCE_SECONDS)
        assert sent.is_published()
        return self.published[sent.mid].value if qos else 0

    def leave(self, **disconnect: Any) -> None:
        """DISCONNECT, and return once the connection has ended; `open` may come again."""
        self.paho.disconnect(properties=properties(PacketTypes.DISCONNECT, **disconnect))
        self._wait("disconnected")
        self._rest()

    def break_off(self) -> None:
        """End the connection without a DISCONNECT; `open` may come again."""
        self.cut()
        self._rest()

    def _rest(self) -> None:
        self.paho.loop_stop()
        self.paho._reset_sockets()  # paho would lose the pair that wakes its loop, unclosed, when it connects again.

    def _connected(self, _client: Any, _data: Any, flags: Any, reason: Any, connack: Properties | None) -> None:
        self.session_present, self.connack = flags.session_present, connack
        self._note("connected", reason)

    def _acknowledged(self, number: int, reason: ReasonCode) -> None:
        self.published[number] = reason


@contextmanager
def paho5_client(server: Peer, client_id: str = "", *, clean: bool = True, **connect: Any) -> Iterator[Paho5Client]:
    """A connected client; ends with a DISCONNECT if it still can."""
    client = Paho5Client(client_id)
    try:
        reason = client.open(server, clean=clean, **connect)
        assert reason == 0, reason
        yield client
    finally:
        client.close()
