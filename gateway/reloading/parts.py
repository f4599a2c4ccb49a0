"""Parts of the gateway that become others with the configuration, beside the doors (gateway.doors.reception)."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import trio

from gateway.accounts.users import ConfiguredAdmission
from gateway.doors.securing import check_tls, open_tls
from gateway.reloading.reloader import Step
from gateway.settings.listener import Listener
from gateway.settings.schema import Config

if TYPE_CHECKING:
    from gateway.monitoring.service import MonitoringService
    from gateway.transport.tls_contexts import ServerTls


class Call:
    """A step for which nothing is prepared."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.apply = call

    def abandon(self) -> None:
        """There is nothing to undo."""


class Section:
    """A part with nothing to prepare: once another configuration is in force, `changed` is called with it where one of
    these fields differs.
    """

    def __init__(self, fields: tuple[str, ...], changed: Callable[[Config], None]) -> None:
        self._fields = fields
        self._changed = changed

    async def prepare(self, old: Config, new: Config) -> Step | None:
        if all(getattr(old, field) == getattr(new, field) for field in self._fields):
            return None
        return Call(partial(self._changed, new))


class AdmissionPart:
    """Who may come in. Credentials are looked at anew even where the configuration says the same: files may not."""

    def __init__(self, admission: ConfiguredAdmission) -> None:
        self._admission = admission

    async def prepare(self, old: Config, new: Config) -> Step | None:
        if new.challenges:
            # It takes its time, which nobody shall wait for.
            await trio.to_thread.run_sync(import_module, "nacl.signing")
        return Call(self._admission.apply)


class TlsPart:
    """TLS of the listeners, in the dictionary in which their doors find it. All files are looked at, those of links
    too; what has changed in them holds for the next connections.
    """

    def __init__(self, listeners: "dict[Listener, ServerTls]") -> None:
        self._listeners = listeners

    async def prepare(self, old: Config, new: Config) -> Step | None:
        if not (old.speaks_tls or new.speaks_tls):
            return None
        opened = await trio.to_thread.run_sync(self._open, new)
        self._listeners |= opened
        return TlsChange(self._listeners, old, new)

    def _open(self, config: Config) -> "dict[Listener, ServerTls]":
        """What is new, with all the rest checked and refreshed. Blocks for the disk; raises ConfigError."""
        check_tls(config)
        opened = open_tls(config)
        for listener in opened.keys() & self._listeners.keys():
            self._listeners[listener].refresh()
            del opened[listener]
        return opened


class TlsChange:
    """TLS of two configurations; that of one goes."""

    def __init__(self, listeners: "dict[Listener, ServerTls]", old: Config, new: Config) -> None:
        self._listeners = listeners
        self._old = old
        self._new = new

    def apply(self) -> None:
        self._keep(self._new)

    def abandon(self) -> None:
        self._keep(self._old)

    def _keep(self, config: Config) -> None:
        for listener in self._listeners.keys() - set(config.listeners):
            del self._listeners[listener]


class BuffersPart:
    """What is stored and forwarded. The first that needs the disk has the database opened, by `open_store`, which
    blocks for it; `changed` is as in Section.
    """

    def __init__(self, open_store: Callable[[Config], None], changed: Callable[[Config], None]) -> None:
        self._open_store = open_store
        self._changed = changed

    async def prepare(self, old: Config, new: Config) -> Step | None:
        if old.store_and_forward == new.store_and_forward and old.uplinks == new.uplinks:
            return None
        await trio.to_thread.run_sync(self._open_store, new)
        return Call(partial(self._changed, new))


class MonitoringPart:
    """The monitoring service; another one takes its place where address or TLS are others.

    `find` finds it, `make` makes another one, and `replace` puts that in its place; None is for none.
    """

    def __init__(
        self,
        find: "Callable[[], MonitoringService | None]",
        make: "Callable[[Config], MonitoringService | None]",
        replace: "Callable[[MonitoringService | None], None]",
    ) -> None:
        self._find = find
        self._make = make
        self._replace = replace

    async def prepare(self, old: Config, new: Config) -> Step | None:
        before, now = old.monitoring, new.monitoring
        if (before.address, before.tls) == (now.address, now.tls):
            return None
        there, service = self._find(), self._make(new)
        change = MonitoringChange(there, service, self._replace)
        if service is not None:
            shared = there is not None and there.port == now.port
            try:
                if there is not None and shared:
                    there.share_port(True)
                await trio.to_thread.run_sync(service.open, now, shared)
            except BaseException:
                change.abandon()
                raise
        return change


class MonitoringChange:
    """Another monitoring service, whose socket is open."""

    def __init__(
        self,
        there: "MonitoringService | None",
        service: "MonitoringService | None",
        replace: "Callable[[MonitoringService | None], None]",
    ) -> None:
        self._there = there
        self._service = service
        self._replace = replace

    def apply(self) -> None:
        self._replace(self._service)

    def abandon(self) -> None:
        if self._there is not None:
            self._there.share_port(False)
        if self._service is not None:
            self._service.close()
