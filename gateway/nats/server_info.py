"""What INFO says of the gateway, the same for every NATS client."""

import base64
import os
import platform

from gateway.runtime.runtime import Runtime
from gateway.transport.connection import Connection
from gateway.version import SPOKEN_VERSION, VERSION

# What that server says of its JetStream API, whether or not it has JetStream.
API_LEVEL = 5
NONCE_BYTES = 11


def server_info(runtime: Runtime) -> dict[str, object]:
    return {
        "server_id": runtime.names.server_id,
        "server_name": runtime.names.server_name,
        "version": SPOKEN_VERSION,
        "proto": 1,
        "go": f"leafgate-{VERSION} python-{platform.python_version()}",
        "headers": True,
        "max_payload": runtime.settings.limits.max_payload_bytes,
        "api_lvl": API_LEVEL,
    }


def stream_info(runtime: Runtime) -> dict[str, object]:
    """What INFO says to clients of streams."""
    return {"jetstream": True, "domain": runtime.domain} if runtime.domain else {}


def servers_info(connection: Connection) -> dict[str, object]:
    """What INFO says of other servers that the client may go to: those of its own kind."""
    neighbour, listener = connection.runtime.neighbour, connection.listener
    if neighbour is None:
        return {}
    servers = neighbour.servers(listener is not None and listener.protocol == "websocket")
    return {"connect_urls": servers} if servers else {}


def tls_info(connection: Connection) -> dict[str, object]:
    """What INFO says of TLS at the listener that a peer has come to."""
    listener = connection.listener
    if listener is None or listener.tls is None:
        return {}
    if listener.tls.optional:
        return {"tls_available": True}
    verified = listener.tls.verify in ("require", "map")
    return {"tls_required": True, "tls_verify": True} if verified else {"tls_required": True}


def new_nonce() -> bytes:
    """A challenge that was never given before, as text."""
    return base64.urlsafe_b64encode(os.urandom(NONCE_BYTES)).rstrip(b"=")
