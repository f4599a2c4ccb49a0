"""Files that gateways of each earlier version of the tables wrote (stored_files, as SQL), opened by this one. Their
sessions never expire, whenever that is.
"""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from gateway.storage.schema import MIGRATIONS
from gateway.storage.streams.schema import MIGRATIONS as STREAM_MIGRATIONS
from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.mqtt_conformance.raw_client import Clients
from tests.integration.peers import Peer, free_port, gateway, uplink

STORED = Path(__file__).with_name("stored_files")


def bring(directory: Path, *names: str) -> Path:
    """A data directory with these files."""
    directory.mkdir()
    for name in names:
        with closing(sqlite3.connect(directory / f"{name.partition('-')[0]}.db", isolation_level=None)) as connection:
            connection.executescript((STORED / f"{name}.sql").read_text())
    return directory


def versions(kind: str) -> list[int]:
    return sorted(
        int(match[1]) for path in STORED.iterdir() if (match := re.fullmatch(rf"{kind}-(\d+)\.sql", path.name))
    )


def test_there_is_a_file_of_every_version() -> None:
    # Of the newest there is one once it is an earlier one.
    assert versions("leafgate")[-1] in (len(MIGRATIONS) - 1, len(MIGRATIONS))
    assert versions("leafgate") == list(range(1, versions("leafgate")[-1] + 1))
    assert versions("streams")[-1] in (len(STREAM_MIGRATIONS) - 1, len(STREAM_MIGRATIONS))
    assert versions("streams") == list(range(1, versions("streams")[-1] + 1))


@pytest.mark.parametrize("version", versions("leafgate"))
def test_sessions_of_an_earlier_version_go_on(tmp_path: Path, version: int) -> None:
    data = bring(tmp_path / "data", f"leafgate-{version}")
    with (
        gateway(tmp_path, protocols=("mqtt",), data_directory=data) as peer,
        Clients(peer.address("mqtt")) as clients,
    ):
        keeper = clients.connect(4, b"keeper", clean_start=False)
        assert keeper.connack.session_present
        message = keeper.message()
        assert (message.topic, message.payload, message.qos) == (b"kept/a", b"queued", 1)
        keeper.subscribe(b"state/#", 0)
        retained = keeper.message()
        assert (retained.topic, retained.payload, retained.retain) == (b"state/a", b"retained", True)
        assert "damaged" not in peer.log()


@pytest.mark.parametrize("version", [one for one in versions("streams") if one > 1])
def test_streams_of_an_earlier_version_go_on(tmp_path: Path, version: int) -> None:
    data = bring(tmp_path / "data", f"streams-{version}")
    with gateway(tmp_path, config="[streams]\n", data_directory=data) as peer:

        async def test() -> None:
            async with client(peer) as connection:
                js = connection.jetstream(timeout=PATIENCE_SECONDS)
                info = await js.stream_info("S")
                assert (info.state.messages, info.state.last_seq, info.config.max_msgs_per_subject) == (2, 3, 5)
                assert (await js.get_msg("S", 3)).data == b"stored 2"
                consumer = await js.consumer_info("S", "reader")
                assert (consumer.delivered.stream_seq, consumer.num_pending) == (2, 1)
                again = await js.publish("s.a", b"stored 2", headers={"Nats-Msg-Id": "2"})
                assert again.seq in (3, 4)  # The time since it was written counts where the clock is kept right.
                pulled = await js.pull_subscribe("s.>", durable="reader")
                (message, *_) = await pulled.fetch(1, timeout=PATIENCE_SECONDS)
                assert message.data == b"stored 2"

        run(test)
        assert "damaged" not in peer.log()


def test_a_buffer_of_the_first_version_waits_for_its_hub(tmp_path: Path) -> None:
    data = bring(tmp_path / "data", "streams-1")
    config = uplink(f"nats-leaf://127.0.0.1:{free_port()}", name="hub") + '[[store-and-forward]]\nsubjects = ["s.>"]\n'
    with gateway(tmp_path, config=config, data_directory=data, monitoring=True) as peer:
        assert [(one["messages"], one["name"]) for one in buffers(peer)] == [(3, "hub")]
        assert "damaged" not in peer.log()


def buffers(peer: Peer) -> list[dict[str, object]]:
    with urlopen(peer.url("monitoring", "http") + "/varz") as answer:
        found: list[dict[str, object]] = json.load(answer)["store_and_forward"]
        return found
