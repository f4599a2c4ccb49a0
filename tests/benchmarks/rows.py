"""The rows of the table: what each measures, in which unit, and which servers take part."""

from collections.abc import Sequence
from dataclasses import dataclass

from measures import (
    Measure,
    PublishOnly,
    RelayThroughput,
    Throughput,
    idle_nats,
    request_reply,
)
from mixed_measures import FreshSubjects, Mixed, MixedRelay, Sparse
from mqtt_measures import (
    Acknowledged,
    IdleMqtt,
    Offline,
    connect_and_subscribe,
    reconnect_storm,
    retained,
)
from mqtt_packets import V5
from servers import GATEWAY, MOSQUITTO, NATS_SERVER, RELAY, Store

NATS_PEERS = (GATEWAY, NATS_SERVER)
MQTT_PEERS = (GATEWAY, NATS_SERVER, MOSQUITTO)

# Where the sessions are kept, and the window of the publisher.
_OFFLINE: Sequence[tuple[Store, str, int]] = (
    ("disk", "on disk", 20),
    ("disk", "on disk", 1000),
    ("memory", "in memory", 1000),
)


@dataclass(frozen=True)
class Row:
    """One line of the table: the metric of its case that it shows. `scale` turns the value into the unit."""

    key: str
    title: str
    unit: str
    metric: str = "rate"
    scale: float = 1.0


@dataclass(frozen=True)
class Case:
    """A measurement and the rows it fills. Long ones never take more than `runs` runs or tries."""

    rows: tuple[Row, ...]
    measure: Measure
    servers: tuple[str, ...] = NATS_PEERS
    protocols: frozenset[str] = frozenset({"nats"})
    hub: bool = False
    store: Store = ""
    runs: int | None = None


def _rate(
    key: str,
    title: str,
    measure: Measure,
    *protocols: str,
    servers: tuple[str, ...] = NATS_PEERS,
    unit: str = "k deliveries/s",
    hub: bool = False,
    store: Store = "",
) -> Case:
    row = Row(key, title, unit, scale=1e-3)
    return Case((row,), measure, servers, frozenset(protocols or ("nats",)), hub, store)


def _mqtt(*rows: Row, measure: Measure, store: Store = "", runs: int | None = None) -> Case:
    return Case(rows, measure, MQTT_PEERS, frozenset({"mqtt"}), store=store, runs=runs)


# Publishers and receivers of the mixed rows.
_SHAPES = (
    ("1-1", "1→1", {}),
    ("1-5", "1→5", {"receivers": 5}),
    ("4-4", "4→4", {"publishers": 4, "receivers": 4}),
    ("disjoint", "1→5 by disjoint filters", {"disjoint": True}),
)
_SPARSE = "500 connections, 4,000 messages a second one at a time: CPU for each"

