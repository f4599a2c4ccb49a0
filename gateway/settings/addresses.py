"""Addresses as people write them: `host:port` to listen on or to connect to, and URLs with credentials in them."""

import ipaddress
import re
from collections.abc import Mapping

HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
NUMERIC_HOST = re.compile(r"[0-9.]+")
URL_PATH = re.compile(r"[A-Za-z0-9._~%/-]*")
WEBSOCKET_SCHEMES = ("ws", "wss")


def split_address(text: str) -> tuple[str, int | None]:
    """Host and port (None when there is none) of `host:port` or `[v6]:port`.

    Raises ValueError with a sentence that repeats nothing but the host and the port.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address is written as [::1]:4222")
        return _check_host(host, v6=True), _parse_port(rest[1:]) if rest else None
    if text.count(":") > 1:
        raise ValueError("an IPv6 address needs brackets, as in [::1]:4222")
    host, colon, port = text.partition(":")
    return _check_host(host, v6=False), _parse_port(port) if colon else None


def split_full_address(text: str, example: str = "127.0.0.1:4222") -> tuple[str, int]:
    """Host and port of an address that has both. Raises ValueError as `split_address` does, and without a port."""
    host, port = split_address(text)
    if port is None:
        raise ValueError(f"the port is missing, as in {example}")
    return host, port


def join_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Of names only `localhost` counts: others may change."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_numeric(host: str) -> bool:
    """Whether it is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_host(host: str, *, v6: bool) -> str:
    if not host:
        raise ValueError("the host is missing; every interface is written as 0.0.0.0 or [::]")
    if v6:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise ValueError(f"{host!r} is not an IPv6 address") from None
    if NUMERIC_HOST.fullmatch(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{host!r} is not an IPv4 address") from None
    if len(host) > 253 or not HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} is not a host name")
    return host


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        # Not repeated: of a URL whose host was forgotten this is the password.
        raise ValueError("the port is not a number")
    if len(text) > 9 or int(text) > 65535:
        raise ValueError("the port is above 65535")
    return int(text)


class ServerUrl:
    """Where a server is and who we are there; a value, not to be changed.

    Shown in logs and errors as `scheme://host:port` and the path: user and password are never in its text. Only a
    WebSocket has a path, with a slash before and none behind it.
    """

    __slots__ = ("host", "password", "path", "port", "scheme", "user")

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int,
        user: str | None = None,
        password: str | None = None,
        path: str = "",
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.path = path

    def __str__(self) -> str:
        return f"{self.scheme}://{join_address(self.host, self.port)}{self.path}"

    def __repr__(self) -> str:
        return f"ServerUrl({str(self)!r})"

    def _key(self) -> tuple[object, ...]:
        return self.scheme, self.host, self.port, self.user, self.password, self.path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServerUrl) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def parse_server_url(text: str, default_ports: Mapping[str, int]) -> ServerUrl:
    """Read `scheme://[user[:password]@]host[:port]`; `default_ports` lists the schemes that are allowed.

    A path may follow where the scheme is that of a WebSocket. User and password may be percent-encoded. Raises
    ValueError with a sentence that never repeats a part of the text in which a password could stand.
    """
    scheme, separator, rest = text.partition("://")
    schemes = " or ".join(f"{name}://" for name in default_ports)
    if not separator:
        raise ValueError(f"a server is written as {schemes}host:port")
    scheme = scheme.lower()
    if scheme in ("tls", "wss", "ws") and scheme not in default_ports:
        raise ValueError(f"{scheme}:// is not supported yet; use {schemes}")
    if scheme not in default_ports:
        raise ValueError(f"the scheme must be {schemes}")
    credentials, at, address = rest.rpartition("@")
    path = ""
    if scheme in WEBSOCKET_SCHEMES:
        address, slash, path = address.partition("/")
        path = f"{slash}{path}".rstrip("/")
        if not URL_PATH.fullmatch(path):
            raise ValueError("the path of a URL is of letters, digits and -._~%/")
    address = address.removesuffix("/")
    if not set("/?#").isdisjoint(credentials + address):
        raise ValueError("a URL has no path here; in a user or password write /, ? and # percent-encoded")
    user, password = _decode_credentials(credentials) if at else (None, None)
    host, port = split_address(address)
    return ServerUrl(scheme, host, default_ports[scheme] if port is None else port, user, password, path)


def _decode_credentials(text: str) -> tuple[str, str | None]:
    from urllib.parse import unquote  # Not for every command that is typed.

    user, colon, password = text.partition(":")
    try:
        decoded_user = unquote(user, errors="strict")
        decoded_password = unquote(password, errors="strict") if colon else None
    except UnicodeDecodeError:
        raise ValueError("user or password is not UTF-8 once percent-decoded") from None
    if not decoded_user:
        raise ValueError("the user before the @ is empty")
    return decoded_user, decoded_password
