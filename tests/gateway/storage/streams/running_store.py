"""What the tests of the streams share: a running store, and ways to wait for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stored_message import StoredMessage
from gateway.storage.streams.stream import Stream


@asynccontextmanager
async def opened(directory: Path | None, **options: Any) -> AsyncIterator[StreamStore]:
    """A store that runs."""
    store = StreamStore(directory, **options)
    store.start(trio.lowlevel.current_trio_token().run_sync_soon, nothing)
    try:
        yield store
    finally:
        assert store.close()


def nothing() -> None:
    pass


async def durable(store: StreamStore) -> None:
    """Wait until everything noted so far is on the disk."""
    done = trio.Event()
    store.commits.when_durable(done.set)
    await done.wait()


async def settled(store: StreamStore) -> None:
    """Wait until nothing is left to write."""
    while store.commits.awaited() is not None:
        await durable(store)


async def attempted(store: StreamStore) -> None:
    """Wait until everything noted is on the disk, or a further attempt has failed."""
    done = trio.Event()
    store.commits.when_attempted(done.set)
    await done.wait()


async def read_all(stream: Stream, first: int = 1) -> list[StoredMessage]:
    """Everything that there is, read in several slices."""
    found: list[StoredMessage] = []
    while first <= stream.committed:
        messages, behind = await stream.read(first, 100, 1 << 16)
        assert behind > first
        first = behind
        found += messages
    return found
