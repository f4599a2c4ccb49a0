"""What the tests of the storage share: a running journal, and ways to wait for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing

from gateway.storage.journal import Journal
from gateway.storage.session_store import SessionStore
from gateway.storage.stored_session import QueuedMessage


@asynccontextmanager
async def running(journal: Journal) -> AsyncIterator[None]:
    journal.start(trio.lowlevel.current_trio_token().run_sync_soon, nothing)
    try:
        yield
    finally:
        assert journal.stop()


def nothing() -> None:
    pass


async def drain(journal: Journal) -> None:
    """Wait until everything noted is on the disk, or a further attempt has failed."""
    attempted = trio.Event()
    journal.when_attempted(attempted.set)
    await attempted.wait()


async def durable(journal: Journal) -> None:
    """Wait until everything noted so far is on the disk."""
    done = trio.Event()
    journal.when_durable(done.set)
    await done.wait()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- what changes it has no event
        await trio.sleep(0.01)


async def page(
    sessions: SessionStore, key: int, after: int = 0, rows: int = 1000, size: int = 1 << 20
) -> list[QueuedMessage]:
    """Read one page."""
    send, receive = trio.open_memory_channel[list[QueuedMessage]](1)
    sessions.read_page(key, after, rows, size, send.send_nowait)
    return await receive.receive()


def commit(journal: Journal) -> None:
    """Bring everything to the disk, outside of trio."""

    async def write() -> None:
        async with running(journal):
            await durable(journal)

    trio.run(write, clock=trio.testing.MockClock(autojump_threshold=0))
