"""The daemon: puts the parts together, runs them, and ends them in order. The only file that knows them all.

Nurseries nest by who must outlive whom: services (time, storage, monitoring) around connections and uplinks.
"""

import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import UNLIMITED, Account
from gateway.accounts.admission import Admission, OpenAdmission
from gateway.doors.announcement import announce, write_ports_file
from gateway.doors.departure import say_goodbye, send_away
from gateway.doors.door import Door
from gateway.doors.listeners import OpenListener, open_listeners
from gateway.doors.session_makers import session_makers
from gateway.runtime.identity import Names, new_gateway_id, new_server_id
from gateway.runtime.logs import start_logging
from gateway.runtime.memory import tune_memory
from gateway.runtime.runtime import Runtime
from gateway.services.acknowledged_publish import AcknowledgedPublish
from gateway.services.presence import take_back
from gateway.services.retained_requests import RetainedRequests
from gateway.services.time_requests import TimeRequests
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
# What a retained message takes besides its bytes.
RETAINED_BYTES = 240


def run(config: Config) -> int:
    """Run a gateway until a signal ends it; returns the exit status.

    Raises ListenError and StorageError before anything runs.
    """
    start_logging(config.logging)
    tune_memory()
    storage = open_storage(config)
    try:
        gateway = Gateway(config, storage)
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
        self.settings = Settings(config)
        gateway_id = storage.gateway_id if storage is not None else new_gateway_id().encode()
        self.runtime = Runtime(self.settings, Names(new_server_id(), config.server_name, gateway_id))
        self.reader = Reader(self.runtime.switch)
        self.registry = Registry(self.runtime, self.reader)
        self.account = make_account(config, storage)
        self.account.retained_requests = RetainedRequests(self.runtime, self.account)
        self.admission: Admission = OpenAdmission(self.account)
        # None where there is no MQTT. Sessions on the disk take messages while nobody may connect, too.
        mqtt = storage is not None or any(one.protocol != "nats" for one in config.listeners)
        self.mqtt_sessions = make_session_directory(self.runtime, storage) if mqtt else None
        self.account.report_refusal = self._report_refusal
        retained = self.account.retained
        self.runtime.budget.elsewhere["retained"] = lambda: retained.bytes + RETAINED_BYTES * len(retained)
        if storage is not None:
            self.runtime.budget.elsewhere["journal"] = lambda: storage.journal.pending_bytes
        self.settings.subscribe("mqtt", self._mqtt_changed)
        self._mqtt_changed()

    def restore(self) -> None:
        """Take up what an earlier run left on the disk."""
        if self.storage is not None:
            self.account.offer_retained()
            stored = self.storage.global_account
            if self.mqtt_sessions is not None:
                self.mqtt_sessions.of(self.account).restore(stored.restored)
            stored.restored.clear()
            take_back(self.account)
        self.runtime.deadlines.call_at(trio.current_time() + SWEEP_SECONDS, self._sweep)

    def offer_services(self) -> None:
        """Answer the gateway's own subjects from now on."""
        self.account.router.subscribe(TimeRequests(self.account))
        self.account.router.subscribe(AcknowledgedPublish(self.account))

    def doors(self, listeners: list[OpenListener]) -> list[Door]:
        protocols = {listener.config.protocol for listener in listeners}
        makers = session_makers(protocols, self.admission, self.mqtt_sessions)
        return [Door(self.runtime, self.registry, listener, makers) for listener in listeners]

    def _sweep(self, now: float) -> None:
        self.account.sweep(SWEPT_AT_ONCE)
        if self.storage is not None:
            self.storage.clock.tick()
        self.runtime.deadlines.call_at(now + SWEEP_SECONDS, self._sweep)

    def _mqtt_changed(self) -> None:
        limits = self.settings.mqtt
        self.account.retained.set_limits(limits.max_retained_messages, limits.max_retained_bytes)
        self.account.max_retained_per_client = limits.max_retained_messages_per_client or UNLIMITED
        self.account.max_retained_bytes_per_client = limits.max_retained_bytes_per_client or UNLIMITED

    def _report_refusal(self, limit: str) -> None:
        text = "event=not-retained limit=mqtt.%s value=%d"
        value = getattr(self.settings.mqtt, limit.replace("-", "_"))
        self.runtime.repeats.log(log, logging.WARNING, ("not-retained", limit), text, limit, value)


