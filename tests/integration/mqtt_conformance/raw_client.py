"""An MQTT client for conformance tests: it says what it is told to, legal or not, and checks every byte that comes.

Nothing is acknowledged or answered unless a test asks for it. Every wait gives up, with TimeoutError, after a while.
"""

import itertools
import socket
from collections import deque
from collections.abc import Iterable
from typing import Any, Self, TypeVar

from protocols.errors import PeerViolation
from protocols.mqtt import encoder
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Subscription,
    Unsuback,
    Will,
)
from protocols.mqtt.primitives import MQTT_3_1, MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.raw_peer import READ
from tests.patience import PATIENCE_SECONDS

__all__ = ["MQTT_3_1", "MQTT_3_1_1", "MQTT_5_0", "Clients", "RawClient", "unique"]

LARGEST_PACKET = 1 << 28
LAST_PACKET_ID = 65_535
# Some servers take no client that may be silent for ever, so it is not 0.
KEEP_ALIVE = 60
LONG = 3600
# The first error among the reason codes (MQTT 5.0, 2.4).
ERROR = 0x80

Packet = TypeVar("Packet")

_numbers = itertools.count(1)


def unique(name: str) -> bytes:
    """A client identifier or topic that no other test uses: tests share a server."""
    return f"{name}-{next(_numbers)}".encode()


