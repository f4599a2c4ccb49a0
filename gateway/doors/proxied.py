"""Proxied: what stands in the place of a session until a proxy has said whom it speaks for."""

import logging
from collections.abc import Callable
from ipaddress import ip_network

import trio

from gateway.dataplane.port import Port
from gateway.runtime.deadlines import Deadline
from gateway.settings.listener import Listener
from gateway.transport.connection import Connection
from gateway.transport.registry import LINES_PER_MINUTE
from gateway.transport.session import Session
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.proxy_protocol import ProxyHeaderDecoder
from protocols.websocket.forwarding import Network, is_trusted

log = logging.getLogger("leafgate.connection")

EXPECTED = "PROXY protocol header expected"
ONLY_PROXIES = "this address is for proxies"
TO_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class TrustedProxies:
    """Who may speak for others at a listener."""

    def __init__(self, listener: Listener) -> None:
        self._networks: tuple[Network, ...] = tuple(map(ip_network, listener.trusted_proxies))

    def __contains__(self, host: str) -> bool:
        return is_trusted(host, self._networks)


def farewell(listener: Listener, sentence: str) -> bytes:
    """What somebody hears who comes in another way. MQTT has no words before its CONNECT, TLS none before the
    handshake.
    """
    if listener.tls_at_once or listener.protocol == "mqtt":
        return b""
    if listener.protocol == "websocket":
        return TO_HTTP
    from protocols.nats.framing import encode_error

    return encode_error(sentence)


class ProxyPreface:
    """Waits for the header (protocols.proxy_protocol); then `make` makes the session, which finds the client's address
    in the connection. Nobody is told anything before: a server that speaks first speaks behind the header.
    """

    has_more = False
    is_client = True
    port: Port | None = None

    __slots__ = ("_connection", "_deadline", "_decoder", "_listener", "_make", "kind")

    def __init__(self, connection: Connection, listener: Listener, make: Callable[[], Session]) -> None:
        self.kind = listener.protocol
        self._connection = connection
        self._listener = listener
        self._make = make
        self._decoder = ProxyHeaderDecoder()
        self._deadline: Deadline | None = None

    def opened(self) -> None:
        runtime = self._connection.runtime
        when = trio.current_time() + runtime.settings.timeouts.connect_seconds
        self._deadline = runtime.deadlines.call_at(when, self._give_up)

    def receive(self, data: bytes) -> None:
        found = self._decoder.receive(data)
        if found is None:
            return
        if isinstance(found, PeerViolation):
            self._fail(found.reason, found.detail)
            return
        connection = self._connection
        connection.runtime.deadlines.cancel(self._deadline)
        proxy = connection.address[0]
        if found.source is not None:
            connection.address = found.source
            key = ("connections", proxy)
            text = "cid=%d event=proxied kind=%s peer=%s:%d proxy=%s"
            arguments = (connection.cid, self.kind, *found.source, proxy)
            connection.runtime.repeats.log(log, logging.INFO, key, text, *arguments, allowance=LINES_PER_MINUTE)
        connection.session = self._make()
        connection.session.opened()
        if found.rest and connection.close_reason is None:
            connection.take(found.rest)

    def unfinished_bytes(self) -> int:
        return self._decoder.pending

    def refuse_input(self, detail: str) -> None:
        self._fail(CloseReason.MAXIMUM_MEMORY_EXCEEDED, detail)

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        self._connection.runtime.deadlines.cancel(self._deadline)

    def announce_lame_duck(self) -> None:
        """A peer of whom nothing is known is told nothing."""

    def settings_changed(self) -> None:
        """The session that follows reads them when it is made."""

    def describe(self) -> PeerSnapshot:
        if self.kind == "mqtt":
            return PeerSnapshot(type="mqtt")
        return PeerSnapshot(type="websocket" if self.kind == "websocket" else "nats")

    def _give_up(self, now: float) -> None:
        self._fail(CloseReason.AUTHENTICATION_TIMEOUT, "no PROXY protocol header in time")

    def _fail(self, reason: CloseReason, detail: str) -> None:
        connection = self._connection
        host = connection.transport.peer[0]
        text = "cid=%d event=not-proxied kind=%s peer=%s reason=%r"
        arguments = (connection.cid, self.kind, host, detail)
        connection.runtime.repeats.log(log, logging.WARNING, ("not-proxied", host, detail), text, *arguments)
        connection.close(reason, detail, farewell(self._listener, EXPECTED))
