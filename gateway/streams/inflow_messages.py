"""What comes for an inflow: messages of its consumer, and answers of the server that has the origin."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from gateway.dataplane.port import Port, Receiver
from protocols.message import Message

ACK_TOKENS, LONG_ACK_TOKENS = 9, 11


class Place(NamedTuple):
    """What a reply subject tells of a message: the consumer, how often it was delivered, its sequence in the stream and
    its number among what was delivered, its time, and how many follow.
    """

    consumer: bytes
    deliveries: int
    sequence: int
    number: int
    time_ns: int
    pending: int


class Made(msgspec.Struct):
    """What is answered to who makes a consumer."""

    class Error(msgspec.Struct):
        code: int = 0
        err_code: int = 0
        description: str = ""

    class Delivered(msgspec.Struct):
        stream_seq: int = 0

    class Config(msgspec.Struct):
        deliver_subject: str = ""
        ack_policy: str = ""

    error: Error | None = None
    name: str = ""
    delivered: Delivered = msgspec.field(default_factory=Delivered)
    config: Config | None = None


class InflowReceiver(Receiver):
    """Hears what comes for one inflow on a subject: answers to requests, or the messages of its consumer."""

    __slots__ = ("_take",)

    def __init__(self, subject: bytes, take: Callable[[Message], None]) -> None:
        super().__init__(Port(None), subject, b"")
        self._take = take

    def deliver(self, message: Message, source: Port) -> bool:
        self._take(message)
        return True


class Described(msgspec.Struct):
    """What is answered to who asks for a stream."""

    class State(msgspec.Struct):
        last_seq: int = 0

    error: Made.Error | None = None
    created: str = ""
    state: State = msgspec.field(default_factory=State)


def place_of(reply: bytes) -> Place | None:
    """None where the reply subject is none of a consumer's. The longer form has domain and account in front."""
    tokens = reply.split(b".")
    if tokens[:2] != [b"$JS", b"ACK"] or (len(tokens) != ACK_TOKENS and len(tokens) < LONG_ACK_TOKENS):
        return None
    lead = 3 if len(tokens) == ACK_TOKENS else 5
    numbers = tokens[lead + 1 : lead + 6]
    if not all(token.isdigit() and len(token) < 20 for token in numbers):
        return None
    return Place(tokens[lead], *map(int, numbers))
