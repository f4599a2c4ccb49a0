"""Streams by clients of others, nats.c and nats.go: they say the same of the gateway as of a nats-server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.node_peers import HERE
from tests.integration.peers import Peer, gateway, missing_peer, nats_server, require_peer
from tests.integration.test_foreign_logins import LIBRARY

SECONDS = 60
# The first time all of the library is compiled.
BUILD_SECONDS = 300


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    """A nats-server, and the gateway."""
    place = tmp_path_factory.mktemp("streams")
    config = f'jetstream {{ store_dir: "{place / "store"}" }}'
    with (
        nats_server(place / "nats", config) as nats,
        gateway(place / "edge", config="[streams]\n", data_directory=place / "data") as edge,
    ):
        yield [nats, edge]


def said(program: str, server: Peer) -> list[str]:
    done = subprocess.run([program, server.url()], capture_output=True, text=True, timeout=SECONDS, check=True)
    return done.stdout.splitlines()


def test_nats_c(servers: list[Peer], tmp_path: Path) -> None:
    if not LIBRARY.exists():
        missing_peer("nats.c is not installed (libnats-dev)")
    program = str(tmp_path / "nats_streams")
    command = [require_peer("gcc"), "-Wall", "-Werror", "-o", program, str(HERE / "c" / "nats_streams.c"), "-lnats"]
    subprocess.run(command, check=True, timeout=SECONDS)
    theirs, ours = (said(program, server) for server in servers)
    assert ours == theirs
    assert theirs[-1] == "end: OK 0"


def test_nats_go(servers: list[Peer], tmp_path: Path) -> None:
    """With nats.go where Go has it (`go mod download` in tests/integration/go); nothing is fetched here."""
    go = require_peer("go")
    source = tmp_path / "source"
    shutil.copytree(HERE / "go", source)
    program = str(tmp_path / "streams")
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GONOSUMDB": "*", "GOTOOLCHAIN": "local"}
    command = [go, "build", "-o", program, "."]
    built = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if built.returncode:
        missing_peer(f"nats.go is not there: {built.stderr.strip()[-200:]}")
    theirs, ours = (said(program, server) for server in servers)
    assert ours == theirs
    assert theirs[-1] == "remove <nil>"