_MIXED_CASES = (
    *(_rate(f"mixed-nats-{key}", f"mixed NATS {title}", Mixed(**shape)) for key, title, shape in _SHAPES),
    *(
        _rate(
            f"mixed-mqtt-{key}",
            f"mixed MQTT QoS 0 {title}",
            Mixed(**shape, publish="mqtt", receive="mqtt"),
            "mqtt",
            servers=MQTT_PEERS,
        )
        for key, title, shape in _SHAPES
    ),
    *(
        _rate(
            f"mixed-mqtt-qos{qos}",
            f"mixed MQTT QoS {qos} 1→1, {in_flight} in flight",
            Acknowledged(qos, mixed=True, in_flight=in_flight),
            "mqtt",
            servers=MQTT_PEERS,
        )
        # mosquitto takes no more than 20 of QoS 2 at a time in order.
        for qos, in_flight in ((1, 100), (2, 20))
    ),
    Case((Row("sparse-nats", f"NATS, {_SPARSE}", "µs (less is better)", "cpu"),), Sparse("nats")),
    _mqtt(Row("sparse-mqtt", f"MQTT QoS 0, {_SPARSE}", "µs (less is better)", "cpu"), measure=Sparse("mqtt")),
    _rate("fresh-nats", "a fresh subject for every message, NATS, 16 B", FreshSubjects()),
    _rate(
        "fresh-mqtt",
        "a fresh subject for every message, MQTT QoS 0, 16 B",
        FreshSubjects("mqtt"),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    _rate("mixed-mqtt-nats", "mixed MQTT → NATS 1→1", Mixed(publish="mqtt"), "nats", "mqtt"),
    _rate("mixed-nats-mqtt", "mixed NATS → MQTT 1→1", Mixed(receive="mqtt"), "nats", "mqtt"),
    _rate(
        "mixed-websocket",
        "mixed WebSocket 1→1 (NATS, one PUB a frame)",
        Mixed(publish="websocket", receive="websocket", frames=True),
        "websocket",
    ),
    _rate("mixed-leafnode", "mixed leafnode: edge → subscriber at the hub", Mixed(), "nats", hub=True),
)

_MQTT_CASES = (
    _rate("mqtt-qos1-1-1-16", "MQTT QoS 1 1→1, 16 B, 20 in flight", Acknowledged(1), "mqtt", servers=MQTT_PEERS),
    _rate("mqtt-qos2-1-1-16", "MQTT QoS 2 1→1, 16 B, 20 in flight", Acknowledged(2), "mqtt", servers=MQTT_PEERS),
    _rate(
        "mqtt-qos1-persistent-16",
        "MQTT QoS 1 1→1, 16 B, 20 in flight, persistent session on disk",
        Acknowledged(1, persistent=True),
        "mqtt",
        servers=MQTT_PEERS,
        store="disk",
    ),
    *(
        _mqtt(
            Row(
                f"mqtt-offline-{store}-{in_flight}",
                f"MQTT QoS 1 into 100 offline sessions {where}, {in_flight} in flight",
                "k queued messages/s",
                scale=1e-3,
            ),
            measure=Offline(in_flight),
            store=store,
        )
        for store, where, in_flight in _OFFLINE
    ),
    _mqtt(
        Row("mqtt-retained-memory", "memory for each of 1,000,000 retained topics", "B (less is better)", "memory"),
        Row("mqtt-retained-store", "retained topics stored, QoS 1", "k topics/s", scale=1e-3),
        Row("mqtt-retained-first", "subscription to them all, first message", "ms (less is better)", "first"),
        Row("mqtt-retained-last", "subscription to them all, last message", "ms (less is better)", "last"),
        measure=retained,
        store="disk",
        runs=1,
    ),
    _mqtt(
        Row("mqtt-connect", "MQTT connect, subscribe, disconnect, 50 at a time", "k connections/s", scale=1e-3),
        measure=connect_and_subscribe,
    ),
    *(
        _mqtt(
            Row(
                f"mqtt-idle-memory-{key}",
                f"memory for each of 10,000 idle MQTT {name} connections",
                "KiB (less is better)",
                "memory",
            ),
            measure=measure,
            runs=3,
        )
        for key, name, measure in (("3", "3.1.1", IdleMqtt()), ("5", "5.0", IdleMqtt(V5)))
    ),
    _mqtt(
        Row("mqtt-storm-seconds", "5,000 sessions return for 20 messages each", "s (less is better)", "seconds"),
        Row("mqtt-storm-p50", "a round trip of two others meanwhile, median", "ms (less is better)", "p50"),
        Row("mqtt-storm-p99", "a round trip of two others meanwhile, p99", "ms (less is better)", "p99"),
        measure=reconnect_storm,
        store="disk",
        runs=3,
    ),
)

CASES: Sequence[Case] = (
    *_MIXED_CASES,
    _rate("nats-1-1-16", "NATS 1→1, 16 B", Throughput(16)),
    _rate("nats-1-1-128", "NATS 1→1, 128 B", Throughput(128)),
    _rate("nats-1-1-4096", "NATS 1→1, 4 KiB", Throughput(4096)),
    _rate("nats-1-5-16", "NATS 1→5, 16 B", Throughput(16, receivers=5)),
    _rate("nats-1-5-128", "NATS 1→5, 128 B", Throughput(128, receivers=5)),
    _rate("nats-1-20-16", "NATS 1→20, 16 B", Throughput(16, receivers=20)),
    _rate("nats-1-20-128", "NATS 1→20, 128 B", Throughput(128, receivers=20)),
    _rate("nats-4-4-16", "NATS 4→4, 16 B", Throughput(16, publishers=4, receivers=4)),
    _rate("nats-4-4-128", "NATS 4→4, 128 B", Throughput(128, publishers=4, receivers=4)),
    _rate("nats-publish-16", "NATS publish only, 16 B", PublishOnly(16), unit="k msg/s"),
    Case(
        (
            Row("nats-request-p50", "NATS request/reply, median", "µs (less is better)", "p50"),
            Row("nats-request-p99", "NATS request/reply, p99", "µs (less is better)", "p99"),
        ),
        request_reply,
    ),
    Case(
        (
            Row("nats-idle-cpu", "CPU for a message to an idle NATS connection", "µs (less is better)", "cpu"),
            Row("nats-idle-memory", "memory for an idle NATS connection", "kB (less is better)", "memory"),
        ),
        idle_nats,
    ),
    _rate(
        "mqtt-1-1-16",
        "MQTT QoS 0 1→1, 16 B",
        Throughput(16, publish="mqtt", receive="mqtt"),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    _rate(
        "mqtt-1-5-16",
        "MQTT QoS 0 1→5, 16 B",
        Throughput(16, receivers=5, publish="mqtt", receive="mqtt"),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    *_MQTT_CASES,
    _rate("mqtt-nats-1-1-16", "MQTT → NATS 1→1, 16 B", Throughput(16, publish="mqtt"), "nats", "mqtt"),
    _rate("nats-mqtt-1-1-16", "NATS → MQTT 1→1, 16 B", Throughput(16, receive="mqtt"), "nats", "mqtt"),
    _rate(
        "websocket-1-1-16",
        "WebSocket 1→1, 16 B (NATS in 64 KiB frames)",
        Throughput(16, publish="websocket", receive="websocket"),
        "websocket",
    ),
    _rate(
        "websocket-small-frames-16",
        "WebSocket → NATS, 16 B, one PUB a frame",
        Throughput(16, publish="websocket", small_frames=True),
        "nats",
        "websocket",
    ),
    _rate("leafnode-1-1-16", "leafnode: edge → subscriber at the hub, 16 B", Throughput(16), "nats", hub=True),
    _rate("relay-mixed", "bytes of mixed NATS 1→1, only copied", MixedRelay(), servers=(RELAY,)),
    _rate("relay-16", "bytes of NATS 1→1, 16 B, only copied", RelayThroughput(16), servers=(RELAY,)),
    _rate("relay-128", "bytes of NATS 1→1, 128 B, only copied", RelayThroughput(128), servers=(RELAY,)),
    _rate("relay-4096", "bytes of NATS 1→1, 4 KiB, only copied", RelayThroughput(4096), servers=(RELAY,)),
)
