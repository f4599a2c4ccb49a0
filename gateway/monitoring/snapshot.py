"""What monitoring shows of the gateway: plain values, taken at one moment. Who takes them is the provider's business.

Points in time are aware datetimes, spans and intervals are seconds, sizes are bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from gateway.transport.snapshot import SubscriptionSnapshot

ConnectionState = Literal["open", "closed", "all"]


@dataclass(frozen=True, slots=True)
class ListenerSnapshot:
    """Where one protocol is listened for."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class MqttSnapshot:
    """The MQTT sessions, with and without a client, and the retained messages; `refused` counts those without room.

    `dropped` messages did not get to their client; `oversized` of them because they were larger than it takes.
    """

    sessions: int
    clients: int
    retained_messages: int
    retained_bytes: int
    retained_refused: int
    dropped: int = 0
    oversized: int = 0


@dataclass(frozen=True, slots=True)
class StorageSnapshot:
    """What is kept on disk. `fault` says why nothing can be written now, `set_aside` where a damaged file was moved.

    `commits` and `rows` were written, `pending_bytes` wait; all since the start.
    """

    fault: str
    faults: int
    commits: int
    rows: int
    pending_bytes: int
    set_aside: str


@dataclass(frozen=True, slots=True)
class UplinkSnapshot:
    """A link to a hub. `since` is when it came up or went down last; `flaps` counts how often it was lost.

    `refused_interest` are subjects that the hub refused though its permissions did not say so, `dropped_msgs` messages
    that it would not have taken.
    """

    url: str
    hub: str
    up: bool
    since: datetime
    last_error: str
    flaps: int
    attempts: int
    refused_interest: int
    dropped_msgs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSnapshot:
    """The gateway as a whole. `version` is that of the server whose protocol clients find here. `host` and `port` are
    those of the first NATS listener; `cpu` is in percent of a core.
    """

    server_id: str
    name: str
    version: str
    leafgate_version: str
    host: str
    port: int
    http_host: str
    http_port: int
    start: datetime
    now: datetime
    max_payload: int
    max_connections: int
    max_control_line: int
    max_pending: int
    ping_interval: float
    ping_max: int
    write_deadline: float
    connections: int
    total_connections: int
    leafnodes: int
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    slow_consumers: int
    stale_connections: int
    subscriptions: int
    mem: int
    cores: int
    cpu: float
    mqtt: ListenerSnapshot | None = None
    websocket: ListenerSnapshot | None = None
    leaf: ListenerSnapshot | None = None
    mqtt_state: MqttSnapshot
    storage: StorageSnapshot | None = None
    # What peers make the gateway keep, in bytes: `limit`, `used`, how often somebody was `refused`, and by kind.
    memory: Mapping[str, int]
    uplinks: tuple[UplinkSnapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSnapshot:
    """One connection, open or closed (then `stop` and `reason` say when and why).

    `subscriptions_list` is called only when the list is asked for.
    """

    cid: int
    kind: str = "Client"
    type: Literal["nats", "mqtt", "websocket", ""] = "nats"
    ip: str
    port: int
    start: datetime
    last_activity: datetime
    rtt: float | None = None
    pending_bytes: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    stalls: int = 0
    subscriptions: int = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    account: str = ""
    mqtt_client: str = ""
    subscriptions_list: Callable[[], Iterable[SubscriptionSnapshot]] = tuple
    stop: datetime | None = None
    reason: str = ""


class SnapshotProvider(Protocol):
    """Takes snapshots. Every method returns at once."""

    def server(self) -> ServerSnapshot: ...

    def connections(self, state: ConnectionState) -> Iterable[ConnectionSnapshot]: ...

    def health(self) -> str | None:
        """What is wrong, or None."""

    def degradations(self) -> dict[str, object]:
        """What does not go as it should, by part: `serial` ports by name, `listeners` that are not open
        yet by address, `uplinks` by URL, `retained` messages without room.
        """
