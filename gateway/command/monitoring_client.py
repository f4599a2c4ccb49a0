"""Looks at a gateway by its monitoring: JSON documents over HTTP.

In HTTP/1.0, whose answers end with the connection: that takes none of the modules of HTTP's library, which would be a
third of what one look costs.
"""

import argparse
import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.command.client_login import with_password
from gateway.command.clients.wire import connect
from gateway.command.watch_parser import DEFAULT_MONITORING
from gateway.errors import ClientError, ConfigError
from gateway.settings.addresses import ServerUrl, join_address, parse_server_url

if TYPE_CHECKING:
    import ssl

PORTS = {"http": 8222, "https": 8222}
ANSWER_SECONDS = 10.0
# Everything that monitoring tells at once is smaller.
LARGEST_ANSWER = 64 * 1024 * 1024
READ_BYTES = 256 * 1024

Document = dict[str, Any]


class MonitoringClient:
    """Asks one gateway. Raises ConfigError for options that name none, ClientError when it does not answer."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url = _url_of(options)
        url = with_password(self.url, options)
        self._fields = f"Host: {join_address(url.host, url.port)}\r\nAccept: application/json\r\n"
        if url.user is not None and url.password is not None:
            login = base64.b64encode(f"{url.user}:{url.password}".encode()).decode()
            self._fields += f"Authorization: Basic {login}\r\n"
        self._context = _tls_context(options.ca) if url.scheme == "https" else None

    def get(self, path: str) -> Document:
        """The JSON object at a path. /healthz has one with a status of failure, too."""
        try:
            answer = _read_answer(self._ask(path))
        except TimeoutError:
            raise ClientError(f"{self.url} did not answer within {ANSWER_SECONDS:g} s") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ClientError(f"cannot connect to {self.url}: {reason}; is monitoring on there?") from None
        if answer is None:
            raise ClientError(f"{self.url} does not speak HTTP; is it the address of the monitoring?")
        if answer.status in (401, 403):
            text = answer.body[:200].decode("utf-8", "replace").strip()
            raise ClientError(f"{self.url} says: {text}; give --user and --password-file")
        try:
            told = json.loads(answer.body)
        except ValueError:
            told = None
        if not isinstance(told, dict) or answer.status not in (200, 503):
            raise ClientError(f"{self.url}{path} has answered {answer.status}: is that the monitoring of a gateway?")
        return told

    def _ask(self, path: str) -> bytes:
        """All that the server says to a request. Raises OSError."""
        with connect(self.url, ANSWER_SECONDS) as plain:
            stream = plain if self._context is None else self._context.wrap_socket(plain, server_hostname=self.url.host)
            with stream:
                stream.sendall(f"GET {path} HTTP/1.0\r\n{self._fields}\r\n".encode())
                said = bytearray()
                while len(said) < LARGEST_ANSWER and (data := stream.recv(READ_BYTES)):
                    said += data
                return bytes(said)


class _Answer(NamedTuple):
    status: int
    body: bytes


def _read_answer(said: bytes) -> _Answer | None:
    """None for what is no HTTP, or was cut off."""
    head, end, body = said.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    version, _, status = first.partition(b" ")
    if not (end and version.startswith(b"HTTP/1.") and status[:3].isdigit()):
        return None
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length" and value.strip() != b"%d" % len(body):
            return None
    return _Answer(int(status[:3]), body)


def _tls_context(authority: str) -> "ssl.SSLContext":
    import ssl

    try:
        return ssl.create_default_context(cafile=authority or None)
    except OSError as error:
        raise ConfigError(f"--ca: {authority}: {(error.strerror or str(error)).lower()}") from None


def _url_of(options: argparse.Namespace) -> ServerUrl:
    text: str = options.monitoring or ""
    if not text and options.config is not None:
        text = _named_by(options)
    try:
        return parse_server_url(text or DEFAULT_MONITORING, PORTS)
    except ValueError as error:
        raise ConfigError(f"--monitoring: {error}") from None


def _named_by(options: argparse.Namespace) -> str:
    """The URL of the monitoring that a configuration names."""
    from gateway.settings.addresses import split_address
    from gateway.settings.file import read_document

    monitoring = read_document(options.config).get("monitoring")
    address = monitoring.get("address") if isinstance(monitoring, dict) else None
    if address == "":
        raise ConfigError(f"{options.config}: monitoring.address is empty: there is nothing to look at")
    if not isinstance(address, str):
        return ""
    assert isinstance(monitoring, dict)
    try:
        host, port = split_address(address)
    except ValueError as error:
        raise ConfigError(f"{options.config}: monitoring.address: {error}") from None
    # What listens everywhere is asked here.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is not listened on
    scheme = "https" if monitoring.get("tls") else "http"
    return f"{scheme}://{join_address(host, port or PORTS['http'])}"
