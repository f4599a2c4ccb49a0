"""Events of the NATS decoders as plain values, so that lists of them can be compared however the input was cut."""

from collections.abc import Iterable
from itertools import groupby, pairwise

from protocols.errors import PeerViolation
from protocols.message import Burst, Message
from protocols.nats.framing import Framing, Refused
from protocols.nats.heartbeats import Ping, Pong


def plain(events: Iterable[object]) -> list[object]:
    """One entry per message or event; how messages are grouped into bursts and heartbeats into runs does not show, nor
    in which order the heartbeats of one run came: the decoder does not tell.
    """
    found: list[object] = []
    for event in events:
        if isinstance(event, Burst):
            found += [_message(message) for message in event.messages()]
        elif isinstance(event, Message):
            found.append(_message(event))
        elif isinstance(event, Ping | Pong):
            found += [type(event)()] * event.count
        elif isinstance(event, Refused):
            found.append(("refused", _message(event.message)))
        else:
            found.append(event)
    ordered: list[object] = []
    for _, row in groupby(found, lambda one: isinstance(one, Ping | Pong)):
        # Of other events none is a Pong, and they stay as they are.
        ordered += sorted(row, key=lambda one: isinstance(one, Pong))
    return ordered


def _message(message: Message) -> tuple[object, ...]:
    return (message.subject, message.make_tail(), message.header_size, message.size, message.reply, message.queues)


def decode(decoder: Framing, pieces: Iterable[bytes]) -> list[object]:
    return plain([event for piece in pieces for event in decoder.receive(piece)])


def violation(events: list[object]) -> PeerViolation:
    """The violation with which the events end; there is no other."""
    assert not any(isinstance(event, PeerViolation) for event in events[:-1])
    last = events[-1]
    assert isinstance(last, PeerViolation)
    return last


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces, cut at every place that lies in it."""
    edges = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]
