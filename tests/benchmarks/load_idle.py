"""Many connections that do nothing: the memory of each, and the processor time of a message that wakes one."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from byte_streams import Stream
from load_connections import Visitor, open_all
from load_nats import NatsClient
from load_requests import blocking_reads
from machine import LoadError
from server_process import ServerProcess

_PAYLOAD = b"x" * 16
_END = _PAYLOAD + b"\r\n"
# nats-server measures a new connection's latency with a PING after two seconds; that is not to be part of the figure.
_SETTLE_SECONDS = 3.0
_QUICK_SETTLE_SECONDS = 0.1
# Between two messages, so that each finds the server asleep.
_PACE_SECONDS = 0.0002


@dataclass(frozen=True)
class IdleCost:
    memory_bytes: float
    cpu_seconds: float


def nats_cost(server: ServerProcess, connections: int, messages: int) -> IdleCost:
    """Each connection subscribes to its own subject; `messages` messages then go, one at a time, to random ones."""
    before = server.resident_bytes()
    clients: list[NatsClient] = []
    try:
        for number in range(connections):
            clients.append(NatsClient.over_tcp(server.addresses["nats"]))
            clients[-1].subscribe(f"idle.{number}")
        _settle(connections)
        memory = (server.resident_bytes() - before) / connections
        for client in clients:
            client.answer_pings()
        return IdleCost(memory, _wake_random(server, clients, messages))
    finally:
        for client in clients:
            client.stream.close()


def mqtt_memory(server: ServerProcess, connections: int, version: int) -> float:
    """Bytes for each idle MQTT connection with a clean session and one subscription of its own."""
    before = server.resident_bytes()
    streams: list[Stream] = []
    visitors = [Visitor(f"idle-{number:05d}", f"idle/{number:05d}", version=version) for number in range(connections)]
    try:
        streams.extend(open_all(server.addresses["mqtt"], visitors))
        _settle(connections)
        return (server.resident_bytes() - before) / connections
    finally:
        for stream in streams:
            stream.close()


def _settle(connections: int) -> None:
    time.sleep(_SETTLE_SECONDS if connections >= 1000 else _QUICK_SETTLE_SECONDS)


def _wake_random(server: ServerProcess, clients: list[NatsClient], messages: int) -> float:
    """Processor seconds of the server for one message to a connection that was idle."""
    publisher = NatsClient.over_tcp(server.addresses["nats"])
    choice = random.Random(1)
    try:
        for client in clients:
            blocking_reads(client.stream.socket)
        wake = _waker(publisher, clients)
        for _ in range(min(200, messages)):
            wake(choice.randrange(len(clients)))
        begin = server.cpu_seconds()
        for _ in range(messages):
            wake(choice.randrange(len(clients)))
            time.sleep(_PACE_SECONDS)
        return (server.cpu_seconds() - begin) / messages
    finally:
        publisher.stream.close()


def _waker(publisher: NatsClient, clients: list[NatsClient]) -> Callable[[int], None]:
    def wake(number: int) -> None:
        publisher.stream.socket.sendall(publisher.publication(f"idle.{number}", _PAYLOAD))
        connection = clients[number].stream.socket
        data = b""
        # The server's own PING may come before the delivery and behind it, and the delivery in pieces.
        while _END not in data:
            more = connection.recv(4096)
            if not more:
                raise LoadError(f"the server closed idle connection {number}")
            data += more

    return wake
