"""The monitoring service: HTTP on an address of its own, answered from what the gateway holds."""

import errno
import logging
import socket
from collections.abc import Sequence
from functools import partial

import trio

from gateway.doors.listeners import open_socket, socket_address
from gateway.monitoring.endpoints import respond
from gateway.monitoring.http_server import Handler, serve_connection
from gateway.monitoring.observer import Observer, Sources, snapshot

log = logging.getLogger("leafgate.monitoring")

# Monitoring must not take the descriptors that clients need.
MAX_CONNECTIONS = 64


class MonitoringService:
    """Listens on the configured address. `listeners` are (protocol, `host:port`)."""

    def __init__(self, sources: Sources, listeners: Sequence[tuple[str, str]]) -> None:
        self.sources = sources
        self._listeners = listeners
        self._socket: socket.socket | None = None
        self._places = trio.CapacityLimiter(MAX_CONNECTIONS)

    def open(self) -> str:
        """Start to listen; returns where. Raises ListenError."""
        config = self.sources.runtime.settings.config.monitoring
        self._socket = open_socket("monitoring.address", config.host, config.port)
        self.sources.registry.remember = snapshot
        return socket_address(self._socket)

    async def run(self) -> None:
        """Serve until cancelled; only after `open`."""
        assert self._socket is not None
        handler = partial(respond, Observer(self.sources, self._listeners, socket_address(self._socket)))
        with trio.socket.from_stdlib_socket(self._socket) as listener:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._places.acquire_on_behalf_of(place := object())
                    try:
                        sock, _ = await listener.accept()
                    except OSError as error:
                        self._places.release_on_behalf_of(place)
                        if error.errno in (errno.EMFILE, errno.ENFILE):
                            text = "event=accept-failed error=%r"
                            repeats = self.sources.runtime.repeats
                            repeats.log(log, logging.ERROR, "monitoring", text, error.strerror)
                            await trio.sleep(1)
                        continue
                    nursery.start_soon(self._serve, trio.SocketStream(sock), handler, place)

    async def _serve(self, stream: trio.SocketStream, handler: Handler, place: object) -> None:
        try:
            async with stream:
                await serve_connection(stream, handler, self.sources.runtime.turns.turn)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # The peer left in the middle of an answer.
        finally:
            self._places.release_on_behalf_of(place)
