"""Wire: a TCP connection to a server, with or without TLS. Blocking; every wait has an end that the caller names."""

import os
import socket
import time
from typing import Protocol

from gateway.command.clients.link import ANSWER_SECONDS, ConnectionLostError, TlsFiles
from gateway.errors import ClientError
from gateway.settings.addresses import ServerUrl

RECEIVE_SIZE = 64 * 1024
# A timeout of zero would make the socket another kind.
LEAST_WAIT = 0.001


class Stream(Protocol):
    """Bytes in both directions: a Wire, or what is inside a WebSocket on it."""

    def send(self, data: bytes) -> None:
        """Raises ConnectionLostError."""

    def receive(self, deadline: float | None) -> bytes | None:
        """What has come; None for nothing by `deadline`, b"" where the server has closed."""

    def start_tls(self, tls: TlsFiles) -> None:
        """Speak TLS from here on. Raises ClientError."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class Wire:
    """See Stream. Made by `dial`."""

    def __init__(self, sock: socket.socket, url: ServerUrl) -> None:
        self._socket = sock
        self._url = url

    def send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(None)
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionLostError(f"{self._url} closed the connection") from error

    def receive(self, deadline: float | None) -> bytes | None:
        self._socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), LEAST_WAIT))
        try:
            return self._socket.recv(RECEIVE_SIZE)
        except TimeoutError:
            return None
        except OSError:
            return b""

    def start_tls(self, tls: TlsFiles) -> None:
        import ssl

        from gateway.settings.security import UplinkTls
        from gateway.transport.tls_contexts import ClientTerms
        from gateway.transport.tls_words import reason_of

        files = UplinkTls(ca=tls.ca, certificate=tls.certificate, key=tls.key)
        name = tls.server_name or self._url.host
        try:
            context = ClientTerms(files, name, ANSWER_SECONDS).context
        except ValueError as error:
            raise ClientError(str(error)) from None
        self._socket.settimeout(ANSWER_SECONDS)
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=name)
        except ssl.SSLError as error:
            raise ClientError(f"{self._url}: TLS: {reason_of(error)}") from None
        except TimeoutError:
            raise ClientError(f"{self._url}: TLS: no answer within {ANSWER_SECONDS:g} s") from None
        except OSError:
            raise ClientError(f"{self._url}: TLS: the server closed the connection") from None

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


def connect(url: ServerUrl, seconds: float) -> socket.socket:
    """A connection to what a URL names. Raises OSError or UnicodeError."""
    # A name in a URL is ASCII. Bytes are taken as they are; for text Python loads its tables of other scripts' names.
    host: str = url.host.encode("ascii")  # type: ignore[assignment] # socket.getaddrinfo takes both
    return socket.create_connection((host, url.port), seconds)


def dial(url: ServerUrl, seconds: float = ANSWER_SECONDS) -> Wire:
    """A connection on which nothing has been said. Raises ConnectionLostError."""
    try:
        sock = connect(url, seconds)
    except TimeoutError:
        raise ConnectionLostError(f"{url} did not answer within {seconds:g} s") from None
    except (OSError, UnicodeError) as error:
        raise ConnectionLostError(f"cannot connect to {url}: {_cause(error)}") from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Wire(sock, url)


def _cause(error: OSError | UnicodeError) -> str:
    """Without the numbers: those of a name that is not found are not the system's."""
    if isinstance(error, OSError):
        text = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        return (text or str(error)).lower()
    return "that is not the name of a host"
