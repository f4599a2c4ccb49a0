"""The page at /: the gateway's numbers for a browser, as plain HTML, and where there is more."""

from collections.abc import Iterator
from html import escape

from gateway.monitoring.snapshot import ServerSnapshot, SnapshotProvider
from gateway.monitoring.time_text import uptime

# A browser asks again by itself.
REFRESH_SECONDS = 5
LINKS = {
    "varz": "General",
    "connz": "Connections",
    "accountz": "Accounts",
    "accstatz": "Account statistics",
    "subsz": "Subscriptions",
    "leafz": "Leafnodes",
    "jsz": "JetStream",
    "routez": "Routes",
    "gatewayz": "Gateways",
    "healthz": "Health",
    "metrics": "Metrics",
}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta http-equiv="refresh" content="{seconds}">
<title>{name}, leafgate</title></head>
<body>
<h1>{name}</h1>
<p>{state}</p>
<table>
{rows}
</table>
<ul>
{links}
</ul>
</body>
</html>
"""


async def status_page(provider: SnapshotProvider) -> bytes:
    """The page, of what the gateway does now."""
    server = provider.server(await provider.census())
    rows = [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in numbers(server)]
    links = [f'<li><a href="./{path}">{name}</a></li>' for path, name in LINKS.items()]
    text = PAGE.format(
        seconds=REFRESH_SECONDS,
        name=escape(server.name),
        state=escape(state(provider)),
        rows="\n".join(rows),
        links="\n".join(links),
    )
    return text.encode()


def state(provider: SnapshotProvider) -> str:
    """How it is, in a sentence."""
    fault = provider.health()
    if fault is not None:
        return f"The gateway cannot serve: {fault.error}. {fault.hint}"
    parts = provider.degradations()
    return f"Not as it should be: {', '.join(parts)} (Health says more)." if parts else "All is well."


def numbers(server: ServerSnapshot) -> Iterator[tuple[str, str]]:
    """What there is to tell, by its name."""
    yield "Version", server.leafgate_version
    yield "Up for", uptime(server.now - server.start)
    yield "Clients", f"{server.connections:,}"
    yield "Subscriptions", f"{server.subscriptions:,}"
    yield "Messages in", f"{server.client_traffic.in_msgs:,}"
    yield "Messages out", f"{server.client_traffic.out_msgs:,}"
    yield "Slow consumers", f"{server.slow_consumers:,}"
    yield "MQTT sessions", f"{server.mqtt_state.sessions:,}"
    yield "Retained messages", f"{server.mqtt_state.retained_messages:,}"
    yield "Memory", f"{server.mem / 2**20:,.1f} MiB"
    yield "Processor", f"{server.cpu:.1f} %"
    for link in server.uplinks:
        yield f"Uplink {link.name}", f"{link.state} {link.last_error if not link.up else ''}".strip()
    for bridge in server.bridges:
        yield f"Bridge {bridge.name}", f"{'up' if bridge.up else 'down'}, {bridge.queued_msgs:,} messages wait"
    for buffer in server.buffers:
        yield f"Buffer {buffer.name}", f"{buffer.state}, {buffer.messages:,} messages wait"
    for one in server.integrations:
        yield f"{one.kind} {one.name}", f"{'up' if one.up else 'down'}, {one.waiting_msgs:,} messages wait"
    if server.storage is not None:
        yield "Waits for the disk", f"{server.storage.pending_bytes:,} bytes"
