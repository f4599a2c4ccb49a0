"""Archive history: what a stream has let go, read from the database that it is copied into."""

import logging

import trio

from gateway.runtime.identity import Names
from gateway.settings.archive import Archive
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.archive_database import ArchiveDatabase, ArchiveError, Wanted
from gateway.streams.served_stream import ServedStream

log = logging.getLogger("leafgate.streams")

# So many look at the database at a time, each with a connection of its own.
AT_A_TIME = 2


class ArchiveHistory:
    """Of one stream. `read` raises ArchiveError."""

    def __init__(self, settings: Archive, names: Names) -> None:
        self._settings = settings
        self._names = names
        self._places = trio.CapacityLimiter(AT_A_TIME)

    async def read(self, stream: ServedStream, wanted: Wanted) -> tuple[list[StoredMessage], int]:
        """Messages in order, and where to go on."""
        async with self._places:
            try:
                return await trio.to_thread.run_sync(self._read, stream.name, stream.created, wanted)
            except ArchiveError as error:
                log.warning("event=archive-not-read stream=%s reason=%r", stream.name, str(error))
                raise

    def _read(self, name: str, created: int, wanted: Wanted) -> tuple[list[StoredMessage], int]:
        """In a thread."""
        settings = self._settings
        database = ArchiveDatabase(settings.database.value, settings.table, settings.partition_days, writes=False)
        try:
            number = database.find(self._names.server_name, settings.account, name, created)
            return database.read(number, wanted) if number else ([], wanted.end)
        finally:
            database.close()
