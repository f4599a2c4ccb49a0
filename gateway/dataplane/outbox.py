"""Outbox: the bytes on their way to one peer; appended to per message, sent once per batch (hot)."""

from typing import Protocol

from protocols.message import Buffer

# Appending this much without a flush would let one batch with a large fan-out grow without bound.
FLUSH_AT = 1 << 20
# Many small chunks cost more memory than their bytes; a blocked outbox joins them when they reach this.
COMPACT_AT = 1 << 16
# From this many bytes on pieces are sent without joining them, if they are not too many (the system takes 1024).
GATHER_FROM = 1 << 14
GATHER_MOST = 1000
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


class Switch:
    """What the outboxes of one gateway share: which of them the current batch touched, and which are congested."""

    __slots__ = ("congested", "touched")

    def __init__(self) -> None:
        self.touched: list[Outbox] = []
        self.congested: list[Outbox] = []

    def flush(self) -> None:
        """Send what the batch appended, one send per touched connection.

        An outbox that fails ends its own connection, not the one whose batch this is.
        """
        touched = self.touched
        if not touched:
            return
        self.touched = []
        for outbox in touched:
            try:
                outbox.flush()
            except Exception as error:  # noqa: BLE001 - an encoder's own mistake, which its sink logs
                outbox.close()
                outbox.sink.failed(error)


class Outbox:
    """Bytes waiting for one peer, at most `limit` of them.

    `encode`, if set, turns the bytes of one flush into wire bytes (a WebSocket frame). When the peer takes no more,
    what is left waits in blocks until `resume`. Counts messages and bytes appended through `append`.
    """

    __slots__ = (
        "_blocks",
        "_chunks",
        "_queued",
        "_unsent",
        "closed",
        "encode",
        "limit",
        "out_bytes",
        "out_messages",
        "sink",
        "switch",
        "touched",
    )

    def __init__(self, sink: Sink, switch: Switch, limit: int) -> None:
        self.sink = sink
        self.switch = switch
        self.limit = limit
        self.encode: object = None
        self.closed = False
        self.touched = False
        self.out_messages = 0
        self.out_bytes = 0
        self._chunks: list[Buffer] = []
        self._queued = 0
        self._blocks: list[bytes | memoryview] | None = None
        self._unsent = 0

    def append(self, head: bytes, tail: bytes, size: int) -> None:
        """Queue one message of `size` bytes of header and payload, written as `head` and `tail`."""
        chunks = self._chunks
        chunks.append(head)
        chunks.append(tail)
        self.out_messages += 1
        self.out_bytes += size
        self._queued += len(head) + len(tail)
        if not self.touched:
            self.touched = True
            self.switch.touched.append(self)
        if self._queued > FLUSH_AT:
            self._flush_early()

    def append_burst(self, pieces: list[Buffer], wire_size: int, count: int, size: int) -> None:
        """Queue `count` messages, together `size` bytes of header and payload, as `wire_size` wire bytes in pieces."""
        self._chunks.extend(pieces)
        self.out_messages += count
        self.out_bytes += size
        self._queued += wire_size
        if not self.touched:
            self.touched = True
            self.switch.touched.append(self)
        if self._queued > FLUSH_AT:
            self._flush_early()

    def write(self, data: bytes) -> None:
        """Queue bytes that are no message: protocol control."""
        if self.closed:
            return
        self._chunks.append(data)
        self._queued += len(data)
        if not self.touched:
            self.touched = True
            self.switch.touched.append(self)
        if self._queued > FLUSH_AT:
            self._flush_early()

    def write_wire(self, data: bytes) -> None:
        """Queue bytes that go out as they are, not through `encode`, behind everything queued so far."""
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
            if self._queued >= GATHER_FROM and len(self._chunks) <= GATHER_MOST and self.encode is None:
                self._send_gathered()
            else:
                self._send(self._take())

    def resume(self) -> bool:
        """Send on after the peer took bytes; False when nothing waits any more."""
        while self._unsent and not self.closed:
            assert self._blocks is not None
            block = self._blocks[0]
            sent = self.sink.send(block)
            if self.closed:
                break
            self._unsent -= sent
            if sent < len(block):
                self._blocks[0] = memoryview(block)[sent:]
                return True
            del self._blocks[0]
            if not self._blocks and self._queued:
                self._append_block()
        self._blocks = None
        return False

    def close(self) -> None:
        """Drop what waits; nothing is accepted any more."""
        self.closed = True
        self._chunks.clear()
        self._blocks = None
        self._queued = self._unsent = 0

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
        if pending > self.limit:
            self.close()
            self.sink.overrun()
        elif pending > CONGESTED_AT:
            self.switch.congested.append(self)

    def _flush_early(self) -> None:
        """Flush in the middle of a batch; the outbox stays in the list of touched ones, where a flush does no harm."""
        if self.closed:
            self._chunks.clear()
            self._queued = 0
            return
        self.flush()
        self.touched = True
