"""What a client on asyncio leaves open is closed with its loop."""

import asyncio
import gc
import socket
import sys
import warnings
from pathlib import Path

import pytest

from tests.integration.certificates import Site, listener
from tests.integration.peers import gateway


def test_connections_that_nobody_closes_end_with_their_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    found: list[object] = []
    held: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda about: found.append(about.exc_value))

    async def scenario(open_port: int, secured_port: int, silent_port: int) -> None:
        for port, context in [(open_port, None), (secured_port, site.context())]:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            held.append(writer)
        on_its_way = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", silent_port, ssl=site.context()))
        await asyncio.sleep(0.1)
        held.append(on_its_way)

    config = listener("mqtt", site.tls())
    with (
        gateway(tmp_path / "edge", protocols=("nats",), config=config) as server,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        ports = server.ports["nats"], server.ports["mqtt"], silent.getsockname()[1]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asyncio.run(scenario(*ports))
            held.clear()
            gc.collect()
    assert found == []
