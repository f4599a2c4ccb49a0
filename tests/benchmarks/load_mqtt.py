"""An MQTT 3.1.1 client for load: connects, subscribes, makes PUBLISH packets ahead of time, and drives QoS 1."""

import os
import struct
import time

from machine import LoadError
from server_process import Address
from streams import Stream

_CONNACK_ACCEPTED = b"\x20\x02\x00\x00"
_PUBACK = b"\x40\x02\x00\x00"
_QOS1_GIVE_UP_SECONDS = 5.0


def _variable_length(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        encoded.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(encoded)


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _variable_length(len(body)) + body


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _topic(subject: str) -> str:
    return subject.replace(".", "/")


class MqttClient:
    """One MQTT connection with a clean session and no keep-alive. Names are given as NATS subjects."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        name = f"bench-{os.urandom(6).hex()}"
        stream.send(_packet(0x10, _text("MQTT") + bytes((4, 0x02, 0, 0)) + _text(name)))
        answer = stream.receive_exactly(4)
        if answer != _CONNACK_ACCEPTED:
            raise LoadError(f"no MQTT connection: {answer!r}")

    @classmethod
    def over_tcp(cls, address: Address) -> "MqttClient":
        return cls(Stream(address))

    def subscribe(self, *subjects: str, qos: int = 0) -> None:
        filters = b"".join(_text(_topic(subject)) + bytes((qos,)) for subject in subjects)
        self.stream.send(_packet(0x82, struct.pack("!H", 1) + filters))
        answer = self.stream.receive_exactly(4 + len(subjects))
        if answer[0] != 0x90 or any(code == 0x80 for code in answer[4:]):
            raise LoadError(f"the subscription was refused: {answer!r}")

    def publication(self, subject: str, payload: bytes, packet_id: int = 0) -> bytes:
        """A PUBLISH; QoS 1 when a packet id is given."""
        if packet_id:
            return _packet(0x32, _text(_topic(subject)) + struct.pack("!H", packet_id) + payload)
        return _packet(0x30, _text(_topic(subject)) + payload)

    def flush(self) -> None:
        self.stream.send(b"\xc0\x00")
        self.stream.receive_until(b"\xd0\x00")

    @staticmethod
    def deliveries(data: bytes) -> bytes:
        return data


def acknowledged_rate(address: Address, payload: bytes, in_flight: int, seconds: float) -> float:
    """QoS 1 from one publisher to one subscriber, both acknowledging; deliveries per second over `seconds`."""
    publisher, subscriber = MqttClient.over_tcp(address), MqttClient.over_tcp(address)
    try:
        subscriber.subscribe("bench.a", qos=1)
        exchange = _AcknowledgedExchange(publisher, subscriber, payload, in_flight)
        exchange.run(seconds / 4)
        return exchange.run(seconds)
    finally:
        publisher.stream.close()
        subscriber.stream.close()


class _AcknowledgedExchange:
    """Keeps a fixed number of QoS 1 messages between publisher and PUBACK, and answers every delivery with a PUBACK."""

    def __init__(self, publisher: MqttClient, subscriber: MqttClient, payload: bytes, in_flight: int) -> None:
        self._publisher = publisher.stream.socket
        self._subscriber = subscriber.stream.socket
        self._in_flight = in_flight
        # A packet id is free again once acknowledged; twice the window leaves room for answers out of order.
        self._packets = [publisher.publication("bench.a", payload, number + 1) for number in range(in_flight * 2)]
        self._next = 0
        self._size = len(self._packets[0])
        self._id_at = self._size - len(payload) - 2
        self._partial = b""
        for connection in (self._publisher, self._subscriber):
            connection.setblocking(False)

    def run(self, seconds: float) -> float:
        """Exchange for that long, then let everything arrive; returns deliveries per second."""
        published = acknowledged = delivered = ack_bytes = 0
        begin = last = time.perf_counter()
        end = begin + seconds
        publishing = True
        while publishing or acknowledged < published or delivered < published:
            if publishing:
                count = self._in_flight - (published - acknowledged)
                self._send_publications(count)
                published += count
            ack_bytes += self._read_acknowledgements()
            acknowledged = ack_bytes // len(_PUBACK)
            now = time.perf_counter()
            arrived = self._answer_deliveries()
            if arrived:
                delivered += arrived
                last = now
            elif now - last > _QOS1_GIVE_UP_SECONDS:
                raise LoadError(f"QoS 1 stands still at {delivered} of {published} messages")
            publishing = publishing and now < end
        return delivered / (last - begin)

    def _send_publications(self, count: int) -> None:
        if count:
            ring = self._packets
            self._publisher.sendall(b"".join(ring[(self._next + step) % len(ring)] for step in range(count)))
            self._next += count

    def _read_acknowledgements(self) -> int:
        try:
            return len(self._publisher.recv(65536))
        except BlockingIOError:
            return 0

    def _answer_deliveries(self) -> int:
        try:
            data = self._partial + self._subscriber.recv(65536)
        except BlockingIOError:
            return 0
        count = len(data) // self._size
        whole = count * self._size
        answers = bytearray(_PUBACK * count)
        answers[2::4] = data[self._id_at : whole : self._size]
        answers[3::4] = data[self._id_at + 1 : whole : self._size]
        self._subscriber.sendall(answers)
        self._partial = data[whole:]
        return count
