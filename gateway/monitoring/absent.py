"""What a gateway does not have, in the form in which programs expect to be told: clusters of servers (/routez,
/gatewayz).
"""

from gateway.monitoring.parameters import boolean
from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import SnapshotProvider
from gateway.monitoring.time_text import timestamp


async def routez(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """There are no routes. Raises ParameterError."""
    if query.get("subs") != "detail":
        boolean(query, "subs")
    server = provider.identity()
    return {
        "server_id": server.server_id,
        "server_name": server.name,
        "now": timestamp(server.now),
        "num_routes": 0,
        "routes": [],
    }


async def gatewayz(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """There are no gateways between clusters. Raises ParameterError."""
    for name in ("accs", "subs"):
        if query.get(name) != "detail":
            boolean(query, name)
    server = provider.identity()
    return {
        "server_id": server.server_id,
        "now": timestamp(server.now),
        "outbound_gateways": {},
        "inbound_gateways": {},
    }
