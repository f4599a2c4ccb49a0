"""Gateway peer: what the operator asks a running gateway: how it is, by its monitoring, and for streams, by NATS.

Plain sockets that wait, so it belongs into a thread.
"""

import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gateway.command.clients.link import Target, TlsFiles
from gateway.command.streams.api import Api
from gateway.errors import GatewayError
from gateway.operator.rendering import MONITORING_PORT, PORTS
from gateway.settings.addresses import ServerUrl

SECONDS = 5.0
LARGEST_ANSWER = 8 << 20


class PeerError(GatewayError):
    """The gateway cannot be reached."""


class Place(NamedTuple):
    """Where a gateway is: its address for clients, that for monitoring; where it speaks TLS the name that its
    certificate must be for, and the authority that has to have signed it.
    """

    clients: str
    monitoring: str
    tls_name: str = ""
    authority: bytes | None = None


def ask_monitoring(place: Place, path: str) -> dict[str, Any]:
    """The answer of a page, whatever its status says. Raises PeerError."""
    url = f"http://{_bracketed(place.monitoring)}:{MONITORING_PORT}/{path}"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            content = answer.read(LARGEST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            content = error.read(LARGEST_ANSWER)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise PeerError(f"the gateway does not answer: {str(reason).partition('] ')[2] or reason}".lower()) from None
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise PeerError("what answers at the gateway's port for monitoring is no gateway")
    return told


@contextmanager
def jetstream(place: Place, user: str, password: str) -> Iterator[Api]:
    """JetStream's API in the account of a user. Raises GatewayError."""
    with tempfile.TemporaryDirectory(prefix="leafgate-") as folder:
        files = TlsFiles(server_name=place.tls_name)
        if place.authority is not None:
            authority = Path(folder) / "ca.crt"
            authority.write_bytes(place.authority)
            files = files._replace(ca=str(authority))
        url = ServerUrl("tls" if place.tls_name else "nats", place.clients, PORTS["nats"], user, password)
        with Api(Target(url, files), timeout=SECONDS) as api:
            yield api


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
