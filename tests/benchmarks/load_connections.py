"""Many MQTT connections: opened and subscribed in waves, as fast as one thread can, and their rate."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mqtt_packets as packets
from byte_streams import Stream
from machine import LoadError
from server_process import Address

# Opened side by side; below the shortest listen backlog (mosquitto: 100).
WAVE = 50


@dataclass(frozen=True)
class Visitor:
    """Who connects, and with which filter."""

    client_id: str
    topic_filter: str
    qos: int = 0
    clean: bool = True
    version: int = packets.V311


def open_all(address: Address, visitors: Sequence[Visitor]) -> Iterator[Stream]:
    """Connect each, subscribe it, and yield it once its SUBACK has come; whoever takes it closes it."""
    for begin in range(0, len(visitors), WAVE):
        yield from _open_wave(address, visitors[begin : begin + WAVE])


def _open_wave(address: Address, visitors: Sequence[Visitor]) -> list[Stream]:
    streams = [Stream(address) for _ in visitors]
    try:
        for stream, visitor in zip(streams, visitors, strict=True):
            stream.send(packets.connect(visitor.client_id, visitor.clean, visitor.version))
        for stream, visitor in zip(streams, visitors, strict=True):
            packets.session_present(_receive_packet(stream), visitor.version)
            stream.send(packets.subscribe(visitor.topic_filter, qos=visitor.qos, version=visitor.version))
        for stream, visitor in zip(streams, visitors, strict=True):
            packets.check_granted(_receive_packet(stream), visitor.qos)
    except BaseException:
        for stream in streams:
            stream.close()
        raise
    return streams


def _receive_packet(stream: Stream) -> bytes:
    """The one packet that is due; nothing may follow it."""
    data = stream.receive()
    while not (size := packets.packet_size(data)) or len(data) < size:
        data += stream.receive()
    if len(data) > size:
        raise LoadError(f"something follows the answer: {data[:60]!r}")
    return data


def leave_all(streams: Sequence[Stream]) -> None:
    """DISCONNECT each, and wait until the server has closed them all."""
    for stream in streams:
        stream.send(packets.DISCONNECT)
    for stream in streams:
        try:
            while stream.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        finally:
            stream.close()


def connect_rate(address: Address, seconds: float) -> float:
    """Connections per second in waves of 50: CONNECT, CONNACK, SUBSCRIBE, SUBACK, DISCONNECT, end of the stream."""
    count, elapsed = 0, 0.0
    begin = time.perf_counter()
    while elapsed < seconds:
        visitors = [Visitor(f"visitor-{count + each:08d}", f"visits/{count + each:08d}") for each in range(WAVE)]
        leave_all(_open_wave(address, visitors))
        count += WAVE
        elapsed = time.perf_counter() - begin
    return count / elapsed
