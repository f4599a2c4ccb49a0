"""What answers about the system say of the server that gives them, as nats-server does."""

from datetime import UTC, datetime

from gateway.runtime.identity import Names
from gateway.version import SPOKEN_VERSION


def server_facts(names: Names, number: int = 0) -> dict[str, object]:
    """`number` counts the answers of one kind, where that is told."""
    return {
        "name": names.server_name,
        "host": "0.0.0.0",  # noqa: S104 - a name, as nats-server gives its own
        "id": names.server_id,
        "ver": SPOKEN_VERSION,
        "jetstream": False,
        "flags": 0,
        "seq": number,
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
