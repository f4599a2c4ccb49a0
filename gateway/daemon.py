"""The daemon: runs a gateway's parts, and ends them in order. With gateway.assembly the only one that knows them all.

Nurseries nest by who must outlive whom: services (time, storage, monitoring) around connections and uplinks.
"""

import logging
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import Account
from gateway.accounts.renewal import renew_everybody
from gateway.assembly import Gateway
from gateway.console.requests import ConsoleRequests
from gateway.doors.announcement import announce, write_ports_file
from gateway.doors.departure import say_goodbye, send_away
from gateway.doors.entrance import Entrance
from gateway.doors.reception import Reception
from gateway.doors.securing import open_monitoring_tls, open_tls
from gateway.errors import DirectoryError, ListenError
from gateway.monitoring.observer import Observer, Sources
from gateway.runtime.logs import shown, start_logging
from gateway.runtime.memory import collect_in_quiet_moments, tune_memory
from gateway.runtime.service_manager import ServiceManager, find_service_manager
from gateway.settings.bridge import Bridge as BridgeConfig
from gateway.settings.integration import KINDS
from gateway.settings.schema import Config
from gateway.storage.schema import GLOBAL_ACCOUNT
from gateway.system.service import SystemService
from gateway.transport.host_loop import HostLoop

# What only some configurations need is imported where it is made (gateway.assembly).
if TYPE_CHECKING:
    from gateway.bridges.bridge import Bridge
    from gateway.bridges.bridges import Bridges
    from gateway.devices.service import SerialService
    from gateway.forwarding.buffers import Buffers
    from gateway.integrations.integrations import Integrations
    from gateway.monitoring.service import MonitoringService
    from gateway.mqtt.sessions import MqttSessions
    from gateway.pair.mirrored_sessions import MirroredSessions
    from gateway.pair.pair import Pair
    from gateway.reloading.reloader import Outcome, Reloader
    from gateway.services.home_assistant import HomeAssistantService
    from gateway.services.rules import RuleAtWork, Rules
    from gateway.storage.storage import Storage
    from gateway.storage.streams.store import StreamStore
    from gateway.streams.account_streams import AccountStreams
    from gateway.uplink.leafnode_uplink import LeafnodeUplink
    from gateway.uplink.uplinks import Uplinks

log = logging.getLogger("leafgate")

# The part of the time to drain that what has come already may take to be routed: the rest is for delivering it.
ROUTING_SHARE = 0.5

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
# How often the start looks again for what is not there yet.
RETRY_SECONDS = 1.0
# Descriptors that are no client's: listeners, files, the event loop's own, monitoring's.
OTHER_DESCRIPTORS = 100


