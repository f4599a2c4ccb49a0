"""Serial device: the session of a device behind a serial link. The NATS client protocol runs inside the link."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import trio

from gateway.accounts.account import Account
from gateway.accounts.admission import Admission, BoundAdmission
from gateway.accounts.identity import Identity
from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.dataplane.port import Port
from gateway.devices.link_transport import LinkTransport
from gateway.devices.ports.greeting import Greeting
from gateway.devices.ports.port import PortError, SerialPort
from gateway.devices.subjects import DeviceSubjects
from gateway.nats.client import NatsClientSession
from gateway.runtime.deadlines import Deadline
from gateway.runtime.identity import random_sid
from gateway.runtime.runtime import Runtime
from gateway.settings.serial import Serial
from gateway.transport.connection import Connection
from gateway.transport.registry import Registry
from protocols.close_reason import CloseReason
from protocols.message import Burst, Message
from protocols.serial_link.frames import Text
from protocols.serial_link.link import BaudChange, Ended, Link, LinkEvent, LinkSettings, Opened, Received, Silent

log = logging.getLogger("leafgate.serial")

# Frames are made when the line is about to need them: what they acknowledge is fresh then.
WRITE_SIZE = 512
# What waits for a device waits in its outbox, where it is counted; the link holds a window's worth.
SETTINGS = LinkSettings(mtu=512, send_buffer=16_384)
# What an outbox may hold beyond the queue's limit and one message of the largest size: control lines.
ALLOWANCE = 1 << 16
# A line that takes nothing for so long is stuck: flow control, or a driver that hangs.
STUCK_SECONDS = 5.0


class DeviceSubscription(NatsSubscription):
    """A device's subscription: a message that finds the device's queue full is dropped and counted."""

    def deliver(self, message: Message, source: Port) -> bool:
        port = self.port
        assert isinstance(port, DeviceNatsSession)
        if port.is_full(message.size):
            port.dropped += 1
            return False
        return super().deliver(message, source)

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        for message in burst.messages():
            self.deliver(message, source)


class DeviceNatsSession(NatsClientSession):
    """The NATS client on the device; `queue_limit` bounds what may wait for it, in bytes."""

    kind = "nats-serial"
    connection_type = "serial"
    subscription_type = DeviceSubscription

    def __init__(self, connection: Connection, admission: Admission, queue_limit: int) -> None:
        super().__init__(connection, admission)
        self.queue_limit = queue_limit
        self._limit_outbox()

    def settings_changed(self) -> None:
        super().settings_changed()
        self._limit_outbox()

    def _limit_outbox(self) -> None:
        largest = self.runtime.settings.limits.max_payload_bytes
        self.connection.outbox.limit = self.queue_limit + largest + ALLOWANCE

    def is_full(self, size: int) -> bool:
        """Whether a message of `size` bytes finds no room. One message always does."""
        pending = self.outbox.pending() if self.outbox is not None else 0
        return pending > 0 and pending + size > self.queue_limit


@dataclass(frozen=True, slots=True)
class Site:
    """What devices need of the gateway. `account` is where it tells of those that are no user's."""

    runtime: Runtime
    registry: Registry
    admission: Admission
    account: Account

    def admission_to(self, config: Serial) -> Admission:
        """Who lets the devices of a port in."""
        return BoundAdmission(self.admission, config.user) if config.user else self.admission

    def account_of(self, config: Serial) -> Account:
        """Where the gateway tells of the devices of a port."""
        somebody = self.user_of(config)
        return somebody.account if somebody is not None else self.account

    def rights_of(self, config: Serial) -> Permissions:
        """What a device may publish and hear that only prints."""
        somebody = self.user_of(config)
        return somebody.permissions if somebody is not None else EVERYTHING

    def user_of(self, config: Serial) -> Identity | None:
        """Who the devices of a port are by that; None where they are nobody, or say it themselves."""
        return self.admission_to(config).anonymous("serial", None) if config.user else None


