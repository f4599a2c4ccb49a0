"""Turning away: what a peer hears for whom there is no room, in the words of the protocol that it came to speak.

It gets no connection and no session: its descriptor is given back at once.
"""

import socket

from gateway.runtime.runtime import Runtime
from gateway.settings.listener import Listener

UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# What the peer may have said already; a socket that is closed with more unread takes our last words back.
FIRST_WORDS = 1 << 16


def refusal(listener: Listener, runtime: Runtime, sock: socket.socket) -> bytes:
    """The whole answer. MQTT has none before its CONNECT, and TLS none before the handshake: there the end of the
    stream is the answer.
    """
    if listener.tls_at_once:
        return b""
    if listener.protocol == "nats":
        from gateway.nats.server_info import server_info
        from protocols.nats.framing import encode_error
        from protocols.nats.server import encode_info

        host, port = sock.getsockname()[:2]
        info = server_info(runtime) | {"host": host, "port": port}
        config = runtime.settings.config
        if config.authenticates and not config.no_auth_user_at(listener):
            info["auth_required"] = True
        return encode_info(info) + encode_error("maximum connections exceeded")
    if listener.protocol == "leafnode":
        from protocols.nats.framing import encode_error

        return encode_error("maximum connections exceeded")
    if listener.protocol == "websocket":
        return UNAVAILABLE
    return b""


def turn_away(sock: socket.socket, answer: bytes) -> None:
    """Say the answer and close. Nothing waits: what the peer does not take at once is lost."""
    with sock:
        try:
            sock.recv(FIRST_WORDS)
        except OSError:
            pass  # It has said nothing yet, or is gone.
        try:
            sock.send(answer)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It is gone.
