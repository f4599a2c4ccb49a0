"""A buffer whose place is reached by two uplinks: what waits goes over whichever of them is up, and once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.leafnode_pair import IMPATIENT, client, run
from tests.integration.peers import Peer, free_port, gateway, uplink, wait_until
from tests.integration.stored_and_forwarded import (
    buffer,
    buffer_state,
    hub_with_jetstream,
    make_stream,
    monitored,
    stored,
    wait_until_empty,
)
from tests.patience import PATIENCE_SECONDS

NAMES = ("fibre", "mobile")


class Way:
    """A way to a server, that can be cut and mended."""

    def __init__(self, port: int, target: tuple[str, int]) -> None:
        self._port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._ends |= {writer, far_writer}
        try:
            await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
        finally:
            self._ends -= {writer, far_writer}


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass  # It was cut.
    sink.close()


@asynccontextmanager
async def way(port: int, hub: Peer) -> AsyncIterator[Way]:
    one = Way(port, hub.address("leafnode"))
    await one.mend()
    try:
        yield one
    finally:
        one.cut()


def states(edge: Peer) -> dict[str, str]:
    return {link["name"]: link["state"] for link in monitored(edge, "/varz")["uplinks"]}


async def until_states(edge: Peer, **wanted: str) -> None:
    await asyncio.to_thread(wait_until, lambda: states(edge) == wanted, f"links as {wanted}")


async def publish(here: Any, *numbers: int) -> None:
    requests = [here.request("$LEAFGATE.publish.sensors.a", b"%d" % number, PATIENCE_SECONDS) for number in numbers]
    for answer in await asyncio.gather(*requests):
        assert "seq" in json.loads(answer.data), answer.data


@pytest.mark.parametrize("waits", [False, True])
def test_a_buffer_goes_over_the_link_that_is_up_and_nothing_goes_twice(tmp_path: Path, waits: bool) -> None:
    """The links fail one after the other; what is published meanwhile goes at once, or `waits` while both are down."""
    ports = {name: free_port() for name in NAMES}
    links = "".join(
        uplink(f"nats-leaf://leaf:secret@127.0.0.1:{port}", name=name, ignore_discovered_servers=True, **IMPATIENT)
        for name, port in ports.items()
    )

    async def test(edge: Peer, hub: Peer) -> None:
        async with way(ports["fibre"], hub) as fibre, client(hub) as above, client(edge) as here:
            await make_stream(above)
            await until_states(edge, fibre="up", mobile="down")
            # Also while nobody knows yet that the other link leads there, too.
            await publish(here, *range(100))
            async with way(ports["mobile"], hub) as mobile:
                await until_states(edge, fibre="up", mobile="standby")
                await publish(here, *range(100, 200))
                fibre.cut()
                if waits:
                    mobile.cut()
                    await until_states(edge, fibre="down", mobile="down")
                    await publish(here, *range(200, 300))
                    assert (await asyncio.to_thread(buffer_state, edge, "box"))["messages"] >= 100
                    await mobile.mend()
                else:
                    await publish(here, *range(200, 300))
                await until_states(edge, fibre="down", mobile="up")
                await publish(here, *range(300, 400))
                await asyncio.to_thread(wait_until_empty, edge, "box")
                assert (await asyncio.to_thread(buffer_state, edge, "box"))["uplink"] == "mobile"
                await fibre.mend()
                await until_states(edge, fibre="standby", mobile="up")
                await publish(here, *range(400, 500))
                mobile.cut()
                await until_states(edge, fibre="up", mobile="down")
                await publish(here, *range(500, 600))
                await asyncio.to_thread(wait_until_empty, edge, "box")
            assert await stored(above) == [("sensors.a", b"%d" % number) for number in range(600)]

    with hub_with_jetstream(tmp_path / "hub") as hub:
        config = links + buffer(name="box", uplink=NAMES)
        with gateway(tmp_path / "edge", config=config, data_directory=tmp_path / "data", monitoring=True) as edge:
            run(lambda: test(edge, hub))