class SerialDevice:
    """One device, known by the session id that it gave itself. It lives on for a while when its cable is out.

    `line` is that of the port it is at, or was at last.

    `forget` is called when it will not be served again.
    """

    def __init__(self, site: Site, config: Serial, name: str, forget: Callable[["SerialDevice"], None]) -> None:
        self.site = site
        self.runtime = site.runtime
        self.config = config
        self.name = name
        self.subjects = DeviceSubjects(site.runtime, site.account_of(config), config, name)
        self.link = Link(SETTINGS, random_sid, trio.current_time(), config.baud)
        self.connection: Connection | None = None
        self._transport: LinkTransport | None = None
        self.port_name = ""
        self.line: object = None
        self._forget = forget
        self._wake = trio.Event()
        self._baud_to_be = 0
        self._silent = False
        self._upgrade = False
        self._patience: Deadline | None = None

    @property
    def is_served(self) -> bool:
        """Whether its cable is in."""
        return bool(self.port_name)

    async def serve(self, port: SerialPort, greeting: Greeting) -> None:
        """Speak with the device until it falls silent. Raises PortError, in a group, when the port is gone."""
        now = trio.current_time()
        self.runtime.deadlines.cancel(self._patience)
        self.port_name = port.name
        self.line = port.line
        self._silent = False
        self._baud_to_be = 0
        # A rate that was tried and did not work is not tried again.
        self._upgrade = self.config.upgrade_baud not in (0, greeting.baud)
        self.link.attach(now, greeting.baud)
        self.link.greeted(greeting.hello, greeting.frame, now)
        self._act(self.link.on_deadline(now))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, port)
                await self._write(port)
                nursery.cancel_scope.cancel()
        finally:
            self.port_name = ""
            self.subjects.presence(False, port.name)
            when = trio.current_time() + self.config.resume_seconds
            self._patience = self.runtime.deadlines.call_at(when, self._give_up)

    def end(self, reason: CloseReason, detail: str = "") -> None:
        """Give the device up while it is away."""
        self.runtime.deadlines.cancel(self._patience)
        self._disconnect(reason, detail)
        self._forget(self)

    def _give_up(self, now: float) -> None:
        self.end(CloseReason.STALE_CONNECTION, "the device did not come back")

    async def _read(self, port: SerialPort) -> None:
        while True:
            data = await port.read()
            self._act(self.link.receive(data, trio.current_time()))
            self.runtime.switch.flush()
            self._wake.set()

    async def _write(self, port: SerialPort) -> None:
        """Send what the link has to say, in time; ends when the device has fallen silent."""
        link = self.link
        while not self._silent:
            now = trio.current_time()
            if now >= link.next_deadline():
                self._act(link.on_deadline(now))
                self.runtime.switch.flush()
            data = link.bytes_to_send(now, WRITE_SIZE)
            if data:
                with trio.move_on_after(STUCK_SECONDS) as patience:
                    await port.write(data)
                if patience.cancelled_caught:
                    raise PortError("takes no bytes")
            elif self._baud_to_be:
                rate, self._baud_to_be = self._baud_to_be, 0
                await port.set_baud(rate)
                link.baud_changed(rate, trio.current_time())
                log.info("port=%s event=baud rate=%d", port.name, rate)
            else:
                self._wake = trio.Event()
                with trio.CancelScope(deadline=link.next_deadline()):
                    await self._wake.wait()
            if self.connection is not None:
                self.connection.write_ready()

    # What the link tells.

    def _act(self, events: list[LinkEvent]) -> None:
        for event in events:
            self._HANDLERS[type(event)](self, event)

    def _on_opened(self, event: Opened) -> None:
        log.info(
            "port=%s event=device-%s name=%s baud=%d",
            self.port_name,
            "back" if event.resumed else "up",
            self.subjects.name,
            self.link.baud,
        )
        if not event.resumed:
            self._connect()
        self.subjects.presence(True, self.port_name)
        if self._upgrade:
            self._upgrade = False
            self.link.change_baud(self.config.upgrade_baud, trio.current_time())

    def _on_received(self, event: Received) -> None:
        if self._transport is not None:
            self._transport.feed(event.data)
        else:
            self.link.consumed(len(event.data))

    def _on_silent(self, event: Silent) -> None:
        log.warning("port=%s event=silent name=%s", self.port_name, self.subjects.name)
        self._silent = True

    def _on_ended(self, event: Ended) -> None:
        self._disconnect(CloseReason.CLIENT_CLOSED, "" if event.farewell else "the device began anew")
        self.subjects.presence(False, self.port_name)
        peer = self.link.peer
        # Whoever has another name is another device: it is greeted as one.
        other = peer is not None and peer.name not in ("", self.name)
        if other or self.runtime.stopping.is_set():
            self._silent = True

    def _on_text(self, event: Text) -> None:
        self.subjects.log(event.data)

    def _on_baud_change(self, event: BaudChange) -> None:
        self._baud_to_be = event.rate

    _HANDLERS: ClassVar[dict[type, Callable[..., None]]] = {
        Opened: _on_opened,
        Received: _on_received,
        Silent: _on_silent,
        Ended: _on_ended,
        Text: _on_text,
        BaudChange: _on_baud_change,
    }

    def _connect(self) -> None:
        self._transport = LinkTransport(self.link, self.port_name, self._woken)
        connection = Connection(self.runtime, self.site.registry, self._transport)
        connection.session = DeviceNatsSession(connection, self.site.admission_to(self.config), self.config.queue_bytes)
        self.connection = connection
        connection.begin()
        self.runtime.switch.flush()

    def _woken(self) -> None:
        self._wake.set()

    def _disconnect(self, reason: CloseReason, detail: str) -> None:
        connection, self.connection = self.connection, None
        self._transport = None
        if connection is not None:
            dropped = connection.session.port.dropped if connection.session.port is not None else 0
            if dropped:
                log.warning("cid=%d event=dropped name=%s dropped=%d", connection.cid, self.subjects.name, dropped)
            connection.cut(reason, detail)
            self.runtime.switch.flush()
