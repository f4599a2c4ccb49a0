"""Listeners: the sockets that wait for peers."""

import os
import socket

from gateway.errors import ListenError
from gateway.settings.addresses import join_address
from gateway.settings.listener import Listener
from gateway.settings.schema import Config

BACKLOG = 4096


class OpenListener:
    """A listening socket and the configuration it came from."""

    def __init__(self, config: Listener, sock: socket.socket) -> None:
        self.config = config
        self.socket = sock
        self.address = socket_address(sock)
        self.port: int = sock.getsockname()[1]


def open_socket(key: str, host: str, port: int, shared: bool = False) -> socket.socket:
    """A listening, non-blocking TCP socket. Raises ListenError naming the configuration key.

    `shared`: beside a socket that has the port and is about to close, and lets others have it (SO_REUSEPORT).
    """
    try:
        # A host is ASCII; as text it would go through the codec for international names, which takes a while to load.
        found = socket.getaddrinfo(host.encode() or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, False)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ListenError(f"{key}: cannot listen on {join_address(host, port)}: {reason.lower()}") from None
    sock.setblocking(False)
    return sock


def open_listener(config: Config, index: int, shared: bool = False) -> OpenListener:
    """One of the configured listeners. Raises ListenError."""
    listener = config.listeners[index]
    return OpenListener(listener, open_socket(f"listeners[{index}].address", listener.host, listener.port, shared))


def socket_address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return join_address(host, port)
