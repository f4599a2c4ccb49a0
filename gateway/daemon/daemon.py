"""The daemon: runs a gateway's parts, and ends them in order. With gateway.assembly the only one that knows them all.

Nurseries nest by who must outlive whom: services (time, storage, monitoring) around connections and uplinks.
"""

import logging
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import Account
from gateway.accounts.renewal import renew_everybody
from gateway.assembly import Gateway
from gateway.console.requests import ConsoleRequests
from gateway.daemon.forewarning import foretell_descriptors, tell_of_plain_passwords
from gateway.daemon.parts import Parts
from gateway.daemon.stores import Stores
from gateway.doors.announcement import announce, write_ports_file
from gateway.doors.departure import say_goodbye, send_away
from gateway.doors.entrance import Entrance
from gateway.doors.reception import Reception
from gateway.doors.securing import open_monitoring_tls
from gateway.errors import ListenError
from gateway.monitoring.observer import Observer
from gateway.monitoring.sources import Sources
from gateway.runtime.logs import start_logging
from gateway.runtime.memory import collect_in_quiet_moments
from gateway.runtime.service_manager import ServiceManager
from gateway.settings.schema import Config
from gateway.system.service import SystemService
from gateway.transport.host_loop import HostLoop

# What only some configurations need is imported where it is made.
if TYPE_CHECKING:
    from gateway.monitoring.service import MonitoringService
    from gateway.reloading.reloader import Outcome, Part, Reloader

log = logging.getLogger("leafgate")

# The part of the time to drain that what has come already may take to be routed: the rest is for delivering it.
ROUTING_SHARE = 0.5

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


def begin_to_drain() -> None:
    """As whoever sends SIGUSR2 has it."""
    signal.raise_signal(signal.SIGUSR2)


