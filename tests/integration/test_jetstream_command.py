"""Streams of the gateway with the `nats` command."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.peers import NATS_COMMAND, Peer, gateway, require_peer
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    with gateway(directory, config="[streams]\n", data_directory=directory / "data") as peer:
        yield peer


def nats(edge: Peer, *words: str, status: int = 0) -> str:
    """What the command says."""
    command = [require_peer(NATS_COMMAND), "-s", edge.url(), "--timeout", f"{PATIENCE_SECONDS:g}s", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, stdin=subprocess.DEVNULL, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    return said


def test_a_stream_is_made_filled_read_and_deleted(edge: Peer) -> None:
    assert "was created" in nats(edge, "stream", "add", "ORDERS", "--subjects", "orders.>", "--defaults")
    assert "Sequence: 3" in nats(edge, "pub", "--jetstream", "orders.a", "hello", "--count", "3")
    assert "Messages: 3" in nats(edge, "stream", "info", "ORDERS")
    assert "ORDERS" in nats(edge, "stream", "report")
    nats(edge, "consumer", "add", "ORDERS", "C", "--pull", "--defaults")
    assert "pending: 2" in nats(edge, "consumer", "next", "ORDERS", "C", "--ack")
    assert "ORDERS" in nats(edge, "consumer", "report", "ORDERS")
    nats(edge, "stream", "rm", "ORDERS", "-f")


def test_a_bucket_is_made_and_read(edge: Peer) -> None:
    nats(edge, "kv", "add", "bucket")
    nats(edge, "kv", "put", "bucket", "key", "value")
    assert nats(edge, "kv", "get", "bucket", "key", "--raw").strip() == "value"
    assert "key" in nats(edge, "kv", "ls", "bucket")
