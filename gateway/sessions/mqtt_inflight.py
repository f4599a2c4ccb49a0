"""Inflight: QoS 1 messages on their way to one MQTT client: sent and not yet acknowledged, and those that wait."""

from collections import deque

LAST_PACKET_ID = 65_535


class Inflight:
    """At most `window` messages are sent and unacknowledged, at most `queue_limit` wait for their turn."""

    __slots__ = ("_last_id", "_queue", "_sent", "queue_limit", "window")

    def __init__(self, window: int, queue_limit: int) -> None:
        self.window = window
        self.queue_limit = queue_limit
        self._last_id = 0
        self._sent: set[int] = set()
        self._queue: deque[tuple[bytes, bytes]] | None = None

    def add(self, topic: bytes, payload: bytes) -> int | None:
        """The packet id to send the message with now; 0 when it was queued, None when the queue is full."""
        packet_id = None if self._queue else self.take_id()
        if packet_id is not None:
            return packet_id
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) >= self.queue_limit:
            return None
        self._queue.append((topic, payload))
        return 0

    def take_id(self) -> int | None:
        """A packet id that is not in use, or None while the window is full."""
        if len(self._sent) >= self.window:
            return None
        packet_id = self._last_id
        while True:
            packet_id = packet_id % LAST_PACKET_ID + 1
            if packet_id not in self._sent:
                break
        self._last_id = packet_id
        self._sent.add(packet_id)
        return packet_id

    def acknowledge(self, packet_id: int) -> list[tuple[int, bytes, bytes]]:
        """Take an acknowledgement; returns what may be sent now, as (packet id, topic, payload)."""
        self._sent.discard(packet_id)
        ready: list[tuple[int, bytes, bytes]] = []
        while self._queue:
            next_id = self.take_id()
            if next_id is None:
                break
            topic, payload = self._queue.popleft()
            ready.append((next_id, topic, payload))
        return ready
