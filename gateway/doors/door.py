"""Door: takes the peers that arrive at one listener, and gives each a connection and the session of its protocol."""

import errno
import logging
import socket
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import trio

from gateway.dataplane.outbox import Outbox
from gateway.doors.listeners import OpenListener
from gateway.doors.securing import secured
from gateway.doors.session_makers import SessionMaker
from gateway.doors.turning_away import refusal, turn_away
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.listener import Listener
from gateway.transport.connection import Connection
from gateway.transport.registry import Registry
from gateway.transport.session import Session
from gateway.transport.transport import peer_address

if TYPE_CHECKING:
    from gateway.doors.proxied import TrustedProxies
    from gateway.transport.tls_contexts import ServerTls

log = logging.getLogger("leafgate.listeners")

# Peers taken per round, and for how long at most: else a storm of new ones would hold up those that are connected.
ACCEPT_BATCH = 64
# When the process is out of descriptors, accepting again at once would only burn the processor.
EXHAUSTED_PAUSE_SECONDS = 0.1
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def proxies_of(listener: Listener) -> "TrustedProxies | None":
    """Who may come here; None for everybody."""
    if not listener.proxy_protocol:
        return None
    from gateway.doors.proxied import TrustedProxies

    return TrustedProxies(listener)


class Door:
    """An open listener, read by the reader like any other socket (gateway.transport.reader.Readable).

    `tls` is there where peers are to speak it.
    """

    # Those who come have one turn together, with those who are here but have not said yet who they are.
    introduced = False
    heavy = False

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        listener: OpenListener,
        makers: Mapping[str, SessionMaker],
        tls: "ServerTls | None" = None,
    ) -> None:
        self.listener = listener
        self._runtime = runtime
        self._registry = registry
        self._make_session = makers[listener.config.protocol]
        self._tls = tls
        self._fileno = listener.socket.fileno()
        self._is_open = False
        self._proxies = proxies_of(listener.config)

    def open(self) -> None:
        """Take peers from now on."""
        self._is_open = True
        self._registry.reader.add(self._fileno, self)

    def leave(self) -> None:
        """Take no more peers. The socket stays open, for another door."""
        self._is_open = False
        self._registry.reader.remove(self._fileno)

    def close(self) -> None:
        self.leave()
        self.listener.socket.close()

    def read_ready(self) -> int:
        clock = self._runtime.turns.clock
        until = clock() + TURN_SECONDS
        for _ in range(ACCEPT_BATCH):
            if clock() > until:
                break
            try:
                sock, _ = self.listener.socket.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._rest(error)
                break  # Any other error is the peer's, who left before it was taken.
            self._take(sock)
        return 0

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host = peer_address(sock)[0]
        if self._proxies is not None and host not in self._proxies:
            if host:
                self._refuse_stranger(sock, host)
            else:  # It is gone: a proxy that looked whether the gateway is there.
                sock.close()
            return
        limit = self._registry.full_for(host)
        if limit is not None:
            text = "event=turned-away address=%s peer=%s limit=%s"
            key = ("turned-away", self.listener.address, limit)
            self._runtime.repeats.log(log, logging.WARNING, key, text, self.listener.address, host, limit)
            turn_away(sock, refusal(self.listener.config, self._runtime, sock))
            return
        connection = self._registry.connection_over(sock)
        connection.listener = self.listener.config
        if self._proxies is not None:
            from gateway.doors.proxied import ProxyPreface

            connection.session = ProxyPreface(connection, self.listener.config, partial(self._session_of, connection))
        else:
            connection.session = self._session_of(connection)
        connection.begin()

    def _session_of(self, connection: Connection) -> Session:
        session = self._make_session(connection, self.listener.config)
        if self._tls is None:
            return session
        self._tls.look(connection.started, self._runtime.spawn)
        return secured(connection, session, self.listener.config, self._tls)

    def _refuse_stranger(self, sock: socket.socket, host: str) -> None:
        from gateway.doors.proxied import ONLY_PROXIES, farewell

        text = "event=turned-away address=%s peer=%s reason='no trusted proxy'"
        key = ("not-trusted", self.listener.address, host)
        self._runtime.repeats.log(log, logging.WARNING, key, text, self.listener.address, host)
        turn_away(sock, farewell(self.listener.config, ONLY_PROXIES))

    def _rest(self, error: OSError) -> None:
        text = "event=accept-failed address=%s error=%r"
        key = ("accept-failed", self.listener.address)
        self._runtime.repeats.log(log, logging.ERROR, key, text, self.listener.address, error.strerror)
        reader = self._registry.reader
        reader.pause(self._fileno)
        when = trio.current_time() + EXHAUSTED_PAUSE_SECONDS
        self._runtime.deadlines.call_at(when, self._go_on)

    def _go_on(self, now: float) -> None:
        if self._is_open:
            self._registry.reader.resume(self._fileno)

    def batch_done(self, size: int, begun: float, now: float) -> None:
        """Peers are no batch."""

    def write_ready(self) -> None:
        """Nothing is written."""

    def hold(self, congested: Outbox) -> None:
        """Peers that arrive publish nothing yet."""

    def pause(self) -> None:
        """What they are told at first is soon sent."""

    def resume(self) -> None:
        """It was never paused."""
