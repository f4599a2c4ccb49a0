"""The sending half of a session: what waits, what is on its way, and what is to be sent again (README.md, 4)."""

import math
from collections import deque

WINDOW = 32
# A retransmission is never sooner, never later.
SHORTEST_TIMEOUT = 0.020
LONGEST_TIMEOUT = 2.0
FIRST_TIMEOUT = 0.2


class Outgoing:
    """One DATA frame that is not acknowledged. `order` counts transmissions on the line, `wire` the bytes it takes."""

    __slots__ = ("acknowledged", "lost", "order", "payload", "sent_at", "seq", "tries", "wire")

    def __init__(self, seq: int, payload: bytes) -> None:
        self.seq = seq
        self.payload = payload
        self.order = 0
        self.sent_at = 0.0
        self.tries = 0
        self.wire = 0
        self.acknowledged = False
        self.lost = False


class Sender:
    """At most `limit` bytes wait and are on their way together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pending_bytes = 0
        self.retransmissions = 0
        self._waiting = bytearray()
        self._flight: deque[Outgoing] = deque()
        self._flight_payload = 0
        self._flight_wire = 0
        self._next_seq = 0
        self._edge = 0  # Payload bytes behind the acknowledged ones that the peer has room for.
        self._order = 0
        self._lost = 0
        self._smoothed: float | None = None
        self._floor = SHORTEST_TIMEOUT
        self._backoff = 1.0
        self._timeout_at = math.inf

    def push(self, data: bytes | memoryview) -> int:
        taken = min(len(data), self.limit - self.pending_bytes)
        if taken > 0:
            self._waiting += data[:taken]
            self.pending_bytes += taken
        return max(taken, 0)

    def set_baud(self, baud: int, mtu: int) -> None:
        """A frame must have time to cross the line, and its acknowledgement to come back."""
        self._floor = SHORTEST_TIMEOUT + 30 * (mtu + 9) / baud

    def opened(self, resumed: bool) -> None:
        """What is on its way may have gone astray with the line."""
        self._backoff = 1.0
        if resumed:
            for frame in self._flight:
                self._lose(frame)

    def ready(self, mtu: int, line_buffer: int) -> bool:
        """Whether there is a frame to send that the peer has room for."""
        if self._lost:
            return True
        if not self._waiting or len(self._flight) >= WINDOW:
            return False
        size = min(len(self._waiting), mtu)
        if self._flight_payload + size > self._edge:
            if not self._edge - self._flight_payload:
                return False
            # A smaller frame would fit, but only into a window that will not open further by itself.
            return self._flight_payload == 0
        return self._flight_wire == 0 or self._flight_wire + size + 9 <= line_buffer

    def next_frame(self, now: float, mtu: int) -> Outgoing | None:
        """The frame to send; call only when `ready`."""
        if self._lost:
            frame = next(frame for frame in self._flight if frame.lost)
            self._lost -= 1
            frame.lost = False
            self.retransmissions += 1
        else:
            size = min(len(self._waiting), mtu, self._edge - self._flight_payload)
            frame = Outgoing(self._next_seq, bytes(self._waiting[:size]))
            del self._waiting[:size]
            self._next_seq = (self._next_seq + 1) & 0xFF
            self._flight.append(frame)
            self._flight_payload += size
        self._order += 1
        frame.order = self._order
        frame.sent_at = now
        frame.tries += 1
        if self._timeout_at == math.inf:
            self._restart(now)
        return frame

    def sent(self, frame: Outgoing, wire: int) -> None:
        """The frame takes `wire` bytes of the line."""
        frame.wire = wire
        self._flight_wire += wire

    def acknowledged(self, ack: int, credit: int, bitmap: bytes, now: float) -> None:
        """The peer has everything before `ack`, and what the bitmap (0 or 4 bytes) says."""
        flight = self._flight
        count = (ack - (flight[0].seq if flight else self._next_seq)) & 0xFF
        if count > len(flight):
            return  # Of another time: nothing that was sent has this number.
        newest: Outgoing | None = None
        for _ in range(count):
            frame = flight.popleft()
            if not frame.acknowledged:
                self._arrived(frame)
                newest = later(newest, frame)
            self._flight_payload -= len(frame.payload)
            self.pending_bytes -= len(frame.payload)
        self._edge = credit
        bits = int.from_bytes(bitmap[:4], "little")
        for index in range(1, min(len(flight), WINDOW + 1)):
            frame = flight[index]
            if bits >> (index - 1) & 1 and not frame.acknowledged:
                self._arrived(frame)
                newest = later(newest, frame)
        if newest is None:
            return
        if newest.tries == 1:  # Karn: who knows which copy of a repeated one is meant.
            elapsed = now - newest.sent_at
            self._smoothed = elapsed if self._smoothed is None else self._smoothed + (elapsed - self._smoothed) / 8
        # A line keeps the order: what was sent before something that arrived, and did not arrive, is lost.
        for frame in flight:
            if frame.order < newest.order and not frame.acknowledged:
                self._lose(frame)
        self._backoff = 1.0
        self._restart(now)

    def on_deadline(self, now: float) -> None:
        if now < self._timeout_at:
            return
        self._backoff *= 2
        for frame in self._flight:
            if not frame.acknowledged:
                self._lose(frame)
                break
        self._restart(now)

    def next_deadline(self) -> float:
        return self._timeout_at

    def blocked(self) -> bool:
        """Whether only the peer's lack of room keeps bytes from being sent."""
        return bool(self._waiting) and not self._flight

    def _arrived(self, frame: Outgoing) -> None:
        frame.acknowledged = True
        if frame.lost:
            frame.lost = False
            self._lost -= 1
        else:
            self._flight_wire -= frame.wire

    def _lose(self, frame: Outgoing) -> None:
        if not frame.lost and not frame.acknowledged:
            frame.lost = True
            self._lost += 1
            self._flight_wire -= frame.wire

    def _restart(self, now: float) -> None:
        if not self._flight:
            self._timeout_at = math.inf
            return
        wait = FIRST_TIMEOUT if self._smoothed is None else 2 * self._smoothed + 0.010
        self._timeout_at = now + min(max(wait, self._floor) * self._backoff, LONGEST_TIMEOUT)


def later(one: Outgoing | None, other: Outgoing) -> Outgoing:
    return other if one is None or other.order > one.order else one
