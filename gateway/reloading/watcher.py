"""Watcher: has the configuration read again when one of its files has changed.

It compares what the files are (gateway.settings.watched_files) every now and then: that sees new content, files that
were replaced, and links that were turned, on every file system.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from gateway.settings.watched_files import Marks


POLL_SECONDS = 1.0
# Who writes a file may not be done with it, or with another one that belongs to it.
SETTLE_SECONDS = 0.3


class Watcher:
    """`reload` is called with the files that have changed; `is_wanted` says whether anything is to be done at all.
    `catch_up` is called once everything is watched: what is in force was read a while before.
    """

    def __init__(
        self,
        path: Path,
        reload: Callable[[Sequence[str]], Awaitable[object]],
        catch_up: Callable[[], Awaitable[None]],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._path = path
        self._reload = reload
        self._catch_up = catch_up
        self._is_wanted = is_wanted

    async def run(self) -> None:
        """Watch until cancelled."""
        # Not at once: those who wait for the start come first.
        await trio.sleep(POLL_SECONDS)
        known = await self._look()
        if self._is_wanted():
            await self._catch_up()
        while True:
            await trio.sleep(POLL_SECONDS)
            if not self._is_wanted():
                continue
            found = await self._look()
            if found == known:
                continue
            found = await self._settled(found)
            files = changed_files(known, found)
            known = found
            await self._reload(files)

    async def _settled(self, found: "Marks") -> "Marks":
        """The marks once nothing changes any more."""
        while True:
            await trio.sleep(SETTLE_SECONDS)
            again = await self._look()
            if again == found:
                return found
            found = again

    async def _look(self) -> "Marks":
        return await trio.to_thread.run_sync(look, self._path, abandon_on_cancel=True)


def look(path: Path) -> "Marks":
    """The marks of a configuration file and all that it names."""
    from gateway.settings.watched_files import marks, watched_paths  # The start does without.

    return marks(watched_paths(path))


def changed_files(old: "Marks", new: "Marks") -> list[str]:
    """Those that came, went or are others."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
