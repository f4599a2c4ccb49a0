"""Dialing: a TCP connection to a hub, straight or through an HTTP proxy."""

import base64
import socket

import trio

from gateway.settings.addresses import ServerUrl, join_address
from gateway.settings.uplink import ProxyUrl

LARGEST_ANSWER = 16_384
PEEK_BYTES = 4096
HEAD_END = b"\r\n\r\n"
# What is told of a proxy's own words.
LONGEST_TOLD = 100


class DialError(Exception):
    """There is no connection, in one sentence that repeats no secret."""


async def dial(url: ServerUrl, proxy: ProxyUrl | None, seconds: float, silence_seconds: float) -> socket.socket:
    """A connected, non-blocking socket to the hub, on which nothing of the hub's has been read. Raises DialError.

    The kernel gives the connection up when bytes of ours are not acknowledged for `silence_seconds`.
    """
    way = f"through the proxy {proxy}" if proxy is not None else ""
    try:
        with trio.fail_after(seconds):
            first: ServerUrl = proxy if proxy is not None else url
            stream = await trio.open_tcp_stream(first.host, first.port)
            try:
                if proxy is not None:
                    await _ask_proxy(stream.socket, proxy, join_address(url.host, url.port))
            except BaseException:
                stream.socket.close()
                raise
    except trio.TooSlowError:
        raise DialError(" ".join(filter(None, ("no answer in time", way)))) from None
    except (OSError, UnicodeError) as error:
        raise DialError(" ".join(filter(None, (_cause(error), way)))) from None
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    _watch_acknowledgements(sock, silence_seconds)
    return sock


def _cause(error: BaseException) -> str:
    """What the kernel says; trio hides it behind a sentence of its own, and several addresses in a group."""
    while isinstance(error.__cause__, OSError | BaseExceptionGroup):
        error = error.__cause__
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[-1]
    return str(error)


def _watch_acknowledgements(sock: socket.socket, seconds: float) -> None:
    """A path that swallows what we send is noticed also where the protocol has nothing to ask for."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


async def _ask_proxy(sock: trio.socket.SocketType, proxy: ProxyUrl, address: str) -> None:
    """Have the proxy connect us [RFC 9110 9.3.6]. Raises DialError."""
    lines = [f"CONNECT {address} HTTP/1.1", f"Host: {address}"]
    if proxy.user is not None:
        lines.append(f"Proxy-Authorization: Basic {_credentials(proxy)}")  # RFC 7617
    request = "\r\n".join([*lines, "", ""]).encode()
    while request:
        request = request[await sock.send(request) :]
    status = (await _read_head(sock)).partition(b"\r\n")[0]
    version, _, rest = status.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise DialError(f"the proxy {proxy} does not speak HTTP")
    if not rest.startswith(b"2"):
        raise DialError(f"the proxy {proxy} refuses the connection: {_told(rest, proxy)}")


def _credentials(proxy: ProxyUrl) -> str:
    return base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()


def _told(status: bytes, proxy: ProxyUrl) -> str:
    """What a proxy gives as its reason, without the login, which it may repeat."""
    words = status.decode("ascii", "replace")
    for secret in (_credentials(proxy), proxy.password):
        if secret:
            words = words.replace(secret, "***")
    return words[:LONGEST_TOLD]


async def _read_head(sock: trio.socket.SocketType) -> bytes:
    """The head of the proxy's answer, and not a byte more: a hub speaks first, and what it says is not ours to read."""
    head = b""
    while True:
        seen = await sock.recv(PEEK_BYTES, socket.MSG_PEEK)
        if not seen:
            raise DialError("the proxy hung up")
        end = (head + seen).find(HEAD_END)
        size = len(seen) if end < 0 else end + len(HEAD_END) - len(head)
        head += await sock.recv(size)
        if end >= 0:
            return head
        if len(head) > LARGEST_ANSWER:
            raise DialError("the proxy's answer is too long")
