"""The rows of the table in their order: mixed traffic, a server at rest, sessions and stores, TLS, repeated lines."""

from collections.abc import Sequence

from cases import Case, Row, mqtt
from consumer_rows import CONSUMER_CASES
from kafka_rows import KAFKA_CASES
from measures import idle_nats, request_reply
from mixed_rows import MIXED_CASES, REST_CASES
from mqtt_measures import (
    IdleMqtt,
    Offline,
    connect_and_subscribe,
    reconnect_storm,
    retained,
)
from mqtt_packets import V5
from repeated_rows import RELAY_CASES, REPEATED_CASES
from rule_measures import RuleCost
from servers import GATEWAY, Store
from sink_rows import SINK_CASES
from stored_rows import STORED_CASES
from tls_rows import TLS_CASES

# Where the sessions are kept, and the window of the publisher.
_OFFLINE: Sequence[tuple[Store, str, int]] = (
    ("disk", "on disk", 20),
    ("disk", "on disk", 1000),
    ("memory", "in memory", 1000),
)

_NATS_CASES = (
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
)

_MQTT_CASES = (
    *(
        mqtt(
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
    mqtt(
        Row("mqtt-retained-memory", "memory for each of 1,000,000 retained topics", "B (less is better)", "memory"),
        Row("mqtt-retained-store", "retained topics stored, QoS 1", "k topics/s", scale=1e-3),
        Row("mqtt-retained-first", "subscription to them all, first message", "ms (less is better)", "first"),
        Row("mqtt-retained-last", "subscription to them all, last message", "ms (less is better)", "last"),
        measure=retained,
        store="disk",
        runs=1,
    ),
    mqtt(
        Row("mqtt-connect", "MQTT connect, subscribe, disconnect, 50 at a time", "k connections/s", scale=1e-3),
        measure=connect_and_subscribe,
    ),
    *(
        mqtt(
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
    mqtt(
        Row("mqtt-storm-seconds", "5,000 sessions return for 20 messages each", "s (less is better)", "seconds"),
        Row("mqtt-storm-p50", "a round trip of two others meanwhile, median", "ms (less is better)", "p50"),
        Row("mqtt-storm-p99", "a round trip of two others meanwhile, p99", "ms (less is better)", "p99"),
        measure=reconnect_storm,
        store="disk",
        runs=3,
    ),
)

_RULE_CASES = (
    Case(
        (
            Row("rule", "NATS 1→1 through a rule that makes an object of four fields", "k deliveries/s", scale=1e-3),
            Row("rule-cost", "CPU for each beyond one that is only delivered", "µs (less is better)", "cost"),
        ),
        RuleCost(),
        servers=(GATEWAY,),
        rules=True,
    ),
)

CASES: Sequence[Case] = (
    *MIXED_CASES,
    *_NATS_CASES,
    *_RULE_CASES,
    *REST_CASES,
    *_MQTT_CASES,
    *STORED_CASES,
    *CONSUMER_CASES,
    *KAFKA_CASES,
    *SINK_CASES,
    *TLS_CASES,
    *REPEATED_CASES,
    *RELAY_CASES,
)
