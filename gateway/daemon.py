"""The daemon: puts the parts together, runs them, and ends them in order. The only file that knows them all.

Nurseries nest by who must outlive whom: services (time, storage, monitoring) around connections and uplinks.
"""

import logging
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import UNLIMITED, Account
from gateway.accounts.admission import Admission, OpenAdmission
from gateway.doors.announcement import announce, write_ports_file
from gateway.doors.departure import say_goodbye, send_away
from gateway.doors.door import Door
from gateway.doors.entrance import Entrance
from gateway.doors.listeners import OpenListener
from gateway.doors.session_makers import session_makers
from gateway.errors import DirectoryError, ListenError
from gateway.runtime.identity import Names, new_gateway_id, new_server_id
from gateway.runtime.logs import start_logging
from gateway.runtime.memory import tune_memory
from gateway.runtime.runtime import Runtime
from gateway.services.acknowledged_publish import AcknowledgedPublish
from gateway.services.presence import take_back
from gateway.services.retained_requests import RetainedRequests
from gateway.services.time_requests import TimeRequests
from gateway.services.user_requests import UserRequests
from gateway.settings.live import Settings
from gateway.settings.schema import Config
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from gateway.storage.schema import GLOBAL_ACCOUNT
from gateway.transport.host_loop import HostLoop
from gateway.transport.reader import Reader
from gateway.transport.registry import Registry

# The parts that only some configurations need. Each is imported by the function below that makes it, where it is
# configured: to start takes half the time without them, and less memory.
if TYPE_CHECKING:
    from gateway.devices.service import SerialService
    from gateway.monitoring.service import MonitoringService
    from gateway.mqtt.directory import SessionDirectory
    from gateway.storage.storage import Storage
    from gateway.uplink.leafnode_uplink import LeafnodeUplink

log = logging.getLogger("leafgate")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
# How often expired retained messages are looked for.
SWEEP_SECONDS = 5.0
SWEPT_AT_ONCE = 1000
# How often the start looks again for what is not there yet.
RETRY_SECONDS = 1.0
# Descriptors that are no client's: listeners, files, the event loop's own, monitoring's.
OTHER_DESCRIPTORS = 100
# What a retained message takes besides its bytes.
RETAINED_BYTES = 240


def run(config: Config, path: Path | None = None) -> int:
    """Run a gateway until a signal ends it; returns the exit status. `path` is the file that `config` came from.

    Raises ListenError and StorageError when what it needs does not come in time.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Until there is somebody who says that it was heard.
    start_logging(config.logging)
    tune_memory()
    foretell_descriptors(config)
    storage = await_storage(config)
    try:
        gateway = Gateway(config, storage)
        gateway.path = path
        loop = HostLoop(gateway.reader, gateway.runtime.deadlines, gateway.runtime.switch.flush)
        status: int = loop.run(Daemon(gateway, loop).run)
        return status
    finally:
        if storage is not None and not storage.close():
            log.error("event=stopped-without-disk")
            logging.shutdown()
            os._exit(1)  # The thread that hangs with its disk would not let the process end in order.


class Gateway:
    """The parts, put together. It holds state; a Daemon runs it. `storage` is None where nothing is kept on disk."""

    def __init__(self, config: Config, storage: "Storage | None" = None) -> None:
        self.storage = storage
        self.path: Path | None = None
        self.settings = Settings(config)
        gateway_id = storage.gateway_id if storage is not None else new_gateway_id().encode()
        self.runtime = Runtime(self.settings, Names(new_server_id(), config.server_name, gateway_id))
        self.reader = Reader(self.runtime.switch, self.runtime.turns)
        self.registry = Registry(self.runtime, self.reader)
        self.accounts: dict[str, Account] = {}
        self.account = self.open_account(GLOBAL_ACCOUNT)
        self.admission: Admission = OpenAdmission(self.account)
        # None where there is no MQTT. Sessions on the disk take messages while nobody may connect, too.
        mqtt = storage is not None or any(one.protocol != "nats" for one in config.listeners)
        self.mqtt_sessions = make_session_directory(self.runtime, storage) if mqtt else None
        self.runtime.budget.elsewhere["retained"] = self._retained_bytes
        if storage is not None:
            self.runtime.budget.elsewhere["journal"] = lambda: storage.journal.pending_bytes
        self.settings.subscribe("mqtt", self._mqtt_changed)

    def open_account(self, name: str) -> Account:
        """A further account, with what it has on the disk; to be called before `restore` and `offer_services`."""
        account = self.accounts[name] = make_account(name, self.settings, self.storage)
        account.retained_requests = RetainedRequests(self.runtime, account)
        account.report_refusal = self._report_refusal
        self._limit(account)
        return account

    def restore(self) -> None:
        """Take up what an earlier run left on the disk."""
        if self.storage is not None:
            for account in self.accounts.values():
                account.offer_retained()
                stored = self.storage.account(account.name)
                if self.mqtt_sessions is not None:
                    self.mqtt_sessions.of(account).restore(stored.restored)
                stored.restored.clear()
                take_back(account)
        self.runtime.deadlines.call_at(trio.current_time() + SWEEP_SECONDS, self._sweep)

    def offer_services(self) -> None:
        """Answer the gateway's own subjects from now on."""
        for account in self.accounts.values():
            account.router.subscribe(TimeRequests(account))
            account.router.subscribe(AcknowledgedPublish(account))
            account.router.subscribe(UserRequests(self.runtime, account))

    def doors(self, listeners: list[OpenListener]) -> list[Door]:
        protocols = {listener.config.protocol for listener in listeners}
        makers = session_makers(protocols, self.admission, self.mqtt_sessions)
        return [Door(self.runtime, self.registry, listener, makers) for listener in listeners]

    def _sweep(self, now: float) -> None:
        for account in self.accounts.values():
            account.sweep(SWEPT_AT_ONCE)
        if self.storage is not None:
            self.storage.clock.tick()
        self.runtime.deadlines.call_at(now + SWEEP_SECONDS, self._sweep)

    def _mqtt_changed(self) -> None:
        for account in self.accounts.values():
            self._limit(account)

    def _limit(self, account: Account) -> None:
        limits = self.settings.mqtt
        account.retained.set_limits(limits.max_retained_messages, limits.max_retained_bytes)
        account.max_retained_per_client = limits.max_retained_messages_per_client or UNLIMITED
        account.max_retained_bytes_per_client = limits.max_retained_bytes_per_client or UNLIMITED

    def _retained_bytes(self) -> int:
        kept = [account.retained for account in self.accounts.values()]
        return sum(one.bytes + RETAINED_BYTES * len(one) for one in kept)

    def _report_refusal(self, limit: str) -> None:
        text = "event=not-retained limit=mqtt.%s value=%d"
        value = getattr(self.settings.mqtt, limit.replace("-", "_"))
        self.runtime.repeats.log(log, logging.WARNING, ("not-retained", limit), text, limit, value)


