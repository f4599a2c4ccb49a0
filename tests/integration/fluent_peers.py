"""Peers that speak the forward protocol, for the integration tests: the client and the server of @fluent-org/logger."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.node_peers import NodeClient, require_node

LOGGER = "@fluent-org/logger"


@contextmanager
def fluent_client(port: int, **options: Any) -> Iterator[NodeClient]:
    """A sender that asks for acknowledgements; `options` are those of its FluentClient."""
    with _running("fluent_client.mjs", port, options) as client:
        yield client


@contextmanager
def fluent_server(port: int, **options: Any) -> Iterator[NodeClient]:
    """A receiver, whose messages are the events; `options` are those of its FluentServer, and files as `tls`."""
    with _running("fluent_server.mjs", port, options) as server:
        yield server


@contextmanager
def _running(script: str, port: int, options: dict[str, Any]) -> Iterator[NodeClient]:
    program = require_node(LOGGER)
    peer = NodeClient(program, script, f"fluent://127.0.0.1:{port}", json.dumps(options))
    try:
        assert peer.next_answer() == "connected"
        yield peer
    finally:
        peer.close()


def emit(client: NodeClient, tag: str, records: list[dict[str, Any]], seconds: int = 1_700_000_000) -> None:
    """Send events; returns once all are acknowledged."""
    client.call("emit", tag=tag, records=records, seconds=seconds, nanoseconds=5_000_000)
