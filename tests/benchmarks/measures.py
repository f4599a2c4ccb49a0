"""The measurements a row can ask for, each against one running server; what differs between rows comes in as fields."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from byte_streams import Stream, TlsStream
from load_idle import nats_cost
from load_mqtt import MqttClient
from load_nats import NatsClient
from load_requests import percentile, round_trips
from machine import LoadError
from server_process import Address, ServerProcess
from servers import USER_PASSWORD
from traffic import CHUNK_BYTES, LEAD_BYTES, Flow, Publisher

Client = NatsClient | MqttClient
SUBJECT = "bench.a"
# Above this share of its core the load may be what limits a row.
BUSY_LOAD = 0.85
_PROBE_TRIES = 100


@dataclass(frozen=True)
class Site:
    """Where a measurement happens: the server under test and, on leafnode rows, the hub behind it."""

    server: ServerProcess
    hub: ServerProcess | None = None


@dataclass(frozen=True)
class Effort:
    """How much work a measurement does."""

    seconds: float
    idle_connections: int
    idle_messages: int
    lead_bytes: int = LEAD_BYTES
    mqtt_connections: int = 10_000
    retained_topics: int = 1_000_000
    offline_sessions: int = 100
    storm_sessions: int = 5000
    mixed_messages: int = 16_000
    sparse_connections: int = 500
    idle_seconds: float = 60.0
    stored_messages: int = 1_000_000


@dataclass
class Outcome:
    """Values by metric, and the share of its core that the server used meanwhile where that tells who was the limit.

    A remark is told below the table.
    """

    values: dict[str, float]
    busy: float | None = None
    remark: str = ""


class Measure(Protocol):
    def __call__(self, site: Site, effort: Effort) -> Outcome: ...


def connect(server: ServerProcess, protocol: str) -> Client:
    """A client of the protocol; `nats:NAME` and `mqtt:NAME` are users of that name (`servers.Wish`)."""
    protocol, _, user = protocol.partition(":")
    if user:
        kind = MqttClient if protocol == "mqtt" else NatsClient
        return kind.of_user(server.addresses[protocol], user, USER_PASSWORD)
    address = server.addresses[protocol]
    if server.trust is not None:
        if protocol == "mqtt":
            return MqttClient(TlsStream(address, server.trust))
        return NatsClient(TlsStream(address, server.trust, greeting=b"\r\n"))
    if protocol == "mqtt":
        return MqttClient.over_tcp(address)
    return NatsClient.over_websocket(address) if protocol == "websocket" else NatsClient.over_tcp(address)


def delivered_size(
    publisher: Client, receivers: Sequence[Client], payload: bytes, subject: str = SUBJECT, sent: bytes = b""
) -> int:
    """The wire size of one delivery (less WebSocket framing), found by sending one; publishes again until it arrives.
    `sent` is what is published, where that is not the payload that arrives.

    Interest needs a moment to travel over a leafnode link, hence the tries.
    """
    first = receivers[0]
    probe = publisher.publication(subject, sent or payload)
    for attempt in range(_PROBE_TRIES):
        publisher.stream.send(probe)
        first_copy = _quiet_read(first, 0.05)
        if payload not in first_copy:
            continue
        if attempt or first_copy.count(payload) > 1:
            # Earlier tries may still be on their way: let them pass, then measure a single one.
            for receiver in receivers:
                _quiet_read(receiver, 0.3)
            return delivered_size(publisher, receivers, payload, subject, sent)
        for receiver in receivers[1:]:
            receiver.stream.receive_exactly(len(first_copy))
        return len(first_copy)
    raise LoadError("a message published for its subscriber never arrived")


def _quiet_read(client: Client, seconds: float) -> bytes:
    """What arrives until nothing has for `seconds`, less the server's own PINGs."""
    client.stream.socket.settimeout(seconds)
    data = bytearray()
    try:
        while True:
            data += client.stream.receive()
    except TimeoutError:
        return client.deliveries(bytes(data))
    finally:
        client.stream.socket.settimeout(20)


