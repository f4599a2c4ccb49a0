"""The monitoring end points: from snapshots and a query to a response, in nats-server's form."""

import os
from collections.abc import Callable, Generator, Iterator

import msgspec

from gateway.monitoring.connz import ConnzQuery, Page, connection_fields, find_page, read_query
from gateway.monitoring.healthz import healthz
from gateway.monitoring.http_server import Answer, Response, text_response
from gateway.monitoring.parameters import ParameterError
from gateway.monitoring.report import is_long, write
from gateway.monitoring.reports import REPORTS, Report
from gateway.monitoring.snapshot import ConnectionSnapshot, SnapshotProvider
from gateway.monitoring.status_page import status_page

Endpoint = Callable[[SnapshotProvider, dict[str, str]], Answer]

# The line break before each connection of a page, and before each element of a connection's list.
MARGIN = b"\n    "
LIST_MARGIN = MARGIN + MARGIN[1:]
# A page of no more connections, without subscriptions, is sent whole.
FEW = 64


def respond(provider: SnapshotProvider, path: str, query: dict[str, str]) -> Answer:
    """The response to a request for `path`. Bound to a provider it is a handler for `http_server`."""
    endpoint = ENDPOINTS.get(path)
    if endpoint is None:
        return text_response(404, "no such page")
    try:
        return endpoint(provider, query)
    except ParameterError as error:
        return text_response(400, str(error))


async def _index(provider: SnapshotProvider, query: dict[str, str]) -> Response:
    return Response(200, "text/html; charset=utf-8", await status_page(provider))


def _healthz(provider: SnapshotProvider, query: dict[str, str]) -> Response:
    status, fields = healthz(provider, query)
    return _json(fields, indent=-1, status=status)


def _connz(provider: SnapshotProvider, parameters: dict[str, str]) -> Answer:
    return _make_connz(provider, read_query(parameters))


def _make_connz(provider: SnapshotProvider, query: ConnzQuery) -> Generator[None, None, Response]:
    page = yield from find_page(provider, query)
    pieces = _page_pieces(page, query)
    if len(page.connections) <= FEW and not (query.subscriptions or query.detail):
        return Response(200, "application/json", b"".join(pieces))
    return Response(200, "application/json", pieces)


def _page_pieces(page: Page, query: ConnzQuery) -> Iterator[bytes]:
    mark = os.urandom(16).hex()
    shown = [mark] if page.connections else []
    body = msgspec.json.format(msgspec.json.encode(page.fields | {"connections": shown}), indent=2)
    between, _, end = body.partition(f'"{mark}"'.encode())
    for connection in page.connections:
        yield between
        yield from _connection_pieces(connection, page, query)
        between = b"," + MARGIN
    yield end if page.connections else between


def _connection_pieces(connection: ConnectionSnapshot, page: Page, query: ConnzQuery) -> Iterator[bytes]:
    """One connection of a page; its list of subscriptions is made piece by piece."""
    lists: list[Iterator[object]] = []
    mark = os.urandom(16).hex()

    def stand_in(elements: Iterator[object]) -> str:
        lists.append(elements)
        return mark

    fields = connection_fields(connection, query, page.now, stand_in)
    body = msgspec.json.format(msgspec.json.encode(fields), indent=2).replace(b"\n", MARGIN)
    yield from _pieces(body.split(f'"{mark}"'.encode()), lists)


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


def _report(make: Report) -> Endpoint:
    """The endpoint that answers with a report."""

    async def answer(provider: SnapshotProvider, query: dict[str, str]) -> Response:
        try:
            report = await make(provider, query)
        except ParameterError as error:
            return text_response(400, str(error))
        if is_long(report):
            return Response(200, "application/json", write(report))
        return _json(report)

    return answer


def _json(content: dict[str, object], indent: int = 2, status: int = 200) -> Response:
    """A negative `indent` puts everything on one line."""
    body = msgspec.json.encode(content)
    return Response(status, "application/json", msgspec.json.format(body, indent=indent) if indent >= 0 else body)


ENDPOINTS: dict[str, Endpoint] = {
    "/": _index,
    "/healthz": _healthz,
    "/connz": _connz,
    "/subscriptionsz": _report(REPORTS["subsz"]),
    **{f"/{name}": _report(make) for name, make in REPORTS.items()},
}
