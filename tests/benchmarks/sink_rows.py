"""Rows of sinks and sources of events and numbers, 128 B on 1,000 subjects. The other side only acknowledges, but for
the row that names it.
"""

from collections.abc import Sequence

from cases import Case, streamed
from sink_measures import fluent_in, fluent_out, fluent_out_of_many, influx, remote_write, remote_write_to_prometheus

SINK_CASES: Sequence[Case] = (
    streamed("fluent-out", "a stream that becomes events (forward protocol)", fluent_out),
    streamed("fluent-out-tags", "the same, a tag for each of 1,000 subjects", fluent_out_of_many),
    streamed("fluent-in", "events that become messages, in chunks of 1,000", fluent_in),
    streamed("remote-write", "a stream of numbers that becomes samples (remote write)", remote_write),
    streamed("remote-write-prometheus", "the same into a real Prometheus", remote_write_to_prometheus),
    streamed("influx", "a stream of numbers that becomes points (line protocol)", influx),
)
