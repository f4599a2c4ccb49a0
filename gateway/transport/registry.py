"""Registry: who is connected, and who was."""

import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from gateway.runtime.budget import CONNECTION_BYTES
from gateway.runtime.logs import shorten
from gateway.runtime.runtime import Runtime
from gateway.settings.live import SECTIONS
from gateway.transport.census import Census
from gateway.transport.connection import Connection
from gateway.transport.reader import Reader
from gateway.transport.snapshot import PeerSnapshot
from gateway.transport.transport import SocketTransport
from protocols.close_reason import CloseReason

log = logging.getLogger("leafgate.connection")

REMEMBERED_CLOSED = 1024
# What is said of connections from one host within a minute: the rest is counted.
LINES_PER_MINUTE = 2000
LONGEST_DETAIL = 512


class Registry:
    """`clients` counts the open connections that clients made, up to the end of their last words; `strangers` those
    that have not introduced themselves, `strangers_from` the same by address. `remember`, set by monitoring, makes what
    is kept of each closed connection; only the last ones are. `came` and `left` are told of connections that have said
    who they are, and of those that end; all three get what the session says of its peer, too.
    """

    def __init__(self, runtime: Runtime, reader: Reader) -> None:
        self.reader = reader
        self.open: dict[int, Connection] = {}
        self.closed: deque[Any] = deque(maxlen=REMEMBERED_CLOSED)
        self.remember: Callable[[Connection, PeerSnapshot], object] | None = None
        self.came: Callable[[Connection, PeerSnapshot], None] = nobody_hears
        self.left: Callable[[Connection, PeerSnapshot], None] = nobody_hears
        self.total = 0
        self.clients = 0
        self.strangers = 0
        self.strangers_from: dict[str, int] = {}
        # TLS handshakes that were done.
        self.handshakes = 0
        self.slow_consumers = 0
        self.stalls = 0
        self.stale_connections = 0
        self._runtime = runtime
        self._last_cid = 0
        self.census = Census(self.open, runtime.turns)
        # How many connections ended for each reason.
        self.ended: dict[CloseReason, int] = {}
        self._emptied: trio.Event | None = None
        runtime.budget.elsewhere["connections"] = lambda: self.clients * CONNECTION_BYTES
        for section in SECTIONS:
            runtime.settings.subscribe(section, self._settings_changed)

    def connection_over(self, sock: socket.socket) -> Connection:
        """A connection over a connected, non-blocking socket; give it a session and let it begin."""
        return Connection(self._runtime, self, SocketTransport(sock, self.reader))

    def full_for(self, host: str) -> str | None:
        """The key of the limit that leaves no room for one more client from there; None where there is room."""
        limits = self._runtime.settings.limits
        if self.clients >= limits.max_connections:
            return "max-connections"
        if self.strangers >= limits.max_unintroduced:
            return "max-unintroduced"
        if self.strangers_from.get(host, 0) >= limits.max_unintroduced_per_address:
            return "max-unintroduced-per-address"
        if not self._runtime.budget.grants(0, CONNECTION_BYTES):
            return "max-memory-bytes"
        return None

    def next_cid(self) -> int:
        self._last_cid += 1
        return self._last_cid

    def add(self, connection: Connection) -> None:
        self.open[connection.cid] = connection
        self.total += 1
        if connection.session.is_client:
            self.clients += 1
            host = connection.transport.peer[0]
            self.strangers += 1
            self.strangers_from[host] = self.strangers_from.get(host, 0) + 1
        self._tell(connection, "cid=%d event=open kind=%s peer=%s:%d", connection.session.kind, *connection.address)

    def introduced(self, connection: Connection) -> None:
        """Called once for each."""
        if connection.close_reason is None:
            self.came(connection, connection.session.describe())
        if connection.session.is_client:
            host = connection.transport.peer[0]
            self.strangers -= 1
            left = self.strangers_from[host] - 1
            if left:
                self.strangers_from[host] = left
            else:
                del self.strangers_from[host]

    def remove(self, connection: Connection) -> None:
        if self.open.pop(connection.cid, None) is None:
            return
        connection.introduce()
        if connection.session.is_client:
            self.clients -= 1
        peer = connection.session.describe()
        self.census.left(connection, peer)
        self.left(connection, peer)
        if self.remember is not None:
            self.closed.append(self.remember(connection, peer))
        reason = connection.close_reason
        if reason is not None:
            self.ended[reason] = self.ended.get(reason, 0) + 1
        self._tell(
            connection,
            "cid=%d event=closed kind=%s reason=%r%s",
            connection.session.kind,
            reason.value if reason else "",
            f" detail={shorten(connection.close_detail, LONGEST_DETAIL)!r}" if connection.close_detail else "",
        )
        if not self.open and self._emptied is not None:
            self._emptied.set()

    def open_clients(self) -> list[Connection]:
        """The connections that clients made; the links that the gateway itself opened serve them to the end."""
        return [one for one in self.open.values() if one.session.is_client]

    async def emptied(self) -> None:
        """Return when there is no connection left."""
        if self.open:
            self._emptied = trio.Event()
            await self._emptied.wait()

    def cut_all(self) -> None:
        """End what is still there, and wait for nothing."""
        for connection in list(self.open.values()):
            connection.cut(CloseReason.SERVER_SHUTDOWN)

    def _tell(self, connection: Connection, text: str, *arguments: object) -> None:
        """A line about a connection; of a host that comes again and again only some."""
        key = ("connections", connection.transport.peer[0])
        repeats = self._runtime.repeats
        repeats.log(log, logging.INFO, key, text, connection.cid, *arguments, allowance=LINES_PER_MINUTE)

    def _settings_changed(self) -> None:
        for connection in list(self.open.values()):
            connection.settings_changed()


def nobody_hears(connection: Connection, peer: PeerSnapshot) -> None:
    """Nobody is told of connections."""
