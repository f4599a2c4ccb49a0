"""The load engine: publishers send prebuilt chunks as fast as a bounded lead lets them, receivers only count bytes.

One thread, non-blocking sockets and epoll; per-message work happens in the server under test alone.
"""

import itertools
import select
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from machine import LoadError
from streams import Stream

CHUNK_BYTES = 64 * 1024
# How far publishing may run ahead of the slowest receiver: far below any server's limit for slow consumers. A shorter
# lead keeps a server's queues in the processor's caches and so flatters it; a publisher in the field has none at all.
LEAD_BYTES = 8 * 1024 * 1024
STANDSTILL_SECONDS = 5.0


@dataclass
class Publisher:
    """A connection and the chunks it sends, each of `messages` whole publications, until there are no more."""

    stream: Stream
    chunks: Iterator[bytes]
    messages: int
    ended: bool = False
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))

    @classmethod
    def of(cls, stream: Stream, publication: bytes, frames: bool = False) -> "Publisher":
        """A publisher of 64 KiB chunks; on a WebSocket each is one frame, or with `frames` one frame a publication."""
        messages = CHUNK_BYTES // len(publication)
        if frames:
            chunk = b"".join(stream.wrap(publication) for _ in range(messages))
        else:
            chunk = stream.wrap(publication * messages)
        return cls(stream, itertools.repeat(chunk), messages)


@dataclass
class Receiver:
    """A connection whose every delivery has the same known size."""

    stream: Stream
    delivery_bytes: int
    received_bytes: int = 0

    @property
    def messages(self) -> int:
        return self.received_bytes // self.delivery_bytes


class Flow:
    """Publishers and receivers of one subject: every message goes to every receiver."""

    def __init__(self, publishers: Sequence[Publisher], receivers: Sequence[Receiver], lead_bytes: int) -> None:
        self._publishers = {publisher.stream.socket.fileno(): publisher for publisher in publishers}
        self._receivers = {receiver.stream.socket.fileno(): receiver for receiver in receivers}
        self._lead = max(lead_bytes // receivers[0].delivery_bytes, sum(each.messages for each in publishers))
        self._published = 0
        self._slowest = 0
        self._buffer = memoryview(bytearray(1 << 20))
        self._waiting: set[int] = set()
        self._epoll = select.epoll()
        for fd, connection in (self._publishers | self._receivers).items():
            connection.stream.socket.setblocking(False)
            self._epoll.register(fd, select.EPOLLIN)

    @property
    def delivered(self) -> int:
        """Messages received so far, all receivers together."""
        return sum(receiver.messages for receiver in self._receivers.values())

    def run(self, seconds: float) -> float:
        """Publish for that long or to the chunks' end, wait until all has arrived, and return deliveries per second.

        Raises LoadError when a message is lost or the server gives up on a connection.
        """
        before = self.delivered
        begin = last = now = time.perf_counter()
        end = begin + seconds
        while self._publishing(now < end) or self._slowest < self._published:
            sending = self._send(now < end)
            if self._receive(0 if sending else 0.2):
                last = time.perf_counter()
            now = time.perf_counter()
            if now - last > STANDSTILL_SECONDS:
                raise LoadError(f"traffic stands still: {self._slowest} of {self._published} messages arrived")
        return (self.delivered - before) / (last - begin)

    def close(self) -> None:
        self._epoll.close()

    def _publishing(self, in_time: bool) -> bool:
        return any((in_time and not each.ended) or each.unsent for each in self._publishers.values())

    def _send(self, publishing: bool) -> bool:
        """Give every publisher one turn; tells whether one could go on sending at once."""
        sent = False
        for fd, publisher in self._publishers.items():
            if fd in self._waiting:
                continue
            if not publisher.unsent:
                if (
                    not publishing
                    or publisher.ended
                    or self._published + publisher.messages > self._slowest + self._lead
                ):
                    continue
                chunk = next(publisher.chunks, None)
                if chunk is None:
                    publisher.ended = True
                    continue
                publisher.unsent = memoryview(chunk)
                self._published += publisher.messages
            try:
                count = publisher.stream.socket.send(publisher.unsent)
            except BlockingIOError:
                count = 0
            publisher.unsent = publisher.unsent[count:]
            if publisher.unsent:
                self._waiting.add(fd)
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
            else:
                sent = True
        return sent

    def _receive(self, timeout: float) -> bool:
        """One read from each socket that has something; tells whether a receiver's count grew."""
        grew = False
        for fd, _ in self._epoll.poll(timeout):
            if fd in self._waiting:
                self._waiting.discard(fd)
                self._epoll.modify(fd, select.EPOLLIN)
            receiver = self._receivers.get(fd)
            if receiver is None:
                self._listen_to_publisher(self._publishers[fd])
                continue
            count = receiver.stream.socket.recv_into(self._buffer)
            if not count:
                raise LoadError(f"the server closed a receiver at message {receiver.messages} of {self._published}")
            receiver.received_bytes += receiver.stream.payload_size(self._buffer[:count])
            grew = True
        if grew:
            self._slowest = min(receiver.messages for receiver in self._receivers.values())
        return grew

    def _listen_to_publisher(self, publisher: Publisher) -> None:
        try:
            data = publisher.stream.socket.recv(65536)
        except BlockingIOError:
            return
        if not data or b"-ERR" in data:
            raise LoadError(f"the server refused a publisher: {data[:200]!r}")
