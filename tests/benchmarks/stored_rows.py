"""Rows of what is stored before it is acknowledged, 128 B on 1,000 subjects: the store's own pace, and what it costs.

nats-server answers before it syncs unless it is told to sync each message; mosquitto writes its file at its end. So
each row of a stream is there twice, beside the one nats-server and beside the other.
"""

from collections.abc import Sequence

from cases import CPU, MQTT_PEERS, Case, Row
from servers import GATEWAY, NATS_SERVER, Keeping
from stored_measures import Stored, Waiting, drain

_PEERS = (GATEWAY, NATS_SERVER)
_BYTES = "B (less is better)"
_MILLISECONDS = "ms (less is better)"
_IN_FLIGHT = (1, 16, 256, 4096)
# What nats-server does before it answers.
_SYNCS = (("", "not synced by nats-server", False), ("-synced", "each synced by nats-server", True))
# How long a message may wait for others to share its commit, in milliseconds.
_INTERVAL = 50
_KEEPING: Sequence[tuple[Keeping, str, str]] = (
    ("stream", "stream", "in a stream"),
    ("buffer", "buffered", "in a buffer"),
)


def _stored(key: str, title: str, keeping: Keeping, in_flight: int, synced: bool) -> Case:
    """A row for the rate, and where they tell something, for what a message costs and how long one alone takes."""
    rows = [Row(key, f"{title}, {in_flight:,} in flight", "k messages/s", scale=1e-3)]
    rows += [Row(f"{key}-cpu", f"{title}, {in_flight:,} in flight: CPU for each", CPU, "cpu")]
    if in_flight < _IN_FLIGHT[-1]:
        rows += [Row(f"{key}-written", f"{title}, {in_flight:,} in flight: written for each", _BYTES, "written")]
    if in_flight == 1:
        rows += [Row(f"{key}-p50", f"{title}, one in flight: median", _MILLISECONDS, "p50")]
        rows += [Row(f"{key}-p99", f"{title}, one in flight: p99", _MILLISECONDS, "p99")]
    return Case(tuple(rows), Stored(keeping, in_flight), _PEERS, keeping=keeping, synced=synced)


def restart_rows(key: str) -> tuple[Row, ...]:
    """Of a server that is killed and started with what it has stored."""
    lead = "killed and started with them"
    return (
        Row(f"{key}-start", f"{lead}: until a client is greeted", "s (less is better)", "greeted"),
        Row(f"{key}-stores", f"{lead}: until one more is stored", "s (less is better)", "stored"),
        Row(f"{key}-waits", f"{lead}: another client's longest wait until then", _MILLISECONDS, "waited"),
        Row(f"{key}-start-cpu", f"{lead}: CPU until then", "s (less is better)", "start-cpu"),
        Row(f"{key}-resident", f"{lead}: memory then", "MiB (less is better)", "resident"),
    )


STORED_CASES: Sequence[Case] = (
    *(
        _stored(f"stream-publish{key}-{in_flight}", f"published to a stream ({told})", "stream", in_flight, synced)
        for key, told, synced in _SYNCS
        for in_flight in _IN_FLIGHT
    ),
    *(
        _stored(
            f"buffered-{in_flight}", "buffered for a hub (nats-server: a stream, synced)", "buffer", in_flight, True
        )
        for in_flight in _IN_FLIGHT
    ),
    *(
        Case(
            (
                Row(
                    f"buffered-mqtt-{in_flight}",
                    f"buffered, MQTT QoS 1, {in_flight:,} in flight",
                    "k messages/s",
                    scale=1e-3,
                ),
                *(
                    (
                        Row("buffered-mqtt-1-p50", "buffered, MQTT QoS 1, one in flight: median", _MILLISECONDS, "p50"),
                        Row("buffered-mqtt-1-p99", "buffered, MQTT QoS 1, one in flight: p99", _MILLISECONDS, "p99"),
                    )
                    if in_flight == 1
                    else ()
                ),
            ),
            Stored("buffer", in_flight),
            tuple(one for one in MQTT_PEERS if one != NATS_SERVER),
            frozenset({"mqtt"}),
            keeping="buffer",
        )
        for in_flight in (1, 1000)
    ),
    Case(
        (
            Row("drain", "drained into a stream of the hub", "k messages/s", scale=1e-3),
            Row("drain-cpu", "drained into a stream of the hub: CPU for each", CPU, "cpu"),
        ),
        drain,
        (GATEWAY,),
        frozenset({"nats", "monitoring"}),
        hub=True,
        keeping="buffer",
        runs=3,
    ),
    *(
        Case(
            (
                Row(
                    f"{key}-interval-{in_flight}",
                    f"{where}, commits {_INTERVAL} ms apart, {in_flight} in flight",
                    "messages/s",
                ),
                Row(
                    f"{key}-interval-{in_flight}-written",
                    f"{where}, commits {_INTERVAL} ms apart, {in_flight} in flight: written for each",
                    _BYTES,
                    "written",
                ),
            ),
            Stored(keeping, in_flight),
            (GATEWAY,),
            keeping=keeping,
            commit_interval=_INTERVAL,
            runs=1,
        )
        for keeping, key, where in _KEEPING[:1]
        for in_flight in (1, 16, 256)
    ),
    *(
        Case(
            (
                Row(
                    f"{key}-million-memory",
                    f"1,000,000 messages {where}: memory grown by them",
                    "MiB (less is better)",
                    "memory",
                ),
                *restart_rows(f"{key}-million"),
            ),
            Waiting(keeping),
            _PEERS if keeping == "stream" else (GATEWAY,),
            keeping=keeping,
            runs=1,
        )
        for keeping, key, where in _KEEPING
    ),
)
