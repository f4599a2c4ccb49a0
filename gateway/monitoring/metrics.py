"""/metrics: what Prometheus reads. The families are made one by one, and written in turns.

Labels have few values: protocols, reasons, what the configuration names, and accounts, of which MOST_ACCOUNTS have
their own and the others one together.
"""

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from gateway.accounts.account import Account
from gateway.monitoring.family import OTHERS, Family, Measure, counter, gauge, histogram, measured
from gateway.monitoring.http_server import Response
from gateway.monitoring.observer import Observer
from gateway.monitoring.part_metrics import part_families
from gateway.monitoring.probe import Probe
from gateway.monitoring.process import cpu_seconds, resident_bytes
from gateway.monitoring.sources import Sources
from gateway.monitoring.stream_metrics import stream_families
from gateway.transport.census import Totals, Traffic
from gateway.version import VERSION, form_name
from protocols.close_reason import CloseReason

PREFIX = "leafgate_"
# What every Prometheus reads, of whatever age.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_ACCOUNTS = 100
CONNECTIONS: tuple[Measure[Traffic], ...] = (
    ("gauge", "connections", "Connections that are open.", lambda one: one.open),
    ("counter", "messages_received", "Messages that peers sent.", lambda one: one.in_msgs),
    ("counter", "messages_sent", "Messages that peers got.", lambda one: one.out_msgs),
    ("counter", "received_bytes", "Bytes of the messages that peers sent.", lambda one: one.in_bytes),
    ("counter", "sent_bytes", "Bytes of the messages that peers got.", lambda one: one.out_bytes),
    (
        "counter",
        "slow_consumers",
        "Connections that were ended because they took too little.",
        lambda one: one.slow_consumers,
    ),
    (
        "counter",
        "stale_connections",
        "Connections that were ended because they were silent.",
        lambda one: one.stale,
    ),
)
ACCOUNTS: tuple[Measure[Account], ...] = (
    ("gauge", "subscriptions", "Subscriptions, those of the gateway among them.", lambda one: one.router.tree.count),
    ("gauge", "retained_messages", "Retained messages.", lambda one: len(one.retained)),
    ("gauge", "retained_bytes", "Bytes of retained messages.", lambda one: one.retained.bytes),
    ("gauge", "queued_bytes", "Bytes that wait on the disk for sessions.", lambda one: one.queued_bytes()),
    ("gauge", "boards", "Boards and others that said that they are there.", lambda one: len(one.presences)),
)


