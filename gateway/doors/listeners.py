"""Listeners: sockets that wait for peers, and what becomes of a peer that arrives."""

import errno
import logging
import os
import socket
from collections.abc import Callable

import trio

from gateway.errors import ListenError
from gateway.gateway import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.settings.addresses import join_address
from gateway.settings.schema import Config, Listener
from gateway.transport.connection import Connection
from gateway.websocket.session import WebSocketSession

log = logging.getLogger("leafgate.listeners")

BACKLOG = 4096
# Peers taken per wake-up: more would let a storm of new ones hold up those that are connected.
ACCEPT_BATCH = 64
# When the process is out of descriptors, accepting again at once would only burn the processor.
EXHAUSTED_PAUSE_SECONDS = 0.1
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class OpenListener:
    """A listening socket and the configuration it came from."""

    def __init__(self, config: Listener, sock: socket.socket) -> None:
        self.config = config
        self.socket = sock
        self.address = socket_address(sock)


def open_socket(key: str, host: str, port: int) -> socket.socket:
    """A listening, non-blocking TCP socket. Raises ListenError naming the configuration key."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ListenError(f"{key}: cannot listen on {join_address(host, port)}: {reason.lower()}") from None
    sock.setblocking(False)
    return sock


def open_listeners(config: Config) -> list[OpenListener]:
    """Every configured listener, or none and a ListenError."""
    opened: list[OpenListener] = []
    try:
        for index, listener in enumerate(config.listeners):
            sock = open_socket(f"listeners[{index}].address", listener.host, listener.port)
            opened.append(OpenListener(listener, sock))
    except ListenError:
        for listener_opened in opened:
            listener_opened.socket.close()
        raise
    return opened


async def accept_connections(gateway: Gateway, listener: OpenListener) -> None:
    """Take peers until cancelled."""
    while True:
        await trio.lowlevel.wait_readable(listener.socket)
        for _ in range(ACCEPT_BATCH):
            try:
                sock, _ = listener.socket.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in EXHAUSTED:
                    log.error("event=accept-failed address=%s error=%r", listener.address, error.strerror)
                    await trio.sleep(EXHAUSTED_PAUSE_SECONDS)
                break  # Any other error is the peer's, who left before it was taken.
            start_connection(gateway, listener, sock)


def start_connection(gateway: Gateway, listener: OpenListener, sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(gateway, sock)
    connection.session = SESSIONS[listener.config.protocol](connection, listener.config)
    gateway.start_task(connection.run)


def socket_address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return join_address(host, port)


SESSIONS: dict[str, Callable[[Connection, Listener], NatsClientSession | MqttClient | WebSocketSession]] = {
    "nats": lambda connection, _: NatsClientSession(connection),
    "mqtt": lambda connection, _: MqttClient(connection),
    "websocket": WebSocketSession,
}
