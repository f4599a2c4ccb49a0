"""The daemon: opens what is configured, runs it, and ends it in order.

Nurseries nest by who must outlive whom: services (time, monitoring, uplinks) around connections around accepting.
"""

import logging
import math
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from gateway.doors.announcement import announce, write_ports_file
from gateway.doors.listeners import OpenListener, accept_connections, open_listeners
from gateway.gateway import Gateway
from gateway.monitoring.service import MonitoringService
from gateway.nats.client import NatsClientSession
from gateway.runtime.logs import start_logging
from gateway.runtime.memory import tune_memory
from gateway.settings.schema import Config
from gateway.storage.storage import Storage
from gateway.transport.connection import Connection
from gateway.transport.registry import UPLINK_KIND
from gateway.uplink.leafnode_uplink import LeafnodeUplink
from protocols.close_reason import CloseReason

log = logging.getLogger("leafgate")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
# In lame-duck mode clients are told to leave one by one, at most this far apart.
LAME_DUCK_PACE_SECONDS = 1.0


def run(config: Config) -> int:
    """Run a gateway until a signal ends it; returns the exit status.

    Raises ListenError and StorageError before anything runs.
    """
    start_logging(config.logging)
    tune_memory()
    storage = open_storage(config)
    try:
        return trio.run(Daemon(config, storage).run)
    finally:
        if storage is not None:
            storage.close()


def open_storage(config: Config) -> Storage | None:
    """What the data directory holds; None where nothing is to be kept on disk. Raises StorageError."""
    if not config.data_directory:
        return None
    directory = Path(config.data_directory).expanduser()
    return Storage(directory, config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes)


class Daemon:
    """One run of a gateway."""

    def __init__(self, config: Config, storage: Storage | None = None) -> None:
        self.config = config
        self.storage = storage

    async def run(self) -> int:
        gateway = Gateway(self.config, self.storage)
        gateway.restore()
        gateway.offer_time()
        gateway.offer_acknowledgements()
        with trio.open_signal_receiver(*SIGNALS) as signals:
            listeners = open_listeners(self.config)
            monitoring = MonitoringService(gateway, listeners)
            monitoring.open()
            uplinks = [LeafnodeUplink(gateway, uplink, number) for number, uplink in enumerate(self.config.uplinks)]
            if self.config.ports_file:
                write_ports_file(Path(self.config.ports_file), listeners, monitoring.address)
            announce(self.config, listeners, monitoring.address)
            async with trio.open_nursery() as services:
                services.start_soon(gateway.deadlines.run, gateway.switch.flush)
                services.start_soon(gateway.busy_poll.run)
                services.start_soon(monitoring.run)
                if self.storage is not None:
                    services.start_soon(self.storage.journal.run, gateway.switch.flush)
                async with trio.open_nursery() as connections:
                    gateway.connections = connections
                    for uplink in uplinks:
                        connections.start_soon(uplink.run)
                    if self.config.serial:
                        from gateway.devices.service import SerialService

                        gateway.serial = SerialService(gateway)
                        connections.start_soon(gateway.serial.run)
                    await self._serve(gateway, listeners, signals)
                    services.start_soon(self._end_on_second_signal, signals, services.cancel_scope)
                    gateway.stopping.set()
                    connections.cancel_scope.deadline = trio.current_time() + self.config.timeouts.drain_seconds
                    drain(gateway)
                if self.storage is not None:
                    with trio.move_on_after(self.config.timeouts.drain_seconds):
                        await self.storage.journal.drain()
                services.cancel_scope.cancel()
        log.info("event=stopped")
        return 0

    async def _serve(self, gateway: Gateway, listeners: list[OpenListener], signals: AsyncIterator[int]) -> None:
        """Accept peers until a signal says to stop; then, in lame-duck mode, wait for them to move away."""
        async with trio.open_nursery() as accepting:
            for listener in listeners:
                accepting.start_soon(accept_connections, gateway, listener)
            received = signal.Signals(await anext(signals))
            accepting.cancel_scope.cancel()
        for listener in listeners:
            listener.socket.close()
        log.info("event=stopping signal=%s connections=%d", received.name, len(gateway.registry.open))
        if received == signal.SIGUSR2:
            with trio.CancelScope() as patience:
                async with trio.open_nursery() as leaving:
                    leaving.start_soon(self._cancel_on_signal, signals, patience)
                    await self._send_away(gateway)
                    leaving.cancel_scope.cancel()

    async def _cancel_on_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        await anext(signals)
        scope.cancel()

    async def _end_on_second_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        received = signal.Signals(await anext(signals))
        log.warning("event=stopping-at-once signal=%s", received.name)
        scope.cancel()

    async def _send_away(self, gateway: Gateway) -> None:
        """Lame-duck mode: ask clients to go, then close them one by one over the configured time."""
        timeouts = self.config.timeouts
        clients = open_clients(gateway)
        if not clients:
            return
        for connection in clients:
            port = connection.port()
            if isinstance(port, NatsClientSession):
                port.announce_lame_duck()
        gateway.switch.flush()
        await trio.sleep(timeouts.lame_duck_grace_seconds)
        remaining = open_clients(gateway)
        span = timeouts.lame_duck_seconds - timeouts.lame_duck_grace_seconds
        pace = min(LAME_DUCK_PACE_SECONDS, span / max(len(remaining), 1))
        for connection in remaining:
            connection.close(CloseReason.SERVER_SHUTDOWN)
            await trio.sleep(pace * random.uniform(0.5, 1.0))


def open_clients(gateway: Gateway) -> list[Connection]:
    """The connections that clients made; the links that the gateway itself opened serve them to the end."""
    return [one for one in gateway.registry.open.values() if one.session.kind != UPLINK_KIND]


def drain(gateway: Gateway) -> None:
    """Route what peers have sent already, then say goodbye to each; what is queued is delivered within the deadline."""
    connections = list(gateway.registry.open.values())
    for connection in connections:
        connection.read_once()
    gateway.switch.flush()
    for connection in connections:
        connection.close(CloseReason.SERVER_SHUTDOWN, linger=math.inf)
