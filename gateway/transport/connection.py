"""Connection: one socket. Reads batches for its session, sends its outbox, and ends in exactly one CloseReason."""

import logging
import socket
from typing import TYPE_CHECKING, Protocol

import trio

from gateway.dataplane.outbox import CONGESTED_AT, Outbox
from gateway.dataplane.port import Port
from protocols.close_reason import CloseReason
from protocols.message import Buffer

if TYPE_CHECKING:
    from gateway.gateway import Gateway
    from gateway.runtime.deadlines import Deadline

log = logging.getLogger("leafgate.connection")
FAILED = "cid=%d kind=%s event=failed"

SMALLEST_READ = 4096
LARGEST_READ = 1 << 18
# A batch with a large fan-out may cost a thousand times its bytes: while one took longer than this, smaller ones are
# read, so that the others have their turn.
LONGEST_TURN_SECONDS = 0.005
FEWEST_READ = 256
# A full read promises more: this many are taken before other connections have their turn.
READS_IN_A_ROW = 4
# A publisher that outruns a receiver is held back for at most this long per batch: longer, and one stuck reader
# would stop everybody.
HOLD_SECONDS = 0.010
# How long a closed connection may take to deliver its last words and to hear the peer's end.
LINGER_SECONDS = 1.0


class Session(Protocol):
    """What a connection must know of the protocol spoken over it. Every method returns at once."""

    @property
    def kind(self) -> str:
        """The protocol, for logs and monitoring."""

    @property
    def port(self) -> Port | None:
        """The peer's place on the switch; None while it has none (a WebSocket before its upgrade)."""

    def opened(self) -> None:
        """The connection is up; the peer has said nothing yet."""

    def receive(self, data: bytes) -> None:
        """Act on a batch of bytes from the peer."""

    def closing_bytes(self, reason: CloseReason) -> bytes:
        """Wire bytes that end the stream, behind everything else (a WebSocket close frame)."""

    def closed(self, reason: CloseReason) -> None:
        """The connection has ended: give back subscriptions and deadlines. Called once."""


class Gone:
    """Where the outbox of a connection that has ended sends to."""

    def send(self, data: bytes | memoryview) -> int:
        return 0

    def send_pieces(self, pieces: list[Buffer]) -> int:
        return 0

    def start_writer(self) -> None:
        pass

    def overrun(self) -> None:
        pass

    def failed(self, error: Exception) -> None:
        pass


GONE = Gone()


