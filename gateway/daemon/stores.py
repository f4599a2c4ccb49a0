"""Stores: what is written to the disk, by threads of its own. Started on the loop, and waited for at the end."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from gateway.assembly import Gateway
from gateway.transport.host_loop import HostLoop

if TYPE_CHECKING:
    from gateway.storage.streams.store import StreamStore


class Stores:
    """The journal and the streams of a gateway; those of a data directory, and those in memory."""

    def __init__(self, gateway: Gateway, loop: HostLoop) -> None:
        self._gateway = gateway
        self._loop = loop
        self._started: list[StreamStore] = []
        self._giving_way: list[Callable[[], None]] = []

    async def begin(self) -> None:
        """Write from now on what is to outlive the process. Nothing can be acknowledged before."""
        storage, streams = self._gateway.storage, self._gateway.streams
        if storage is None:
            return
        storage.journal.start(self._loop.call_soon_threadsafe, self._gateway.runtime.switch.flush)
        # Before anything is acknowledged: a first run that ended without it would leave the next one to begin with
        # another wall clock.
        storage.clock.tick()
        self._let_write(storage.journal.give_way)
        if streams is not None:
            # What they acknowledge is in a database of its own, and ages by this clock, too.
            await self._written(storage.journal.when_attempted)
            self.start(streams)

    async def serve_streams(self) -> None:
        """Serve streams, before anybody can come who asks for them."""
        service = self._gateway.stream_service
        if service is None:
            return
        self.start(service.memory)
        for account in [*self._gateway.accounts.values()]:
            await service.open(account)
        service.begin()

    def make_memory_streams(self) -> "StreamStore":
        """Streams that end with the process, started."""
        from gateway.storage.streams.store import StreamStore

        streams = StreamStore(None)
        self.start(streams)
        return streams

    def start(self, streams: "StreamStore") -> None:
        """Have streams written; those that are already stay as they are."""
        if streams in self._started:
            return
        self._started.append(streams)
        streams.start(self._loop.call_soon_threadsafe, self._gateway.runtime.switch.flush, self._loop.call_soon)
        self._let_write(streams.give_way)

    async def end(self) -> None:
        """Wait until everything is on the disk or cannot be written, but not for ever."""
        storage, streams = self._gateway.storage, self._gateway.streams
        if storage is None:
            return
        storage.clock.save()
        async with trio.open_nursery() as writing:
            writing.start_soon(self._written, storage.journal.when_attempted)
            if streams is not None:
                writing.start_soon(self._written, streams.commits.when_attempted)

    async def _written(self, when_attempted: Callable[[Callable[[], None]], None]) -> None:
        """Wait until what is noted in a store is on the disk or cannot be written, but not for ever."""
        written = trio.Event()
        when_attempted(written.set)
        with trio.move_on_after(self._gateway.settings.timeouts.drain_seconds):
            await written.wait()

    def _let_write(self, give_way: Callable[[], None]) -> None:
        self._giving_way.append(give_way)
        self._loop.before_wait = self._give_way

    def _give_way(self) -> None:
        """Let threads that write have the interpreter's lock."""
        for give_way in self._giving_way:
            give_way()
