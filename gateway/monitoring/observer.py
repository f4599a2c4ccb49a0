"""Observer: takes monitoring's snapshots of a running gateway."""

import os
import resource
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import trio

from gateway.dataplane.port import Port
from gateway.gateway import Gateway
from gateway.monitoring.snapshot import (
    ConnectionSnapshot,
    ConnectionState,
    ListenerSnapshot,
    MqttSnapshot,
    ServerSnapshot,
    StorageSnapshot,
    SubscriptionSnapshot,
)
from gateway.mqtt.client import MqttClient
from gateway.mqtt.session import MqttSession
from gateway.nats.client import NatsClientSession
from gateway.nats.leafnode import LeafnodeSession
from gateway.settings.addresses import split_address
from gateway.transport.connection import Connection
from gateway.transport.registry import counters
from gateway.version import VERSION
from gateway.websocket.session import WebSocketSession

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Observer:
    """Provides snapshots of one gateway (`gateway.monitoring.snapshot.SnapshotProvider`).

    `addresses` are the open listeners, (protocol, `host:port`), `http_address` that of monitoring itself.
    """

    def __init__(self, gateway: Gateway, addresses: Sequence[tuple[str, str]], http_address: str) -> None:
        self._gateway = gateway
        self._listeners = {protocol: listener_snapshot(address) for protocol, address in reversed(addresses)}
        self._http = listener_snapshot(http_address)
        self._cpu_seconds = cpu_seconds()
        self._cpu_taken = time.monotonic()

    def server(self) -> ServerSnapshot:
        gateway = self._gateway
        limits, timeouts = gateway.config.limits, gateway.config.timeouts
        in_messages, out_messages, in_bytes, out_bytes = gateway.registry.totals()
        nats = self._listeners.get("nats", ListenerSnapshot("", 0))
        links = sum(isinstance(one.session, LeafnodeSession) for one in gateway.registry.open.values())
        return ServerSnapshot(
            server_id=gateway.server_id,
            name=gateway.server_name,
            version=VERSION,
            host=nats.host,
            port=nats.port,
            http_host=self._http.host,
            http_port=self._http.port,
            start=moment(gateway.started),
            now=datetime.now(UTC),
            max_payload=limits.max_payload_bytes,
            max_connections=limits.max_connections,
            max_control_line=limits.max_control_line_bytes,
            max_pending=limits.max_pending_bytes,
            ping_interval=timeouts.ping_interval_seconds,
            ping_max=timeouts.ping_max,
            write_deadline=timeouts.write_deadline_seconds,
            connections=len(gateway.registry.open) - links,
            total_connections=gateway.registry.total,
            leafnodes=links,
            in_msgs=in_messages,
            out_msgs=out_messages,
            in_bytes=in_bytes,
            out_bytes=out_bytes,
            slow_consumers=gateway.registry.slow_consumers,
            stale_connections=gateway.registry.stale_connections,
            subscriptions=gateway.account.router.tree.count,
            mem=resident_bytes(),
            cores=os.cpu_count() or 1,
            cpu=self._cpu_percent(),
            mqtt=self._listeners.get("mqtt"),
            websocket=self._listeners.get("websocket"),
            mqtt_state=self._mqtt(),
            storage=self._storage(),
        )

    def connections(self, state: ConnectionState) -> Iterable[ConnectionSnapshot]:
        registry = self._gateway.registry
        if state in ("open", "all"):
            for connection in registry.open.values():
                if not isinstance(connection.session, LeafnodeSession):
                    yield snapshot(connection)
        if state in ("closed", "all"):
            yield from registry.closed

    def health(self) -> str | None:
        journal = self._gateway.journal
        return f"storage: {journal.fault}" if journal is not None and journal.fault else None

    def serial_faults(self) -> dict[str, str]:
        serial = self._gateway.serial
        return dict(serial.faults) if serial is not None else {}

    def _mqtt(self) -> MqttSnapshot:
        sessions, retained = self._gateway.mqtt_sessions, self._gateway.account.retained
        return MqttSnapshot(len(sessions), sessions.connected, len(retained), retained.bytes, retained.refused)

    def _storage(self) -> StorageSnapshot | None:
        storage = self._gateway.storage
        if storage is None:
            return None
        journal = storage.journal
        return StorageSnapshot(
            journal.fault or "",
            journal.faults,
            journal.commits,
            journal.rows,
            journal.pending_bytes,
            str(storage.database.set_aside or ""),
        )

    def _cpu_percent(self) -> float:
        """Since the last look."""
        seconds, now = cpu_seconds(), time.monotonic()
        spent, passed = seconds - self._cpu_seconds, now - self._cpu_taken
        self._cpu_seconds, self._cpu_taken = seconds, now
        return round(100 * spent / passed, 1) if passed > 0 else 0.0


def snapshot(connection: Connection) -> ConnectionSnapshot:
    """One connection, open or just closed."""
    port = connection.port()
    in_messages, out_messages, in_bytes, out_bytes = counters(connection)
    options = port.options if isinstance(port, NatsClientSession) else None
    closed = connection.close_reason is not None
    return ConnectionSnapshot(
        cid=connection.cid,
        type=connection_type(connection),
        ip=connection.address[0],
        port=connection.address[1],
        start=moment(connection.started),
        last_activity=moment(connection.last_activity),
        rtt=port.rtt if isinstance(port, NatsClientSession) else None,
        pending_bytes=connection.outbox.pending(),
        in_msgs=in_messages,
        out_msgs=out_messages,
        in_bytes=in_bytes,
        out_bytes=out_bytes,
        stalls=connection.stalls,
        subscriptions=len(port.subscriptions) if isinstance(port, NatsClientSession | MqttSession) else 0,
        name=options.name if options else "",
        lang=options.lang if options else "",
        version=options.version if options else "",
        account=port.account.name if isinstance(port, NatsClientSession | MqttSession) else "",
        mqtt_client=port.client_id.decode(errors="replace") if isinstance(port, MqttSession) else "",
        subscriptions_list=tuple if closed else lambda: subscriptions(port),
        stop=datetime.now(UTC) if closed else None,
        reason=connection.close_reason.value if connection.close_reason else "",
    )


def connection_type(connection: Connection) -> Literal["nats", "mqtt", "websocket"]:
    if isinstance(connection.session, WebSocketSession):
        return "websocket"
    return "mqtt" if isinstance(connection.session, MqttClient) else "nats"


def subscriptions(port: Port | None) -> Iterable[SubscriptionSnapshot]:
    if isinstance(port, NatsClientSession):
        for one in port.subscriptions.values():
            yield SubscriptionSnapshot(
                one.subject.decode(errors="replace"),
                one.sid.decode(errors="replace"),
                one.queue.decode(errors="replace"),
                one.delivered,
                one.maximum,
            )
    elif isinstance(port, MqttSession):
        for topic_filter, held in port.subscriptions.items():
            for receiver in held.receivers:
                queue = receiver.queue.decode(errors="replace")
                yield SubscriptionSnapshot(receiver.subject.decode(errors="replace"), topic_filter.decode(), queue)


def listener_snapshot(address: str) -> ListenerSnapshot:
    host, port = split_address(address)
    return ListenerSnapshot(host, port or 0)


def moment(clock: float) -> datetime:
    """The wall-clock time of a moment in trio's clock."""
    return datetime.now(UTC) - timedelta(seconds=trio.current_time() - clock)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int:
    """Resident memory now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
