"""What monitoring shows of the gateway: plain values, taken at one moment. Who takes them is the provider's business.

Points in time are aware datetimes, spans and intervals are seconds, sizes are bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from gateway.settings.security import Export, Import
from gateway.transport.census import Totals, Traffic
from gateway.transport.snapshot import LinkSnapshot, SubscriptionSnapshot
from gateway.transport.tls_session import TlsSession

if TYPE_CHECKING:
    from gateway.bridges.status import BridgeStatus
    from gateway.forwarding.status import BufferStatus
    from gateway.integrations.status import IntegrationStatus
    from gateway.services.rules import RuleStatus
    from gateway.uplink.status import LinkStatus

# What is told at once of accounts with streams.
MOST_LISTED = 1024

ConnectionState = Literal["open", "closed", "all"]


@dataclass(frozen=True, slots=True)
class ListenerSnapshot:
    """Where one protocol is listened for; `tls` where it is inside TLS, `tls_verify` where peers need a certificate.
    `tls_seconds` is how long a handshake may take.
    """

    host: str
    port: int
    tls: bool = False
    tls_verify: bool = False
    tls_seconds: float = 0.0


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

    `commits` and `rows` were written, `pending_bytes` wait. There was no room for `refused` messages, and `set_apart`
    changes can never be written; all since the start.
    """

    fault: str
    faults: int
    commits: int
    rows: int
    pending_bytes: int
    refused: int
    set_apart: int
    set_aside: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """One account: its open connections and links, and what these and earlier ones have sent and received, links alone
    in `leaf_traffic`; what is kept for it, in bytes.

    `exports` and `imports` are what it shares with others, as it is configured.
    """

    name: str
    is_system: bool = False
    has_streams: bool = False
    connections: int = 0
    leafnodes: int = 0
    subscriptions: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    slow_consumers: int = 0
    leaf_traffic: Traffic = field(default_factory=Traffic)
    retained_messages: int = 0
    retained_bytes: int = 0
    queued_bytes: int = 0
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    mappings: Mapping[str, object] = field(default_factory=dict)

    @property
    def in_use(self) -> bool:
        return bool(self.connections or self.leafnodes)


@dataclass(frozen=True, slots=True)
class IdentitySnapshot:
    """Who answers, and when."""

    server_id: str
    name: str
    now: datetime


@dataclass(frozen=True, slots=True)
class InterestSnapshot:
    """A subscription, and whose it is."""

    account: str
    cid: int
    told: SubscriptionSnapshot


