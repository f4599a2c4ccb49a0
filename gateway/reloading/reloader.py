"""Reloader: reads the configuration again and puts it in force, all of it or nothing.

What can fail is done first: the file and what it names are read, and every part of the gateway that the change concerns
prepares it, opens sockets say. Only then all of them apply it, in one go.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import trio

from gateway.errors import ConfigError, GatewayError
from gateway.settings.live import Settings
from gateway.settings.schema import Config, load_config

if TYPE_CHECKING:
    from gateway.settings.difference import Change

log = logging.getLogger("leafgate")

NO_FILE = "the gateway runs without a file"


class Step(Protocol):
    """A change that is prepared. One of these is called, once."""

    def apply(self) -> None:
        """Put it in force; nothing can fail any more."""

    def abandon(self) -> None:
        """Undo the preparation: something else cannot be changed."""


class Part(Protocol):
    """A part of the gateway that has something of the configuration."""

    async def prepare(self, old: Config, new: Config) -> Step | None:
        """Get ready for another configuration, with nothing changed yet; None where there is nothing to do.

        Raises GatewayError.
        """


class Outcome(msgspec.Struct, frozen=True):
    """What came of it. With a `reason` the configuration was refused and nothing changed; `is_fault` says whether the
    file is wrong, or something that time may heal.
    """

    changes: "tuple[Change, ...]" = ()
    reason: str = ""
    is_fault: bool = False

    @property
    def is_good(self) -> bool:
        return not self.reason


def _nothing() -> None:
    """Nobody wants to know."""


class Reloader:
    """`fault` says why the last configuration was refused, and is empty once one was good. `renew` looks at everybody
    who is there after a change; `changed` is called behind it with the configuration before. `begins` and `ends` are
    called around each reload, whatever comes of it.
    """

    def __init__(
        self,
        path: Path | None,
        settings: Settings,
        parts: Sequence[Part],
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        # The directory in which the gateway was started may not be the one it is in later.
        self.path = path.absolute() if path is not None else None
        self.fault = ""
        self.loaded_at = time.time()
        self._settings = settings
        self._parts = parts
        self._renew = renew
        self._one_at_a_time = trio.Lock()
        self.begins: Callable[[], None] = _nothing
        self.ends: Callable[[], None] = _nothing

    async def reload(self, files: Sequence[str] = ()) -> Outcome:
        """Read the file again and put it in force. `files` are those that are known to have changed, for the log."""
        async with self._one_at_a_time:
            self.begins()
            try:
                return await self._reload(files)
            finally:
                self.ends()

    async def _reload(self, files: Sequence[str]) -> Outcome:
        try:
            config, changes = await self._read()
            steps = await self._prepare(config)
        except GatewayError as error:
            reason = " ".join(str(error).split())
            self.fault = reason
            log.error("event=reload-refused reason=%r", reason)
            return Outcome(reason=reason, is_fault=isinstance(error, ConfigError))
        self._settings.replace(config)
        for step in steps:
            try:
                step.apply()
            except Exception:
                # The others must go on: half of a configuration in force is worse.
                log.exception("event=reload-failed")
        from gateway.settings.difference import summary

        self.fault = ""
        self.loaded_at = time.time()
        await self._renew()
        log.info(
            "event=reloaded changed=%r%s",
            summary(changes) or "nothing",
            f" files={', '.join(files)!r}" if files else "",
        )
        return Outcome(tuple(changes))

    async def catch_up(self) -> None:
        """Reload where the file does not say what is in force."""
        found = await self.foretell()
        if found.changes or found.reason:
            await self.reload()

    async def foretell(self) -> Outcome:
        """What `reload` would change, as far as the file tells."""
        try:
            return Outcome(tuple((await self._read())[1]))
        except GatewayError as error:
            return Outcome(reason=str(error), is_fault=isinstance(error, ConfigError))

    async def _read(self) -> "tuple[Config, list[Change]]":
        if self.path is None:
            raise ConfigError(NO_FILE)
        config, changes = await trio.to_thread.run_sync(read, self.path, self._settings.config)
        from gateway.settings.difference import fixed_change

        before = self._settings.config.authentication
        fixed = fixed_change(changes, bool(before.operator and config.authentication.operator))
        if fixed is not None:
            sentence = f"cannot be changed while the gateway runs ({fixed.text}); restart it"
            raise ConfigError(f"{self.path}: {fixed.key}: {sentence}")
        return config, changes

    async def _prepare(self, config: Config) -> list[Step]:
        steps: list[Step] = []
        try:
            for part in self._parts:
                step = await part.prepare(self._settings.config, config)
                if step is not None:
                    steps.append(step)
        except BaseException:
            for step in reversed(steps):
                step.abandon()
            raise
        return steps


def read(path: Path, before: Config) -> "tuple[Config, list[Change]]":
    """The configuration in the file and how it differs. Blocks for the disk; raises ConfigError."""
    from gateway.settings.difference import difference  # The start does without.

    config = load_config(path)
    return config, difference(before, config)
