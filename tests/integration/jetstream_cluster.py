"""A cluster of nats-servers with JetStream, to which leafnodes may link."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.integration.leafnode_pair import LEAF_AUTHORIZATION
from tests.integration.peers import Peer, free_port, nats_server

SERVERS = 3


@contextmanager
def jetstream_cluster(directory: Path, domain: str = "") -> Iterator[list[Peer]]:
    """Three servers, in a domain or in none; leafnodes are told of all of them."""
    routes = [free_port() for _ in range(SERVERS)]
    known = json.dumps([f"nats://127.0.0.1:{port}" for port in routes])
    named = f", domain: {domain}" if domain else ""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                nats_server(
                    directory / f"s{number}",
                    f"server_name: s{number}\n"
                    f'jetstream {{ store_dir: "{directory / f"s{number}" / "store"}"{named} }}\n'
                    f'cluster {{ name: C, listen: "127.0.0.1:{port}", routes: {known} }}\n',
                    leafnodes=LEAF_AUTHORIZATION,
                )
            )
            for number, port in enumerate(routes)
        ]
