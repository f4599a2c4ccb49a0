"""`leafgate backup` beside a gateway that runs and writes, and `leafgate restore`."""

import asyncio
import json
import threading
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.peers import Peer, running
from tests.integration.test_people_commands import leafgate
from tests.integration.test_storage_faults import Gateway

WRITTEN_AT_LEAST = 300


@pytest.fixture
def place(tmp_path: Path) -> Gateway:
    place = Gateway(tmp_path)
    place.file.write_text(f"{place.file.read_text()}\n[streams]\n")
    return place


class Writer:
    """Publishes into a stream, one message behind the other, until it is stopped. `acknowledged` counts."""

    def __init__(self, peer: Peer) -> None:
        self.acknowledged = 0
        self._peer = peer
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()

    def wait(self, count: int) -> None:
        until = self.acknowledged + count
        while self.acknowledged < until:
            assert self._thread.is_alive()
            self._ending.wait(0.01)

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()

    async def _run(self) -> None:
        async with client(self._peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="S", subjects=["s.>"])
            while not self._ending.is_set():
                await asyncio.gather(*(js.publish("s.a", b"x" * 500) for _ in range(20)))
                self.acknowledged += 20


def retain(peer: Peer, payload: bytes) -> None:
    mqtt = paho.Client(paho.CallbackAPIVersion.VERSION2)
    mqtt.connect("127.0.0.1", peer.ports["mqtt"])
    mqtt.loop_start()
    mqtt.publish("kept", payload, 1, retain=True).wait_for_publish(PATIENCE_SECONDS)
    mqtt.disconnect()
    mqtt.loop_stop()


def found(peer: Peer) -> tuple[int, int, bytes]:
    """How many messages the stream has, the number of its last, and what is retained."""
    told: list[tuple[int, int, bytes]] = []

    async def look() -> None:
        async with client(peer) as connection:
            state = (await connection.jetstream(timeout=PATIENCE_SECONDS).stream_info("S")).state
            retained = await connection.request("$LEAFGATE.retained.get", b"kept", timeout=PATIENCE_SECONDS)
            told.append((state.messages, state.last_seq, retained.data))

    run(look)
    return told[0]


def test_a_backup_of_a_running_gateway_is_brought_back(place: Gateway, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    place.peer.start()
    with running(place.peer):
        place.peer.wait_ports()
        retain(place.peer, b"before")
        writer = Writer(place.peer)
        writer.wait(WRITTEN_AT_LEAST)
        before = writer.acknowledged
        done = leafgate("backup", "-c", str(place.file), str(backup))
        assert done.returncode == 0, done.stderr
        assert "copying 100 %" in done.stderr
        writer.wait(WRITTEN_AT_LEAST)
        writer.stop()
        retain(place.peer, b"after")
        refused = leafgate("restore", "-c", str(place.file), str(backup), "--force")
        assert (refused.returncode, "is in use by another gateway" in refused.stderr) == (1, True)
    assert {one.name for one in backup.iterdir()} == {"backup.json", "leafgate.db", "streams.db"}
    refused = leafgate("restore", "-c", str(place.file), str(backup))
    assert (refused.returncode, "with --force it is put aside" in refused.stderr) == (2, True)
    done = leafgate("restore", "-c", str(place.file), str(backup), "--force")
    assert done.returncode == 0, done.stderr
    assert (place.data / "streams.db.before-restore").exists()
    place.peer.start()
    with running(place.peer):
        place.peer.wait_ports()
        messages, last, retained = found(place.peer)
        # What was acknowledged when the backup began is in it, and nothing is missing in between.
        assert before <= messages == last < writer.acknowledged
        assert retained == b"before"
        assert "damaged" not in place.peer.fresh_log()


def test_a_backup_that_is_not_as_it_was_written_is_refused(place: Gateway, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    place.peer.start()
    with running(place.peer):
        place.peer.wait_ports()
    assert leafgate("backup", "-c", str(place.file), str(backup)).returncode == 0
    again = leafgate("backup", "-c", str(place.file), str(backup))
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    copy = backup / "leafgate.db"
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    refused = leafgate("restore", "-c", str(place.file), str(backup), "--force")
    assert (refused.returncode, "its checksum is another one" in refused.stderr) == (2, True)
    assert (place.data / "leafgate.db").exists()
    manifest = json.loads((backup / "backup.json").read_text())
    manifest["files"][0]["schema"] = 99
    (backup / "backup.json").write_text(json.dumps(manifest))
    refused = leafgate("restore", "-c", str(place.file), str(backup), "--force")
    assert (refused.returncode, "newer version" in refused.stderr) == (2, True)
    refused = leafgate("restore", "-c", str(place.file), str(tmp_path), "--force")
    assert (refused.returncode, "is no backup" in refused.stderr) == (2, True)


def test_without_a_data_directory_there_is_nothing_to_copy(tmp_path: Path) -> None:
    file = tmp_path / "leafgate.toml"
    file.write_text('name = "x"\n')
    refused = leafgate("backup", "-c", str(file), str(tmp_path / "backup"))
    assert (refused.returncode, "there is none" in refused.stderr) == (2, True)
