"""The monitoring service: listens, and answers from what the gateway holds."""

import socket
from collections.abc import Sequence

import trio

from gateway.gateway import Gateway
from gateway.listeners import OpenListener, open_socket, socket_address


class MonitoringService:
    """HTTP on the configured address; nothing when that is empty."""

    def __init__(self, gateway: Gateway, listeners: Sequence[OpenListener]) -> None:
        self.gateway = gateway
        self.listeners = listeners
        self.address: str | None = None
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Start to listen. Raises ListenError."""
        config = self.gateway.config.monitoring
        if config.address:
            self._socket = open_socket("monitoring.address", config.host, config.port)
            self.address = socket_address(self._socket)

    async def run(self) -> None:
        """Serve until cancelled."""
        await trio.sleep_forever()
