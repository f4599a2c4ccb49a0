"""A consumer in a snapshot: its configuration and its state, as nats-server writes them."""

import msgspec

from gateway.streams.consumer import Consumer
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import ConsumerState, StoredState
from protocols import foreign_json


class Pair(msgspec.Struct):
    """A sequence of the consumer and one of the stream."""

    consumer_seq: int = 0
    stream_seq: int = 0


class ArchivedPending(msgspec.Struct):
    Sequence: int = 0
    Timestamp: int = 0


class ArchivedState(msgspec.Struct, omit_defaults=True):
    """By sequences of the stream: what is on its way, and how often that was delivered again."""

    delivered: Pair = msgspec.field(default_factory=Pair)
    ack_floor: Pair = msgspec.field(default_factory=Pair)
    pending: dict[int, ArchivedPending] = msgspec.field(default_factory=dict)
    redelivered: dict[int, int] = msgspec.field(default_factory=dict)


class ArchivedConsumer(msgspec.Struct):
    config: ConsumerConfig
    state: ArchivedState


def archive_consumer(consumer: Consumer) -> bytes:
    """What a snapshot has of a consumer."""
    state = consumer.state
    pending = {one: ArchivedPending(pending.number) for one, pending in state.pending.items()}
    redelivered = {one: count - 1 for one, count in state.deliveries.items() if one in state.pending}
    told = ArchivedState(pair(state.delivered), pair(state.floor), pending, redelivered)
    return msgspec.json.encode({"config": consumer.config.told(), "state": told})


def pair(numbers: tuple[int, int]) -> Pair:
    return Pair(numbers[0], max(numbers[1], 0))


def read_consumer(text: bytes, now: float) -> tuple[ConsumerConfig, ConsumerState]:
    """A consumer as it was, what is on its way to be delivered again at once. Raises msgspec.DecodeError."""
    found = foreign_json.decode(text, ArchivedConsumer)
    told = found.state
    delivered = told.delivered.consumer_seq, told.delivered.stream_seq
    floor = told.ack_floor.consumer_seq, told.ack_floor.stream_seq
    pending = sorted((sequence, one.Sequence) for sequence, one in told.pending.items())
    deliveries = {sequence: count + 1 for sequence, count in told.redelivered.items()}
    state = ConsumerState(1)
    state.load(StoredState(delivered, floor, delivered[1] + 1, pending, deliveries), now)
    return found.config, state
