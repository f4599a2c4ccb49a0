"""Retained messages on their way to a new subscription: in slices, so that a million of them hold up nobody."""

import logging
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import trio

from gateway.accounts.account import Account
from gateway.runtime.logs import shown
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import TURN_SECONDS
from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.message import Message
from protocols.mqtt import packets
from protocols.mqtt.topics import parse_shared_filter
from protocols.topic_mapping import filter_to_subjects

log = logging.getLogger("leafgate.mqtt")

# Messages in one turn at most, and between two looks at the clock.
SLICE = 500
IN_A_ROW = 16
# How long a client that takes no more is left alone.
PAUSE_SECONDS = 0.01
# Without acknowledgements there may be room all the same, when the disk has caught up.
PATIENCE_SECONDS = 1.0


class Retained(NamedTuple):
    """A message as the client is to get it; `expires_at` in seconds of the account's clock, 0.0 for never."""

    message: Message
    qos: int
    identifier: int
    expires_at: float


class FedClient(Protocol):
    """A client that is connected."""

    connection: Connection


class FedSession(Protocol):
    """What a feed must know of the session that it feeds."""

    runtime: Runtime
    account: Account
    client_id: bytes

    @property
    def client(self) -> FedClient | None: ...

    def deliver_retained(self, message: Message, qos: int, identifier: int, expires_at: float) -> bool:
        """Send a retained message; False when it has to wait for room."""


class RetainedFeed:
    """What one session is still to get. The first slice is sent at once, the rest by a task of its own."""

    __slots__ = ("_current", "_held_back", "_room", "_running", "_source", "_stopped", "_wanted", "session")

    def __init__(self, session: FedSession) -> None:
        self.session = session
        # By topic filter, so that there are no more than subscriptions; and the one that is being served.
        self._wanted: dict[bytes, tuple[packets.Subscription, int]] = {}
        self._source: tuple[packets.Subscription, int] | None = None
        self._current: Iterator[Message | None] | None = None
        self._held_back: Retained | None = None
        self._room: trio.Event | None = None
        self._running = False
        self._stopped = False

    def add(self, wanted: packets.Subscription, identifier: int) -> None:
        """Feed what is retained for a subscription; shared ones get nothing [MQTT-4.8.2]."""
        if parse_shared_filter(wanted.topic_filter) is not None:
            return
        self._wanted[wanted.topic_filter] = (wanted, identifier)
        if not self._running and not self._step():
            self._running = True
            self.session.runtime.spawn(self._run)

    def cancel(self, topic_filter: bytes) -> None:
        """There is no such subscription any more [MQTT-3.10.4-2]."""
        self._wanted.pop(topic_filter, None)
        if self._source is not None and self._source[0].topic_filter == topic_filter:
            self._source = self._current = self._held_back = None
            self.wake()

    def wake(self) -> None:
        """There is room for more."""
        if self._room is not None:
            self._room.set()

    def stop(self) -> None:
        self._stopped = True
        self.wake()

    async def _run(self) -> None:
        try:
            await self._feed()
        except Exception:
            log.exception("event=retained-feed-failed client-id=%s", shown(self.session.client_id))
            if self.session.client is not None and not self._stopped:
                self.session.client.connection.close(CloseReason.INTERNAL_ERROR)
        finally:
            self._running = False

    async def _feed(self) -> None:
        switch = self.session.runtime.switch
        while not self._stopped and not self._step():
            switch.flush()
            client = self.session.client
            if self._held_back is None or client is None:
                await self.session.runtime.turns.turn()
            elif self._held_back.qos:
                self._room = trio.Event()
                with trio.move_on_after(PATIENCE_SECONDS):
                    await self._room.wait()
            else:
                await client.connection.relieved()
                await trio.sleep(PAUSE_SECONDS)
                await self.session.runtime.turns.turn()
        switch.flush()

    def _step(self) -> bool:
        """Send a turn's worth; True when nothing is left."""
        clock = self.session.runtime.turns.clock
        until = clock() + TURN_SECONDS
        if self._held_back is not None:
            # What was set meanwhile has reached the client already: nothing older may follow it.
            kept = self.session.account.retained.get(self._held_back.message.subject)
            self._held_back = self._offer(kept) if kept is not None else None
        for count in range(1, SLICE + 1):
            if self._stopped:
                return True
            if count % IN_A_ROW == 0 and clock() > until:
                return False
            if self._held_back is None:
                if self._current is None:
                    if not self._wanted:
                        return True
                    self._source = self._wanted.pop(next(iter(self._wanted)))
                    self._current = self._find(self._source[0])
                try:
                    found = next(self._current)
                except StopIteration:
                    self._source = self._current = None
                    continue
                if found is None:  # The search has gone a long way and found nothing.
                    return False
                self._held_back = self._offer(found)
            if not self.session.deliver_retained(*self._held_back):
                return False
            self._held_back = None
        return False

    def _offer(self, message: Message) -> Retained:
        assert self._source is not None
        wanted, identifier = self._source
        expires_at = self.session.account.retained.expires_at(message.subject)
        return Retained(message, min(wanted.qos, message.qos), identifier, expires_at)

    def _find(self, wanted: packets.Subscription) -> Iterator[Message | None]:
        for subject in filter_to_subjects(wanted.topic_filter) or ():
            for message in self.session.account.retained.matching(subject):
                # A filter that begins with a wildcard does not match topics that begin with $ [MQTT-4.7.2-1].
                if message is None or not (message.subject.startswith(b"$") and subject.startswith((b"*", b">"))):
                    yield message
            yield from self.session.account.told(subject)
