"""Retained messages on their way to a new subscription: in slices, so that a million of them hold up nobody."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import trio

from protocols.message import Message
from protocols.mqtt import packets
from protocols.mqtt.topics import parse_shared_filter
from protocols.topic_mapping import filter_to_subjects

if TYPE_CHECKING:
    from gateway.sessions.mqtt_session import MqttSession

# Messages that are sent before others have their turn.
SLICE = 500
# How long a client that takes no more is left alone.
PAUSE_SECONDS = 0.01


class Retained(NamedTuple):
    """A message as the client is to get it; `expires_at` in unix seconds, 0.0 for never."""

    message: Message
    qos: int
    identifier: int
    expires_at: float


class RetainedFeed:
    """What one session is still to get. The first slice is sent at once, the rest by a task of its own."""

    __slots__ = ("_current", "_held_back", "_room", "_running", "_stopped", "_wanted", "session")

    def __init__(self, session: "MqttSession") -> None:
        self.session = session
        self._wanted: deque[tuple[packets.Subscription, int]] = deque()
        self._current: Iterator[Retained | None] | None = None
        self._held_back: Retained | None = None
        self._room: trio.Event | None = None
        self._running = False
        self._stopped = False

    def add(self, wanted: packets.Subscription, identifier: int) -> None:
        """Feed what is retained for a subscription; shared ones get nothing [MQTT-4.8.2]."""
        if parse_shared_filter(wanted.topic_filter) is not None:
            return
        self._wanted.append((wanted, identifier))
        if not self._running and not self._step():
            self._running = True
            self.session.gateway.start_task(self._run)

    def wake(self) -> None:
        """There is room for more."""
        if self._room is not None:
            self._room.set()

    def stop(self) -> None:
        self._stopped = True
        self.wake()

    async def _run(self) -> None:
        while not self._stopped and not self._step():
            self.session.gateway.switch.flush()
            client = self.session.client
            if self._held_back is None or client is None:
                await trio.lowlevel.checkpoint()
            elif self._held_back.qos:
                self._room = trio.Event()
                await self._room.wait()
            else:
                await client.connection.relieved()
                await trio.sleep(PAUSE_SECONDS)
        self.session.gateway.switch.flush()
        self._running = False

    def _step(self) -> bool:
        """Send a slice; True when nothing is left."""
        for _ in range(SLICE):
            if self._held_back is None:
                if self._current is None:
                    if not self._wanted:
                        return True
                    self._current = self._find(*self._wanted.popleft())
                try:
                    self._held_back = next(self._current)
                except StopIteration:
                    self._current = None
                    continue
                if self._held_back is None:  # The search has gone a long way and found nothing.
                    return False
            if not self.session.deliver_retained(*self._held_back):
                return False
            self._held_back = None
        return False

    def _find(self, wanted: packets.Subscription, identifier: int) -> Iterator[Retained | None]:
        retained = self.session.account.retained
        for subject in filter_to_subjects(wanted.topic_filter) or ():
            for message in retained.matching(subject):
                if message is None:
                    yield None
                # A filter that begins with a wildcard does not match topics that begin with $ [MQTT-4.7.2-1].
                elif not (message.subject.startswith(b"$") and subject.startswith((b"*", b">"))):
                    qos = min(wanted.qos, message.qos)
                    yield Retained(message, qos, identifier, retained.expires_at(message.subject))
