"""Messages that count once their receiver has stored them, published with so many of them unanswered at a time.

128 B on 1,000 subjects in turn. All bytes are made ahead of time, and answers are counted, not parsed: at hundreds of
thousands a second it is the server that is to be the limit.
"""

import itertools
import json
import os
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

import mqtt_packets as packets
from load_mqtt import MqttClient
from load_nats import NatsClient
from load_requests import blocking_reads
from machine import LoadError
from server_process import Address

STREAM = "BENCH"
FILTER = "sites.>"
PAYLOAD = b"x" * 128
# All as long as each other.
SUBJECTS = [f"sites.{number % 10}.rooms.{number:03d}.temperature" for number in range(1000)]
# So many messages are made; then they come again.
_MADE = 8000
_LARGE = 24 << 10
_LARGE_MESSAGES = 800
_LARGE_IN_FLIGHT = 50
_SEQUENCE = b'"seq":'
_FAULT = b'"error"'
_PING = b"PING\r\n"


class StoredPublisher(ABC):
    """One client. Messages are of one size, so that any number of them is one piece of what was made. `waits` are the
    seconds until each answer, where only one message is in flight.
    """

    def __init__(self, client: NatsClient | MqttClient, messages: Sequence[bytes], in_flight: int) -> None:
        self._socket = client.stream.socket
        blocking_reads(self._socket)
        self._in_flight = in_flight
        self._size = len(messages[0])
        self._made = memoryview(b"".join(messages))
        if len(self._made) != self._size * len(messages):
            raise LoadError("messages of several sizes")
        self._at = 0
        self.waits: list[float] = []

    @abstractmethod
    def answers_in(self, data: bytes) -> int:
        """How many answers end in what was read, which goes on where the last piece ended."""

    def publish(self, most: int, seconds: float = float("inf")) -> int:
        """At most so many messages, for that long; returns how many, and all are answered."""
        sent = answered = 0
        now = begun = time.perf_counter()
        end = now + seconds
        while answered < sent or (sent < most and now < end):
            room = min(self._in_flight - (sent - answered), most - sent)
            if room and now < end:
                begun = now
                sent += self._send(room)
            data = self._socket.recv(1 << 18)
            if not data:
                raise LoadError("the server closed the connection")
            answered += self.answers_in(data)
            now = time.perf_counter()
            if self._in_flight == 1:
                self.waits.append(now - begun)
        return answered

    def _send(self, count: int) -> int:
        count = min(count, (len(self._made) - self._at) // self._size)
        end = self._at + count * self._size
        self._socket.sendall(self._made[self._at : end])
        self._at = end % len(self._made)
        return count

    def close(self) -> None:
        self._socket.close()


class NatsPublisher(StoredPublisher):
    """To a stream, as JetStream clients do: each with an inbox of its own, all of them under one subscription."""

    def __init__(self, address: Address, in_flight: int, payload: bytes = PAYLOAD, made: int = _MADE) -> None:
        client = NatsClient.over_tcp(address)
        inbox = make_inbox()
        client.subscribe(f"{inbox}.*")
        messages = [
            client.publication(subject, payload, f"{inbox}.{number:04d}")
            for number, subject in zip(range(made), itertools.cycle(SUBJECTS), strict=False)
        ]
        super().__init__(client, messages, in_flight)
        self._rest = b""

    def answers_in(self, data: bytes) -> int:
        if _FAULT in data:
            raise LoadError(f"not stored: {data[:200]!r}")
        # What the last piece ended with may be the begin of a mark.
        read = self._rest + data
        self._rest = read[-len(_SEQUENCE) + 1 :]
        if _PING in read:
            self._socket.sendall(b"PONG\r\n")
        return read.count(_SEQUENCE)


def fill_log(address: Address) -> None:
    """Store some large messages, so that a log that is written round and round has the size that it will have."""
    publisher = NatsPublisher(address, _LARGE_IN_FLIGHT, b"x" * _LARGE, _LARGE_IN_FLIGHT)
    try:
        publisher.publish(_LARGE_MESSAGES)
    finally:
        publisher.close()


class MqttPublisher(StoredPublisher):
    """QoS 1; a message is answered by its PUBACK."""

    def __init__(self, address: Address, in_flight: int) -> None:
        client = MqttClient.over_tcp(address)
        messages = [
            client.publication(subject, PAYLOAD, number + 1)
            for number, subject in zip(range(_MADE), itertools.cycle(SUBJECTS), strict=False)
        ]
        super().__init__(client, messages, in_flight)
        self._answered_bytes = 0

    def answers_in(self, data: bytes) -> int:
        at = self._answered_bytes % len(_PUBACKS)
        if not (_PUBACKS + _PUBACKS).startswith(data, at):
            raise LoadError(f"not the PUBACKs that were due: {data[:40]!r}")
        before = self._answered_bytes // packets.ACKNOWLEDGEMENT_BYTES
        self._answered_bytes += len(data)
        return self._answered_bytes // packets.ACKNOWLEDGEMENT_BYTES - before


_PUBACKS = b"".join(struct.pack("!BBH", packets.PUBACK_TYPE, 2, number) for number in range(1, _MADE + 1))


def make_inbox() -> str:
    """Where nobody else's answers come."""
    return f"_INBOX.{os.urandom(6).hex()}"


def ask(address: Address, subject: str, payload: bytes = b"") -> dict[str, object]:
    """A request, answered in JSON; raises LoadError where nobody answers, and TimeoutError where that takes long."""
    client = NatsClient.over_tcp(address)
    try:
        inbox = make_inbox()
        client.subscribe(f"{inbox}.*")
        client.stream.send(client.publication(subject, payload, f"{inbox}.0"))
        data = client.stream.receive_until(b"}\r\n")
        return dict(json.loads(data[data.index(b"{") :]))
    finally:
        client.stream.close()


def make_stream(address: Address) -> None:
    """A stream in a file that takes all of the subjects; whatever else is configured is the server's default."""
    config = {"name": STREAM, "subjects": [FILTER], "storage": "file", "max_bytes": -1, "max_msgs": -1}
    answer = ask(address, f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(config).encode())
    if "error" in answer:
        raise LoadError(f"no stream: {answer['error']}")
