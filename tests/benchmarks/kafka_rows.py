"""Rows of Kafka: 128 B, out of a stream and into one."""

from collections.abc import Sequence

from cases import Case, streamed
from kafka_measures import kafka_in, kafka_out

KAFKA_CASES: Sequence[Case] = (
    streamed("kafka-out", "a stream that becomes records of Kafka", kafka_out),
    streamed("kafka-in", "records of Kafka that come into a stream", kafka_in),
)
