"""nats-server and the gateway with streams side by side, under one name and domain."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.peers import Peer, gateway, nats_server

STREAMS = '[streams]\ndomain = "here"\nmax-streams = 0\n'


@contextmanager
def nats_server_and_gateway(directory: Path) -> Iterator[tuple[Peer, Peer]]:
    store = directory / "nats-server" / "store"
    config = f'server_name: here\njetstream {{ store_dir: "{store}", domain: here }}\n'
    with (
        nats_server(directory / "nats-server", config) as theirs,
        gateway(directory / "gateway", config=STREAMS, data_directory=directory / "data", name="here") as ours,
    ):
        yield theirs, ours