@dataclass(frozen=True)
class Throughput:
    """Deliveries per second from publishers to receivers that all take the same subject."""

    size: int
    publishers: int = 1
    receivers: int = 1
    publish: str = "nats"
    receive: str = "nats"
    small_frames: bool = False

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        payload = b"x" * self.size
        far = site.hub or site.server
        receivers = [connect(far, self.receive) for _ in range(self.receivers)]
        publishers = [connect(site.server, self.publish) for _ in range(self.publishers)]
        for client in receivers:
            client.subscribe(SUBJECT)
        size = delivered_size(publishers[0], receivers, payload)
        publication = publishers[0].publication(SUBJECT, payload)
        flow = Flow(
            [
                Publisher.of(client.stream, publication, size, len(receivers), self.small_frames)
                for client in publishers
            ],
            [client.stream for client in receivers],
            effort.lead_bytes,
        )
        return timed_flow(flow, site.server, effort, [client.stream for client in publishers + receivers])


def timed_flow(flow: Flow, server: ServerProcess, effort: Effort, streams: Sequence[Stream]) -> Outcome:
    """Warm up, run, close everything; `cpu` is the server's microseconds for each delivery."""
    try:
        flow.run(effort.seconds / 4)
        cpu, own, begin = server.cpu_seconds(), time.process_time(), time.perf_counter()
        rate = flow.run(effort.seconds)
        elapsed = time.perf_counter() - begin
        busy, load = (server.cpu_seconds() - cpu) / elapsed, (time.process_time() - own) / elapsed
        told = f"the load used {load:.0%} of its core" if load > BUSY_LOAD else ""
        return Outcome({"rate": rate, "cpu": busy / rate * 1e6}, busy, told)
    finally:
        flow.close()
        for stream in streams:
            stream.close()


@dataclass(frozen=True)
class RelayThroughput:
    """What a process that only copies moves, in publications of that size per second."""

    size: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        address: Address = site.server.addresses["relay"]
        source, sink = Stream(address), Stream(address)
        head = f"PUB {SUBJECT} {self.size}\r\n".encode()
        publication = head + b"x" * self.size + b"\r\n"
        flow = Flow([Publisher.of(source, publication, len(publication))], [sink], effort.lead_bytes)
        return timed_flow(flow, site.server, effort, [source, sink])


@dataclass(frozen=True)
class PublishOnly:
    """Messages per second that nobody receives; ends when the server has answered a PING behind them."""

    size: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        client = connect(site.server, "nats")
        publication = client.publication(SUBJECT, b"x" * self.size)
        messages = CHUNK_BYTES // len(publication)
        chunk = publication * messages
        try:
            self._publish(client, chunk, effort.seconds / 4)
            cpu, begin = site.server.cpu_seconds(), time.perf_counter()
            chunks = self._publish(client, chunk, effort.seconds)
            elapsed = time.perf_counter() - begin
            return Outcome({"rate": chunks * messages / elapsed}, (site.server.cpu_seconds() - cpu) / elapsed)
        finally:
            client.stream.close()

    @staticmethod
    def _publish(client: Client, chunk: bytes, seconds: float) -> int:
        chunks = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            client.stream.socket.sendall(chunk)
            chunks += 1
        client.flush()
        return chunks


def request_reply(site: Site, effort: Effort) -> Outcome:
    """Median and 99th percentile of a round trip, in microseconds."""
    ordered = round_trips(site.server.addresses["nats"], effort.seconds)
    return Outcome({"p50": percentile(ordered, 0.5) * 1e6, "p99": percentile(ordered, 0.99) * 1e6})


def idle_nats(site: Site, effort: Effort) -> Outcome:
    cost = nats_cost(site.server, effort.idle_connections, effort.idle_messages)
    return Outcome({"memory": cost.memory_bytes / 1000, "cpu": cost.cpu_seconds * 1e6})
