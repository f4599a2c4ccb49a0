"""Now: the state of the gateway in one answer, and what went wrong within the last hour."""

from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING

import trio

from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import ServerSnapshot, SnapshotProvider
from gateway.monitoring.sources import Sources
from gateway.monitoring.status_fields import status_fields
from gateway.monitoring.time_text import timestamp
from gateway.settings.store_and_forward import name_of
from gateway.transport.census import Totals, Traffic
from protocols.close_reason import CloseReason

if TYPE_CHECKING:
    from gateway.forwarding.status import BufferStatus

# Pages that ask at about the same time get the same answer.
FRESH_SECONDS = 0.8
MINUTE = 60.0
MINUTES = 60
# Ends of connections that are nobody's wish.
REFUSALS = (CloseReason.AUTHENTICATION_FAILURE, CloseReason.AUTHENTICATION_TIMEOUT)


class Now:
    """What `$LEAFGATE.console.now` answers, the same for everybody."""

    def __init__(self, sources: Sources, provider: SnapshotProvider) -> None:
        self._sources = sources
        self._provider = provider
        self._told: Fields = {}
        self._told_at = -FRESH_SECONDS
        # What had been counted a minute ago, two minutes ago ...
        self._minutes: deque[dict[str, int]] = deque(maxlen=MINUTES)

    def begin(self) -> None:
        self._note(trio.current_time())

    def _note(self, now: float) -> None:
        self._minutes.append(self._troubles())
        self._sources.runtime.deadlines.call_at(now + MINUTE, self._note)

    def _troubles(self) -> dict[str, int]:
        """What went wrong since the start, by kind."""
        sources, registry = self._sources, self._sources.registry
        storage = sources.storage
        return {
            "slow_consumers": registry.slow_consumers,
            "stale_connections": registry.stale_connections,
            "refused_logins": sum(registry.ended.get(reason, 0) for reason in REFUSALS),
            "failed_handshakes": registry.ended.get(CloseReason.TLS_HANDSHAKE_FAILURE, 0),
            "protocol_errors": registry.ended.get(CloseReason.PROTOCOL_VIOLATION, 0),
            "memory_refusals": sources.runtime.budget.refused,
            "not_retained": sum(one.retained.refused for one in sources.accounts.values()),
            "not_stored": storage.journal.refused if storage is not None else 0,
            "storage_faults": storage.journal.faults if storage is not None else 0,
            "not_bridged": sum(one.status().dropped_msgs for one in sources.bridges),
            "not_forwarded": sum(sum(one.dropped.values()) for one in sources.buffers()),
            "not_uplinked": sum(one.status().dropped_msgs for one in sources.uplinks),
        }

    def _last_hour(self) -> dict[str, int]:
        before = self._minutes[0] if self._minutes else {}
        found = {kind: count - before.get(kind, 0) for kind, count in self._troubles().items()}
        return {kind: count for kind, count in found.items() if count > 0}

    async def tell(self) -> Fields:
        """The state, at most FRESH_SECONDS old."""
        if trio.current_time() - self._told_at < FRESH_SECONDS:
            return self._told
        totals = await self._provider.census()
        server = self._provider.server(totals)
        fault = self._provider.health()
        self._told = {
            "server": server_fields(server),
            "fault": None if fault is None else {"error": fault.error, "hint": fault.hint},
            "degraded": self._provider.degradations(),
            "remarks": self._provider.remarks(),
            "protocols": {protocol: asdict(traffic) for protocol, traffic in by_protocol(totals).items()},
            "uplinks": [status_fields(one) for one in server.uplinks],
            "bridges": [status_fields(one) for one in server.bridges],
            "buffers": [status_fields(one) | self._place(one) for one in server.buffers],
            "storage": self._storage(),
            "mqtt": asdict(server.mqtt_state),
            "memory": dict(server.memory),
            "last_hour": self._last_hour(),
        }
        self._told_at = trio.current_time()
        return self._told

    def _place(self, buffer: "BufferStatus") -> Fields:
        """Where it waits, and for how many bytes there is room; of a buffer that is not configured nobody knows."""
        config = self._sources.runtime.settings.config
        found = {name_of(one, config.uplinks): one for one in config.store_and_forward}.get(buffer.name)
        return {} if found is None else {"room": found.max_bytes, "memory": found.memory}

    def _storage(self) -> Fields | None:
        storage = self._sources.storage
        if storage is None:
            return None
        journal = storage.journal
        seconds = journal.commit_seconds
        return {
            "fault": journal.fault,
            "pending_bytes": journal.pending_bytes,
            "commits": journal.commits,
            "commit_seconds": seconds.sum,
        }


def server_fields(server: ServerSnapshot) -> Fields:
    ends = server.certificates_end
    return {
        "id": server.server_id,
        "name": server.name,
        "version": server.leafgate_version,
        "start": timestamp(server.start),
        "now": timestamp(server.now),
        "configured": timestamp(server.configured),
        "clients": server.connections,
        "subscriptions": server.subscriptions,
        "cpu": server.cpu,
        "mem": server.mem,
        "certificates_end": None if ends is None else timestamp(ends),
    }


def by_protocol(totals: Totals) -> dict[str, Traffic]:
    """What connections of each protocol did."""
    found: dict[str, Traffic] = {}
    for (_, protocol), traffic in totals.by_key.items():
        found.setdefault(protocol, Traffic()).add(traffic)
    return found
