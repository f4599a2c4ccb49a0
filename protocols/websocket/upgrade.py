"""The HTTP request that asks for a WebSocket: read, checked, and answered [RFC 6455 4.2].

Which protocol the peer speaks is told by the last segment of the path: `mqtt`, `leafnode`, anything else is NATS.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit

import h11

from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.request_head import MOST_FIELDS, RequestHead, complaint_of, holds_controls
from protocols.websocket.accept_token import accept_token
from protocols.websocket.compression import MessageDeflate, accept_offer
from protocols.websocket.forwarding import Network, client_address

InnerProtocol = Literal["nats", "mqtt", "leafnode"]

VERSION = b"13"
# Proxies ask in the older form; the answer is the same.
HTTP_VERSIONS = (b"1.0", b"1.1")
# The one that is wanted first [MQTT-6.0.0-3], [MQTT-6.0.0-4], and what clients of MQTT 3.1 say.
MQTT_SUBPROTOCOLS = ("mqtt", "mqttv3.1")
KEY_SIZE = 16
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Page:
    """What somebody gets who asks for a path and no WebSocket: an HTTP response that ends the connection."""

    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class UpgradePolicy:
    """Who may open a WebSocket, and how.

    A browser tells the origin of the page it shows; a request without an origin is always accepted. With `same_origin`
    the origin must equal the Host that the request names, or be one of `allowed_origins`, such as
    `https://example.org:8443`. Without `same_origin` and with no list every origin is accepted. `compression` permits
    permessage-deflate; `secure` says that the listener speaks TLS, which makes its own origin an `https` one. Only
    `trusted_proxies` are believed whom they come for. `cookies` are the names of those that are read. `pages` are there
    for everybody, by their paths.
    """

    same_origin: bool = False
    allowed_origins: tuple[str, ...] = ()
    compression: bool = False
    secure: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    cookies: frozenset[str] = frozenset()
    pages: Mapping[str, Page] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageAsked:
    """Somebody asked for one of the policy's pages: send `response`, and end the connection."""

    path: str
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The peer has a WebSocket. `client_ip` is the address that a trusted proxy names, or empty. `cookies` are those
    that the policy names.
    """

    protocol: InnerProtocol
    path: str
    client_ip: str
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An accepted request: `response` is the answer to send, `rest` what came behind the request."""

    event: Upgraded
    response: bytes
    deflate: MessageDeflate | None
    rest: bytes


