"""Sends each message once before it is sent at speed: every delivery is checked, and its size is known from then on."""

from collections.abc import Iterator, Sequence

from machine import LoadError
from measures import Client, delivered_size
from mixed_messages import Message
from traffic import CHUNK_BYTES, Chunk

_PROBE = b"does it arrive?"


class Rehearsal:
    """A publisher and those who receive from it: one audience for all messages, or one for each of their lines."""

    def __init__(self, publisher: Client, audiences: Sequence[Sequence[Client]]) -> None:
        self._publisher = publisher
        self._audiences = audiences

    def chunks(self, messages: Sequence[Message], frames: bool = False) -> list[Chunk]:
        """What to send for these messages; with `frames` each is a WebSocket frame of its own.

        Raises LoadError when a receiver gets anything but its messages, each once and in order.
        """
        for line, audience in enumerate(self._audiences):
            subject = next(each.subject for each in messages if each.line == line or len(self._audiences) == 1)
            delivered_size(self._publisher, audience, _PROBE, subject)
        return [self._chunk(block, frames) for block in self._blocks(messages)]

    def _blocks(self, messages: Sequence[Message]) -> Iterator[list[tuple[Message, bytes]]]:
        """Messages and their publications, as many as a chunk holds."""
        block: list[tuple[Message, bytes]] = []
        size = 0
        for message in messages:
            publication = self._publisher.publication(message.subject, message.payload)
            if size + len(publication) > CHUNK_BYTES:
                yield block
                block, size = [], 0
            block.append((message, publication))
            size += len(publication)
        yield block

    def _chunk(self, block: Sequence[tuple[Message, bytes]], frames: bool) -> Chunk:
        stream = self._publisher.stream
        publications = [publication for _, publication in block]
        data = b"".join(map(stream.wrap, publications)) if frames else stream.wrap(b"".join(publications))
        stream.socket.sendall(data)
        due: list[int] = []
        deliveries = 0
        for line, audience in enumerate(self._audiences):
            expected = [message for message, _ in block if message.line == line or len(self._audiences) == 1]
            due += [_take(receiver, expected) for receiver in audience]
            deliveries += len(expected) * len(audience)
        return Chunk(data, due, deliveries)


def _take(receiver: Client, expected: Sequence[Message]) -> int:
    """The size of these deliveries together, which come in this order."""
    found: list[bytes] = []
    rest = b""
    while len(found) < len(expected):
        try:
            more, rest = receiver.split(rest + receiver.stream.receive())
        except TimeoutError:
            raise LoadError(f"{len(found)} of {len(expected)} messages of the rehearsal arrived") from None
        found += more
    if len(found) > len(expected):
        raise LoadError(f"{len(found)} messages of the rehearsal arrived instead of {len(expected)}")
    for message, delivery in zip(expected, found, strict=True):
        if (
            not delivery.removesuffix(b"\r\n").endswith(message.payload)
            or receiver.name(message.subject) not in delivery
        ):
            raise LoadError(f"{message.subject} was due, {delivery[:80]!r} came")
    return sum(map(len, found))