def run(config: Config, path: Path | None = None) -> int:
    """Run a gateway until a signal ends it; returns the exit status. `path` is the file that `config` came from.

    Raises ConfigError when its certificates cannot be used any more, ListenError and StorageError when what it needs
    does not come in time.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Until there is somebody who says that it was heard.
    manager = find_service_manager()
    # What may be waited for is the data directory, and then the addresses.
    manager.starting(2 * config.timeouts.start_seconds)
    start_logging(config.logging)
    tune_memory()
    foretell_descriptors(config)
    tell_of_plain_passwords(config)
    storage = await_storage(config)
    gateway: Gateway | None = None
    try:
        gateway = Gateway(config, storage)
        gateway.open_streams(config)
        gateway.tls |= open_tls(config)
        gateway.path = path
        loop = HostLoop(gateway.reader, gateway.runtime.deadlines, gateway.runtime.switch.flush)
        status: int = loop.run(Daemon(gateway, loop, manager).run)
        return status
    finally:
        is_closed = gateway is None or gateway.streams is None or gateway.streams.close()
        if storage is not None and not (storage.close() and is_closed):
            log.error("event=stopped-without-disk")
            logging.shutdown()
            os._exit(1)  # The thread that hangs with its disk would not let the process end in order.


def open_storage(config: Config) -> "Storage | None":
    """What the data directory holds; None where nothing is to be kept on disk. Raises StorageError."""
    if not config.data_directory:
        return None
    from gateway.storage.storage import Storage

    directory = Path(config.data_directory).expanduser()
    return Storage(directory, config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes, config.trust_clock)


def await_storage(config: Config) -> "Storage | None":
    """What the data directory holds; one that is locked or not there yet is waited for. Raises StorageError."""
    give_up: float | None = None  # Counted from the first try: loading what it takes is no waiting.
    told = ""
    while True:
        try:
            return open_storage(config)
        except DirectoryError as error:
            now = time.monotonic()
            give_up = now + config.timeouts.start_seconds if give_up is None else give_up
            left = give_up - now
            if left <= 0:
                raise
            if str(error) != told:
                told = str(error)
                log.warning("event=waiting-for-directory reason=%r", told)
        time.sleep(min(RETRY_SECONDS, left))


def foretell_descriptors(config: Config) -> None:
    """Take as many descriptors as the process may have, and say where they will not do."""
    wanted = config.limits.max_connections + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard) and soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = config.limits.max_connections
        log.warning("event=few-descriptors descriptors=%d limits.max-connections=%d hint='ulimit -n'", soft, limit)


def tell_of_plain_passwords(config: Config) -> None:
    """A file that is read by others gives away what it holds; a hash of it gives little away."""
    names = config.plain_passwords
    if names:
        text = "event=plain-passwords users=%d first=%s hint='leafgate passwd'"
        log.warning(text, len(names), shown(names[0].encode()))


def begin_to_drain() -> None:
    """As whoever sends SIGUSR2 has it."""
    signal.raise_signal(signal.SIGUSR2)


def make_uplinks(gateway: Gateway, links: "list[LeafnodeUplink]") -> "Uplinks":
    from gateway.uplink.uplinks import Uplinks

    return Uplinks(gateway.runtime, gateway.registry, gateway.find_account, links)


def make_buffers(
    gateway: Gateway, make_memory: "Callable[[], StreamStore]", links: "list[LeafnodeUplink]"
) -> "Buffers":
    from gateway.forwarding.buffers import Buffers

    service = gateway.stream_service
    return Buffers(
        gateway.runtime,
        gateway.streams,
        make_memory,
        gateway.accounts,
        gateway.find_account,
        links,
        service.settings if service is not None else None,
    )


def make_bridges(gateway: Gateway, links: "list[Bridge]") -> "Bridges":
    from gateway.bridges.bridges import Bridges

    directory = gateway.ask_for_mqtt()

    def sessions_of(bridge: BridgeConfig) -> "MqttSessions":
        return directory.of(gateway.accounts[bridge.account or GLOBAL_ACCOUNT])

    return Bridges(gateway.runtime, gateway.registry, directory, sessions_of, links)


def make_integrations(gateway: Gateway) -> "Integrations":
    from gateway.integrations.integrations import Integrations
    from gateway.integrations.kinds import make_integration
    from gateway.integrations.site import Site

    service = gateway.stream_service
    streams = service.accounts if service is not None else {}
    return Integrations(Site(gateway.runtime, gateway.find_account, streams.get), make_integration)


def make_rules(gateway: Gateway, at_work: "list[RuleAtWork]") -> "Rules":
    from gateway.services.rules import Rules

    return Rules(gateway.runtime, gateway.accounts, at_work)


def make_home_assistant(gateway: Gateway) -> "HomeAssistantService":
    from gateway.services.home_assistant import HomeAssistantService

    return HomeAssistantService(gateway.runtime, gateway.accounts)


def make_serial(gateway: Gateway, faults: dict[str, str]) -> "SerialService":
    from gateway.devices.device import Site
    from gateway.devices.service import SerialService

    site = Site(gateway.runtime, gateway.registry, gateway.admission, gateway.account)
    return SerialService(site, gateway.settings.config.serial, faults)


def make_pair(gateway: Gateway, addresses: list[tuple[str, str]]) -> "Pair | None":
    config = gateway.settings.config
    if config.pair is None:
        return None
    from gateway.pair.pair import Pair

    account = gateway.accounts[config.pair_account]
    sessions = make_mirrored_sessions(gateway, account) if config.pair.sessions else None

    def streams() -> "AccountStreams | None":
        service = gateway.stream_service
        return service.accounts.get(account.name) if service is not None else None

    return Pair(gateway.runtime, config.pair, account, lambda: addresses, sessions, streams)


def make_mirrored_sessions(gateway: Gateway, account: Account) -> "MirroredSessions":
    """With what an earlier run has left; to be made before the journal is started."""
    from gateway.pair.mirrored_sessions import MirroredSessions
    from gateway.pair.notes import Notes
    from gateway.pair.session_copies import PLACE_BYTES, SHADOW, SessionCopies

    storage = gateway.storage
    assert storage is not None
    sessions = gateway.ask_for_mqtt().of(account)
    store, shadow = storage.account(account.name), storage.account(account.name + SHADOW)
    copies = SessionCopies(sessions, store.mqtt_sessions, shadow.mqtt_sessions, account.clock, shadow.restored)
    gateway.runtime.budget.elsewhere["pair"] = lambda: PLACE_BYTES * copies.places
    notes = Notes(storage.journal, account.name)
    notes.load()
    return MirroredSessions(sessions, store.mqtt_sessions, account.durability, account.clock, copies, notes)


class Daemon:
    """One run of a gateway, on the loop that serves its reader and its deadlines."""

    def __init__(self, gateway: Gateway, loop: HostLoop, manager: ServiceManager) -> None:
        self.gateway = gateway
        self.manager = manager
        self.loop = loop
        self.storage = gateway.storage
        self.failure: ListenError | None = None
        # For so many connections it was said whether descriptors will do.
        self._foretold = gateway.settings.config.limits.max_connections
        # What monitoring reads; the objects stay the same ones.
        self.addresses: list[tuple[str, str]] = []
        self.links: list[LeafnodeUplink] = []
        self.serial_faults: dict[str, str] = {}
        self.listener_faults: dict[str, str] = {}
        self.uplinks: Uplinks | None = None
        self.buffers: Buffers | None = None
        self._started_streams: list[StreamStore] = []
        self._giving_way: list[Callable[[], None]] = []
        self.bridge_links: list[Bridge] = []
        self.bridges: Bridges | None = None
        self.integrations: Integrations | None = None
        self.serial: SerialService | None = None
        self.rules_at_work: list[RuleAtWork] = []
        self.rules: Rules | None = None
        self.home_assistant: HomeAssistantService | None = None
        self.pair: Pair | None = None
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
        gateway = self.gateway
        runtime, registry = gateway.runtime, gateway.registry
        config, settings = gateway.settings.config, gateway.settings
        self.started = trio.current_time()
        gateway.restore()
        self.pair = make_pair(gateway, self.addresses)
        self.sources = self._make_sources()
        self.system = self._make_system()
        self.console = self._make_console()
        gateway.offer_more = self._offer_more
        gateway.offer_services()
        self.system.begin()
        self.console.begin()
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
                if self.storage is not None:
                    journal = self.storage.journal
                    journal.start(self.loop.call_soon_threadsafe, runtime.switch.flush)
                    # Before anything is acknowledged: a first run that ended without it would leave the next one to
                    # begin with another wall clock.
                    self.storage.clock.tick()
                    self._giving_way.append(journal.give_way)
                    self.loop.before_wait = self._give_way
                    if gateway.streams is not None:
                        # What they acknowledge is in a database of its own, and ages by this clock, too.
                        await self._written(journal.when_attempted)
                        self._start_streams(gateway.streams)
                async with trio.open_nursery() as connections:
                    runtime.nursery = connections
                    await self._begin_streams()
                    self._set_rules(config)
                    self._set_home_assistant(config)
                    if self.pair is not None:
                        self.pair.begin()
                    self._set_uplinks(config)
                    self._set_buffers(config)
                    self._set_bridges(config)
                    self._set_integrations(config)
                    self._set_serial(config)
                    await self._serve(signals)
                    services.start_soon(self._end_on_second_signal, signals, services.cancel_scope)
                    runtime.stopping.set()
                    if self.rules is not None:
                        self.rules.end()
                    self.system.tell_end("SHUTDOWN")
                    now, span = trio.current_time(), settings.timeouts.drain_seconds
                    connections.cancel_scope.deadline = now + span
                    await say_goodbye(runtime, registry, now + span * ROUTING_SHARE, self._hand_over)
                    await registry.emptied()
                registry.cut_all()
                if self.storage is not None:
                    self.storage.clock.save()
                    async with trio.open_nursery() as writing:
                        writing.start_soon(self._written, self.storage.journal.when_attempted)
                        if gateway.streams is not None:
                            writing.start_soon(self._written, gateway.streams.commits.when_attempted)
                services.cancel_scope.cancel()
        if self.failure is not None:
            log.error("event=stopped reason=%r", str(self.failure))
            raise self.failure
        log.info("event=stopped")
        return 0

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
            if self.pair is not None:
                self.pair.begin_to_drain()
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

    async def _hand_over(self) -> None:
        """Clients have gone; the other gateway of a pair is to have what they left before the link to it goes, too."""
        if self.pair is not None:
            await self.pair.hand_over(self.gateway.settings.timeouts.drain_seconds * ROUTING_SHARE / 2)

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
        from gateway.reloading.parts import AdmissionPart, BuffersPart, MonitoringPart, Section, TlsPart
        from gateway.reloading.reloader import Part, Reloader

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
            Section(("uplinks",), self._set_uplinks),
            BuffersPart(self.gateway.open_streams, self._set_buffers),
            Section(("bridges",), self._set_bridges),
            Section(KINDS, self._set_integrations),
            Section(("serial",), self._set_serial),
            Section(("rules", "accounts"), self._set_rules),
            Section(("home_assistant", "accounts"), self._set_home_assistant),
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
        if self.uplinks is not None and gateway.trust is not None:
            await self.uplinks.renew()

    def _limits_changed(self, config: Config) -> None:
        if config.limits.max_connections != self._foretold:
            self._foretold = config.limits.max_connections
            foretell_descriptors(config)

    def _set_uplinks(self, config: Config) -> None:
        if self.uplinks is None and not config.uplinks:
            return
        if self.uplinks is None:
            self.uplinks = make_uplinks(self.gateway, self.links)
        nursery = self.gateway.runtime.nursery
        assert nursery is not None
        self.uplinks.replace(config.uplinks, nursery)

    def _set_buffers(self, config: Config) -> None:
        streams = self.gateway.streams
        if self.buffers is None and not config.store_and_forward and streams is None:
            return
        if self.buffers is None:
            self.buffers = make_buffers(self.gateway, self._make_memory_streams, self.links)
            self.gateway.runtime.spawn(self.buffers.run)
        if streams is not None and self.buffers.store is None:
            self.buffers.store = streams
            self._start_streams(streams)
        nursery = self.gateway.runtime.nursery
        assert nursery is not None
        self.buffers.replace(config, nursery)

    async def _begin_streams(self) -> None:
        """Serve streams, before anybody can come who asks for them."""
        service = self.gateway.stream_service
        if service is None:
            return
        self._start_streams(service.memory)
        for account in [*self.gateway.accounts.values()]:
            await service.open(account)
        service.begin()

    def _make_memory_streams(self) -> "StreamStore":
        from gateway.storage.streams.store import StreamStore

        streams = StreamStore(None)
        self._start_streams(streams)
        return streams

    def _start_streams(self, streams: "StreamStore") -> None:
        if streams in self._started_streams:
            return
        self._started_streams.append(streams)
        streams.start(self.loop.call_soon_threadsafe, self.gateway.runtime.switch.flush, self.loop.call_soon)
        self._giving_way.append(streams.commits.give_way)
        self.loop.before_wait = self._give_way

    def _give_way(self) -> None:
        """Let threads that write have the interpreter's lock."""
        for give_way in self._giving_way:
            give_way()

    async def _written(self, when_attempted: Callable[[Callable[[], None]], None]) -> None:
        """Wait until what is noted in a store is on the disk or cannot be written, but not for ever."""
        written = trio.Event()
        when_attempted(written.set)
        with trio.move_on_after(self.gateway.settings.timeouts.drain_seconds):
            await written.wait()

    def _set_bridges(self, config: Config) -> None:
        # What a bridge of an earlier run has left on the disk is looked after, too.
        sessions = self.gateway.mqtt_sessions
        left = sessions is not None and sessions.held()
        if self.bridges is None and not config.bridges and not left:
            return
        if self.bridges is None:
            self.bridges = make_bridges(self.gateway, self.bridge_links)
        nursery = self.gateway.runtime.nursery
        assert nursery is not None
        self.bridges.replace(config.bridges, nursery)

    def _set_integrations(self, config: Config) -> None:
        if self.integrations is None and not config.integrations:
            return
        if self.integrations is None:
            self.integrations = make_integrations(self.gateway)
        nursery = self.gateway.runtime.nursery
        assert nursery is not None
        self.integrations.replace(config.integrations, nursery)

    def _set_rules(self, config: Config) -> None:
        if self.rules is None and not config.rules:
            return
        if self.rules is None:
            self.rules = make_rules(self.gateway, self.rules_at_work)
        self.rules.replace(config.rules)

    def _set_home_assistant(self, config: Config) -> None:
        if self.home_assistant is None and config.home_assistant is None:
            return
        if self.home_assistant is None:
            self.home_assistant = make_home_assistant(self.gateway)
        self.home_assistant.replace(config.home_assistant)

    def _set_serial(self, config: Config) -> None:
        if self.serial is not None:
            self.serial.replace(config.serial)
        elif config.serial:
            self.serial = make_serial(self.gateway, self.serial_faults)
            self.gateway.runtime.spawn(self.serial.run)

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
            uplinks=self.links,
            bridges=self.bridge_links,
            rules=self.rules_at_work,
            streams=gateway.stream_service,
            stream_store=gateway.streams,
            buffers=lambda: self.buffers.statuses() if self.buffers is not None else (),
            integrations=lambda: self.integrations.statuses() if self.integrations is not None else (),
            serial_faults=self.serial_faults,
            listener_faults=self.listener_faults,
            configuration_fault=lambda: self.reloader.fault if self.reloader is not None else "",
            pair=lambda: self.pair.status() if self.pair is not None else {},
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
