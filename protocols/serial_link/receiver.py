"""The receiving half of a session: puts frames in order, and knows what is to be acknowledged when (README.md, 4)."""

import math

WINDOW = 32
ACKNOWLEDGE_EVERY = 4
ACKNOWLEDGE_SECONDS = 0.010


class Receiver:
    """`capacity` bytes of the stream may be held by who receives them, `Receiver.consumed` gives them back."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.expected = 0
        self.acknowledge_at = math.inf
        self._held = 0
        self._early: dict[int, bytes] = {}
        self._unacknowledged = 0
        self._told_room = capacity

    def receive(self, seq: int, payload: bytes, now: float) -> list[bytes]:
        """A DATA frame has come; returns what is now in order."""
        distance = (seq - self.expected) & 0xFF
        if distance:
            if distance <= WINDOW and seq not in self._early:
                self._early[seq] = payload
            self.acknowledge_soon(now, at_once=True)  # A gap, or a repetition whose acknowledgement was lost.
            return []
        ready = [payload]
        self.expected = (seq + 1) & 0xFF
        filled = bool(self._early)
        while self.expected in self._early:
            ready.append(self._early.pop(self.expected))
            self.expected = (self.expected + 1) & 0xFF
        self._held += sum(map(len, ready))
        self._unacknowledged += 1
        self.acknowledge_soon(now, at_once=filled or self._unacknowledged >= ACKNOWLEDGE_EVERY)
        return ready

    def consumed(self, size: int) -> None:
        self._held -= size

    def credit(self) -> int:
        """Bytes behind `expected` that there is room for; what came early takes of it, for it lies behind as well."""
        return max(self.capacity - self._held, 0)

    def window_grew(self) -> bool:
        """Whether the peer must hear of new room: half of all of it has come free since it was told."""
        return self.credit() - self._told_room >= self.capacity // 2

    def gaps(self) -> bool:
        return bool(self._early)

    def bitmap(self) -> bytes:
        """Which of the 32 frames behind the expected one are here; empty for none."""
        bits = 0
        for seq in self._early:
            bits |= 1 << ((seq - self.expected - 1) & 0xFF)
        return bits.to_bytes(4, "little") if bits else b""

    def acknowledge_soon(self, now: float, at_once: bool = False) -> None:
        when = now if at_once else now + ACKNOWLEDGE_SECONDS
        self.acknowledge_at = min(self.acknowledge_at, when)

    def acknowledgement_sent(self, complete: bool) -> None:
        """The peer is told what is here; not `complete` when it was without the bitmap."""
        self._told_room = self.credit()
        if complete or not self._early:
            self.acknowledge_at = math.inf
            self._unacknowledged = 0
