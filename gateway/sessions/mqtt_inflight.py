"""Inflight: QoS 1 messages on their way to one MQTT client: sent and not yet acknowledged, and those that wait."""

from collections import deque
from typing import NamedTuple

LAST_PACKET_ID = 65_535


class Delivery(NamedTuple):
    """A message as the client is to get it."""

    topic: bytes
    payload: bytes
    retain: bool = False


class Inflight:
    """At most `window` messages are sent and unacknowledged; at most `max_queued` wait, with `max_bytes` of payload."""

    __slots__ = ("_last_id", "_queue", "_queued_bytes", "_sent", "max_bytes", "max_queued", "window")

    def __init__(self, window: int, max_queued: int, max_bytes: int) -> None:
        self.window = window
        self.max_queued = max_queued
        self.max_bytes = max_bytes
        self._last_id = 0
        self._sent: set[int] = set()
        self._queued_bytes = 0
        self._queue: deque[Delivery] | None = None

    def add(self, delivery: Delivery) -> int | None:
        """The packet id to send the message with now; 0 when it was queued, None when there is no room for it."""
        if not self._queue and len(self._sent) < self.window:
            return self._take_id()
        if self._queue is None:
            self._queue = deque()
        size = len(delivery.payload)
        if len(self._queue) >= self.max_queued or self._queued_bytes + size > self.max_bytes:
            return None
        self._queue.append(delivery)
        self._queued_bytes += size
        return 0

    def acknowledge(self, packet_id: int) -> list[tuple[int, Delivery]]:
        """Take an acknowledgement; returns what is to be sent now, with packet ids."""
        self._sent.discard(packet_id)
        ready: list[tuple[int, Delivery]] = []
        while self._queue and len(self._sent) < self.window:
            delivery = self._queue.popleft()
            self._queued_bytes -= len(delivery.payload)
            ready.append((self._take_id(), delivery))
        return ready

    def _take_id(self) -> int:
        """A packet id that is not in use; there is one, for the window holds no more than there are."""
        packet_id = self._last_id % LAST_PACKET_ID + 1
        while packet_id in self._sent:
            packet_id = packet_id % LAST_PACKET_ID + 1
        self._last_id = packet_id
        self._sent.add(packet_id)
        return packet_id
