"""A large store of retained messages: what it costs in memory, and how soon a subscription to all of it is served."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import mqtt_packets as packets
from load_mqtt import MqttClient, WindowedPublisher
from machine import LoadError
from server_process import Address, ServerProcess

_IN_FLIGHT = 1000
_PAYLOAD = b"x" * 16
_SUBACK_BYTES = 5
# A server may collect all of it before it sends the first.
_SILENCE_SECONDS = 120.0
# For what a server still does behind its last PUBACK.
_SETTLE_SECONDS = 1.0
_QUICK_SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class RetainedCost:
    """Bytes for each topic; topics stored per second; seconds until the first and the last retained message."""

    memory_bytes: float
    rate: float
    first_seconds: float
    last_seconds: float


def retained_cost(server: ServerProcess, topics: int) -> RetainedCost:
    """Fill with QoS 1, so that everything is known to be stored, then subscribe to `#` with QoS 0."""
    address = server.addresses["mqtt"]
    before = server.resident_bytes()
    publisher = WindowedPublisher(address, _IN_FLIGHT)
    try:
        begin = time.perf_counter()
        publisher.publish(((topic, _PAYLOAD) for topic in _topics(topics)), retain=True)
        rate = topics / (time.perf_counter() - begin)
    finally:
        publisher.close()
    time.sleep(_SETTLE_SECONDS if topics >= 1000 else _QUICK_SETTLE_SECONDS)
    memory = (server.resident_bytes() - before) / topics
    first, last, data = _subscribe_to_all(address, topics)
    _check(data, topics)
    return RetainedCost(memory, rate, first, last)


def _topics(count: int) -> Iterator[str]:
    """All of one width: every delivery has the same size."""
    return (f"site-{number // 1000:04d}/sensor-{number % 1000:03d}/state" for number in range(count))


def _subscribe_to_all(address: Address, topics: int) -> tuple[float, float, bytes]:
    size = len(packets.publish(next(_topics(1)), _PAYLOAD, retain=True))
    client = MqttClient.over_tcp(address)
    client.stream.socket.settimeout(_SILENCE_SECONDS)
    received, due = 0, _SUBACK_BYTES + topics * size
    pieces = []
    first = 0.0
    try:
        begin = time.perf_counter()
        client.stream.send(packets.subscribe("#"))
        while received < due:
            pieces.append(client.stream.receive())
            received += len(pieces[-1])
            if not first and received > _SUBACK_BYTES:
                first = time.perf_counter() - begin
        return first, time.perf_counter() - begin, b"".join(pieces)
    except TimeoutError:
        raise LoadError(f"{received} of {due} bytes of retained messages came") from None
    finally:
        client.stream.close()


def _check(data: bytes, topics: int) -> None:
    """Every topic once, marked as retained."""
    found, rest = packets.split(data)
    expected = {packets.publish(topic, _PAYLOAD, retain=True) for topic in _topics(topics)}
    publications = [packet for packet in found if packet[0] != packets.SUBACK_TYPE]
    if rest or len(publications) != topics or set(publications) != expected:
        raise LoadError(f"not the {topics} retained messages: {len(expected - set(publications))} are missing")
