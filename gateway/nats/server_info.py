"""What INFO says of the gateway, the same for every NATS client."""

import platform

from gateway.runtime.runtime import Runtime
from gateway.version import SPOKEN_VERSION, VERSION

# What that server says of its JetStream API, whether or not it has JetStream.
API_LEVEL = 5


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