@dataclass(frozen=True, slots=True)
class TreeSnapshot:
    """What the subject trees of all accounts did. `fan_out` is of the subjects whose routes are remembered: the
    largest, and the mean.
    """

    subscriptions: int = 0
    remembered: int = 0
    inserts: int = 0
    removes: int = 0
    matches: int = 0
    searches: int = 0
    most_fan_out: int = 0
    mean_fan_out: float = 0.0


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
    traffic: Traffic
    client_traffic: Traffic
    slow_consumers: int
    stale_connections: int
    slow_links: int = 0
    stale_links: int = 0
    # How often a publisher had to wait for somebody who takes his messages slowly.
    stalls: int = 0
    # To the end points of monitoring, by path.
    requests: Mapping[str, int] = field(default_factory=dict)
    active_accounts: int = 0
    subscriptions: int
    system_account: str = ""
    auth_required: bool = False
    auth_timeout: float = 0.0
    # When the configuration that is in force came.
    configured: datetime
    mem: int
    cores: int
    cpu: float
    nats: ListenerSnapshot | None = None
    monitoring: ListenerSnapshot | None = None
    # When the first of the listeners' certificates ends.
    certificates_end: datetime | None = None
    mqtt: ListenerSnapshot | None = None
    websocket: ListenerSnapshot | None = None
    leaf: ListenerSnapshot | None = None
    mqtt_state: MqttSnapshot
    storage: StorageSnapshot | None = None
    # What peers make the gateway keep, in bytes: `limit`, `used`, how often somebody was `refused`, and by kind.
    memory: Mapping[str, int]
    uplinks: "tuple[LinkStatus, ...]" = ()
    bridges: "tuple[BridgeStatus, ...]" = ()
    rules: "tuple[RuleStatus, ...]" = ()
    buffers: "tuple[BufferStatus, ...]" = ()
    integrations: "tuple[IntegrationStatus, ...]" = ()
    # As /varz has it; nothing where there are no streams.
    jetstream: Mapping[str, object] = field(default_factory=dict)
    # How it goes with the other gateway of a pair; nothing where there is no pair.
    pair: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSnapshot:
    """One connection, open or closed (then `stop` and `reason` say when and why); a leafnode's has a `link`.

    `subscriptions_list` is called only when the list is asked for.
    """

    cid: int
    kind: str = "Client"
    type: Literal["nats", "mqtt", "websocket", "fluent", ""] = "nats"
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
    user: str = ""
    mqtt_client: str = ""
    tls: TlsSession | None = None
    subscriptions_list: Callable[[], Iterable[SubscriptionSnapshot]] = tuple
    stop: datetime | None = None
    reason: str = ""
    link: LinkSnapshot | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and what to do about it."""

    error: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class StreamFault:
    """What is wrong with streams: of which `kind` (ACCOUNT, STREAM or CONSUMER) that is, and in whose words it is told.
    What was asked for `is_missing` where it is not there.
    """

    kind: str
    error: str
    account: str
    stream: str = ""
    consumer: str = ""
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class StreamsAsked:
    """What of the streams is to be told: of one `account` or of all, so many of these from one on."""

    account: str = ""
    accounts: bool = False
    streams: bool = False
    consumers: bool = False
    config: bool = False
    offset: int = 0
    limit: int = MOST_LISTED


class SnapshotProvider(Protocol):
    """Takes snapshots. What is not async returns at once; the rest is done in turns (gateway.runtime.turns)."""

    def identity(self) -> IdentitySnapshot: ...

    async def census(self) -> Totals:
        """What all connections did."""

    def server(self, totals: Totals) -> ServerSnapshot: ...

    def connections(self, state: ConnectionState) -> Iterable[ConnectionSnapshot]:
        """Those of clients."""

    def leafnodes(self) -> Iterable[ConnectionSnapshot]:
        """The open links, whoever has opened them."""

    def accounts(self, totals: Totals) -> Iterator[AccountSnapshot]:
        """Every account, made one by one."""

    def account_names(self) -> list[str]: ...

    def account(self, name: str, totals: Totals) -> AccountSnapshot | None: ...

    async def tree(self, account: str) -> TreeSnapshot:
        """Of one account, or of all of them where none is named."""

    async def jetstream(self, asked: StreamsAsked) -> dict[str, object] | None:
        """What there is to tell of streams, in nats-server's form; None where there are none."""

    def stream_faults(self, account: str, stream: str, consumer: str) -> list[StreamFault]:
        """What is wrong with the streams that are named, all where none is; nothing where there are no streams."""

    def interests(self, account: str) -> Iterator[InterestSnapshot | None]:
        """The subscriptions of open connections, made one by one; None in between where there is none to show."""

    def health(self) -> Fault | None:
        """What keeps the gateway from serving anybody, or None."""

    def stalled(self) -> Fault | None:
        """What only a restart can mend, or None."""

    def buffers(self) -> "tuple[BufferStatus, ...]":
        """What is stored for hubs."""

    def uplinks(self) -> "tuple[LinkStatus, ...]":
        """The links that are configured, up or not."""

    def remarks(self) -> dict[str, object]:
        """What is no fault, but worth to be known: uplinks on `standby` by name."""

    def degradations(self) -> dict[str, object]:
        """What does not go as it should, by part: `serial` ports by name, `listeners` that are not open
        yet by address, `uplinks`, `store-and-forward`, `bridges`, `integrations` and `rules` by name, `retained`
        messages without room.
        """
