"""Rows of Kafka: 128 B, out of a stream and into one. No other server here does this by itself."""

from collections.abc import Sequence

from cases import Case, Row
from kafka_measures import kafka_in, kafka_out
from servers import GATEWAY

_CPU = "µs (less is better)"

KAFKA_CASES: Sequence[Case] = tuple(
    Case(
        (
            Row(f"kafka-{key}", title, "k messages/s", scale=1e-3),
            Row(f"kafka-{key}-cpu", f"{title}: CPU for each", _CPU, "cpu"),
        ),
        measure,
        (GATEWAY,),
        frozenset({"nats", "monitoring"}),
        keeping="stream",
        runs=3,
    )
    for key, title, measure in (
        ("out", "a stream that becomes records of Kafka", kafka_out),
        ("in", "records of Kafka that come into a stream", kafka_in),
    )
)
