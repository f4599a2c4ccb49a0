"""A connection without a socket: what a session is sent goes in by `receive`, what it says comes out by `take`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from gateway.assembly import Gateway
from gateway.dataplane.outbox import Outbox
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from tests.gateway.dataplane.places import MemorySink


class MemoryConnection:
    """Stands in for gateway.transport.connection.Connection, of which sessions know this much."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.runtime = gateway.runtime
        self.registry = gateway.registry
        self.sink = MemorySink()
        self.outbox = Outbox(self.sink, gateway.runtime.switch, gateway.settings.config.limits.max_pending_bytes)
        self.cid = gateway.registry.next_cid()
        self.address = ("127.0.0.1", 50_000)
        self.listener = None
        self.tls = None
        self.browser_login = None
        self.started = self.last_activity = trio.current_time()
        self.close_reason: CloseReason | None = None
        self.close_detail = ""
        self.withheld = False
        self.introduced = False
        self.slices = 0

    def start(self, session: object) -> None:
        self.session = session
        session.opened()  # type: ignore[attr-defined]

    def local_address(self) -> tuple[str, int]:
        return ("127.0.0.1", 4222)

    def receive(self, data: bytes) -> None:
        """What the peer says. `slices` counts how many times the session was asked to act on it."""
        self.last_activity = trio.current_time()
        self.slices = 0
        while self.close_reason is None:
            self.session.receive(data)  # type: ignore[attr-defined]
            self.gateway.runtime.switch.flush()
            self.slices += 1
            if not self.session.has_more:  # type: ignore[attr-defined]
                break
            data = b""

    def close(self, reason: CloseReason, detail: str = "", farewell: bytes = b"", linger: float = 1.0) -> None:
        if self.close_reason is None:
            self.close_reason = reason
            self.close_detail = detail
            self.session.closed(reason)  # type: ignore[attr-defined]
            self.outbox.write(farewell)
            self.outbox.flush()

    def introduce(self) -> None:
        self.introduced = True

    def heartbeats(self, count: int) -> None:
        """What comes is never read from a socket."""

    def withhold(self) -> None:
        """Tests read on: what they look at is there, whether or not it may leave yet."""
        self.withheld = True

    def release(self) -> None:
        self.withheld = False

    async def relieved(self) -> None:
        """A peer without room never makes any."""
        if self.sink.room == 0:
            await trio.sleep_forever()

    def take(self) -> bytes:
        """What the peer has got since the last time."""
        self.gateway.runtime.switch.flush()
        received = self.sink.received()
        self.sink.sends.clear()
        return received


async def take_turns(gateway: Gateway) -> None:
    """What the reader does between its rounds; it needs a clock that goes on by itself."""
    turns = gateway.runtime.turns
    while True:
        there_is_work = trio.Event()
        turns.signal = lambda waiting, event=there_is_work: event.set() if waiting else None  # type: ignore[misc]
        while turns:
            turns.take()
            gateway.runtime.switch.flush()
            gateway.runtime.switch.publisher = None
            await trio.lowlevel.checkpoint()
        await there_is_work.wait()


@asynccontextmanager
async def running_gateway(config: Config | None = None) -> AsyncIterator[Gateway]:
    """A gateway in which time passes and nothing else happens by itself. Turns are as long as it takes: where a busy
    machine would end one differs each time.
    """
    gateway = Gateway(config or Config())
    gateway.runtime.turns.clock = lambda: 0.0
    async with trio.open_nursery() as services:
        services.start_soon(gateway.runtime.deadlines.run, gateway.runtime.switch.flush)
        services.start_soon(take_turns, gateway)
        gateway.runtime.nursery = services
        yield gateway
        services.cancel_scope.cancel()
