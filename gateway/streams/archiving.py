"""Archiving: a stream is copied into a database, from where that ends. While the database is away the stream takes
messages as before; when it is back it gets what the stream still has.
"""

import logging
import time

import trio

from gateway.runtime.identity import Names
from gateway.settings.archive import Archive
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.account_streams import AccountStreams
from gateway.streams.archive_database import ArchiveDatabase, ArchiveError
from gateway.streams.archive_history import ArchiveHistory
from gateway.streams.served_stream import ServedStream

log = logging.getLogger("leafgate.streams")

MESSAGES_AT_ONCE, BYTES_AT_ONCE = 2000, 4 << 20
# What is read in one go.
READ_MESSAGES, READ_BYTES = 500, 512 << 10
# How long to wait for more, and before a database that is away is tried again.
GATHER_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# What is told of a gap: messages that the stream let go before the database had them.
MISSED = "the stream let go what the database never had"


class Archiving:
    """One stream. `last` is the last sequence that the database has; `copied` and `missed` count messages since the
    start, `fault` says why the database takes nothing now. `history` reads what it has.
    """

    def __init__(self, settings: Archive, names: Names) -> None:
        self.settings = settings
        self.history = ArchiveHistory(settings, names)
        self.last = self.copied = self.missed = 0
        self.fault = ""
        self._names = names
        self._database: ArchiveDatabase | None = None
        self._stream: ServedStream | None = None
        self._number = 0
        # The last sequence of what is just being written, and who waits until it is.
        self._in_hand = 0
        self._written = trio.Event()

    async def written(self, end: int) -> None:
        """Return once nothing in front of a sequence is just being written."""
        while self.last < end - 1 and self._in_hand > self.last:
            await self._written.wait()

    @property
    def lag(self) -> int:
        """How many messages the database does not have yet."""
        return self._stream.stored.count_from(self.last + 1) if self._stream is not None else 0

    async def run(self, home: AccountStreams) -> None:
        """For ever."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._copy(home)
                pause = FIRST_PAUSE
                await trio.sleep(GATHER_SECONDS)
            except ArchiveError as error:
                await self._fail(str(error))
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _copy(self, home: AccountStreams) -> None:
        """Copy what there is; nothing while there is no such stream."""
        stream = home.streams.get(self.settings.stream)
        if stream is None:
            return
        if self._database is None or stream is not self._stream:
            await self._begin(stream)
        stored = stream.stored
        while self.last < stored.committed:
            messages = await self._gather(stream)
            if not messages:
                self.last = stored.committed
                return
            if messages[0].sequence > self.last + 1 and stored.first > self.last + 1:
                self.missed += stored.first - self.last - 1
                log.warning("event=archive-gap stream=%s first=%d reason=%r", stream.name, self.last + 1, MISSED)
            begun = time.monotonic()
            self._in_hand = messages[-1].sequence
            try:
                await trio.to_thread.run_sync(self._add, messages)
                self.last = messages[-1].sequence
            finally:
                self._in_hand = 0
                self._written.set()
                self._written = trio.Event()
            self.copied += len(messages)
            log.debug("event=archived count=%d seconds=%.3f", len(messages), time.monotonic() - begun)

    async def _begin(self, stream: ServedStream) -> None:
        settings, names = self.settings, self._names
        await self._close()

        def connect() -> tuple[ArchiveDatabase, int, int]:
            database = ArchiveDatabase(settings.database.value, settings.table, settings.partition_days)
            try:
                return database, *database.begin(names.server_name, settings.account, stream.name, stream.created)
            except BaseException:
                database.close()
                raise

        self._database, self._number, self.last = await trio.to_thread.run_sync(connect)
        self._stream = stream
        self.fault = ""
        log.info("event=archive-open stream=%s table=%s last=%d", stream.name, settings.table, self.last)

    async def _gather(self, stream: ServedStream) -> list[StoredMessage]:
        """The next messages, as many as are copied at once."""
        found: list[StoredMessage] = []
        first, size = self.last + 1, 0
        while first <= stream.stored.committed and len(found) < MESSAGES_AT_ONCE and size < BYTES_AT_ONCE:
            messages, first = await stream.stored.read(first, READ_MESSAGES, READ_BYTES)
            found += messages
            size += sum(message.size for message in messages)
        return found

    def _add(self, messages: list[StoredMessage]) -> None:
        """In a thread."""
        assert self._database is not None
        self._database.add(self._number, messages)

    async def _fail(self, reason: str) -> None:
        if not self.fault:
            log.warning("event=archive-away stream=%s reason=%r", self.settings.stream, reason)
        self.fault = reason
        await self._close()

    async def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            await trio.to_thread.run_sync(database.close)
