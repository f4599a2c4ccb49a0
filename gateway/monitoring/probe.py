"""Probe: how long the gateway itself takes for a message, and how late its loop is, measured while somebody looks.

Once a second a byte goes through a pair of sockets: the reader finds it among all others, it is published, and a
subscription of ours gets it. An idle gateway that nobody watches is not woken for that.
"""

import socket
from collections.abc import Callable

import trio

from gateway.accounts.account import Account
from gateway.dataplane.outbox import Outbox
from gateway.dataplane.port import Port, Receiver
from gateway.runtime.histogram import Histogram
from gateway.runtime.runtime import Runtime
from gateway.transport.reader import Reader
from protocols.message import Message, make_message

SUBJECT = b"$LEAFGATE.probe"
EVERY_SECONDS = 1.0
# How long one look keeps it going.
WATCHED_SECONDS = 90.0


class ProbeReceiver(Receiver):
    """Hears that a probe has arrived."""

    __slots__ = ("_arrived",)

    def __init__(self, arrived: Callable[[], None]) -> None:
        super().__init__(Port(None), SUBJECT, b"")
        self.local_only = True
        self._arrived = arrived

    def deliver(self, message: Message, source: Port) -> bool:
        if source.outbox is None:  # Nobody else's word counts.
            self._arrived()
        return True


class Probe:
    """`latency` is from socket to subscription, `delay` how much later than it was to be the loop did something. Probes
    are published in `account`. It is a Readable of the reader's (gateway.transport.reader).
    """

    introduced = True
    heavy = False

    def __init__(self, runtime: Runtime, reader: Reader, account: Account) -> None:
        self.latency = Histogram()
        self.delay = Histogram()
        self._runtime = runtime
        self._reader = reader
        self._account = account
        self._receiver = ProbeReceiver(self._arrived)
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._until = 0.0
        self._due = 0.0
        self._sent = 0.0

    def watch(self) -> None:
        """Somebody looks: measure for a while."""
        self._until = trio.current_time() + WATCHED_SECONDS
        if self._ends is None:
            near, far = socket.socketpair()
            near.setblocking(False)
            far.setblocking(False)
            self._ends = near, far
            self._reader.add(near.fileno(), self)
            self._account.router.subscribe(self._receiver)
            self._send(trio.current_time())

    def close(self) -> None:
        """Measure no more."""
        ends, self._ends = self._ends, None
        if ends is not None:
            self._account.router.unsubscribe(self._receiver)
            self._reader.remove(ends[0].fileno())
            for end in ends:
                end.close()

    def _tick(self, now: float) -> None:
        if self._ends is None:
            return
        self.delay.observe(max(now - self._due, 0.0))
        if now > self._until:
            self.close()
        else:
            self._send(now)

    def _send(self, now: float) -> None:
        assert self._ends is not None
        self._due = now + EVERY_SECONDS
        self._runtime.deadlines.call_at(self._due, self._tick)
        if not self._sent:
            self._sent = trio.current_time()
            self._ends[1].send(b"p")

    def _arrived(self) -> None:
        if self._sent:
            self.latency.observe(trio.current_time() - self._sent)
            self._sent = 0.0

    # What the reader asks of what stands behind a descriptor.

    def read_ready(self) -> int:
        if self._ends is None:
            return 0
        size = len(self._ends[0].recv(16))
        self._account.publish(make_message(SUBJECT, b""))
        return size

    def batch_done(self, size: int, begun: float, now: float) -> None:
        """Nothing follows."""

    def write_ready(self) -> None:
        """Nothing waits for room."""

    def hold(self, congested: Outbox) -> None:
        """A probe goes to nobody else."""

    def pause(self) -> None:
        """It has no peer that could be too fast."""

    def resume(self) -> None:
        """It was never paused."""
