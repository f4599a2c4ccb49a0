"""Observer: takes monitoring's snapshots of a running gateway."""

import os
import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import trio

from gateway.accounts.account import Account
from gateway.monitoring.snapshot import (
    ConnectionSnapshot,
    ConnectionState,
    ListenerSnapshot,
    MqttSnapshot,
    ServerSnapshot,
    StorageSnapshot,
    UplinkSnapshot,
)
from gateway.runtime.runtime import Runtime
from gateway.settings.addresses import split_address
from gateway.transport.connection import Connection
from gateway.transport.registry import Registry, counters
from gateway.version import SPOKEN_VERSION, VERSION

if TYPE_CHECKING:
    from gateway.mqtt.directory import SessionDirectory
    from gateway.storage.storage import Storage
    from gateway.uplink.link_history import LinkStatus

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Link(Protocol):
    def status(self) -> "LinkStatus":
        """How a link to a hub goes."""


@dataclass(kw_only=True)
class Sources:
    """What there is to look at; None: not configured. `started` is in trio's clock, faults are by name."""

    runtime: Runtime
    registry: Registry
    account: Account
    mqtt_sessions: "SessionDirectory | None" = None
    storage: "Storage | None" = None
    uplinks: Sequence[Link] = ()
    started: float = field(default_factory=trio.current_time)
    serial_faults: dict[str, str] = field(default_factory=dict)
    listener_faults: dict[str, str] = field(default_factory=dict)


class Observer:
    """Provides snapshots of one gateway (`gateway.monitoring.snapshot.SnapshotProvider`).

    `addresses` are the open listeners, (protocol, `host:port`), `http_address` that of monitoring itself.
    """

    def __init__(self, sources: Sources, addresses: Sequence[tuple[str, str]], http_address: str) -> None:
        self._sources = sources
        self._listeners = {protocol: listener_snapshot(address) for protocol, address in reversed(addresses)}
        self._http = listener_snapshot(http_address)
        self._cpu_seconds = cpu_seconds()
        self._cpu_taken = time.monotonic()

    def server(self) -> ServerSnapshot:
        sources, registry, names = self._sources, self._sources.registry, self._sources.runtime.names
        limits, timeouts = sources.runtime.settings.limits, sources.runtime.settings.timeouts
        in_messages, out_messages, in_bytes, out_bytes = registry.totals()
        nats = self._listeners.get("nats", ListenerSnapshot("", 0))
        links = sum(not one.session.is_client for one in registry.open.values())
        return ServerSnapshot(
            server_id=names.server_id,
            name=names.server_name,
            version=SPOKEN_VERSION,
            leafgate_version=VERSION,
            host=nats.host,
            port=nats.port,
            http_host=self._http.host,
            http_port=self._http.port,
            start=moment(sources.started),
            now=datetime.now(UTC),
            max_payload=limits.max_payload_bytes,
            max_connections=limits.max_connections,
            max_control_line=limits.max_control_line_bytes,
            max_pending=limits.max_pending_bytes,
            ping_interval=timeouts.ping_interval_seconds,
            ping_max=timeouts.ping_max,
            write_deadline=timeouts.write_deadline_seconds,
            connections=len(registry.open) - links,
            total_connections=registry.total,
            leafnodes=links,
            in_msgs=in_messages,
            out_msgs=out_messages,
            in_bytes=in_bytes,
            out_bytes=out_bytes,
            slow_consumers=registry.slow_consumers,
            stale_connections=registry.stale_connections,
            subscriptions=sources.account.router.tree.count,
            mem=resident_bytes(),
            cores=os.cpu_count() or 1,
            cpu=self._cpu_percent(),
            mqtt=self._listeners.get("mqtt"),
            websocket=self._listeners.get("websocket"),
            mqtt_state=self._mqtt(),
            storage=self._storage(),
            memory=self._memory(),
            uplinks=tuple(uplink_snapshot(one.status()) for one in sources.uplinks),
        )

    def connections(self, state: ConnectionState) -> Iterable[ConnectionSnapshot]:
        registry = self._sources.registry
        if state in ("open", "all"):
            for connection in registry.open.values():
                if connection.session.is_client:
                    yield snapshot(connection)
        if state in ("closed", "all"):
            yield from registry.closed

    def health(self) -> str | None:
        fault = self._sources.account.durability.fault
        return f"storage: {fault}" if fault else None

    def degradations(self) -> dict[str, object]:
        found: dict[str, object] = {}
        if self._sources.serial_faults:
            found["serial"] = dict(self._sources.serial_faults)
        if self._sources.listener_faults:
            found["listeners"] = dict(self._sources.listener_faults)
        links = [one.status() for one in self._sources.uplinks]
        if any(link.fault for link in links):
            found["uplinks"] = {link.url: link.fault for link in links if link.fault}
        limit = self._sources.account.retained.short_of
        if limit is not None:
            found["retained"] = f"{limit} is reached: new messages are not retained"
        return found

    def _mqtt(self) -> MqttSnapshot:
        sessions, retained = self._sources.mqtt_sessions, self._sources.account.retained
        there, connected = (0, 0) if sessions is None else (len(sessions), sessions.connected)
        dropped, oversized = (0, 0) if sessions is None else sessions.losses()
        return MqttSnapshot(there, connected, len(retained), retained.bytes, retained.refused, dropped, oversized)

    def _memory(self) -> dict[str, int]:
        budget = self._sources.runtime.budget
        return {"limit": budget.limit, "used": budget.used(), "refused": budget.refused} | budget.by_kind()

    def _storage(self) -> StorageSnapshot | None:
        storage = self._sources.storage
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
    peer = connection.session.describe()
    in_messages, out_messages, in_bytes, out_bytes = counters(connection)
    closed = connection.close_reason is not None
    return ConnectionSnapshot(
        cid=connection.cid,
        type=peer.type,
        ip=connection.address[0],
        port=connection.address[1],
        start=moment(connection.started),
        last_activity=moment(connection.last_activity),
        rtt=peer.rtt,
        pending_bytes=connection.outbox.pending(),
        in_msgs=in_messages,
        out_msgs=out_messages,
        in_bytes=in_bytes,
        out_bytes=out_bytes,
        stalls=connection.stalls,
        subscriptions=peer.subscriptions,
        name=peer.name,
        lang=peer.lang,
        version=peer.version,
        account=peer.account,
        mqtt_client=peer.mqtt_client,
        subscriptions_list=tuple if closed else peer.list_subscriptions,
        stop=datetime.now(UTC) if closed else None,
        reason=connection.close_reason.value if connection.close_reason else "",
    )


def uplink_snapshot(link: "LinkStatus") -> UplinkSnapshot:
    return UplinkSnapshot(
        url=link.url,
        hub=link.hub,
        up=link.up,
        since=moment(link.since),
        last_error=link.last_error,
        flaps=link.flaps,
        attempts=link.attempts,
        refused_interest=link.refused_interest,
        dropped_msgs=link.dropped_msgs,
    )


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
