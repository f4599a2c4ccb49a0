"""Rows of sinks and sources of events and numbers, 128 B on 1,000 subjects. The other side only acknowledges, but for
the row that names it. No other server here does this by itself.
"""

from collections.abc import Sequence

from cases import Case, Row
from servers import GATEWAY
from sink_measures import fluent_in, fluent_out, fluent_out_of_many, influx, remote_write, remote_write_to_prometheus

_CPU = "µs (less is better)"

SINK_CASES: Sequence[Case] = tuple(
    Case(
        (
            Row(key, title, "k messages/s", scale=1e-3),
            Row(f"{key}-cpu", f"{title}: CPU for each", _CPU, "cpu"),
        ),
        measure,
        (GATEWAY,),
        frozenset({"nats", "monitoring"}),
        keeping="stream",
        runs=3,
    )
    for key, title, measure in (
        ("fluent-out", "a stream that becomes events (forward protocol)", fluent_out),
        ("fluent-out-tags", "the same, a tag for each of 1,000 subjects", fluent_out_of_many),
        ("fluent-in", "events that become messages, in chunks of 1,000", fluent_in),
        ("remote-write", "a stream of numbers that becomes samples (remote write)", remote_write),
        ("remote-write-prometheus", "the same into a real Prometheus", remote_write_to_prometheus),
        ("influx", "a stream of numbers that becomes points (line protocol)", influx),
    )
)
