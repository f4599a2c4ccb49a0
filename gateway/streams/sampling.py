"""Sampling: of some acknowledgements it is told how long they took (`sample_freq` of a consumer)."""

import random

from gateway.streams.consumer_check import percentage_of
from gateway.streams.roles import Delivering
from gateway.streams.times import SECOND
from protocols.nats.stream_replies import Delivery

ALL = 100


def tell_some(consumer: Delivering, delivery: Delivery, deadline: float, now: float) -> None:
    """Tell of an acknowledgement that came before its deadline, if it is its turn."""
    percentage = percentage_of(consumer.config.sample_freq)
    if not percentage or random.randrange(ALL) > percentage:
        return
    begun = deadline - consumer.patience(delivery.deliveries)
    consumer.measure(
        consumer_seq=delivery.number,
        stream_seq=delivery.sequence,
        ack_time=max(int((now - begun) * SECOND), 0),
        deliveries=delivery.deliveries,
    )
