"""StreamOutlet: the messages of a stream, in order, with a place in it that is kept on the disk under a name.

Nothing is dropped while the other side is away, except by the stream's own limits, and that is counted and said.
"""

from collections.abc import Callable, Sequence

import trio

from gateway.dataplane.verdicts import FilterSet
from gateway.integrations.outlet import Batch, Outlet
from gateway.runtime.drops import Drops
from gateway.storage.streams.cursor import Cursor
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.account_streams import AccountStreams
from gateway.streams.served_stream import ServedStream
from gateway.streams.stores import INTEGRATION_PREFIX

# How often a stream is looked for that is not there.
LOOK_SECONDS = 1.0
MISSED = "the stream let go what the other side never had"
NOT_LIMITS = "has retention {}: what its consumers acknowledge would be gone; give the integration one with limits"


class StreamOutlet(Outlet):
    """`streams_of` finds the streams of its account. Of two streams that had the same name each has its own place."""

    def __init__(
        self,
        streams_of: Callable[[], AccountStreams | None],
        stream: str,
        label: str,
        subjects: Sequence[str],
        drops: Drops,
    ) -> None:
        super().__init__(drops)
        self.fault = f"there is no stream {stream}"
        self._streams_of = streams_of
        self._name = stream
        self._cursor_name = INTEGRATION_PREFIX + label
        filters = FilterSet(map(str.encode, subjects)) if subjects else None
        self._wanted = filters.matches if filters is not None else None
        self._stream: ServedStream | None = None
        self._cursor: Cursor | None = None
        self._next = 1

    async def take(self, max_messages: int, max_bytes: int) -> tuple[list[StoredMessage], int]:
        if self._stream is None or self._stream.is_closed:
            await self._find()
        stream, cursor = self._stream, self._cursor
        assert stream is not None
        assert cursor is not None
        stored = stream.stored
        while self._next <= stored.committed and not stream.is_closed:
            if stored.first > self._next:
                self.drops.count(MISSED, stored.first - self._next)
                self._next = stored.first
            found, self._next = await stored.read(self._next, max_messages, max_bytes, self._wanted)
            if found:
                return found, self._next - 1
            if not (self.out or self.held):  # Nothing of this is wanted.
                cursor.acknowledge_through(self._next - 1)
        return [], self._next - 1

    async def _find(self) -> None:
        """Wait until the stream is there, and go on with it where it was left."""
        self._leave()
        while not self._join():  # noqa: ASYNC110 -- streams tell nobody that they are there
            await trio.sleep(LOOK_SECONDS)

    def _join(self) -> bool:
        """Go on with the stream where it was left, if it is there."""
        stream = self._look()
        if stream is None:
            return False
        self.fault = ""
        self.start_anew()
        self._stream = stream
        self._cursor = stream.stored.cursor(self._cursor_name)
        self._next = self._cursor.floor + 1
        stream.stored.listeners.append(self.wake)
        return True

    def _look(self) -> ServedStream | None:
        streams = self._streams_of()
        stream = streams.streams.get(self._name) if streams is not None else None
        if stream is None:
            self.fault = f"there is no stream {self._name}"
        elif stream.config.retention != "limits":
            self.fault = f"stream {self._name} {NOT_LIMITS.format(stream.config.retention)}"
            stream = None
        return stream

    def _leave(self) -> None:
        if self._stream is not None and self.wake in self._stream.stored.listeners:
            self._stream.stored.listeners.remove(self.wake)
        self._stream = self._cursor = None

    def move(self, batch: Batch) -> None:
        if self._cursor is not None:
            self._cursor.acknowledge_through(batch.last)

    def take_back(self, batches: list[Batch], held: list[StoredMessage]) -> None:
        if self._cursor is not None:
            self._next = self._cursor.floor + 1

    @property
    def waiting(self) -> tuple[int, int]:
        """With a filter all that there is, wanted or not; bytes as messages have on the average. It is asked also while
        nothing was taken yet, because the other side is away.
        """
        if self._stream is None:
            self._join()
        if self._stream is None or self._cursor is None:
            return 0, 0
        stored = self._stream.stored
        messages = stored.count_from(self._cursor.floor + 1)
        return messages, stored.size * messages // max(stored.messages, 1)

    def close(self) -> None:
        self._leave()
        self._streams_of = nothing


def nothing() -> None:
    """Where one looks that is closed."""
