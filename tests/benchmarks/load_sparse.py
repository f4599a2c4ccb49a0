"""Many connections that speak seldom: one message at a time, at a fixed pace, each from another connection."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from byte_streams import Stream
from load_mqtt import MqttClient
from load_nats import NatsClient
from load_requests import blocking_reads
from machine import LoadError
from mixed_messages import ALL, mixed_messages
from server_process import ServerProcess

Client = NatsClient | MqttClient
# nats-server measures a new connection's latency with a PING after two seconds; that is not to be part of the figure.
_SETTLE_SECONDS = 3.0
_FEW = 100


@dataclass(frozen=True)
class SparseCost:
    """Processor seconds of the server for each message, and how many messages a second there were."""

    cpu_seconds: float
    rate: float


def sparse_cost(
    server: ServerProcess, clients: Sequence[Client], collector: Client, rate: int, seconds: float
) -> SparseCost:
    """Every client has subjects of its own, and one collector takes them all.

    A message goes when its time has come, and never before the one before it has arrived.
    """
    collector.subscribe(ALL)
    if len(clients) > _FEW:
        time.sleep(_SETTLE_SECONDS)
        _answer_pings([*clients, collector])
    for client in [*clients, collector]:
        blocking_reads(client.stream.socket)
    messages = mixed_messages(max(len(clients), int(rate * seconds)))
    owners = dict(zip(sorted({each.subject for each in messages}), itertools.cycle(clients)))
    work = [
        (
            owners[message.subject].stream,
            collector.publication(message.subject, message.payload),
            message.payload,
        )
        for message in messages
    ]
    for stream, publication, payload in work[: len(clients)]:
        _carry(stream, publication, payload, collector.stream)
    cpu, begin = server.cpu_seconds(), time.perf_counter()
    for number, (stream, publication, payload) in enumerate(work):
        wait = begin + number / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        _carry(stream, publication, payload, collector.stream)
    elapsed = time.perf_counter() - begin
    return SparseCost((server.cpu_seconds() - cpu) / len(work), len(work) / elapsed)


def _answer_pings(clients: Sequence[Client]) -> None:
    for client in clients:
        if isinstance(client, NatsClient):
            client.answer_pings()


def _carry(publisher: Stream, publication: bytes, payload: bytes, collector: Stream) -> None:
    publisher.socket.sendall(publication)
    data = b""
    # A server's own PING may come before the delivery and behind it, and the delivery in pieces.
    while payload not in data:
        try:
            more = collector.socket.recv(4096)
        except BlockingIOError:
            raise LoadError("a message did not arrive within 10 s") from None
        if not more:
            raise LoadError("the server closed the collector")
        data += more
