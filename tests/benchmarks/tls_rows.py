"""The rows of TLS: the same mixed traffic inside TLS 1.3, idle connections, handshakes beside traffic."""

from collections.abc import Sequence

from cases import MQTT_PEERS, NATS_PEERS, Case, Row
from mixed_measures import Mixed
from tls_measures import IdleTls, Others, TalkMeanwhile, begin_handshakes, come_and_go


def _mixed(key: str, title: str, measure: Mixed, protocol: str, servers: tuple[str, ...]) -> Case:
    rows = (
        Row(f"tls-mixed-{key}", f"mixed {title} inside TLS", "k deliveries/s", scale=1e-3),
        # The load, which encrypts and decrypts as much, may be the limit of the rate.
        Row(f"tls-mixed-{key}-cpu", "CPU for each of them", "µs (less is better)", "cpu"),
    )
    return Case(rows, measure, servers, frozenset({protocol}), tls=True)


def _talk(key: str, beside: str, others: Others, what: str) -> Case:
    rows = (
        Row(f"tls-{key}-p50", f"a round trip beside {beside}", "µs (less is better)", "p50"),
        Row(f"tls-{key}-p99", "its p99", "µs (less is better)", "p99"),
    )
    return Case(rows, TalkMeanwhile(others, what), tls=True)


_MQTT = {"publish": "mqtt", "receive": "mqtt"}

TLS_CASES: Sequence[Case] = (
    _mixed("nats-1-1", "NATS 1→1", Mixed(), "nats", NATS_PEERS),
    _mixed("nats-1-5", "NATS 1→5", Mixed(receivers=5), "nats", NATS_PEERS),
    _mixed("mqtt-1-1", "MQTT QoS 0 1→1", Mixed(**_MQTT), "mqtt", MQTT_PEERS),
    _mixed("mqtt-1-5", "MQTT QoS 0 1→5", Mixed(receivers=5, **_MQTT), "mqtt", MQTT_PEERS),
    _talk("handshakes", "200 handshakes/s and mixed traffic", come_and_go, "handshakes"),
    _talk("storm", "ClientHellos without end, 100 at a time", begin_handshakes, "ClientHellos"),
    *(
        Case(
            (
                Row(
                    f"tls-idle-{protocol}",
                    f"memory for an idle {name} connection inside TLS",
                    "KiB (less is better)",
                    "memory",
                ),
            ),
            IdleTls(protocol),
            servers,
            frozenset({protocol}),
            runs=3,
            tls=True,
        )
        for protocol, name, servers in (("nats", "NATS", NATS_PEERS), ("mqtt", "MQTT", MQTT_PEERS))
    ),
)
