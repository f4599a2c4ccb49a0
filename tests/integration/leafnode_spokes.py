"""A gateway that takes leafnodes, and nats-servers that are its spokes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.peers import Peer, gateway, nats_server

# How the gateway says that a spoke is linked.
SPOKE_UP = "event=spoke-up"


@contextmanager
def hub(directory: Path, config: str = "", **options: Any) -> Iterator[Peer]:
    """A gateway with listeners for clients and for leafnodes."""
    options.setdefault("protocols", ("nats", "leafnode"))
    with gateway(directory, config=config, name="hub", **options) as peer:
        yield peer


def remote(peer: Peer, login: str = "", scheme: str = "nats-leaf", protocol: str = "leafnode", more: str = "") -> str:
    """The entry of a nats-server's `remotes` that leads to a gateway; `more` are more keys of it."""
    credentials = f"{login}@" if login else ""
    return f'{{ url: "{scheme}://{credentials}127.0.0.1:{peer.ports[protocol]}" {more} }}'


@contextmanager
def spoke(
    directory: Path, *remotes: str, name: str = "spoke", config: str = "", jetstream: bool = False
) -> Iterator[Peer]:
    """A nats-server whose leafnodes are these remotes; with JetStream in a domain that is called as it is."""
    lines = [f"server_name: {name}", f'leafnodes {{ reconnect: "0.1s", remotes: [ {", ".join(remotes)} ] }}', config]
    if jetstream:
        store = json.dumps(str(directory / "store"))
        lines.append(f"jetstream {{ store_dir: {store}, domain: {name} }}")
    with nats_server(directory, "\n".join(lines)) as peer:
        yield peer
