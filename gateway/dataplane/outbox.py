"""Outbox: the bytes on their way to one peer; appended to per message, sent once per batch (hot)."""

import time
from collections.abc import Callable
from typing import Protocol

from protocols.message import Buffer

# Appending this much without a flush would let one batch with a large fan-out grow without bound.
FLUSH_AT = 1 << 20
# Many small chunks cost more memory than their bytes; a blocked outbox joins them when they reach this.
COMPACT_AT = 1 << 16
# From this many bytes on pieces are sent without joining them, if they have so many bytes each on average: the system
# takes longer to look at a small piece than it takes to copy it (and takes 1024 of them at most).
GATHER_FROM = 1 << 14
GATHER_EACH = 2000
# A peer that reads as fast as we send gets so many bytes of what waits for it before others have their turn.
RESUMED_AT_ONCE = 1 << 20
# A message can touch thousands of outboxes: those are left that are not flushed in this time.
FLUSH_SECONDS = 0.002
# How many are flushed between two looks at the clock.
FLUSHED_IN_A_ROW = 8
# Above this a publisher is held back for a moment, see `Switch.congested`.
CONGESTED_AT = 1 << 20


class Sink(Protocol):
    """Where an outbox sends to. All methods return at once."""

    def send(self, data: bytes | memoryview) -> int:
        """Give bytes to the operating system; returns how many it took, 0 when it is full or the peer is gone."""

    def send_pieces(self, pieces: list[Buffer]) -> int:
        """Like `send`, for pieces one behind the other."""

    def start_writer(self) -> None:
        """Arrange that `Outbox.resume` is called when the peer takes bytes again."""

    def overrun(self) -> None:
        """The outbox passed its limit and has closed itself."""

    def failed(self, error: Exception) -> None:
        """What the outbox held could not be encoded; it has closed itself."""


class Memory(Protocol):
    """Who says how much may wait in all (gateway.runtime.budget)."""

    def grants(self, held: int, size: int) -> bool:
        """Whether who holds so many bytes may hold `size` more."""


class Switch:
    """What the outboxes of one gateway share: which of them the current batch touched, which were congested when they
    were flushed last, and whose batch it is, where that is somebody who can be held back.

    `pending` is how many bytes wait for peers that take none at the moment; `memory` judges how many may for one.
    `leave`, where it is set, gets those that a flush did not come to, and the index of the first: `flush_some` goes on.
    """

    __slots__ = ("clock", "congested", "leave", "memory", "pending", "publisher", "touched")

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory
        self.pending = 0
        self.touched: list[Outbox] = []
        self.congested: list[Outbox] = []
        self.publisher: object = None
        self.leave: Callable[[list[Outbox], int], None] | None = None
        self.clock: Callable[[], float] = time.perf_counter

    def flush(self) -> None:
        """Send what the batch appended, one send per touched connection.

        An outbox that fails ends its own connection, not the one whose batch this is.
        """
        touched = self.touched
        if not touched:
            return
        self.touched = []
        # Those that are still congested come again: what nobody asks for must not pile up.
        self.congested = []
        if len(touched) <= FLUSHED_IN_A_ROW or self.leave is None:
            self._flush(touched, 0, len(touched))
            return
        flushed = self.flush_some(touched, 0)
        if flushed < len(touched):
            self.leave(touched, flushed)

    def flush_some(self, touched: "list[Outbox]", start: int) -> int:
        """Flush from `start` on until FLUSH_SECONDS are over; returns the index of the first that is not."""
        count = len(touched)
        until = self.clock() + FLUSH_SECONDS
        while start < count:
            stop = min(start + FLUSHED_IN_A_ROW, count)
            self._flush(touched, start, stop)
            start = stop
            if self.clock() > until:
                break
        return start

    def _flush(self, touched: "list[Outbox]", start: int, stop: int) -> None:
        for index in range(start, stop):
            outbox = touched[index]
            count = len(self.congested)
            try:
                outbox.flush()
            except Exception as error:  # noqa: BLE001 - an encoder's own mistake, which its sink logs
                outbox.close()
                outbox.sink.failed(error)
            if len(self.congested) == count:
                outbox.publisher = None


