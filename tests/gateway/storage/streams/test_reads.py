"""Reads from the disk, as those who read see it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.storage.streams.reads import Connected, Read
from gateway.storage.streams.schema import FILE_NAME
from tests.gateway.storage.streams.running_store import durable, opened

COUNT = "SELECT count(*) FROM chunk"


class SlowRead(Read):
    """Looks twice, and somebody else writes between."""

    def __init__(self, connected: Connected, directory: Path) -> None:
        super().__init__(connected, 1)
        self._directory = directory
        self.counts: list[int] = []

    def read(self, connection: sqlite3.Connection) -> None:
        self._look(connection)
        with closing(sqlite3.connect(self._directory / FILE_NAME, isolation_level=None)) as other:
            other.execute("DELETE FROM chunk")
        self._look(connection)

    def _look(self, connection: sqlite3.Connection) -> None:
        (count,) = connection.execute(COUNT).fetchone()
        self.counts.append(count)


async def test_a_read_sees_what_one_commit_has_left(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        for _ in range(3):
            stream.append(b"a", b"", b"")
            await durable(store)
        for counts in ([3, 3], [0, 0]):
            read = SlowRead(store.reading.connected, tmp_path)
            read.run()
            assert (read.error, read.counts) == (None, counts)
