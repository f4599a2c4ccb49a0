"""The rows of the table: what each measures, in which unit, and which servers take part."""

from collections.abc import Sequence
from dataclasses import dataclass

from measures import (
    Measure,
    PublishOnly,
    RelayThroughput,
    Throughput,
    idle_mqtt,
    idle_nats,
    mqtt_acknowledged,
    request_reply,
)
from servers import GATEWAY, MOSQUITTO, NATS_SERVER, RELAY

NATS_PEERS = (GATEWAY, NATS_SERVER)
MQTT_PEERS = (GATEWAY, NATS_SERVER, MOSQUITTO)


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
    """A measurement and the rows it fills."""

    rows: tuple[Row, ...]
    measure: Measure
    servers: tuple[str, ...] = NATS_PEERS
    protocols: frozenset[str] = frozenset({"nats"})
    hub: bool = False


def _rate(
    key: str,
    title: str,
    measure: Measure,
    *protocols: str,
    servers: tuple[str, ...] = NATS_PEERS,
    unit: str = "k deliveries/s",
    hub: bool = False,
) -> Case:
    row = Row(key, title, unit, scale=1e-3)
    return Case((row,), measure, servers, frozenset(protocols or ("nats",)), hub)


CASES: Sequence[Case] = (
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
    Case(
        (Row("mqtt-idle-memory", "memory for an idle MQTT connection", "kB (less is better)", "memory"),),
        idle_mqtt,
        MQTT_PEERS,
        frozenset({"mqtt"}),
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
    _rate("mqtt-qos1-1-1-16", "MQTT QoS 1 1→1, 16 B, 20 in flight", mqtt_acknowledged, "mqtt", servers=MQTT_PEERS),
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
    _rate("relay-16", "bytes of NATS 1→1, 16 B, only copied", RelayThroughput(16), servers=(RELAY,)),
    _rate("relay-128", "bytes of NATS 1→1, 128 B, only copied", RelayThroughput(128), servers=(RELAY,)),
    _rate("relay-4096", "bytes of NATS 1→1, 4 KiB, only copied", RelayThroughput(4096), servers=(RELAY,)),
)
