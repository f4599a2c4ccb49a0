"""What /metrics tells of streams, their consumers, and the database that they share."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gateway.monitoring.family import OTHERS, Family, Measure, counter, gauge, measured

if TYPE_CHECKING:
    from gateway.storage.streams.store import StreamStore
    from gateway.streams.service import StreamService

# Streams and consumers that have label values of their own; the others are one together.
MOST_STREAMS = 200
MOST_CONSUMERS = 500

STREAMS: tuple[Measure[Any], ...] = (
    ("gauge", "stream_messages", "Messages in a stream.", lambda one: one.stored.messages),
    ("gauge", "stream_bytes", "Bytes in a stream.", lambda one: one.stored.size),
    ("counter", "stream_last_sequence", "The number of a stream's last message.", lambda one: one.stored.committed),
    ("gauge", "stream_consumers", "Consumers of a stream.", lambda one: one.shown_consumers),
    ("counter", "stream_discarded_messages", "What gave way at a limit.", lambda one: one.stored.discarded),
    ("counter", "stream_lost_messages", "What was lost with damage on the disk.", lambda one: one.stored.lost),
)
CONSUMERS: tuple[Measure[Any], ...] = (
    ("gauge", "consumer_pending_messages", "Messages still to be delivered.", lambda one: one.reader.ahead),
    ("gauge", "consumer_unacknowledged_messages", "Delivered, not acknowledged.", lambda one: len(one.state.pending)),
    ("gauge", "consumer_redelivered_messages", "Of those, delivered again.", lambda one: len(one.state.deliveries)),
    ("counter", "consumer_deliveries", "Messages that were delivered.", lambda one: one.state.delivered[0]),
)
ARCHIVES: tuple[Measure[Any], ...] = (
    ("gauge", "archive_up", "Whether a stream's database takes its messages.", lambda one: not one.fault),
    ("gauge", "archive_lag_messages", "What a stream's database does not have yet.", lambda one: one.lag),
    ("counter", "archive_copied_messages", "What a stream's database was given.", lambda one: one.copied),
    (
        "counter",
        "archive_missed_messages",
        "What the stream let go before its database had it.",
        lambda one: one.missed,
    ),
)


def archived(service: "StreamService") -> Sequence[tuple[tuple[str, ...], Any]]:
    return [((one.settings.account, one.settings.stream), one) for one in service.archives]


def within(most: int, found: Sequence[tuple[tuple[str, ...], Any]]) -> Sequence[tuple[tuple[str, ...], Any]]:
    """What is found, with label values of its own for so many."""
    return [(key if place < most else (OTHERS,) * len(key), one) for place, (key, one) in enumerate(found)]


def stream_families(service: "StreamService | None", store: "StreamStore | None") -> Iterator[Family]:
    """Of the database also where only store-and-forward uses it."""
    if store is not None:
        yield from _database(store)
    if service is None:
        return
    accounts = list(service.accounts.values())
    yield counter("stream_api_requests", "Requests to the API of streams.", sum(one.requests for one in accounts))
    yield counter("stream_api_errors", "Requests that it refused.", sum(one.faults for one in accounts))
    yield from measured(ARCHIVES, ("account", "stream"), within(MOST_STREAMS, archived(service)))
    streams = [(one.account.name, stream) for one in accounts for stream in one.streams.values()]
    labels = ("account", "stream")
    yield from measured(STREAMS, labels, within(MOST_STREAMS, [((name, one.name), one) for name, one in streams]))
    consumers = [
        ((name, stream.name, one.name), one)
        for name, stream in streams
        for one in stream.consumers.values()
        # Those without a name of their own come and go, and so would their labels.
        if one.config.durable_name and not one.config.is_hidden
    ]
    yield from measured(CONSUMERS, ("account", "stream", "consumer"), within(MOST_CONSUMERS, consumers))


def _database(store: "StreamStore") -> Iterator[Family]:
    told = store.statistics()
    yield gauge("streams_fault", "Whether streams cannot be written now.", told.obstacle is not None)
    yield counter("streams_commits", "Commits that brought something to the streams' disk.", told.commits)
    yield counter("streams_commit_seconds", "Time that commits took.", told.commit_seconds)
    yield counter("streams_written_bytes", "Bytes of messages that were written.", told.stored_bytes)
    yield gauge("streams_used_bytes", "What the streams take on the disk.", told.used_bytes)
    yield gauge("streams_pending_bytes", "What waits to be written.", told.pending_bytes)
    yield counter("streams_refused_messages", "Messages there was no room for.", told.refused)
    yield counter("streams_damaged_chunks", "Pieces of streams that could not be read.", told.damaged_chunks)
