"""The monitoring end points: pure functions from a snapshot and a query to a response, in nats-server's form."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict

import msgspec

from gateway.monitoring.connz import connz
from gateway.monitoring.http_server import Response, text_response
from gateway.monitoring.parameters import ParameterError
from gateway.monitoring.snapshot import ListenerSnapshot, SnapshotProvider
from gateway.monitoring.time_text import nanoseconds, timestamp, uptime

# The line break before each element of a connection's list.
LIST_MARGIN = b"\n        "
INDEX = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>leafgate</title></head>
<body>
<h1>leafgate</h1>
<ul>
<li><a href="./varz">General</a></li>
<li><a href="./connz">Connections</a></li>
<li><a href="./healthz">Health</a></li>
</ul>
</body>
</html>
"""


def respond(provider: SnapshotProvider, path: str, query: dict[str, str]) -> Response:
    """The response to a request for `path`. Bound to a provider it is a handler for `http_server`."""
    endpoint = ENDPOINTS.get(path)
    if endpoint is None:
        return text_response(404, "no such page")
    try:
        return endpoint(provider, query)
    except ParameterError as error:
        return text_response(400, str(error))


def _index(provider: SnapshotProvider, query: dict[str, str]) -> Response:
    return Response(200, "text/html; charset=utf-8", INDEX.encode())


def _healthz(provider: SnapshotProvider, query: dict[str, str]) -> Response:
    error = provider.health()
    if error is None:
        # What makes the gateway itself no less available is told all the same.
        faults = provider.degradations()
        return _json({"status": "degraded"} | faults if faults else {"status": "ok"}, indent=-1)
    return _json({"status": "unavailable", "error": error}, indent=-1, status=503)


def _connz(provider: SnapshotProvider, query: dict[str, str]) -> Response:
    """The page is made at once, its lists of subscriptions piece by piece while they are sent."""
    lists: list[Iterator[object]] = []
    mark = secrets.token_hex(16)

    def stand_in(elements: Iterator[object]) -> str:
        lists.append(elements)
        return mark

    page = connz(provider, query, stand_in)
    if not lists:
        return _json(page)
    body = msgspec.json.format(msgspec.json.encode(page), indent=2)
    return Response(200, "application/json", _pieces(body.split(f'"{mark}"'.encode()), lists))


def _pieces(texts: list[bytes], lists: list[Iterator[object]]) -> Iterator[bytes]:
    """Texts with a list, as it is written in a connection of a page, between each two."""
    yield texts[0]
    for text, elements in zip(texts[1:], lists, strict=True):
        between = b"[" + LIST_MARGIN
        for element in elements:
            written = msgspec.json.format(msgspec.json.encode(element), indent=2)
            yield between + written.replace(b"\n", LIST_MARGIN)
            between = b"," + LIST_MARGIN
        # Empty only if the subscriptions went while the answer was made.
        yield (b"[]" if between.startswith(b"[") else LIST_MARGIN[:-2] + b"]") + text


def _varz(provider: SnapshotProvider, query: dict[str, str]) -> Response:
    server = provider.server()
    return _json(
        {
            "server_id": server.server_id,
            "server_name": server.name,
            "version": server.version,
            "leafgate_version": server.leafgate_version,
            "proto": 1,
            "host": server.host,
            "port": server.port,
            "max_connections": server.max_connections,
            "ping_interval": nanoseconds(server.ping_interval),
            "ping_max": server.ping_max,
            "http_host": server.http_host,
            "http_port": server.http_port,
            "http_base_path": "",
            "https_port": 0,
            "max_control_line": server.max_control_line,
            "max_payload": server.max_payload,
            "max_pending": server.max_pending,
            # Dashboards expect the objects of what we do not have, too.
            "cluster": {},
            "gateway": {},
            "leaf": _listener_fields(server.leaf),
            "mqtt": _listener_fields(server.mqtt) | asdict(server.mqtt_state),
            "websocket": _listener_fields(server.websocket),
            "jetstream": {},
            "uplinks": [asdict(one) | {"since": timestamp(one.since)} for one in server.uplinks],
            "storage": {} if server.storage is None else asdict(server.storage),
            "write_deadline": nanoseconds(server.write_deadline),
            "start": timestamp(server.start),
            "now": timestamp(server.now),
            "uptime": uptime(server.now - server.start),
            "mem": server.mem,
            "memory": dict(server.memory),
            "cores": server.cores,
            "cpu": server.cpu,
            "connections": server.connections,
            "total_connections": server.total_connections,
            "routes": 0,
            "remotes": 0,
            "leafnodes": server.leafnodes,
            "in_msgs": server.in_msgs,
            "in_bytes": server.in_bytes,
            "out_msgs": server.out_msgs,
            "out_bytes": server.out_bytes,
            "slow_consumers": server.slow_consumers,
            "stale_connections": server.stale_connections,
            "subscriptions": server.subscriptions,
        }
    )


def _listener_fields(listener: ListenerSnapshot | None) -> dict[str, object]:
    return {} if listener is None else {"host": listener.host, "port": listener.port}


def _json(content: dict[str, object], indent: int = 2, status: int = 200) -> Response:
    """A negative `indent` puts everything on one line."""
    body = msgspec.json.encode(content)
    return Response(status, "application/json", msgspec.json.format(body, indent=indent) if indent >= 0 else body)


ENDPOINTS: dict[str, Callable[[SnapshotProvider, dict[str, str]], Response]] = {
    "/": _index,
    "/healthz": _healthz,
    "/varz": _varz,
    "/connz": _connz,
}
