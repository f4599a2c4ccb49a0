"""Snapshots to show: a provider that has what it was given."""

import dataclasses
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.monitoring.snapshot import (
    ConnectionSnapshot,
    ConnectionState,
    ListenerSnapshot,
    MqttSnapshot,
    ServerSnapshot,
)

START = datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC)
NOW = START + timedelta(days=1, hours=2, seconds=3)

SERVER = ServerSnapshot(
    server_id="NABC",
    name="edge-1",
    version="2.15.1",
    leafgate_version="0.1.0",
    host="127.0.0.1",
    port=4222,
    http_host="127.0.0.1",
    http_port=8222,
    start=START,
    now=NOW,
    max_payload=1048576,
    max_connections=65536,
    memory={"limit": 1000, "used": 10, "refused": 0},
    max_control_line=4096,
    max_pending=67108864,
    ping_interval=120.0,
    ping_max=2,
    write_deadline=10.0,
    connections=3,
    total_connections=17,
    leafnodes=1,
    in_msgs=1,
    out_msgs=2,
    in_bytes=3,
    out_bytes=4,
    slow_consumers=5,
    stale_connections=6,
    subscriptions=7,
    mem=33554432,
    cores=4,
    cpu=1.5,
    mqtt=ListenerSnapshot("127.0.0.1", 1883),
    mqtt_state=MqttSnapshot(8, 9, 10, 11, 12),
)


def connection(cid: int, **values: Any) -> ConnectionSnapshot:
    fields = {"ip": "192.0.2.1", "port": 40_000 + cid, "start": START, "last_activity": START, "account": "$G"}
    return ConnectionSnapshot(cid=cid, **(fields | values))


class FixedProvider:
    """Connections count as closed when they have a `stop`."""

    def __init__(self, *connections: ConnectionSnapshot, error: str | None = None, **server: Any) -> None:
        self._connections = connections
        self.faults: dict[str, object] = {}
        self._error = error
        self._server = dataclasses.replace(SERVER, **server)

    def server(self) -> ServerSnapshot:
        return self._server

    def connections(self, state: ConnectionState) -> Iterable[ConnectionSnapshot]:
        wanted = {"open": (False,), "closed": (True,), "all": (False, True)}[state]
        return (one for one in self._connections if (one.stop is not None) in wanted)

    def health(self) -> str | None:
        return self._error

    def degradations(self) -> dict[str, object]:
        return self.faults
