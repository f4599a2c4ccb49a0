"""The monitoring service: HTTP on an address of its own, answered from what the gateway holds."""

import errno
import logging
import socket
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from gateway.accounts.admission import Admission
from gateway.doors.listeners import open_socket, socket_address
from gateway.monitoring.endpoints import ENDPOINTS, respond
from gateway.monitoring.exposition import METRICS, Exposition
from gateway.monitoring.guard import Guard
from gateway.monitoring.http_server import Answer, Handler, serve_connection
from gateway.monitoring.observer import Observer, snapshot
from gateway.monitoring.sources import Sources
from gateway.settings.monitoring import Monitoring

if TYPE_CHECKING:
    from gateway.transport.tls_contexts import ServerTls

log = logging.getLogger("leafgate.monitoring")

# Monitoring must not take the descriptors that clients need.
MAX_CONNECTIONS = 64


class MonitoringService:
    """Listens on the configured address. `listeners` are (protocol, `host:port`); `admission` says who may look. With
    `tls` it speaks HTTPS. `address` and `port` are where it listens, empty and 0 before that.
    """

    def __init__(
        self,
        sources: Sources,
        listeners: Sequence[tuple[str, str]],
        admission: Admission,
        tls: "ServerTls | None" = None,
    ) -> None:
        self.sources = sources
        self.address = ""
        self.port = 0
        self._guard = Guard(sources.runtime, admission)
        self._tls = tls
        self._listeners = listeners
        self._socket: socket.socket | None = None
        self._listener: trio.socket.SocketType | None = None
        self._life = trio.CancelScope()
        self._places = trio.CapacityLimiter(MAX_CONNECTIONS)
        self._exposition: Exposition | None = None

    def open(self, config: Monitoring, shared: bool = False) -> str:
        """Start to listen; returns where. Raises ListenError. `shared` as in `open_socket`."""
        self._socket = open_socket("monitoring.address", config.host, config.port, shared)
        self.address = socket_address(self._socket)
        self.port = self._socket.getsockname()[1]
        return self.address

    def share_port(self, wanted: bool) -> None:
        """Let another socket of ours have the same port."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, wanted)

    def close(self) -> None:
        """Serve no more. Its port is free from now on; who is connected is let go a moment later."""
        self._life.cancel()
        listener = self._listener or self._socket
        if listener is not None:
            listener.close()

    async def run(self) -> None:
        """Serve until cancelled or closed; only after `open`."""
        try:
            with self._life:
                await trio.lowlevel.checkpoint_if_cancelled()
                await self._serve_all()
        finally:
            if self._exposition is not None:
                self._exposition.close()

    async def _serve_all(self) -> None:
        assert self._socket is not None
        self.sources.registry.remember = snapshot
        observer = Observer(self.sources, self._listeners, lambda: self.address)
        self._exposition = Exposition(self.sources, observer)
        handler = partial(self._respond, observer)
        with trio.socket.from_stdlib_socket(self._socket) as self._listener:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._places.acquire_on_behalf_of(place := object())
                    try:
                        sock, peer = await self._listener.accept()
                    except trio.ClosedResourceError:
                        break
                    except OSError as error:
                        self._places.release_on_behalf_of(place)
                        if error.errno in (errno.EMFILE, errno.ENFILE):
                            text = "event=accept-failed error=%r"
                            repeats = self.sources.runtime.repeats
                            repeats.log(log, logging.ERROR, "monitoring", text, error.strerror)
                            await trio.sleep(1)
                        continue
                    nursery.start_soon(self._serve, trio.SocketStream(sock), handler, peer[0], place)

    def _respond(self, observer: Observer, path: str, query: dict[str, str]) -> Answer:
        if path == METRICS and self._exposition is not None:
            return self._exposition.respond()
        if path in ENDPOINTS:
            self.sources.requests[path] += 1
        return respond(observer, path, query)

    async def _serve(self, stream: trio.SocketStream, handler: Handler, host: str, place: object) -> None:
        guard = partial(self._guard.refusal, address=host)
        try:
            async with stream:
                secured = await self._secured(stream)
                if secured is not None:
                    await serve_connection(secured, handler, self.sources.runtime.turns.turn, guard)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # The peer left in the middle of an answer.
        finally:
            self._places.release_on_behalf_of(place)

    async def _secured(self, stream: trio.SocketStream) -> trio.abc.Stream | None:
        """The stream inside TLS, where that is configured; None where no handshake comes about."""
        tls = self._tls
        if tls is None:
            return stream
        import ssl

        from gateway.transport.tls_words import reason_of

        tls.look(trio.current_time(), self.sources.runtime.spawn)
        secured = trio.SSLStream(stream, tls.terms.context, server_side=True, https_compatible=True)
        reason = "no handshake in time"
        with trio.move_on_after(tls.terms.seconds):
            try:
                await secured.do_handshake()
                return secured
            except trio.BrokenResourceError as error:
                cause = error.__cause__
                reason = reason_of(cause) if isinstance(cause, ssl.SSLError) else "the peer left"
        host = stream.socket.getpeername()[0]
        text = "event=tls-failed kind=monitoring peer=%s reason=%r"
        repeats = self.sources.runtime.repeats
        repeats.log(logging.getLogger("leafgate.tls"), logging.WARNING, ("tls", host, reason), text, host, reason)
        return None
