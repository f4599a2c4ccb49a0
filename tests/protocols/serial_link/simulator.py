"""Two ends of a serial link on a simulated line, in virtual time: every run with the same seed is the same run.

The line carries ten bits a byte, one frame at a time in each direction, and damages what the test asks for.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from protocols.serial_link.link import BaudChange, Ended, Link, LinkSettings, Opened, Received, Silent

GATEWAY = LinkSettings()
DEVICE = LinkSettings(name="node", receive_buffer=8192, line_buffer=8192)


@dataclass
class Faults:
    """What the line does to bytes, each as a probability. `latency` in seconds, as USB adapters add it."""

    bit_error_rate: float = 0.0
    drop_rate: float = 0.0
    burst_rate: float = 0.0
    burst_bytes: int = 20
    latency: float = 0.001
    cut: bool = False


class Endpoint:
    """One end, with an application that sends `outgoing` as fast as it may and notes what arrives."""

    def __init__(self, world: "World", settings: LinkSettings) -> None:
        self.world = world
        self.settings = settings
        self.outgoing = b""
        self.streams: list[bytearray] = []
        self.log: list[object] = []
        self.reads_at: Callable[[], bool] = lambda: True
        self.unread = 0
        self.other: Endpoint
        self.line_free = 0.0
        self.poll_at = -1.0
        self.baud_to_be = 0
        self.line_baud = world.baud
        self.power_up()

    def power_up(self) -> None:
        """A start from nothing, as after a reset."""
        self.link = Link(
            self.settings, lambda: self.world.random.randrange(1, 1 << 32), self.world.now, self.world.baud
        )
        self.link.attach(self.world.now, self.world.baud)
        self.line_baud = self.world.baud
        self.unread = 0
        self.poll_at = -1.0
        self.world.at(self.world.now, self.poll)

    def replug(self) -> None:
        """The cable is in again."""
        self.link.attach(self.world.now, self.line_baud)
        self.world.at(self.world.now, self.poll)

    def arrive(self, data: bytes, baud: int) -> None:
        if not self.world.faults.cut:
            if baud != self.line_baud:
                data = bytes(byte ^ 0x5A | 0x80 for byte in data)
            self.act(self.link.receive(data, self.world.now))
            self.poll()

    def act(self, events: list[object]) -> None:
        for event in events:
            if isinstance(event, Opened):
                self.log.append(event)
                if not event.resumed:
                    self.streams.append(bytearray())
            elif isinstance(event, Received):
                self.streams[-1] += event.data
                self.unread += len(event.data)
            elif isinstance(event, BaudChange):
                self.baud_to_be = event.rate
                self.log.append(event)
            elif isinstance(event, Ended | Silent):
                self.log.append(event)
                if isinstance(event, Ended):
                    self.unread = 0

    def poll(self) -> None:
        """Whatever can be done now is done; then comes the next deadline, or the end of the frame on the line."""
        world, link = self.world, self.link
        if self.unread and self.reads_at():
            self.link.consumed(self.unread)
            self.unread = 0
        taken = link.send(self.outgoing) if self.outgoing else 0
        self.outgoing = self.outgoing[taken:]
        if world.now >= link.next_deadline():
            self.act(link.on_deadline(world.now))
        if world.now >= self.line_free:
            data = link.bytes_to_send(world.now, 1)
            if data:
                self.line_free = world.now + len(data) * 10 / self.line_baud
                damaged, baud = world.damage(data), self.line_baud
                other = self.other
                world.at(self.line_free + world.faults.latency, lambda: other.arrive(damaged, baud))
            elif self.baud_to_be:
                self.line_baud, self.baud_to_be = self.baud_to_be, 0
                link.baud_changed(self.line_baud, world.now)
                data = b"again"
            when = self.line_free if data else link.next_deadline()
        else:
            when = min(self.line_free, link.next_deadline() if link.next_deadline() > world.now else self.line_free)
        when = max(when, world.now + 1e-6)
        if when != self.poll_at:
            self.poll_at = when
            world.at(when, lambda: self.poll_if(when))

    def poll_if(self, when: float) -> None:
        if when == self.poll_at:
            self.poll_at = -1.0
            self.poll()


@dataclass
class World:
    """Both ends and the time."""

    seed: int = 0
    baud: int = 921_600
    faults: Faults = field(default_factory=Faults)
    gateway_settings: LinkSettings = GATEWAY
    device_settings: LinkSettings = DEVICE

    def __post_init__(self) -> None:
        self.now = 0.0
        self.random = random.Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.wire_bytes = 0
        self.gateway = Endpoint(self, self.gateway_settings)
        self.device = Endpoint(self, self.device_settings)
        self.gateway.other, self.device.other = self.device, self.gateway

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action))

    def run_until(self, done: Callable[[], bool], seconds: float = 600.0) -> None:
        """Let time pass until `done`; fails when that does not happen within virtual seconds."""
        limit = self.now + seconds
        while not done():
            when, _, action = heapq.heappop(self._events)
            assert when <= limit, f"not done after {seconds} s: {self.gateway.log} {self.device.log}"
            self.now = max(self.now, when)
            action()

    def run_for(self, seconds: float) -> None:
        limit = self.now + seconds
        while self._events and self._events[0][0] <= limit:
            when, _, action = heapq.heappop(self._events)
            self.now = max(self.now, when)
            action()
        self.now = limit

    def open(self) -> None:
        self.run_until(lambda: self.gateway.link.up and self.device.link.up)

    def damage(self, data: bytes) -> bytes:
        self.wire_bytes += len(data)
        faults, chance = self.faults, self.random.random
        if faults.cut:
            return b""
        damaged = bytearray(data)
        if faults.bit_error_rate:
            for index in range(len(damaged)):
                # Eight data bits; a wrong start or stop bit costs the byte as well.
                if chance() < 8 * faults.bit_error_rate:
                    damaged[index] ^= 1 << self.random.randrange(8)
        if faults.drop_rate and chance() < faults.drop_rate:
            del damaged[self.random.randrange(len(damaged))]
        if faults.burst_rate and chance() < faults.burst_rate:
            start = self.random.randrange(len(damaged))
            for index in range(start, min(start + faults.burst_bytes, len(damaged))):
                damaged[index] = self.random.randrange(256)
        return bytes(damaged)