class _RefusedError(Exception):
    """The request gets an error response. The text is for its sender. Stays inside this module."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class UpgradeReader:
    """Reads one request of at most `max_request_bytes` and decides on it. `peer` is the address that it comes from."""

    __slots__ = ("_head", "_peer", "_policy", "_protocols", "max_message_size")

    def __init__(
        self,
        policy: UpgradePolicy,
        protocols: frozenset[InnerProtocol],
        max_message_size: int,
        max_request_bytes: int,
        peer: str = "",
    ) -> None:
        self._policy = policy
        self._protocols = protocols
        self.max_message_size = max_message_size
        self._peer = peer
        self._head = RequestHead(max_request_bytes)

    def unfinished_bytes(self) -> int:
        """How many bytes are held of the request."""
        return self._head.unfinished_bytes()

    def receive(self, data: bytes) -> Acceptance | PageAsked | PeerViolation | None:
        """The decision, or None while the request is incomplete. `data` is not empty."""
        found = self._head.receive(data)
        if found is None:
            return None
        head, rest = found
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._head.limit)
        method = b""
        try:
            _check_head(head)
            http.receive_data(head)
            request = http.next_event()
            if not isinstance(request, h11.Request):
                raise _RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
            method = request.method
            return self._page_for(request) or self._accept(request, rest)
        except h11.RemoteProtocolError as error:
            return _refusal(HTTPStatus(error.error_status_hint), complaint_of(error), method)
        except _RefusedError as error:
            return _refusal(error.status, str(error), method)

    def _page_for(self, request: h11.Request) -> PageAsked | None:
        if request.method not in (b"GET", b"HEAD") or _values(request, b"upgrade"):
            return None
        path = request.target.decode("latin-1").partition("?")[0]
        page = self._policy.pages.get(path)
        if page is None:
            return None
        return PageAsked(path, page.head if request.method == b"HEAD" else page.head + page.body)

    def _accept(self, request: h11.Request, rest: bytes) -> Acceptance:
        path = _check_request_line(request)
        protocol = self._protocol(path)
        key = _check_upgrade(request)
        _check_origin(request, self._policy)
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_token(key).decode('ascii')}",
        ]
        if protocol == "mqtt" and (subprotocol := _mqtt_subprotocol(request)):
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        deflate = None
        if self._policy.compression:
            accepted = accept_offer(_elements(request, b"sec-websocket-extensions"), self.max_message_size)
            if accepted is not None:
                deflate, answer = accepted
                lines.append(f"Sec-WebSocket-Extensions: {answer}")
        response = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
        forwarded = _elements(request, b"x-forwarded-for")
        client_ip = client_address(self._peer, forwarded, self._policy.trusted_proxies)
        cookies = _cookies(request, self._policy.cookies)
        return Acceptance(Upgraded(protocol, path, client_ip, cookies), response, deflate, rest)

    def _protocol(self, path: str) -> InnerProtocol:
        segment = path.rpartition("/")[2]
        protocol: InnerProtocol = "mqtt" if segment == "mqtt" else "leafnode" if segment == "leafnode" else "nats"
        if protocol not in self._protocols:
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"no {protocol} here")
        return protocol


def _check_head(head: bytes) -> None:
    """What must not get as far as h11."""
    if holds_controls(head):
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "there is a control character in the request")
    if head.count(b"\n") > MOST_FIELDS:
        raise _RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"there are more than {MOST_FIELDS} fields")


def _check_request_line(request: h11.Request) -> str:
    """The path, without its query."""
    if request.method != b"GET":
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "the method must be GET")
    if request.http_version not in HTTP_VERSIONS:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the version must be HTTP/1.1")
    path = request.target.decode("latin-1").partition("?")[0]
    if not path.startswith("/"):
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the request target must be a path")
    return path


def _check_upgrade(request: h11.Request) -> bytes:
    """The key, once everything that asks for a WebSocket is there [RFC 6455 4.2.1]. h11 has checked Host."""
    if "websocket" not in (element.lower() for element in _elements(request, b"upgrade")):
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "this is a WebSocket port: Upgrade: websocket is missing")
    if "upgrade" not in (element.lower() for element in _elements(request, b"connection")):
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "Connection: Upgrade is missing")
    # A body would be taken for frames.
    if _elements(request, b"transfer-encoding") or _elements(request, b"content-length") not in ([], ["0"]):
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "an upgrade has no body")
    if _values(request, b"sec-websocket-version") != [VERSION]:
        raise _RefusedError(HTTPStatus.UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13")
    keys = _values(request, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64")
    return keys[0]


def _check_origin(request: h11.Request, policy: UpgradePolicy) -> None:
    """A browser sends other sites' pages to us with our user's rights; this is where that ends [RFC 6455 10.2]."""
    origins = _values(request, b"origin")
    if not origins or not (policy.same_origin or policy.allowed_origins):
        return
    accepted = {_parse_origin(allowed) for allowed in policy.allowed_origins}
    hosts = _values(request, b"host")  # HTTP/1.0 needs none.
    if policy.same_origin and hosts:
        host = hosts[0].decode("latin-1")
        accepted.add(_parse_origin(f"{'https' if policy.secure else 'http'}://{host}"))
    origin = _parse_origin(origins[0].decode("latin-1"))
    if len(origins) > 1 or origin is None or origin not in accepted:
        raise _RefusedError(HTTPStatus.FORBIDDEN, "the origin is not allowed")


def _cookies(request: h11.Request, wanted: frozenset[str]) -> dict[str, str]:
    """The cookies of these names; of one that is there twice the first, which is that of the longer path [RFC 6265
    5.4]. A value may be quoted.
    """
    found: dict[str, str] = {}
    if not wanted:
        return found
    for line in _values(request, b"cookie"):
        for pair in line.decode("utf-8", "replace").split(";"):
            name, equals, value = pair.strip(" \t").partition("=")
            if equals and name in wanted:
                quoted = len(value) > 1 and value.startswith('"') and value.endswith('"')
                found.setdefault(name, value[1:-1] if quoted else value)
    return found


def _parse_origin(text: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port, normalised; None for what is no origin (`null`)."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port if port is not None else DEFAULT_PORTS.get(parts.scheme)


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == KEY_SIZE
    except binascii.Error:
        return False


def _mqtt_subprotocol(request: h11.Request) -> str:
    """The subprotocol to agree on; empty for a client that offers none: the path says that it speaks MQTT."""
    offered = _elements(request, b"sec-websocket-protocol")
    for subprotocol in MQTT_SUBPROTOCOLS:
        if subprotocol in offered:
            return subprotocol
    if offered:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "MQTT takes Sec-WebSocket-Protocol: mqtt")
    return ""


def _values(request: h11.Request, name: bytes) -> list[bytes]:
    """What each field of that name (in lower case) says."""
    return [value for key, value in request.headers if key == name]


def _elements(request: h11.Request, name: bytes) -> list[str]:
    """The elements of a field that is a list; it may be spread over several fields of that name."""
    joined = b",".join(_values(request, name)).decode("latin-1")
    return [element for part in joined.split(",") if (element := part.strip())]


def _refusal(status: HTTPStatus, text: str, method: bytes) -> PeerViolation:
    """The violation whose farewell is an error response."""
    body = f"{status.phrase}: {text}\n".encode("latin-1", "replace")
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=latin-1",
        f"Content-Length: {len(body)}",
        f"Sec-WebSocket-Version: {VERSION.decode()}",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET")
    if status is HTTPStatus.UPGRADE_REQUIRED:
        lines.append("Upgrade: websocket")
    lines.append("Connection: close")
    head = "\r\n".join(lines) + "\r\n\r\n"
    farewell = head.encode("ascii") + (b"" if method == b"HEAD" else body)
    return PeerViolation(CloseReason.PROTOCOL_VIOLATION, f"HTTP {status.value}: {text}", farewell)