class Outbox:
    """Bytes waiting for one peer, at most `limit` of them.

    `encode`, if set, is the session's own framing of the bytes of one flush (a WebSocket frame). When the peer takes no
    more, what is left waits in blocks until `resume`. Counts messages and bytes appended through `append`. `publisher`
    is whose batch touched it first since the last flush.
    """

    __slots__ = (
        "_blocks",
        "_chunks",
        "_counted",
        "_queued",
        "_unsent",
        "closed",
        "encode",
        "limit",
        "out_bytes",
        "out_messages",
        "publisher",
        "sink",
        "switch",
        "touched",
    )

    def __init__(self, sink: Sink, switch: Switch, limit: int) -> None:
        self.sink = sink
        self.switch = switch
        self.limit = limit
        self.encode: object = None
        self.publisher: object = None
        self.closed = False
        self.touched = False
        self.out_messages = 0
        self.out_bytes = 0
        self._chunks: list[Buffer] = []
        self._queued = 0
        self._blocks: list[bytes | memoryview] | None = None
        self._unsent = 0
        # What of it stands in the switch's sum.
        self._counted = 0

    def append(self, head: bytes, tail: bytes, size: int) -> None:
        """Queue one message of `size` bytes of header and payload, written as `head` and `tail`."""
        chunks = self._chunks
        chunks.append(head)
        chunks.append(tail)
        self.out_messages += 1
        self.out_bytes += size
        self._queued += len(head) + len(tail)
        if not self.touched:
            self._touch()
        if self._queued > FLUSH_AT:
            self._flush_early()

    def append_addressed(self, lead: bytes, address: bytes, tail: bytes, size: int) -> None:
        """Queue one message like `append`; its head is `lead`, which is equal for all receivers, and `address`."""
        chunks = self._chunks
        chunks.append(lead)
        chunks.append(address)
        chunks.append(tail)
        self.out_messages += 1
        self.out_bytes += size
        self._queued += len(lead) + len(address) + len(tail)
        if not self.touched:
            self._touch()
        if self._queued > FLUSH_AT:
            self._flush_early()

    def append_packet(self, packet: bytes, size: int) -> None:
        """Queue one message of `size` bytes of payload, written as one packet."""
        self._chunks.append(packet)
        self.out_messages += 1
        self.out_bytes += size
        self._queued += len(packet)
        if not self.touched:
            self._touch()
        if self._queued > FLUSH_AT:
            self._flush_early()

    def append_burst(self, pieces: list[Buffer], wire_size: int, count: int, size: int) -> None:
        """Queue `count` messages, together `size` bytes of header and payload, as `wire_size` wire bytes in pieces."""
        self._chunks.extend(pieces)
        self.out_messages += count
        self.out_bytes += size
        self._queued += wire_size
        if not self.touched:
            self._touch()
        if self._queued > FLUSH_AT:
            self._flush_early()

    def write(self, data: bytes) -> None:
        """Queue bytes that are no message: protocol control."""
        if self.closed:
            return
        self._chunks.append(data)
        self._queued += len(data)
        if not self.touched:
            self._touch()
        if self._queued > FLUSH_AT:
            self._flush_early()

    def write_wire(self, data: bytes) -> None:
        """Queue bytes that the session has framed itself, behind everything queued so far."""
        if self.closed or not data:
            return
        self.flush()
        if self.closed:
            return
        if self._blocks is not None:
            if self._queued:
                self._append_block()
            self._blocks.append(data)
            self._unsent += len(data)
            self._check()
        else:
            self._send(data)

    def pending(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return self._queued + self._unsent

    def flush(self) -> None:
        """Send what is queued as far as the peer takes it; the end of a batch."""
        self.touched = False
        if self.closed:
            self._chunks.clear()
            self._queued = 0
        elif self._unsent:
            self._hold()
        elif self._queued:
            if self.encode is None and self._queued >= GATHER_FROM and self._queued >= GATHER_EACH * len(self._chunks):
                self._send_gathered()
            else:
                self._send(self._take())

    def resume(self) -> bool:
        """Send on after the peer took bytes, for a turn; False when nothing waits any more."""
        most = RESUMED_AT_ONCE
        while self._unsent and not self.closed:
            assert self._blocks is not None
            block = self._blocks[0]
            sent = self.sink.send(block)
            if self.closed:
                break
            self._unsent -= sent
            if sent < len(block):
                self._blocks[0] = memoryview(block)[sent:]
                self._count(self._queued + self._unsent)
                return True
            del self._blocks[0]
            if not self._blocks and self._queued:
                self._append_block()
            most -= sent
            if most <= 0 and self._unsent:
                return True
        self._blocks = None
        self._count(0)
        return False

    def close(self) -> None:
        """Drop what waits; nothing is accepted any more."""
        self.closed = True
        self._chunks.clear()
        self._blocks = None
        self._queued = self._unsent = 0
        self._count(0)

    def _send_gathered(self) -> None:
        """Let the operating system gather the pieces: for many bytes that is cheaper than joining them."""
        sent = self.sink.send_pieces(self._chunks)
        if sent < self._queued and not self.closed:
            data = self._take()
            self._wait_with(memoryview(data)[sent:])
        self._chunks.clear()
        self._queued = 0

    def _send(self, data: bytes) -> None:
        sent = self.sink.send(data)
        if sent < len(data) and not self.closed:
            self._wait_with(memoryview(data)[sent:])

    def _wait_with(self, rest: memoryview) -> None:
        self._blocks = [rest]
        self._unsent = len(rest)
        self.sink.start_writer()
        self._check()

    def _take(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._queued = 0
        if self.encode is not None:
            data = self.encode(data)  # type: ignore[operator]
        return data

    def _touch(self) -> None:
        """The batch has something for this peer."""
        self.touched = True
        self.publisher = self.switch.publisher
        self.switch.touched.append(self)

    def _append_block(self) -> None:
        data = self._take()
        assert self._blocks is not None
        self._blocks.append(data)
        self._unsent += len(data)

    def _hold(self) -> None:
        if self._queued > COMPACT_AT:
            self._append_block()
        self._check()

    def _check(self) -> None:
        pending = self._queued + self._unsent
        self._count(pending)
        memory = self.switch.memory
        if pending > self.limit or (memory is not None and not memory.grants(pending, 0)):
            self.close()
            self.sink.overrun()
        elif pending > CONGESTED_AT:
            congested = self.switch.congested
            if not congested or congested[-1] is not self:
                congested.append(self)

    def _count(self, pending: int) -> None:
        self.switch.pending += pending - self._counted
        self._counted = pending

    def _flush_early(self) -> None:
        """Flush in the middle of a batch; the outbox stays in the list of touched ones, where a flush does no harm."""
        if self.closed:
            self._chunks.clear()
            self._queued = 0
            return
        self.flush()
        self.touched = True
