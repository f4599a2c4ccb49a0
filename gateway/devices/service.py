"""The service behind `[[serial]]`: opens what is configured and plugged in, and hands it to the devices' sessions."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from gateway.devices.device import SerialDevice, Site
from gateway.devices.lines import SerialLines
from gateway.devices.ports.greeting import Greeting, greet, rates_to_try
from gateway.devices.ports.hotplug import Hotplug
from gateway.devices.ports.network import open_network_port
from gateway.devices.ports.port import LocalPort, PortError, SerialPort
from gateway.devices.ports.selection import is_network, matching_ports
from gateway.devices.subjects import DeviceSubjects
from gateway.settings.serial import Serial
from protocols.close_reason import CloseReason

log = logging.getLogger("leafgate.serial")

# A network port that cannot be reached, and a local one that fails while it is there, are tried again this often.
RETRY_SECONDS = 1.0
# A port of a server may be plugged into anything; devices that are away are given up from the oldest on.
MAX_DEVICES = 256
# So many of one name may be away at a time; each plug of a board that restarts by it makes one.
MAX_NAMESAKES = 4


class SerialService:
    """`faults` tells what is wrong, by the port's path or, where there is none, by what is configured."""

    def __init__(self, site: Site, configured: Sequence[Serial], faults: dict[str, str]) -> None:
        self.site = site
        self._configured = list(configured)
        self.runtime = site.runtime
        self.devices: list[SerialDevice] = []
        self.faults = faults
        self._open: dict[str, str] = {}
        self._waits: set[trio.CancelScope] = set()
        # What is under way for each that is configured.
        self._works: dict[Serial, set[trio.CancelScope]] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve until the gateway stops; ends when every device has taken what was queued for it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._stop, nursery)
            for one in self._configured:
                self._begin(one)
            with Hotplug() as hotplug:
                while not self.runtime.stopping.is_set():
                    for one in self._configured:
                        if not is_network(one.port):
                            self._look_for(one, nursery)
                    with self._until_stop():
                        await hotplug.wait()

    def replace(self, configured: Sequence[Serial]) -> None:
        """Let go what is not configured any more, or otherwise, and serve what is new. The rest notices nothing."""
        before, self._configured = self._configured, list(configured)
        for one in before:
            if one not in configured:
                self._end(one)
        for one in configured:
            if one not in before:
                self._begin(one)

    def _begin(self, config: Serial) -> None:
        """Local ports are found when they are looked for next."""
        if is_network(config.port) and self._nursery is not None:
            self._nursery.start_soon(self._keep_network_port, config)

    def _end(self, config: Serial) -> None:
        for scope in self._works.pop(config, ()):
            scope.cancel()
        self._forget_unwanted(config)
        for port in [config.port, *(one for one, asked in self._open.items() if asked == config.port)]:
            self.faults.pop(port, None)

    @contextmanager
    def _work_for(self, config: Serial) -> Iterator[None]:
        """A scope that is cancelled when this is not configured any more."""
        with trio.CancelScope() as scope:
            works = self._works.setdefault(config, set())
            works.add(scope)
            try:
                yield
            finally:
                works.discard(scope)

    @contextmanager
    def _until_stop(self) -> Iterator[trio.CancelScope]:
        """A scope that is cancelled when the gateway stops."""
        with trio.CancelScope() as scope:
            self._waits.add(scope)
            try:
                yield scope
            finally:
                self._waits.discard(scope)

    async def _stop(self, nursery: trio.Nursery) -> None:
        """Nobody new is greeted, and nobody who is away is waited for."""
        await self.runtime.stopping.wait()
        for scope in self._waits:
            scope.cancel()
        for device in [one for one in self.devices if not one.is_served]:
            device.end(CloseReason.SERVER_SHUTDOWN)

    def _look_for(self, config: Serial, nursery: trio.Nursery) -> None:
        """Start to serve what has come."""
        found = matching_ports(config.port)
        if found and config.port not in found:
            self.faults.pop(config.port, None)
        elif not found and config.port not in self._open.values():
            self._fault(config.port, "not plugged in")
        for path in found:
            real = os.path.realpath(path)
            if real not in self._open:
                self._open[real] = config.port
                nursery.start_soon(self._serve_local_port, config, path, real)

    async def _serve_local_port(self, config: Serial, path: str, real: str) -> None:
        try:
            with self._work_for(config):
                port = LocalPort(path, config.baud)
                await self._serve(config, port)
        except PortError as error:
            self._fault(path, str(error))
        finally:
            del self._open[real]
            if path != config.port and path not in matching_ports(config.port):
                self.faults.pop(path, None)

    async def _keep_network_port(self, config: Serial) -> None:
        with self._work_for(config):
            await self._keep_open(config)

    async def _keep_open(self, config: Serial) -> None:
        while not self.runtime.stopping.is_set():
            try:
                with self._until_stop() as scope:
                    port = await open_network_port(config.port, config.baud)
                if not scope.cancelled_caught:
                    await self._serve(config, port)
            except PortError as error:
                self._fault(config.port, str(error))
                with trio.move_on_after(RETRY_SECONDS):
                    await self.runtime.stopping.wait()

    async def _serve(self, config: Serial, port: SerialPort) -> None:
        """Serve one open port until it is gone. Raises PortError."""
        log.info("port=%s event=open", port.name)
        failure: PortError | None = None
        try:
            if config.protocol == "lines":
                await self._serve_lines(config, port)
            else:
                await self._serve_links(config, port)
        except* PortError as group:
            failure = next(error for error in leaves(group) if isinstance(error, PortError))
        except* Exception:
            log.exception("port=%s event=failed", port.name)
            failure = PortError("failed, see the log")
        finally:
            port.close()
            self._forget_unwanted(config)
        if failure is not None:
            raise failure

    def _forget_unwanted(self, config: Serial) -> None:
        """Nobody waits for the devices of a port that is not configured any more."""
        if config not in self._configured:
            self.faults.pop(config.port, None)
            for device in [one for one in self.devices if one.config == config and not one.is_served]:
                device.end(CloseReason.SERVER_SHUTDOWN, "the port is not configured any more")

    async def _serve_lines(self, config: Serial, port: SerialPort) -> None:
        self.faults.pop(port.name, None)
        with self._until_stop():
            site = self.site
            lines = SerialLines(
                self.runtime, site.account_of(config), config, default_name(port.name), site.rights_of(config)
            )
            await lines.serve(port)

    async def _serve_links(self, config: Serial, port: SerialPort) -> None:
        console = DeviceSubjects(self.runtime, self.site.account_of(config), config, default_name(port.name))
        rates = rates_to_try(config.baud, config.auto_baud)
        while not self.runtime.stopping.is_set():
            greeting = None
            self.faults[port.name] = "no device answers"
            with self._until_stop():
                greeting = await greet(port, rates, console.log)
            if greeting is not None:
                self.faults.pop(port.name, None)
                await self._device(config, port, greeting).serve(port, greeting)
                # Where it spoke last it may speak again.
                rates = list(dict.fromkeys((greeting.baud, *rates)))
                if len(rates) == 1:
                    await port.set_baud(rates[0])

    def _device(self, config: Serial, port: SerialPort, greeting: Greeting) -> SerialDevice:
        """Who has come back, or a new one."""
        hello = greeting.hello
        name = hello.name or default_name(port.name)
        away = [one for one in self.devices if not one.is_served]
        for device in away:
            if device.name == name and device.link.peer is not None and device.link.peer.sid == hello.sid:
                return device
        # Who restarted will not take its old session up again. A board of the same name somewhere else may be another.
        namesakes = [one for one in away if one.name == name]
        for device in away:
            restarted = device.name == name and device.line == port.line
            if restarted or device in namesakes[:-MAX_NAMESAKES] or len(self.devices) >= MAX_DEVICES:
                device.end(CloseReason.STALE_CONNECTION, "the device began anew")
        device = SerialDevice(self.site, config, name, self.devices.remove)
        self._warn_of_twins(device, port)
        self.devices.append(device)
        return device

    def _warn_of_twins(self, device: SerialDevice, port: SerialPort) -> None:
        """What two boards say on the same subjects cannot be told apart."""
        for other in self.devices:
            if other.subjects.prefix == device.subjects.prefix:
                log.warning(
                    "port=%s event=twin name=%s other=%s detail='two boards of one name, or one that was moved'",
                    port.name,
                    device.subjects.name,
                    other.port_name or "away",
                )

    def _fault(self, port: str, text: str) -> None:
        if self.faults.get(port) != text:
            self.faults[port] = text
            log.warning("port=%s event=fault reason=%r", port, text)


def default_name(port: str) -> str:
    return port.rstrip("/").rpartition("/")[2]


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions in a group and in the groups within it."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