class RawClient:
    """One connection. `connack` is the answer to `connect`."""

    connack: Connack

    def __init__(
        self,
        address: tuple[str, int],
        version: int = MQTT_5_0,
        max_packet_size: int = LARGEST_PACKET,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.version = version
        self._socket = socket.create_connection(address, timeout=patience)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = ClientDecoder(max_packet_size, version)
        self._packets: deque[object] = deque()
        self._messages: deque[Publish] = deque()
        self._last_id = 0

    # Bytes and packets as they are.

    def send(self, *packets: bytes) -> None:
        self._socket.sendall(b"".join(packets))

    def receive(self) -> object:
        """The next packet of any kind; EOFError once the server has closed the connection."""
        while not self._packets:
            try:
                data = self._socket.recv(READ)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError("the server closed the connection")
            self._take(data)
        return self._packets.popleft()

    def answer(self, kind: type[Packet]) -> Packet:
        """The next packet that is no PUBLISH; those are kept for `message`."""
        while isinstance(packet := self.receive(), Publish):
            self._messages.append(packet)
        assert isinstance(packet, kind), packet
        return packet

    def message(self) -> Publish:
        """The next PUBLISH, unacknowledged; nothing else may come before it."""
        packet = self._messages.popleft() if self._messages else self.receive()
        assert isinstance(packet, Publish), packet
        return packet

    def has_message(self) -> bool:
        """Whether a PUBLISH came while something else was waited for."""
        return bool(self._messages)

    def next_id(self) -> int:
        self._last_id = self._last_id % LAST_PACKET_ID + 1
        return self._last_id

    def rest(self) -> list[object]:
        """All packets up to the end of the stream, which the server must bring about."""
        packets: list[object] = list(self._messages)
        self._messages.clear()
        try:
            while True:
                packets.append(self.receive())
        except EOFError:
            return packets

    def send_eof(self) -> None:
        """Say that nothing more will come; the server is heard still."""
        self._socket.shutdown(socket.SHUT_WR)

    def remaining_bytes(self) -> bytes:
        """What still comes, undecoded, up to the end of the stream."""
        received = bytearray()
        try:
            while data := self._socket.recv(READ):
                received += data
        except ConnectionResetError:
            pass  # An end like another.
        return bytes(received)

    def close(self) -> None:
        """End the connection without a DISCONNECT."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, data: bytes) -> None:
        for event in self._decoder.receive(data):
            assert not isinstance(event, PeerViolation), f"the server broke the protocol: {event}"
            self._packets.append(event)

    # Exchanges.

    def connect(self, client_id: bytes = b"", **fields: Any) -> Connack:
        """Send a CONNECT, whose fields may be given, and take the CONNACK."""
        fields.setdefault("keep_alive", KEEP_ALIVE)
        self.send(encoder.encode_connect(Connect(self.version, client_id, **fields)))
        connack = self.receive()
        assert isinstance(connack, Connack), connack  # [MQTT-3.2.0-1]
        self.connack = connack
        return connack

    def send_subscribe(self, subscriptions: Iterable[Subscription], properties: Properties | None = None) -> int:
        packet_id = self.next_id()
        self.send(encoder.encode_subscribe(self.version, packet_id, subscriptions, properties))
        return packet_id

    def subscribe_all(self, subscriptions: Iterable[Subscription], properties: Properties | None = None) -> list[int]:
        """Returns the reason codes."""
        packet_id = self.send_subscribe(subscriptions, properties)
        suback = self.answer(Suback)
        assert suback.packet_id == packet_id
        return list(suback.reason_codes)

    def subscribe(self, topic_filter: bytes, qos: int = 0, identifier: int | None = None, **options: Any) -> None:
        """Subscribe to one filter; what was asked for must be granted."""
        properties = Properties(subscription_identifiers=(identifier,)) if identifier is not None else None
        assert self.subscribe_all([Subscription(topic_filter, qos, **options)], properties) == [qos]

    def unsubscribe(self, *topic_filters: bytes) -> list[int]:
        """Returns the reason codes, none before 5.0."""
        packet_id = self.next_id()
        self.send(encoder.encode_unsubscribe(self.version, packet_id, topic_filters))
        unsuback = self.answer(Unsuback)
        assert unsuback.packet_id == packet_id
        return list(unsuback.reason_codes)

    def send_publish(
        self,
        topic: bytes,
        payload: bytes = b"",
        qos: int = 0,
        *,
        packet_id: int = 0,
        retain: bool = False,
        dup: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Send a PUBLISH and wait for nothing; returns its packet identifier."""
        packet_id = packet_id or self.next_id()
        self.send(encoder.encode_publish(self.version, topic, payload, qos, packet_id, retain, dup, properties))
        return packet_id

    def publish(self, topic: bytes, payload: bytes = b"", qos: int = 0, **fields: Any) -> ReasonCode:
        """Publish a message and see its delivery to the server through; the server has it when this returns."""
        packet_id = self.send_publish(topic, payload, qos, **fields)
        if qos == 0:
            self.barrier()
            return ReasonCode.SUCCESS
        received = self.answer(Puback) if qos == 1 else self.answer(Pubrec)
        assert received.packet_id == packet_id
        if qos == 2 and received.reason_code < ERROR:
            self.send(encoder.encode_pubrel(self.version, packet_id))
            completed = self.answer(Pubcomp)
            assert (completed.packet_id, completed.reason_code) == (packet_id, 0)
        return received.reason_code

    def acknowledge(self, message: Publish) -> None:
        """See the delivery of a message from the server through."""
        if message.qos == 1:
            self.send(encoder.encode_puback(self.version, message.packet_id))
        elif message.qos == 2:
            self.send(encoder.encode_pubrec(self.version, message.packet_id))
            assert self.answer(Pubrel) == Pubrel(message.packet_id)
            self.send(encoder.encode_pubcomp(self.version, message.packet_id))

    def take(self) -> Publish:
        """The next message, acknowledged."""
        message = self.message()
        self.acknowledge(message)
        return message

    def take_payloads(self, count: int) -> list[bytes]:
        return [self.take().payload for _ in range(count)]

    def barrier(self) -> None:
        """Return once the server has handled all that was sent before."""
        self.send(encoder.PINGREQ)
        self.answer(Pingresp)

    def assert_silence(self) -> None:
        """Fail if there is a message: what the server has for us comes before its answer to a PINGREQ."""
        self.barrier()
        assert not self._messages, self._messages

    def disconnect(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        """Say goodbye, and wait until the server has closed the connection."""
        self.send(encoder.encode_disconnect(self.version, reason_code, properties))
        assert [packet for packet in self.rest() if not isinstance(packet, Publish)] == []
        self.close()

    def cut(self) -> None:
        """End the connection without a DISCONNECT, and return when the server knows."""
        self.barrier()
        self.send_eof()
        self.rest()
        self.close()

    def assert_ended(self, *reason_codes: int) -> None:
        """The server ends the connection, in 5.0 with a DISCONNECT that says one of the reasons."""
        packets = [packet for packet in self.rest() if not isinstance(packet, Publish)]
        if self.version == MQTT_5_0:
            assert len(packets) == 1, packets
            assert isinstance(packets[0], Disconnect), packets
            assert packets[0].reason_code in reason_codes, packets
        else:
            assert packets == []


class Clients:
    """Makes clients of one server, and ends their connections when the test ends."""

    def __init__(self, address: tuple[str, int], patience: float = PATIENCE_SECONDS) -> None:
        self.address = address
        self.patience = patience
        self._clients: list[RawClient] = []

    def open(self, version: int = MQTT_5_0, max_packet_size: int = LARGEST_PACKET) -> RawClient:
        """A connection on which nothing has been said yet."""
        client = RawClient(self.address, version, max_packet_size, self.patience)
        self._clients.append(client)
        return client

    def connect(self, version: int = MQTT_5_0, client_id: bytes | None = None, **fields: Any) -> RawClient:
        """A client that the server has accepted; without a client id it takes one of its own."""
        client = self.open(version)
        assert client.connect(unique("client") if client_id is None else client_id, **fields).reason_code == 0
        return client

    def resume(self, version: int, client_id: bytes, **fields: Any) -> RawClient:
        """A client with a session that outlives its connection, which is gone on with if there is one."""
        if version == MQTT_5_0:
            fields.setdefault("properties", Properties(session_expiry_interval=LONG))
        return self.connect(version, client_id, clean_start=False, **fields)

    def with_will(self, will: Will, version: int = MQTT_5_0, expiry: int = 0, **fields: Any) -> RawClient:
        if version == MQTT_5_0:
            fields.setdefault("properties", Properties(session_expiry_interval=expiry))
        return self.connect(version, will=will, **fields)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
