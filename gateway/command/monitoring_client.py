"""Looks at a gateway by its monitoring: one HTTP connection, JSON documents."""

import argparse
import base64
import http.client
import json
from typing import Any

from gateway.command.client_login import with_password
from gateway.command.watch_parser import DEFAULT_MONITORING
from gateway.errors import ClientError, ConfigError
from gateway.settings.addresses import ServerUrl, parse_server_url

PORTS = {"http": 8222, "https": 8222}
ANSWER_SECONDS = 10.0
# Everything that monitoring tells at once is smaller.
LARGEST_ANSWER = 64 * 1024 * 1024

Document = dict[str, Any]


class MonitoringClient:
    """Asks one gateway. Raises ConfigError for options that name none, ClientError when it does not answer."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url = _url_of(options)
        url = with_password(self.url, options)
        self._headers: dict[str, str] = {}
        if url.user is not None and url.password is not None:
            login = base64.b64encode(f"{url.user}:{url.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {login}"
        self._connection = self._connect(url, options.ca)

    def get(self, path: str) -> Document:
        """The JSON object at a path. /healthz has one with a status of failure, too."""
        try:
            self._connection.request("GET", path, headers=self._headers)
            response = self._connection.getresponse()
            body = response.read(LARGEST_ANSWER)
        except TimeoutError:
            raise ClientError(f"{self.url} did not answer within {ANSWER_SECONDS:g} s") from None
        except http.client.HTTPException:
            raise ClientError(f"{self.url} does not speak HTTP; is it the address of the monitoring?") from None
        except OSError as error:
            self._connection.close()
            reason = (error.strerror or str(error)).lower()
            raise ClientError(f"cannot connect to {self.url}: {reason}; is monitoring on there?") from None
        if response.status in (401, 403):
            text = body[:200].decode("utf-8", "replace").strip()
            raise ClientError(f"{self.url} says: {text}; give --user and --password-file")
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict) or response.status not in (200, 503):
            raise ClientError(f"{self.url}{path} has answered {response.status}: is that the monitoring of a gateway?")
        return told

    @staticmethod
    def _connect(url: ServerUrl, authority: str) -> http.client.HTTPConnection:
        if url.scheme == "http":
            return http.client.HTTPConnection(url.host, url.port, timeout=ANSWER_SECONDS)
        import ssl

        try:
            context = ssl.create_default_context(cafile=authority or None)
        except OSError as error:
            raise ConfigError(f"--ca: {authority}: {(error.strerror or str(error)).lower()}") from None
        return http.client.HTTPSConnection(url.host, url.port, timeout=ANSWER_SECONDS, context=context)


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
    from gateway.settings.addresses import join_address, split_address
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
