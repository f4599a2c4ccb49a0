"""The load engine: publishers send prebuilt chunks as fast as a bounded lead lets them, receivers only count bytes.

One thread, non-blocking sockets and epoll; per-message work happens in the server under test alone.
"""

import itertools
import operator
import select
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from byte_streams import Stream
from machine import LoadError

CHUNK_BYTES = 64 * 1024
# How far publishing may run ahead of the slowest receiver: far below any server's limit for slow consumers. A shorter
# lead keeps a server's queues in the processor's caches and so flatters it; a publisher in the field has none at all.
LEAD_BYTES = 8 * 1024 * 1024
STANDSTILL_SECONDS = 30.0
# What a server's own PINGs may add to what a receiver gets.
_PINGS_BYTES = 64


@dataclass(frozen=True)
class Chunk:
    """Whole publications in the bytes of the wire, and what comes of them: the bytes due to each receiver."""

    data: bytes
    due: Sequence[int]
    deliveries: int

    @classmethod
    def of(cls, data: bytes, messages: int, delivery_bytes: int, receivers: int) -> "Chunk":
        """Messages that all receivers get, each delivery of the same size."""
        return cls(data, (messages * delivery_bytes,) * receivers, messages * receivers)


@dataclass
class Publisher:
    """A connection and the chunks it sends, until there are no more."""

    stream: Stream
    chunks: Iterator[Chunk]
    ended: bool = False
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))

    @classmethod
    def of(
        cls, stream: Stream, publication: bytes, delivery_bytes: int, receivers: int = 1, frames: bool = False
    ) -> "Publisher":
        """Repeats one publication in chunks of 64 KiB; each, or with `frames` each message, is one frame."""
        messages = CHUNK_BYTES // len(publication)
        if frames:
            data = b"".join(stream.wrap(publication) for _ in range(messages))
        else:
            data = stream.wrap(publication * messages)
        return cls(stream, itertools.repeat(Chunk.of(data, messages, delivery_bytes, receivers)))


class Flow:
    """Publishers and receivers, whose deliveries are known in bytes: nothing may be lost."""

    def __init__(self, publishers: Sequence[Publisher], receivers: Sequence[Stream], lead_bytes: int) -> None:
        self._publishers = {publisher.stream.socket.fileno(): publisher for publisher in publishers}
        self._receivers = {stream.socket.fileno(): (at, stream) for at, stream in enumerate(receivers)}
        self._lead = max(lead_bytes, len(publishers) * CHUNK_BYTES) - CHUNK_BYTES
        self._due = [0] * len(receivers)
        self._received = [0] * len(receivers)
        # How far the slowest receiver is behind, in bytes.
        self._behind = 0
        self._published = 0
        self._buffer = memoryview(bytearray(1 << 20))
        self._waiting: set[int] = set()
        self._epoll = select.epoll()
        for stream in [*(each.stream for each in publishers), *receivers]:
            stream.socket.setblocking(False)
            self._epoll.register(stream.socket.fileno(), select.EPOLLIN)

    def run(self, seconds: float) -> float:
        """Publish for that long or to the chunks' end, wait until all has arrived, and return deliveries per second.

        Raises LoadError when a message is lost or the server gives up on a connection.
        """
        before = self._published
        begin = last = now = time.perf_counter()
        end = begin + seconds
        while self._publishing(now < end) or self._behind > 0:
            sending = self._send(now < end)
            if self._receive(0 if sending else 0.2):
                last = time.perf_counter()
            now = time.perf_counter()
            if now - last > STANDSTILL_SECONDS:
                raise LoadError(f"traffic stands still: {self._behind:,} of {max(self._due):,} bytes have not arrived")
        if min(map(operator.sub, self._due, self._received)) < -_PINGS_BYTES:
            raise LoadError("more arrived than was published")
        return (self._published - before) / (last - begin)

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
                if not publishing or publisher.ended or self._behind > self._lead:
                    continue
                chunk = next(publisher.chunks, None)
                if chunk is None:
                    publisher.ended = True
                    continue
                publisher.unsent = memoryview(chunk.data)
                self._published += chunk.deliveries
                self._due = [before + more for before, more in zip(self._due, chunk.due, strict=True)]
                self._look_behind()
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
        """One read from each socket that has something; tells whether a receiver got some."""
        grew = False
        for fd, _ in self._epoll.poll(timeout):
            if fd in self._waiting:
                self._waiting.discard(fd)
                self._epoll.modify(fd, select.EPOLLIN)
            if fd not in self._receivers:
                self._listen_to_publisher(self._publishers[fd])
                continue
            at, stream = self._receivers[fd]
            try:
                count = stream.socket.recv_into(self._buffer)
            except BlockingIOError:  # A part of a TLS record.
                continue
            if not count:
                raise LoadError(f"the server closed a receiver at byte {self._received[at]:,} of {self._due[at]:,}")
            self._received[at] += stream.payload_size(self._buffer[:count])
            grew = True
        if grew:
            self._look_behind()
        return grew

    def _look_behind(self) -> None:
        self._behind = max(map(operator.sub, self._due, self._received))

    def _listen_to_publisher(self, publisher: Publisher) -> None:
        try:
            data = publisher.stream.socket.recv(65536)
        except BlockingIOError:
            return
        if not data or b"-ERR" in data:
            raise LoadError(f"the server refused a publisher: {data[:200]!r}")
