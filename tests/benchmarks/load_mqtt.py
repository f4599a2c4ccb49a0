"""An MQTT client for load: connects, subscribes, makes PUBLISH packets ahead of time, publishes in a window."""

import itertools
import os
import struct
import time
from collections.abc import Iterator

import mqtt_packets as packets
from byte_streams import Stream
from machine import LoadError
from server_process import Address

_PACKET_IDS = 65_535
_PUBACKS = b"".join(struct.pack("!BBH", packets.PUBACK_TYPE, 2, number) for number in range(1, _PACKET_IDS + 1))


def _topic(subject: str) -> str:
    return subject.replace(".", "/")


def _filter(subject: str) -> str:
    return _topic(subject).replace("*", "+").replace(">", "#")


class MqttClient:
    """One MQTT connection without keep-alive, by default with a clean session. Names are given as NATS subjects.

    `early` is what came behind the answer to CONNECT or SUBSCRIBE: the first deliveries.
    """

    def __init__(
        self,
        stream: Stream,
        client_id: str = "",
        clean: bool = True,
        version: int = packets.V311,
        early: bytes = b"",
        login: tuple[str, str] | None = None,
    ) -> None:
        self.stream = stream
        self.version = version
        self.early = early
        stream.send(packets.connect(client_id or f"bench-{os.urandom(6).hex()}", clean, version, login))
        self.session_present = packets.session_present(self._receive_packet(), version)

    @classmethod
    def over_tcp(
        cls, address: Address, client_id: str = "", clean: bool = True, version: int = packets.V311
    ) -> "MqttClient":
        return cls(Stream(address), client_id, clean, version)

    @classmethod
    def of_user(cls, address: Address, user: str, password: str) -> "MqttClient":
        return cls(Stream(address), login=(user, password))

    def _receive_packet(self) -> bytes:
        data = self.early
        while not (size := packets.packet_size(data)) or len(data) < size:
            data += self.stream.receive()
        self.early = data[size:]
        return data[:size]

    def subscribe(self, *subjects: str, qos: int = 0) -> None:
        filters = [_filter(subject) for subject in subjects]
        self.stream.send(packets.subscribe(*filters, qos=qos, version=self.version))
        packets.check_granted(self._receive_packet(), qos)

    @staticmethod
    def name(subject: str) -> bytes:
        """The subject as it stands in a packet."""
        return _topic(subject).encode()

    def publication(self, subject: str, payload: bytes, packet_id: int = 0, qos: int = 1) -> bytes:
        """A PUBLISH; above QoS 0 when a packet id is given."""
        return packets.publish(_topic(subject), payload, qos if packet_id else 0, packet_id, version=self.version)

    def flush(self) -> None:
        self.stream.send(packets.PINGREQ)
        self.stream.receive_until(packets.PINGRESP)

    def leave(self) -> None:
        """End the connection properly, and wait until the server has done so too."""
        self.stream.send(packets.DISCONNECT)
        while self.stream.socket.recv(65536):
            pass
        self.stream.close()

    @staticmethod
    def split(data: bytes) -> tuple[list[bytes], bytes]:
        """The whole packets in it, and what remains of one that is not whole."""
        return packets.split(data)

    @staticmethod
    def deliveries(data: bytes) -> bytes:
        return data


class WindowedPublisher:
    """QoS 1 with up to `in_flight` messages unacknowledged; a message counts once its PUBACK has come, in order."""

    def __init__(self, address: Address, in_flight: int) -> None:
        self._client = MqttClient.over_tcp(address)
        self._in_flight = in_flight
        self._ids = itertools.cycle(range(1, _PACKET_IDS + 1))
        self._answered_bytes = 0

    def publish(
        self, messages: Iterator[tuple[str, bytes]], seconds: float = float("inf"), retain: bool = False
    ) -> int:
        """Publish topics and payloads to their end, or for that long; how many were acknowledged, which is all."""
        socket = self._client.stream.socket
        ready = (packets.publish(topic, payload, 1, next(self._ids), retain=retain) for topic, payload in messages)
        before = self._answered_bytes
        sent = acknowledged = 0
        ended = False
        end = time.perf_counter() + seconds
        while not ended or acknowledged < sent:
            room = self._in_flight - (sent - acknowledged)
            if room and not ended:
                block = list(itertools.islice(ready, room))
                sent += len(block)
                socket.sendall(b"".join(block))
                ended = len(block) < room
            if acknowledged < sent:
                self._read_acknowledgements()
                acknowledged = (self._answered_bytes - before) // packets.ACKNOWLEDGEMENT_BYTES
            ended = ended or time.perf_counter() >= end
        return acknowledged

    def _read_acknowledgements(self) -> None:
        data = self._client.early or self._client.stream.receive()
        self._client.early = b""
        at = self._answered_bytes % len(_PUBACKS)
        expected = _PUBACKS[at : at + len(data)]
        expected += _PUBACKS[: len(data) - len(expected)]
        if data != expected:
            raise LoadError(f"not the PUBACKs that were due: {data[:40]!r} instead of {expected[:40]!r}")
        self._answered_bytes += len(data)

    def leave(self) -> None:
        self._client.leave()

    def close(self) -> None:
        self._client.stream.close()
