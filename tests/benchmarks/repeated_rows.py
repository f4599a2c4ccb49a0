"""Rows behind the mixed ones: one publication again and again. They say what a server does with repetition, no more."""

from collections.abc import Sequence

from cases import MQTT_PEERS, Case, rate
from measures import PublishOnly, RelayThroughput, Throughput
from mixed_measures import MixedRelay
from mqtt_measures import Acknowledged
from servers import RELAY

REPEATED_CASES: Sequence[Case] = (
    rate("nats-1-1-16", "NATS 1→1, 16 B, repeated line", Throughput(16)),
    rate("nats-1-1-128", "NATS 1→1, 128 B, repeated line", Throughput(128)),
    rate("nats-1-1-4096", "NATS 1→1, 4 KiB, repeated line", Throughput(4096)),
    rate("nats-1-5-16", "NATS 1→5, 16 B, repeated line", Throughput(16, receivers=5)),
    rate("nats-1-5-128", "NATS 1→5, 128 B, repeated line", Throughput(128, receivers=5)),
    rate("nats-1-20-16", "NATS 1→20, 16 B, repeated line", Throughput(16, receivers=20)),
    rate("nats-1-20-128", "NATS 1→20, 128 B, repeated line", Throughput(128, receivers=20)),
    rate("nats-4-4-16", "NATS 4→4, 16 B, repeated line", Throughput(16, publishers=4, receivers=4)),
    rate("nats-4-4-128", "NATS 4→4, 128 B, repeated line", Throughput(128, publishers=4, receivers=4)),
    rate("nats-publish-16", "NATS publish only, 16 B, repeated line", PublishOnly(16), unit="k msg/s"),
    rate(
        "mqtt-1-1-16",
        "MQTT QoS 0 1→1, 16 B, repeated line",
        Throughput(16, publish="mqtt", receive="mqtt"),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    rate(
        "mqtt-1-5-16",
        "MQTT QoS 0 1→5, 16 B, repeated line",
        Throughput(16, receivers=5, publish="mqtt", receive="mqtt"),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    rate(
        "mqtt-qos1-1-1-16",
        "MQTT QoS 1 1→1, 16 B, 20 in flight, repeated line",
        Acknowledged(1),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    rate(
        "mqtt-qos2-1-1-16",
        "MQTT QoS 2 1→1, 16 B, 20 in flight, repeated line",
        Acknowledged(2),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    rate(
        "mqtt-qos1-persistent-16",
        "MQTT QoS 1 1→1, 16 B, 20 in flight, persistent session on disk, repeated line",
        Acknowledged(1, persistent=True),
        "mqtt",
        servers=MQTT_PEERS,
        store="disk",
    ),
    rate("mqtt-nats-1-1-16", "MQTT → NATS 1→1, 16 B, repeated line", Throughput(16, publish="mqtt"), "nats", "mqtt"),
    rate("nats-mqtt-1-1-16", "NATS → MQTT 1→1, 16 B, repeated line", Throughput(16, receive="mqtt"), "nats", "mqtt"),
    rate(
        "websocket-1-1-16",
        "WebSocket 1→1, 16 B (NATS in 64 KiB frames), repeated line",
        Throughput(16, publish="websocket", receive="websocket"),
        "websocket",
    ),
    rate(
        "websocket-small-frames-16",
        "WebSocket → NATS, 16 B, one PUB a frame, repeated line",
        Throughput(16, publish="websocket", small_frames=True),
        "nats",
        "websocket",
    ),
    rate(
        "leafnode-1-1-16",
        "leafnode: edge → subscriber at the hub, 16 B, repeated line",
        Throughput(16),
        "nats",
        hub=True,
    ),
)

# The same bytes, only copied: the limit of the machine and of the load.
RELAY_CASES: Sequence[Case] = (
    rate("relay-mixed", "bytes of mixed NATS 1→1, only copied", MixedRelay(), servers=(RELAY,)),
    rate("relay-16", "bytes of NATS 1→1, 16 B, only copied", RelayThroughput(16), servers=(RELAY,)),
    rate("relay-128", "bytes of NATS 1→1, 128 B, only copied", RelayThroughput(128), servers=(RELAY,)),
    rate("relay-4096", "bytes of NATS 1→1, 4 KiB, only copied", RelayThroughput(4096), servers=(RELAY,)),
)
