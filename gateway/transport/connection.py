"""Connection: one peer's stream. Reads batches for its session, sends its outbox, and ends in exactly one CloseReason.

What carries the bytes is a transport's business.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import trio

from gateway.dataplane.outbox import CONGESTED_AT, Outbox
from gateway.dataplane.port import Port
from gateway.runtime.budget import Holding
from gateway.runtime.deadlines import Deadline
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.listener import Listener
from gateway.transport.browser_login import BrowserLogin
from gateway.transport.departed import GONE, Departed
from gateway.transport.reader import HEAVY_FROM_SECONDS, HOLD_SECONDS, LARGEST_READ
from gateway.transport.session import Session
from gateway.transport.tls_session import TlsSession
from gateway.transport.transport import Transport
from protocols.close_reason import CloseReason
from protocols.message import Buffer

log = logging.getLogger("leafgate.connection")
FAILED = "cid=%d kind=%s event=failed"

SMALLEST_READ = 4096
UNFINISHED = "unfinished-input"
# More in a row than any client has a use for.
MOST_HEARTBEATS = 256
# A batch with a large fan-out may cost a thousand times its bytes: while one took longer than this, smaller ones are
# read, so that the others have their turn.
LONGEST_TURN_SECONDS = 0.005
FEWEST_READ = 256
# Of so many batches none was long, where a connection is served among the first of a round.
BATCHES_REMEMBERED = 16
# How long a closed connection may take to deliver its last words and to hear the peer's end.
LINGER_SECONDS = 1.0

Answer = TypeVar("Answer")


class ConnectionRegistry(Protocol):
    """Who keeps the list of connections (gateway.transport.registry)."""

    handshakes: int
    slow_consumers: int
    stalls: int
    stale_connections: int

    def next_cid(self) -> int: ...

    def add(self, connection: "Connection") -> None: ...

    def introduced(self, connection: "Connection") -> None: ...

    def remove(self, connection: "Connection") -> None: ...


class Connection:
    """A transport and the session over it. `cid` is unique in this gateway's life.

    Set `session`, then call `begin`. `listener` is the one that the peer came to, None where it came otherwise; `tls`
    is there once a handshake is done, `browser_login` once a WebSocket came with cookies that say who it is.
    """

    __slots__ = (
        "_burden",
        "_calm",
        "_end",
        "_finished",
        "_hold",
        "_holders",
        "_input",
        "_linger",
        "_more",
        "_pauses",
        "_queued",
        "_relief",
        "_size",
        "_stuck",
        "_tls_bytes",
        "_withheld",
        "_writing",
        "_written_at",
        "address",
        "browser_login",
        "cid",
        "close_detail",
        "close_reason",
        "heavy",
        "introduced",
        "last_activity",
        "listener",
        "outbox",
        "registry",
        "runtime",
        "session",
        "stalls",
        "started",
        "tls",
        "transport",
    )

    def __init__(self, runtime: Runtime, registry: ConnectionRegistry, transport: Transport) -> None:
        self.runtime = runtime
        self.registry = registry
        self.transport = transport
        self.address = transport.peer
        self.cid = registry.next_cid()
        self.started = self.last_activity = trio.current_time()
        self.outbox = Outbox(self, runtime.switch, runtime.settings.limits.max_pending_bytes)
        self.session: Session
        self.listener: Listener | None = None
        self.tls: TlsSession | None = None
        self._tls_bytes = 0
        self.browser_login: BrowserLogin | None = None
        self.close_reason: CloseReason | None = None
        self.close_detail = ""
        self.introduced = False
        # Whoever is new may send much.
        self.heavy = True
        self._burden = BATCHES_REMEMBERED
        self.stalls = 0
        self._size = SMALLEST_READ
        self._calm = False
        # What is kept of input that is not complete, once that is more than little.
        self._input: Holding | None = None
        # Reading stops while there is any of these: a decision that is awaited, outboxes that must empty first.
        self._pauses = 0
        # Nor is anything read while the session has more to act on; and whether that is in the queue for its turn.
        self._more = False
        self._queued = False
        self._hold: Deadline | None = None
        # The publishers that wait until this connection's outbox has room again.
        self._holders: list[Connection] | None = None
        self._writing = False
        self._written_at = 0.0
        self._stuck: Deadline | None = None
        self._withheld = False
        self._relief: trio.Event | None = None
        self._linger: Deadline | None = None
        self._finished = False
        self._end: trio.Event | None = None

    def begin(self) -> None:
        """Take part: the session is set. Nothing that a peer does escapes from here on."""
        self.registry.add(self)
        if not self.session.is_client:  # We have called it.
            self.introduce()
        self.transport.begin(self)
        try:
            self.session.opened()
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            self._fail()

    def introduce(self) -> None:
        """The peer has said who it is, as far as its protocol asks for that."""
        if not self.introduced:
            self.introduced = True
            self.registry.introduced(self)

    async def wait_ended(self) -> None:
        """Return when nothing is left of the connection."""
        if self._end is None:
            self._end = trio.Event()
            if self._finished:
                self._end.set()
        await self._end.wait()

    def port(self) -> Port | None:
        """The peer's place on the switch; None while it has none."""
        return self.session.port

    def local_address(self) -> tuple[str, int]:
        """The gateway's end of the connection."""
        return self.transport.local

    def settings_changed(self) -> None:
        """Hold limits and keep times that are others; the session may set another limit of the outbox."""
        if self.close_reason is not None:
            return
        self.outbox.limit = self.runtime.settings.limits.max_pending_bytes
        if self._stuck is not None:
            self.runtime.deadlines.cancel(self._stuck)
            self._watch_progress(self._written_at)
        self.session.settings_changed()

    # The end.

    def close(
        self, reason: CloseReason, detail: str = "", farewell: bytes = b"", linger: float = LINGER_SECONDS
    ) -> None:
        """End the connection: say farewell, deliver what is queued within `linger` seconds, close.

        Only the first call counts.
        """
        if self.close_reason is not None:
            return
        self.close_detail = detail
        self._ended(reason)
        outbox = self.outbox
        if farewell:
            outbox.write(farewell)
        outbox.flush()
        outbox.write_wire(self.session.closing_bytes(reason))
        if outbox.pending() and not outbox.closed:
            self._linger = self.runtime.deadlines.call_at(trio.current_time() + linger, self._abandon)
        else:
            self._end_sending()

    def abort(self, reason: CloseReason) -> None:
        """End the connection at once; what is queued is lost."""
        if self.close_reason is None:
            self._ended(reason)
        self.outbox.close()
        self._abandon(0.0)

    def cut(self, reason: CloseReason, detail: str = "") -> None:
        """End the connection without waiting for anything of the peer's."""
        if self.close_reason is None:
            self.close_detail = detail
            self._ended(reason)
        self._finish()

    def _fail(self) -> None:
        """End the connection after an unexpected exception; nobody else shall notice."""
        try:
            self.close(CloseReason.INTERNAL_ERROR)
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            self.abort(CloseReason.INTERNAL_ERROR)

    def _ended(self, reason: CloseReason) -> None:
        self.close_reason = reason
        if self._pauses or self._more:  # The peer's end of the stream has to be seen.
            self._pauses = 0
            self._more = False
            self.transport.resume()
        if self._input is not None:
            self._input.release()
            self._input = None
        try:
            self.session.closed(reason)
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)

    def _end_sending(self) -> None:
        """Everything is sent: tell the peer, and give it a moment to end its side."""
        deadlines = self.runtime.deadlines
        deadlines.cancel(self._linger)
        self._linger = None
        if self.transport.end():
            self._linger = deadlines.call_at(trio.current_time() + LINGER_SECONDS, self._abandon)

    def _abandon(self, now: float) -> None:
        """Make the end of the stream come."""
        self.transport.abort()

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        deadlines = self.runtime.deadlines
        deadlines.cancel(self._linger)
        deadlines.cancel(self._stuck)
        deadlines.cancel(self._hold)
        outbox = self.outbox
        outbox.close()
        self._writing = False
        self.transport.close()
        self._relieve()
        self.hold_for_tls(0)
        self.registry.remove(self)
        if self._end is not None:
            self._end.set()
        # Cut the circles of connection, session and outbox: they would wait for a garbage collection.
        self.session = Departed(self.session.kind)
        outbox.sink = GONE
        outbox.encode = None

    # Reading (gateway.transport.reader.Readable).

    def read_ready(self) -> int:
        """Act on one batch of what the peer has sent; returns its size, 0 when there is none."""
        if self._pauses or self._more:
            return 0
        try:
            data = self.transport.receive(self._size)
        except OSError as error:
            self.close(CloseReason.READ_ERROR, str(error))
            self._finish()
            return 0
        if data is None:
            return 0
        if not data:
            self.close(CloseReason.CLIENT_CLOSED)
            self._finish()
            return 0
        if self.close_reason is None:
            try:
                self.session.receive(data)
                self._count_input()
                if self.session.has_more and self.close_reason is None:
                    self._leave()
            except Exception:
                log.exception(FAILED, self.cid, self.session.kind)
                self._fail()
        # Otherwise reading on lets the peer have our last words instead of a reset.
        return len(data)

    def take(self, data: bytes) -> None:
        """Act on bytes that were read before the session that is there now; b"" when the stream had ended then."""
        if not data:
            self.close(CloseReason.CLIENT_CLOSED)
            self._finish()
            return
        self.session.receive(data)
        self._count_input()
        if self.session.has_more and self.close_reason is None:
            self._leave()

    def _count_input(self) -> None:
        """Hold what is kept of unfinished input against the peer's share; who is over it has to go."""
        size = self.session.unfinished_bytes()
        if size <= SMALLEST_READ:  # Every connection is counted with more.
            if self._input is not None:
                self._input.release()
                self._input = None
            return
        if self._input is None:
            self._input = Holding(self.runtime.budget)
        more = size - self._input.bytes
        if more <= 0 or not self._input.ask(UNFINISHED, more):
            if more > 0:
                self.session.refuse_input(f"max-memory-bytes: {size} bytes of unfinished input")
            if self.close_reason is None:
                self._input.add(UNFINISHED, more)

    def guard(self, act: Callable[[], None]) -> None:
        """Do what belongs to this connection; an unexpected exception ends it, and nobody else notices."""
        try:
            act()
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            self._fail()

    def batch_done(self, size: int, begun: float, now: float) -> None:
        self.last_activity = now
        if now - begun > HEAVY_FROM_SECONDS:
            self._burden = BATCHES_REMEMBERED
        elif self._burden:
            self._burden -= 1
        self.heavy = self._burden > 0
        if self._calm:
            self._calm = False
            self._size = SMALLEST_READ
        elif now - begun > LONGEST_TURN_SECONDS:
            self._size = max(self._size // 4, FEWEST_READ)
        elif size >= self._size:
            self._size = min(size * 4, LARGEST_READ)
        elif self._size > SMALLEST_READ and size < self._size // 8:
            self._size //= 4

    def heartbeats(self, count: int) -> None:
        """So many came in a row. A peer that sends them without end is read in small batches: answers to them are
        never urgent.
        """
        self._calm = self._calm or count > MOST_HEARTBEATS

    def pause(self) -> None:
        """Read no more until `resume` was called as often."""
        if self.close_reason is not None:
            return
        self._pauses += 1
        if self._pauses == 1 and not self._more:
            self.transport.pause()

    def resume(self) -> None:
        if self._pauses:  # None after the end, which waits for nobody.
            self._pauses -= 1
            if self._pauses:
                return
            if self._more:
                self._queue()
            else:
                self.transport.resume()

    def _leave(self) -> None:
        """The session has more to act on: later, and nothing is read before that."""
        if self._more:
            return
        self._more = True
        if not self._pauses:
            self.transport.pause()
            self._queue()

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self.runtime.turns.add(self._go_on)

    def _go_on(self) -> bool:
        """Act for a turn on what was left; whether there is still more of it (gateway.runtime.turns.Step)."""
        self._queued = False
        turns = self.runtime.turns
        self.runtime.switch.publisher = self
        until = turns.clock() + TURN_SECONDS
        try:
            while self._more and not self._pauses:
                self.session.receive(b"")
                self._more = self._more and self.session.has_more  # It is over for one that has ended.
                if self._more and turns.clock() > until:
                    break
            self._count_input()
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            self._fail()
        if self.close_reason is not None or self._pauses:
            return False
        self._queued = self._more
        if not self._more:
            self.transport.resume()
        return self._more

    def drain(self) -> Iterator[None]:
        """Act on all that has come, and on one batch of what has not been read yet; a turn's worth for each step."""
        yield from self._finish_batch()
        self.read_ready()
        self.runtime.switch.publisher = None
        yield from self._finish_batch()

    def _finish_batch(self) -> Iterator[None]:
        while self._more and not self._pauses:
            self._go_on()
            self.runtime.switch.publisher = None
            yield

    def hold_for_tls(self, size: int) -> None:
        """Count so many bytes as what TLS keeps for this connection, in place of those before."""
        self.runtime.budget.change("tls", size - self._tls_bytes)
        self._tls_bytes = size

    def wait_for(self, awaited: Awaitable[Answer], act: Callable[[Answer], None]) -> None:
        """Act on an answer that takes time; the connection is not read before it is there."""

        async def wait() -> None:
            try:
                answer = await awaited
                if self.close_reason is None:
                    self.last_activity = trio.current_time()
                    self.resume()
                    act(answer)
                    if self.close_reason is None and self.session.has_more:
                        self._leave()
            except Exception:
                log.exception(FAILED, self.cid, self.session.kind)
                self._fail()
            self.runtime.switch.flush()

        self.pause()
        self.runtime.spawn(wait)

    def hold(self, congested: Outbox) -> None:
        """Slow a publisher down that fills an outbox faster than its peer takes the bytes."""
        blocked = congested.sink
        if self.close_reason is not None or not isinstance(blocked, Connection) or not blocked.is_congested:
            return
        if self._hold is None:
            self.stalls += 1
            self.registry.stalls += 1
            self._hold = self.runtime.deadlines.call_at(trio.current_time() + HOLD_SECONDS, self._let_go)
            self.pause()
        if blocked._holders is None:
            blocked._holders = []
        if self not in blocked._holders:
            blocked._holders.append(self)

    def _let_go(self, now: float) -> None:
        if self._hold is not None:
            self.runtime.deadlines.cancel(self._hold)
            self._hold = None
            self.resume()

    # Writing: what the outbox needs (gateway.dataplane.outbox.Sink), and the reader.

    def withhold(self) -> None:
        """Send nothing until `release`: what is said meanwhile waits in the outbox, in its order."""
        self._withheld = True

    def release(self) -> None:
        self._withheld = False
        if self.outbox.pending():
            self.start_writer()

    def send(self, data: bytes | memoryview) -> int:
        if self._withheld:
            return 0
        try:
            return self.transport.send(data)
        except OSError:
            self.abort(CloseReason.WRITE_ERROR)
            return 0

    def send_pieces(self, pieces: list[Buffer]) -> int:
        if self._withheld:
            return 0
        try:
            return self.transport.send_pieces(pieces)
        except OSError:
            self.abort(CloseReason.WRITE_ERROR)
            return 0

    def start_writer(self) -> None:
        if not self._writing and not self._withheld and not self.outbox.closed:
            self._writing = True
            self._written_at = trio.current_time()
            if not self.transport.patient:
                self._watch_progress(self._written_at)
            self.transport.watch_room(True)

    def overrun(self) -> None:
        self.registry.slow_consumers += 1
        self.abort(CloseReason.SLOW_CONSUMER_PENDING_BYTES)

    def failed(self, error: Exception) -> None:
        log.error(FAILED, self.cid, self.session.kind, exc_info=error)
        self.abort(CloseReason.INTERNAL_ERROR)

    def write_ready(self) -> None:
        """Send on; ends the watch for room when nothing waits."""
        if not self._writing:
            return
        try:
            waits = self.outbox.resume()
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            waits = False
            self._fail()
        if waits:
            self._written_at = trio.current_time()
        else:
            self._stop_writer()
        if not self.is_congested:
            self._relieve()

    @property
    def is_congested(self) -> bool:
        """Whether so much waits for the peer that publishers should wait for it a moment."""
        return self._writing and self.outbox.pending() > CONGESTED_AT and not self.transport.patient

    async def relieved(self) -> None:
        """Return when the outbox is not congested (or gone)."""
        while self.is_congested:
            if self._relief is None:
                self._relief = trio.Event()
            await self._relief.wait()

    def _stop_writer(self) -> None:
        self._writing = False
        self.runtime.deadlines.cancel(self._stuck)
        self._stuck = None
        self.transport.watch_room(False)
        if self.close_reason is not None and not self.outbox.closed:
            self._end_sending()

    def _watch_progress(self, since: float) -> None:
        when = since + self.runtime.settings.timeouts.write_deadline_seconds
        self._stuck = self.runtime.deadlines.call_at(when, self._check_progress)

    def _check_progress(self, now: float) -> None:
        """End a connection whose peer has taken nothing for as long as the write deadline says."""
        patience = self.runtime.settings.timeouts.write_deadline_seconds
        if now - self._written_at < patience:
            self._watch_progress(self._written_at)
            return
        self.registry.slow_consumers += 1
        self.abort(CloseReason.SLOW_CONSUMER_WRITE_DEADLINE)

    def _relieve(self) -> None:
        if self._relief is not None:
            self._relief.set()
            self._relief = None
        if self._holders is not None:
            holders, self._holders = self._holders, None
            for publisher in holders:
                publisher._let_go(0.0)


def expect_introduction(connection: Connection, before: Deadline | None, check: Callable[[float], None]) -> Deadline:
    """Call `check` once the peer has had its time to say who it is, in place of the call that stood there `before`."""
    runtime = connection.runtime
    runtime.deadlines.cancel(before)
    config = runtime.settings.config
    seconds = config.timeouts.connect_seconds
    if config.authenticates:
        seconds = min(seconds, config.authentication.timeout_seconds)
    # A TLS handshake has a time of its own.
    since = connection.started if connection.tls is None else trio.current_time()
    return runtime.deadlines.call_at(since + seconds, check)
