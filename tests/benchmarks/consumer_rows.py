"""Rows of consumers and look-ups on a stream that is filled before: 128 B on 1,000 subjects, or a key for each."""

from collections.abc import Sequence

from cases import CPU, NATS_PEERS, Case, Row
from consumer_measures import BATCH, Consumed, Lookups, keys_restarted
from load_consumers import INBOX
from stored_rows import restart_rows

_EXPLICIT = {"ack_policy": "explicit", "deliver_policy": "all"}
_PUSHED = {
    "ack_policy": "none",
    "deliver_policy": "all",
    "deliver_subject": INBOX,
    "flow_control": True,
    "idle_heartbeat": 30 * 10**9,
}


def _consumed(key: str, title: str, measure: Consumed, runs: int | None = None) -> Case:
    rows = Row(key, title, "k messages/s", scale=1e-3), Row(f"{key}-cpu", f"{title}: CPU for each", CPU, "cpu")
    return Case(rows, measure, NATS_PEERS, keeping="stream", runs=runs)


def _looked_up(key: str, title: str, subjects: int, per_subject: int) -> Case:
    rows = (
        Row(f"{key}-put", f"{title}: put", "k/s", "put", 1e-3),
        Row(f"{key}-put-cpu", f"{title}: CPU for a put", CPU, "put-cpu"),
        Row(f"{key}-get", f"{title}: get", "k/s", "get", 1e-3),
        Row(f"{key}-get-cpu", f"{title}: CPU for a get", CPU, "get-cpu"),
    )
    return Case(rows, Lookups(subjects, per_subject), NATS_PEERS, keeping="stream", runs=3)


CONSUMER_CASES: Sequence[Case] = (
    _consumed("consumer-pull", f"pull consumer, batches of {BATCH}, each acknowledged", Consumed(_EXPLICIT)),
    _consumed("consumer-push", "push consumer with flow control", Consumed(_PUSHED)),
    _consumed(
        "consumer-replay",
        "1,000,000 messages from the first on, server started anew",
        Consumed(_PUSHED, again=True, whole=True),
        runs=3,
    ),
    _looked_up("key-value", "100,000 keys, 64 in flight", 100_000, 1),
    _looked_up("last-of", "last of 1,000,000 subjects, 64 in flight", 1_000_000, 5),
    Case(
        (
            Row("key-value-million-memory", "1,000,000 keys: memory grown by them", "MiB (less is better)", "memory"),
            *restart_rows("key-value-million"),
        ),
        keys_restarted,
        NATS_PEERS,
        keeping="stream",
        runs=1,
    ),
)
