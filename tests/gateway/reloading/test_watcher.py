"""The configuration is read again once its files are others and have come to rest."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.reloading.watcher import POLL_SECONDS, SETTLE_SECONDS, Watcher, changed_files

MARK = ("/a", 1, 2, 3, 4)


def test_files_that_came_went_or_changed_are_named():
    old = {"a": MARK, "b": MARK, "c": None, "d": MARK}
    new = {"a": MARK, "b": None, "c": MARK, "e": MARK}
    assert changed_files(old, new) == ["b", "c", "d", "e"]


class Rig:
    def __init__(self, directory: Path) -> None:
        self.file = directory / "leafgate.toml"
        self.file.write_text("")
        self.is_wanted = True
        self.reloads: list[Sequence[str]] = []
        self.caught_up = 0
        self.watcher = Watcher(self.file, self._reload, self._catch_up, lambda: self.is_wanted)

    async def _catch_up(self) -> None:
        self.caught_up += 1

    async def _reload(self, files: Sequence[str]) -> None:
        self.reloads.append(files)


@asynccontextmanager
async def watching(clock: MockClock, directory: Path) -> AsyncIterator[Rig]:
    rig = Rig(directory)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.watcher.run)
        await settled()
        await passes(clock, POLL_SECONDS)
        yield rig
        nursery.cancel_scope.cancel()


async def settled() -> None:
    """Nothing goes on any more, in threads neither."""
    await wait_all_tasks_blocked()
    while trio.to_thread.current_default_thread_limiter().borrowed_tokens:
        await wait_all_tasks_blocked()


async def passes(clock: MockClock, seconds: float) -> None:
    clock.jump(seconds)
    await settled()


async def test_change_is_read_once_it_has_come_to_rest(mock_clock: MockClock, tmp_path: Path):
    async with watching(mock_clock, tmp_path) as rig:
        await passes(mock_clock, POLL_SECONDS)
        assert rig.reloads == []
        rig.file.write_text("a")
        await passes(mock_clock, POLL_SECONDS)
        rig.file.write_text("a = 1")
        await passes(mock_clock, SETTLE_SECONDS)
        assert rig.reloads == []
        await passes(mock_clock, SETTLE_SECONDS)
        assert rig.reloads == [[str(rig.file)]]
        await passes(mock_clock, POLL_SECONDS)
        assert len(rig.reloads) == 1
        assert rig.caught_up == 1


async def test_nobody_looks_where_it_is_not_wanted(mock_clock: MockClock, tmp_path: Path):
    async with watching(mock_clock, tmp_path) as rig:
        rig.is_wanted = False
        rig.file.write_text("a = 1")
        for _ in range(3):
            await passes(mock_clock, POLL_SECONDS)
        assert rig.reloads == []
        rig.is_wanted = True
        await passes(mock_clock, POLL_SECONDS)
        await passes(mock_clock, SETTLE_SECONDS)
        assert rig.reloads == [[str(rig.file)]]