def make_account(name: str, settings: Settings, storage: "Storage | None") -> Account:
    if storage is None:
        retained = RetainedMessages(settings.mqtt.max_retained_messages, settings.mqtt.max_retained_bytes)
        return Account(name, retained, PublishedIds())
    stored = storage.account(name)
    return Account(name, stored.retained, stored.published_ids, storage.journal)


def open_storage(config: Config) -> "Storage | None":
    """What the data directory holds; None where nothing is to be kept on disk. Raises StorageError."""
    if not config.data_directory:
        return None
    from gateway.storage.storage import Storage

    directory = Path(config.data_directory).expanduser()
    return Storage(directory, config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes, config.trust_clock)


def await_storage(config: Config) -> "Storage | None":
    """What the data directory holds; one that is locked or not there yet is waited for. Raises StorageError."""
    give_up = time.monotonic() + config.timeouts.start_seconds
    told = ""
    while True:
        try:
            return open_storage(config)
        except DirectoryError as error:
            left = give_up - time.monotonic()
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


def make_session_directory(runtime: Runtime, storage: "Storage | None") -> "SessionDirectory":
    from gateway.mqtt.directory import SessionDirectory

    return SessionDirectory(runtime, storage)


def make_uplinks(gateway: Gateway) -> "list[LeafnodeUplink]":
    uplinks = gateway.settings.config.uplinks
    if not uplinks:
        return []
    from gateway.uplink.leafnode_uplink import LeafnodeUplink

    return [
        LeafnodeUplink(gateway.runtime, gateway.registry, gateway.account, uplink, number)
        for number, uplink in enumerate(uplinks)
    ]


def make_monitoring(gateway: Gateway, addresses: list[tuple[str, str]]) -> "MonitoringService | None":
    if not gateway.settings.config.monitoring.address:
        return None
    from gateway.monitoring.observer import Sources
    from gateway.monitoring.service import MonitoringService

    sources = Sources(
        runtime=gateway.runtime,
        registry=gateway.registry,
        account=gateway.account,
        mqtt_sessions=gateway.mqtt_sessions,
        storage=gateway.storage,
    )
    return MonitoringService(sources, addresses)


def make_serial(gateway: Gateway) -> "SerialService | None":
    if not gateway.settings.config.serial:
        return None
    from gateway.devices.device import Site
    from gateway.devices.service import SerialService

    return SerialService(Site(gateway.runtime, gateway.registry, gateway.admission, gateway.account))