class Metrics:
    """Makes the text with prometheus_client: `core` is that module of it, `generate` its `generate_latest`."""

    def __init__(
        self,
        core: ModuleType,
        generate: Callable[[Any], bytes],
        sources: Sources,
        observer: Observer,
        probe: Probe,
    ) -> None:
        self._core = core
        self._generate = generate
        self._sources = sources
        self._observer = observer
        self._probe = probe
        # The accounts that have a label value of their own.
        self._named: set[str] = set()

    async def respond(self) -> Response:
        self._probe.watch()
        totals = await self._observer.census()
        return Response(200, CONTENT_TYPE, self.pieces(totals))

    def pieces(self, totals: Totals) -> Iterator[bytes]:
        """The text, a family a piece."""
        for family in self.families(totals):
            yield self._generate(_One(self._made(family)))

    def families(self, totals: Totals) -> Iterator[Family]:
        """Everything that there is to tell."""
        yield from self._gateway(totals)
        yield from self._connections(totals)
        yield from self._accounts()
        yield from self._mqtt()
        yield from self._drops()
        yield from part_families(self._sources)
        yield from self._storage()
        yield from stream_families(self._sources.streams, self._sources.stream_store)
        yield from self._memory()
        yield from self._security()
        yield from self._serial()

    def _gateway(self, totals: Totals) -> Iterator[Family]:
        observer, server = self._observer, self._observer.server(totals)
        labels = ("version", "form", "server_name")
        info = [((VERSION, form_name(), server.name), 1)]
        yield Family("gauge", "info", "What runs here.", labels, info)
        began = server.start.timestamp()
        yield gauge("start_time_seconds", "When the gateway was started, in seconds since 1970.", began)
        health, stalled, degraded = observer.health(), observer.stalled(), observer.degradations()
        yield gauge("ready", "Whether clients may be sent here.", health is None)
        yield gauge("live", "Whether no restart is needed.", stalled is None)
        parts = [((part,), float(part in degraded)) for part in DEGRADABLE]
        yield Family("gauge", "degraded", "Whether a part does not go as it should.", ("part",), parts)
        yield counter("cpu_seconds", "Time of processors that was used.", cpu_seconds())
        yield gauge("resident_memory_bytes", "Memory that the process takes.", resident_bytes())
        text = "How much later than it was to be the loop did something."
        yield histogram("loop_delay_seconds", text, self._probe.delay)
        text = "How long a probe took from a socket to a subscription."
        yield histogram("probe_seconds", text, self._probe.latency)

    def _connections(self, totals: Totals) -> Iterator[Family]:
        registry = self._sources.registry
        found = [((self._label(account), protocol), did) for (account, protocol), did in totals.by_key.items()]
        yield from measured(CONNECTIONS, ("account", "protocol"), found)
        yield counter("connections_opened", "Connections that were opened.", registry.total)
        ended = [((reason.value,), registry.ended.get(reason, 0)) for reason in CloseReason]
        yield Family("counter", "connections_closed", "Connections that ended, by reason.", ("reason",), ended)

    def _accounts(self) -> Iterator[Family]:
        accounts = self._sources.accounts.values()
        yield from measured(ACCOUNTS, ("account",), [((self._label(one.name),), one) for one in accounts])

    def _mqtt(self) -> Iterator[Family]:
        mqtt = self._observer.mqtt()
        states = [(("connected",), mqtt.clients), (("away",), mqtt.sessions - mqtt.clients)]
        yield Family("gauge", "mqtt_sessions", "MQTT sessions, by whether their client is there.", ("state",), states)

    def _drops(self) -> Iterator[Family]:
        sources = self._sources
        mqtt = self._observer.mqtt()
        reasons = {
            "mqtt-full": mqtt.dropped - mqtt.oversized,
            "mqtt-oversized": mqtt.oversized,
            "not-retained": mqtt.retained_refused,
            "not-stored": sources.storage.journal.refused if sources.storage is not None else 0,
            "uplink": sum(one.status().dropped_msgs for one in sources.uplinks),
            "bridge": sum(one.status().dropped_msgs for one in sources.bridges),
        }
        values = [((reason,), count) for reason, count in reasons.items()]
        text = "Messages that did not get to somebody, or were not kept."
        yield Family("counter", "dropped_messages", text, ("reason",), values)

    def _storage(self) -> Iterator[Family]:
        storage = self._sources.storage
        if storage is None:
            return
        journal = storage.journal
        yield gauge("storage_fault", "Whether nothing can be written now.", journal.fault is not None)
        yield counter("storage_faults", "How often writing began to fail.", journal.faults)
        yield counter("storage_commits", "Commits that brought something to the disk.", journal.commits)
        yield counter("storage_rows", "Rows that were written.", journal.rows)
        yield counter("storage_written_bytes", "About how many bytes were written.", journal.written_bytes)
        yield gauge("storage_pending_bytes", "About how many bytes wait to be written.", journal.pending_bytes)
        yield counter("storage_set_apart", "Changes that can never be written.", journal.set_apart)
        text = "How long a commit took, until it was on the disk."
        yield histogram("storage_commit_seconds", text, journal.commit_seconds)

    def _memory(self) -> Iterator[Family]:
        budget = self._sources.runtime.budget
        kinds = [((kind,), size) for kind, size in budget.by_kind().items()]
        yield Family("gauge", "kept_bytes", "What peers make the gateway keep.", ("kind",), kinds)
        yield gauge("kept_bytes_limit", "How much of that there may be.", budget.limit)
        yield counter("memory_refusals", "How often there was no room for more of it.", budget.refused)

    def _security(self) -> Iterator[Family]:
        registry = self._sources.registry
        results = [
            (("done",), registry.handshakes),
            (("failed",), registry.ended.get(CloseReason.TLS_HANDSHAKE_FAILURE, 0)),
        ]
        yield Family("counter", "tls_handshakes", "TLS handshakes.", ("result",), results)
        ends = [((one.key,), one.terms.not_after.timestamp()) for one in self._sources.tls if one.terms.not_after]
        text = "When the first certificate of a listener ends, in seconds since 1970."
        yield Family("gauge", "certificate_expiry_time_seconds", text, ("listener",), ends)

    def _serial(self) -> Iterator[Family]:
        ports = [((port,), 1) for port in self._sources.serial_faults]
        yield Family("gauge", "serial_port_faulty", "Serial ports that fail.", ("port",), ports)

    def _label(self, account: str) -> str:
        if account not in self._named:
            if len(self._named) >= MOST_ACCOUNTS:
                return OTHERS
            self._named.add(account)
        return account

    def _made(self, family: Family) -> Any:
        core, name = self._core, PREFIX + family.name
        if family.kind == "histogram":
            made = core.HistogramMetricFamily(name, family.help, labels=family.labels)
            for labels, value in family.values:
                made.add_metric(labels, value.cumulated(), value.sum)
            return made
        make = core.CounterMetricFamily if family.kind == "counter" else core.GaugeMetricFamily
        made = make(name, family.help, labels=family.labels)
        for labels, value in family.values:
            made.add_metric(labels, value)
        return made


# The parts that /healthz may tell of (Observer.degradations).
DEGRADABLE = (
    "serial",
    "listeners",
    "configuration",
    "uplinks",
    "store-and-forward",
    "bridges",
    "integrations",
    "rules",
    "retained",
    "streams",
    "storage",
)


class _One:
    """A registry with one family."""

    def __init__(self, family: object) -> None:
        self._family = family

    def collect(self) -> Iterable[object]:
        return (self._family,)