def make_account(config: Config, storage: "Storage | None") -> Account:
    """The one account."""
    if storage is not None:
        stored = storage.global_account
        return Account(GLOBAL_ACCOUNT, stored.retained, stored.published_ids, storage.journal)
    retained = RetainedMessages(config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes)
    return Account(GLOBAL_ACCOUNT, retained, PublishedIds())


def open_storage(config: Config) -> "Storage | None":
    """What the data directory holds; None where nothing is to be kept on disk. Raises StorageError."""
    if not config.data_directory:
        return None
    from gateway.storage.storage import Storage

    directory = Path(config.data_directory).expanduser()
    return Storage(directory, config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes, config.trust_clock)


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


def make_monitoring(gateway: Gateway, listeners: list[OpenListener]) -> "MonitoringService | None":
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
    return MonitoringService(sources, [(one.config.protocol, one.address) for one in listeners])


def make_serial(gateway: Gateway) -> "SerialService | None":
    if not gateway.settings.config.serial:
        return None
    from gateway.devices.device import Site
    from gateway.devices.service import SerialService

    return SerialService(Site(gateway.runtime, gateway.registry, gateway.admission, gateway.account))


class Daemon:
    """One run of a gateway, on the loop that serves its reader and its deadlines."""

    def __init__(self, gateway: Gateway, loop: HostLoop) -> None:
        self.gateway = gateway
        self.loop = loop
        self.config = gateway.settings.config
        self.storage = gateway.storage

    async def run(self) -> int:
        gateway = self.gateway
        runtime, registry = gateway.runtime, gateway.registry
        gateway.restore()
        gateway.offer_services()
        with trio.open_signal_receiver(*SIGNALS) as signals:
            listeners = open_listeners(self.config)
            monitoring = make_monitoring(gateway, listeners)
            http_address = monitoring.open() if monitoring is not None else None
            uplinks = make_uplinks(gateway)
            if self.config.ports_file:
                write_ports_file(Path(self.config.ports_file), listeners, http_address)
            announce(self.config, listeners, http_address)
            async with trio.open_nursery() as services:
                if monitoring is not None:
                    services.start_soon(monitoring.run)
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
                    await self._serve(gateway, listeners, signals)
                    services.start_soon(self._end_on_second_signal, signals, services.cancel_scope)
                    runtime.stopping.set()
                    connections.cancel_scope.deadline = trio.current_time() + self.config.timeouts.drain_seconds
                    say_goodbye(runtime, registry)
                    await registry.emptied()
                registry.cut_all()
                if self.storage is not None:
                    self.storage.clock.save()
                    written = trio.Event()
                    self.storage.journal.when_attempted(written.set)
                    with trio.move_on_after(self.config.timeouts.drain_seconds):
                        await written.wait()
                services.cancel_scope.cancel()
        log.info("event=stopped")
        return 0

    async def _serve(self, gateway: Gateway, listeners: list[OpenListener], signals: AsyncIterator[int]) -> None:
        """Take peers until a signal says to stop; then, in lame-duck mode, wait for them to move away."""
        doors = gateway.doors(listeners)
        for door in doors:
            door.open()
        try:
            received = signal.Signals(await anext(signals))
        finally:
            for door in doors:
                door.close()
        log.info("event=stopping signal=%s connections=%d", received.name, len(gateway.registry.open))
        if received == signal.SIGUSR2:
            with trio.CancelScope() as patience:
                async with trio.open_nursery() as leaving:
                    leaving.start_soon(self._cancel_on_signal, signals, patience)
                    await send_away(gateway.runtime, gateway.registry)
                    leaving.cancel_scope.cancel()

    async def _cancel_on_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        await anext(signals)
        scope.cancel()

    async def _end_on_second_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        received = signal.Signals(await anext(signals))
        log.warning("event=stopping-at-once signal=%s", received.name)
        scope.cancel()