async def tell_of_hangups() -> None:
    """A terminal that is closed, or somebody who expects the file to be read again, ends no gateway."""
    with trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async for _ in hangups:
            log.warning("event=hangup note='the configuration is read at the start only'")


class Daemon:
    """One run of a gateway, on the loop that serves its reader and its deadlines."""

    def __init__(self, gateway: Gateway, loop: HostLoop) -> None:
        self.gateway = gateway
        self.loop = loop
        self.storage = gateway.storage
        self.failure: ListenError | None = None

    async def run(self) -> int:
        gateway = self.gateway
        runtime, registry = gateway.runtime, gateway.registry
        config, settings = gateway.settings.config, gateway.settings
        gateway.restore()
        gateway.offer_services()
        with trio.open_signal_receiver(*SIGNALS) as signals:
            addresses: list[tuple[str, str]] = []
            monitoring = make_monitoring(gateway, addresses)
            entrance = Entrance(config, monitoring.open if monitoring is not None else None)
            entrance.open_at_once()
            addresses += entrance.addresses()
            uplinks = make_uplinks(gateway)
            if monitoring is not None:
                monitoring.sources.uplinks = uplinks
            async with trio.open_nursery() as services:
                services.start_soon(tell_of_hangups)
                if monitoring is not None:
                    monitoring.sources.listener_faults = entrance.faults
                    services.start_soon(self._monitor, monitoring, entrance)
                if self.storage is not None:
                    journal = self.storage.journal
                    journal.start(self.loop.call_soon_threadsafe, runtime.switch.flush)
                    self.loop.before_wait = journal.give_way
                async with trio.open_nursery() as connections:
                    runtime.nursery = connections
                    for uplink in uplinks:
                        connections.start_soon(uplink.run)
                    serial = make_serial(gateway)
                    if serial is not None:
                        connections.start_soon(serial.run)
                        if monitoring is not None:
                            monitoring.sources.serial_faults = serial.faults
                    await self._serve(gateway, entrance, signals)
                    services.start_soon(self._end_on_second_signal, signals, services.cancel_scope)
                    runtime.stopping.set()
                    connections.cancel_scope.deadline = trio.current_time() + settings.timeouts.drain_seconds
                    say_goodbye(runtime, registry)
                    await registry.emptied()
                registry.cut_all()
                if self.storage is not None:
                    self.storage.clock.save()
                    written = trio.Event()
                    self.storage.journal.when_attempted(written.set)
                    with trio.move_on_after(settings.timeouts.drain_seconds):
                        await written.wait()
                services.cancel_scope.cancel()
        if self.failure is not None:
            log.error("event=stopped reason=%r", str(self.failure))
            raise self.failure
        log.info("event=stopped")
        return 0

    async def _serve(self, gateway: Gateway, entrance: Entrance, signals: AsyncIterator[int]) -> None:
        """Take peers until a signal says to stop; then, in lame-duck mode, wait for them to move away."""
        doors: list[Door] = []

        def let_in(listener: OpenListener) -> None:
            (door,) = gateway.doors([listener])
            door.open()
            doors.append(door)

        for listener in entrance.listeners:
            let_in(listener)
        received = None
        try:
            async with trio.open_nursery() as opening:
                opening.start_soon(self._open_the_rest, entrance, let_in, opening.cancel_scope)
                received = signal.Signals(await anext(signals))
                opening.cancel_scope.cancel()
        finally:
            for door in doors:
                door.close()
        name = received.name if received is not None else "none"
        log.info("event=stopping signal=%s connections=%d", name, len(gateway.registry.open))
        if received == signal.SIGUSR2:
            with trio.CancelScope() as patience:
                async with trio.open_nursery() as leaving:
                    leaving.start_soon(self._cancel_on_signal, signals, patience)
                    await send_away(gateway.runtime, gateway.registry)
                    leaving.cancel_scope.cancel()

    async def _open_the_rest(
        self, entrance: Entrance, let_in: Callable[[OpenListener], None], scope: trio.CancelScope
    ) -> None:
        """Say that the gateway is up once everything is open; where that does not come in time, have it stop."""
        config = self.gateway.settings.config
        try:
            await entrance.open_the_rest(let_in)
            if config.ports_file:
                write_ports_file(Path(config.ports_file), entrance.listeners, entrance.monitoring)
        except ListenError as error:
            self.failure = error
            scope.cancel()
            return
        announce(config, self.gateway.path, entrance.listeners, entrance.monitoring)

    async def _monitor(self, monitoring: "MonitoringService", entrance: Entrance) -> None:
        await entrance.monitoring_is_open.wait()
        await monitoring.run()

    async def _cancel_on_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        await anext(signals)
        scope.cancel()

    async def _end_on_second_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        received = signal.Signals(await anext(signals))
        log.warning("event=stopping-at-once signal=%s", received.name)
        scope.cancel()