class Connection:
    """A stream socket and its session. `cid` is unique in this gateway's life."""

    __slots__ = (
        "_linger",
        "_relief",
        "_saw_end",
        "_withheld",
        "_writing",
        "address",
        "cid",
        "close_detail",
        "close_reason",
        "gateway",
        "last_activity",
        "outbox",
        "session",
        "socket",
        "stalls",
        "started",
    )

    def __init__(self, gateway: "Gateway", sock: socket.socket) -> None:
        self.socket = sock
        self._set_up(gateway, peer_address(sock), gateway.config.limits.max_pending_bytes)

    def _set_up(self, gateway: "Gateway", address: tuple[str, int], limit: int) -> None:
        """What a connection begins with, whatever carries its bytes; `limit` is its outbox's."""
        self.gateway = gateway
        self.address = address
        self.cid = gateway.registry.next_cid()
        self.started = self.last_activity = trio.current_time()
        self.outbox = Outbox(self, gateway.switch, limit)
        self.session: Session
        self.close_reason: CloseReason | None = None
        self.close_detail = ""
        self.stalls = 0
        self._writing = False
        self._withheld = False
        self._saw_end = False
        self._relief: trio.Event | None = None
        self._linger: Deadline | None = None

    async def run(self) -> None:
        """Serve the connection until it has ended. Nothing that a peer does escapes from here."""
        self.gateway.registry.add(self)
        try:
            self.session.opened()
            self.gateway.switch.flush()
            await self._read()
        except OSError as error:
            self.close(CloseReason.READ_ERROR, str(error))
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            self._fail()
        finally:
            self._finish()

    def port(self) -> Port | None:
        """The peer's place on the switch; None while it has none."""
        return self.session.port

    def local_address(self) -> tuple[str, int]:
        """The gateway's end of the connection."""
        try:
            address = self.socket.getsockname()
        except OSError:
            return ("", 0)
        return (str(address[0]), int(address[1]))

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
            self._linger = self.gateway.deadlines.call_at(trio.current_time() + linger, self._abandon)
        else:
            self._end_sending()

    def abort(self, reason: CloseReason) -> None:
        """End the connection at once; what is queued is lost."""
        if self.close_reason is None:
            self._ended(reason)
        self.outbox.close()
        self._abandon(0.0)

    def withhold(self) -> None:
        """Send nothing until `release`: what is said meanwhile waits in the outbox, in its order."""
        self._withheld = True

    def release(self) -> None:
        self._withheld = False
        if self.outbox.pending():
            self.start_writer()

    # What the outbox needs (gateway.dataplane.outbox.Sink).

    def send(self, data: bytes | memoryview) -> int:
        if self._withheld:
            return 0
        try:
            return self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.abort(CloseReason.WRITE_ERROR)
            return 0

    def send_pieces(self, pieces: list[Buffer]) -> int:
        if self._withheld:
            return 0
        try:
            return self.socket.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.abort(CloseReason.WRITE_ERROR)
            return 0

    def start_writer(self) -> None:
        if not self._writing and not self._withheld:
            self._writing = True
            self.gateway.start_task(self._write)

    def overrun(self) -> None:
        self.gateway.registry.slow_consumers += 1
        self.abort(CloseReason.SLOW_CONSUMER_PENDING_BYTES)

    def failed(self, error: Exception) -> None:
        log.error(FAILED, self.cid, self.session.kind, exc_info=error)
        self.abort(CloseReason.INTERNAL_ERROR)

    async def relieved(self) -> None:
        """Return when the outbox is no longer congested (or gone)."""
        while self._writing and self.outbox.pending() > CONGESTED_AT:
            if self._relief is None:
                self._relief = trio.Event()
            await self._relief.wait()

    def read_once(self) -> None:
        """Act on one batch of what the peer has sent already, if there is any."""
        if self.close_reason is None:
            try:
                data = self.socket.recv(LARGEST_READ)
            except OSError:
                return
            if data:
                try:
                    self.session.receive(data)
                except Exception:
                    log.exception(FAILED, self.cid, self.session.kind)
                    self._fail()

    def _fail(self) -> None:
        """End the connection after an unexpected exception; nobody else shall notice."""
        try:
            self.close(CloseReason.INTERNAL_ERROR)
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            self.abort(CloseReason.INTERNAL_ERROR)

    def _ended(self, reason: CloseReason) -> None:
        self.close_reason = reason
        self.gateway.registry.ended(self)
        try:
            self.session.closed(reason)
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)

    async def _read(self) -> None:
        size = SMALLEST_READ
        in_a_row = 0
        while True:
            if in_a_row % READS_IN_A_ROW == 0:
                await trio.lowlevel.wait_readable(self.socket)
            try:
                data = self.socket.recv(size)
            except (BlockingIOError, InterruptedError):
                in_a_row = 0
                continue
            if not data:
                self._saw_end = True
                self.close(CloseReason.CLIENT_CLOSED)
                return
            if self.close_reason is not None:
                in_a_row = 0
                continue  # Reading on lets the peer have our last words instead of a reset.
            begun = trio.current_time()
            self.session.receive(data)
            self.gateway.switch.flush()
            self.last_activity = trio.current_time()
            self.gateway.busy_poll.batch(self.last_activity)
            if self.gateway.switch.congested:
                await self._hold()
            in_a_row = in_a_row + 1 if len(data) == LARGEST_READ else 0
            if self.last_activity - begun > LONGEST_TURN_SECONDS:
                size = max(size // 4, FEWEST_READ)
                in_a_row = 0
            elif len(data) == size:
                size = min(size * 4, LARGEST_READ)
            elif size > SMALLEST_READ and len(data) < size // 8:
                size //= 4

    async def _hold(self) -> None:
        """Slow a publisher down that fills outboxes faster than their peers take the bytes."""
        congested, self.gateway.switch.congested = self.gateway.switch.congested, []
        self.stalls += 1
        with trio.move_on_after(HOLD_SECONDS):
            for outbox in congested:
                sink = outbox.sink
                if isinstance(sink, Connection):
                    await sink.relieved()

    async def _write(self) -> None:
        """Send what the peer did not take at once; ends when nothing waits."""
        try:
            # The connection may have ended before this task began: there is no socket to wait for then.
            waiting = not self.outbox.closed
            while waiting:
                with trio.move_on_after(self.gateway.config.timeouts.write_deadline_seconds) as patience:
                    await trio.lowlevel.wait_writable(self.socket)
                if patience.cancelled_caught:
                    self.gateway.registry.slow_consumers += 1
                    self.abort(CloseReason.SLOW_CONSUMER_WRITE_DEADLINE)
                    return
                waiting = self.outbox.resume()
                if self.outbox.pending() <= CONGESTED_AT:
                    self._relieve()
        except (trio.ClosedResourceError, OSError):
            self.outbox.close()
        except Exception:
            log.exception(FAILED, self.cid, self.session.kind)
            self._fail()
        finally:
            self._writing = False
            self._relieve()
        if self.close_reason is not None:
            self._end_sending()

    def _relieve(self) -> None:
        if self._relief is not None:
            self._relief.set()
            self._relief = None

    def _end_sending(self) -> None:
        """Everything is sent: tell the peer, and give it a moment to end its side."""
        self.gateway.deadlines.cancel(self._linger)
        self._linger = None
        if self._saw_end:
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return
        self._linger = self.gateway.deadlines.call_at(trio.current_time() + LINGER_SECONDS, self._abandon)

    def _abandon(self, now: float) -> None:
        """Wake the reading task with the end of the stream."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The peer was faster.

    def _finish(self) -> None:
        if self.close_reason is None:  # cancelled
            self._ended(CloseReason.SERVER_SHUTDOWN)
        self.gateway.deadlines.cancel(self._linger)
        self.outbox.close()
        trio.lowlevel.notify_closing(self.socket)
        self.socket.close()
        self._relieve()
        self.gateway.registry.remove(self)
        self.gateway.switch.flush()
        # Cut the circle of connection, session and outbox: it would wait for a garbage collection.
        self.outbox.sink = GONE
        self.outbox.encode = None


def peer_address(sock: socket.socket) -> tuple[str, int]:
    try:
        peer = sock.getpeername()
    except OSError:
        return ("", 0)
    return (str(peer[0]), int(peer[1]))