class Daemon:
    """One run of a gateway, on the loop that serves its reader and its deadlines."""

    def __init__(self, gateway: Gateway, loop: HostLoop, manager: ServiceManager) -> None:
        self.gateway = gateway
        self.manager = manager
        self.stores = Stores(gateway, loop)
        self.parts = Parts(gateway, self.stores)
        self.failure: ListenError | None = None
        # For so many connections it was said whether descriptors will do.
        self._foretold = gateway.settings.config.limits.max_connections
        # What monitoring reads; the objects stay the same ones.
        self.addresses: list[tuple[str, str]] = []
        self.listener_faults: dict[str, str] = {}
        self.reception = Reception(gateway.door)
        self.started = 0.0
        self.sources: Sources
        self.system: SystemService
        self.console: ConsoleRequests
        self.monitoring: MonitoringService | None = None
        self.entrance: Entrance
        self.services: trio.Nursery
        self.reloader: Reloader | None = None

    async def run(self) -> int:
        """The whole life of the gateway, until signals end it; returns the exit status. Raises ListenError."""
        gateway, config = self.gateway, self.gateway.settings.config
        self.started = trio.current_time()
        self._answer_for_itself()
        with trio.open_signal_receiver(*SIGNALS) as signals:
            monitoring = self.monitoring = self._make_monitoring(config)
            open_monitoring = partial(monitoring.open, config.monitoring) if monitoring is not None else None
            self.entrance = Entrance(config, open_monitoring, self.listener_faults)
            self.entrance.open_at_once()
            self.addresses += self.entrance.addresses()
            async with trio.open_nursery() as services:
                self.services = services
                services.start_soon(self.manager.keep_alive)
                services.start_soon(collect_in_quiet_moments, lambda: gateway.reader.rounds)
                if gateway.trust is not None:
                    gateway.trust.changed = self._renew_soon
                    services.start_soon(gateway.trust.run)
                if monitoring is not None:
                    services.start_soon(self._monitor, monitoring)
                await self.stores.begin()
                async with trio.open_nursery() as connections:
                    gateway.runtime.nursery = connections
                    await self.stores.serve_streams()
                    self.parts.begin(config)
                    await self._serve(signals)
                    services.start_soon(self._end_on_second_signal, signals, services.cancel_scope)
                    await self._part_with_everybody(connections.cancel_scope)
                gateway.registry.cut_all()
                await self.stores.end()
                services.cancel_scope.cancel()
        if self.failure is not None:
            log.error("event=stopped reason=%r", str(self.failure))
            raise self.failure
        log.info("event=stopped")
        return 0

    def _answer_for_itself(self) -> None:
        """Take up what an earlier run left, and answer what the gateway itself is asked."""
        self.gateway.restore()
        self.parts.prepare_pair(self.addresses)
        self.sources = self._make_sources()
        self.system = self._make_system()
        self.console = self._make_console()
        self.gateway.offer_more = self._offer_more
        self.gateway.offer_services()
        self.system.begin()
        self.console.begin()

    async def _serve(self, signals: AsyncIterator[int]) -> None:
        """Take peers until a signal says to stop; then, in lame-duck mode, wait for them to move away."""
        for listener in self.entrance.listeners:
            self.reception.let_in(listener)
        received = None
        try:
            async with trio.open_nursery() as opening:
                opening.start_soon(self._open_and_reload, opening)
                received = signal.Signals(await anext(signals))
                opening.cancel_scope.cancel()
        finally:
            self.reception.close()
            if self.parts.pair is not None:
                self.parts.pair.begin_to_drain()
        name = received.name if received is not None else "none"
        log.info("event=stopping signal=%s connections=%d", name, len(self.gateway.registry.open))
        timeouts = self.gateway.settings.timeouts
        lame_duck_seconds = timeouts.lame_duck_seconds if received == signal.SIGUSR2 else 0.0
        self.manager.stopping(lame_duck_seconds + 2 * timeouts.drain_seconds)
        if received == signal.SIGUSR2:
            self.system.tell_end("LAMEDUCK")
            with trio.CancelScope() as patience:
                async with trio.open_nursery() as leaving:
                    leaving.start_soon(self._cancel_on_signal, signals, patience)
                    await send_away(self.gateway.runtime, self.gateway.registry)
                    leaving.cancel_scope.cancel()

    async def _part_with_everybody(self, connections: trio.CancelScope) -> None:
        """Say goodbye, and wait until everybody has gone: for the time to drain, which this gives the connections."""
        runtime, registry = self.gateway.runtime, self.gateway.registry
        runtime.stopping.set()
        if self.parts.rules is not None:
            self.parts.rules.end()
        self.system.tell_end("SHUTDOWN")
        now, span = trio.current_time(), self.gateway.settings.timeouts.drain_seconds
        connections.deadline = now + span
        await say_goodbye(runtime, registry, now + span * ROUTING_SHARE, self._hand_over)
        await registry.emptied()

    async def _hand_over(self) -> None:
        """Clients have gone; the other gateway of a pair is to have what they left before the link to it goes, too."""
        if self.parts.pair is not None:
            await self.parts.pair.hand_over(self.gateway.settings.timeouts.drain_seconds * ROUTING_SHARE / 2)

    async def _open_and_reload(self, nursery: trio.Nursery) -> None:
        """Say that the gateway is up once everything is open, and let its configuration change from then on; where that
        does not come in time, have it stop.
        """
        with trio.open_signal_receiver(signal.SIGHUP) as hangups:
            config = self.gateway.settings.config
            try:
                await self.entrance.open_the_rest(self.reception.let_in)
                self.reception.put_in_order(self.entrance.listeners)
                reloader = self.reloader = self._make_reloader()
                if config.control_path is not None:
                    from gateway.reloading.control import ControlSocket

                    await nursery.start(ControlSocket(config.control_path, reloader, begin_to_drain).run)
                self._tell_ports(config)
            except ListenError as error:
                self.failure = error
                nursery.cancel_scope.cancel()
                return
            announce(config, self.gateway.path, self.reception.listeners, self._monitoring_address())
            self.manager.ready(self._status())
            if reloader.path is not None:
                from gateway.reloading.watcher import Watcher

                watcher = Watcher(reloader.path, reloader.reload, reloader.catch_up, self._is_watched)
                nursery.start_soon(watcher.run)
            async for _ in hangups:
                await reloader.reload()

    def _is_watched(self) -> bool:
        return self.gateway.settings.config.watch

    def _make_reloader(self) -> "Reloader":
        """What may become another while the gateway runs, in the order in which it does."""
        from gateway.reloading.parts import AdmissionPart, MonitoringPart, Section, TlsPart
        from gateway.reloading.reloader import Reloader

        trust = self.gateway.trust
        parts: list[Part] = [
            Section(("logging",), lambda config: start_logging(config.logging)),
            Section(("limits",), self._limits_changed),
            Section(("accounts",), lambda config: self.gateway.apply_accounts(config.accounts)),
            AdmissionPart(self.gateway.admission),
            Section(("users",), tell_of_plain_passwords),
            TlsPart(self.gateway.tls),
            self.reception,
            MonitoringPart(lambda: self.monitoring, self._make_monitoring, self._replace_monitoring),
            *self.parts.for_reloader(),
            Section(("listeners", "monitoring", "ports_file"), self._addresses_changed),
        ]
        if trust is not None:
            from gateway.accounts.operator_mode import TrustPart

            parts.insert(0, TrustPart(trust, self.gateway.accounts))
        reloader = Reloader(self.gateway.path, self.gateway.settings, parts, self._renew_after_reload)
        reloader.begins, reloader.ends = self.manager.reloading, lambda: self.manager.ready(self._status())
        return reloader

    def _status(self) -> str:
        """One line for the service manager."""
        if self.reloader is not None and self.reloader.fault:
            return f"the last configuration was refused: {self.reloader.fault}"
        return "listens on " + ", ".join(f"{one.config.protocol} {one.address}" for one in self.reception.listeners)

    async def _renew_after_reload(self) -> None:
        if self.gateway.trust is not None:
            await self.gateway.trust.refresh()
        await self._renew_everybody()

    def _renew_soon(self) -> None:
        self.services.start_soon(self._renew_everybody)

    async def _renew_everybody(self) -> None:
        gateway = self.gateway
        await renew_everybody(gateway.runtime, gateway.registry, gateway.admission)
        if self.parts.uplinks is not None and gateway.trust is not None:
            await self.parts.uplinks.renew()

    def _limits_changed(self, config: Config) -> None:
        if config.limits.max_connections != self._foretold:
            self._foretold = config.limits.max_connections
            foretell_descriptors(config)

    def _addresses_changed(self, config: Config) -> None:
        self.addresses[:] = [(one.config.protocol, one.address) for one in self.reception.listeners]
        self.sources.mqtt_sessions = self.gateway.mqtt_sessions
        try:
            self._tell_ports(config)
        except ListenError as error:
            log.warning("event=ports-file-not-written reason=%r", str(error))

    def _tell_ports(self, config: Config) -> None:
        if config.ports_file:
            write_ports_file(Path(config.ports_file), self.reception.listeners, self._monitoring_address())

    def _make_monitoring(self, config: Config) -> "MonitoringService | None":
        if not config.monitoring.address:
            return None
        from gateway.monitoring.service import MonitoringService

        admission = self.gateway.admission
        return MonitoringService(self.sources, self.addresses, admission, open_monitoring_tls(config))

    def _make_sources(self) -> Sources:
        gateway = self.gateway
        return Sources(
            runtime=gateway.runtime,
            registry=gateway.registry,
            accounts=gateway.accounts,
            mqtt_sessions=gateway.mqtt_sessions,
            tls=gateway.tls.values(),
            storage=gateway.storage,
            started=self.started,
            uplinks=self.parts.links,
            bridges=self.parts.bridge_links,
            rules=self.parts.rules_at_work,
            streams=gateway.stream_service,
            stream_store=gateway.streams,
            buffers=self.parts.buffer_statuses,
            integrations=self.parts.integration_statuses,
            serial_faults=self.parts.serial_faults,
            listener_faults=self.listener_faults,
            configuration_fault=lambda: self.reloader.fault if self.reloader is not None else "",
            pair=self.parts.pair_status,
        )

    def _make_system(self) -> SystemService:
        observer = Observer(self.sources, self.addresses, self._monitoring_address)
        return SystemService(self.sources, observer, self.gateway.system, self._reload_when_asked)

    def _make_console(self) -> ConsoleRequests:
        observer = Observer(self.sources, self.addresses, self._monitoring_address)
        return ConsoleRequests(self.sources, observer, self._foretell_reload)

    def _offer_more(self, account: Account) -> None:
        self.system.offer_to(account)
        self.console.offer_to(account)

    async def _foretell_reload(self) -> "Outcome | None":
        # Without a file nothing could be read again.
        return await self.reloader.foretell() if self.reloader is not None and self.reloader.path is not None else None

    async def _reload_when_asked(self) -> str:
        if self.reloader is None:
            return "the gateway is starting"
        await self.reloader.reload()
        return self.reloader.fault

    def _replace_monitoring(self, service: "MonitoringService | None") -> None:
        if self.monitoring is not None:
            self.monitoring.close()
        self.monitoring = service
        if service is not None:
            self.services.start_soon(service.run)

    def _monitoring_address(self) -> str | None:
        return self.monitoring.address or None if self.monitoring is not None else None

    async def _monitor(self, monitoring: "MonitoringService") -> None:
        await self.entrance.monitoring_is_open.wait()
        await monitoring.run()

    async def _cancel_on_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        await anext(signals)
        scope.cancel()

    async def _end_on_second_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        received = signal.Signals(await anext(signals))
        log.warning("event=stopping-at-once signal=%s", received.name)
        scope.cancel()
