"""A disk that hangs does not keep the process: what becomes of signals, and of wills. A library that is preloaded makes
every sync wait.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocols.mqtt.packets import Will
from protocols.mqtt.properties import Properties
from tests.integration.mqtt_conformance.raw_client import Clients, RawClient
from tests.integration.peers import Peer, running
from tests.integration.preloaded import build_library
from tests.integration.test_storage_faults import Gateway

SOURCE = Path(__file__).with_name("stall_disk.c")
FOREVER = 3600
DAY = 86_400


class StallingGateway(Gateway):
    def __init__(self, directory: Path, library: Path) -> None:
        super().__init__(directory)
        self._stalled = directory / "stalled"
        preload = [f"LD_PRELOAD={library}", f"STALL_DISK={self._stalled}"]
        self.peer = Peer("gateway", directory, ["env", *preload, *self.command()], self.ports)

    def configure(self, more: str) -> None:
        self.file.write_text(self.file.read_text() + more)

    def stall(self) -> None:
        self._stalled.touch()

    def go_on(self) -> None:
        self._stalled.unlink(missing_ok=True)

    @contextmanager
    def run(self) -> Iterator[Clients]:
        self.peer.start()
        with running(self.peer):
            self.peer.wait_ports()
            with Clients(self.peer.address("mqtt")) as clients:
                yield clients


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(SOURCE, tmp_path_factory.mktemp("stall-disk"), "stalls the disk")


def wait_for_disk(clients: Clients) -> RawClient:
    """A client whose message is not acknowledged, because it is on its way to the disk."""
    keeper = clients.connect(5, b"keeper", clean_start=False, properties=Properties(session_expiry_interval=DAY))
    keeper.subscribe(b"kept/#", 1)
    keeper.cut()
    return clients.connect(5, b"writer")


def test_second_signal_ends_the_process_though_the_disk_hangs(tmp_path: Path, library: Path) -> None:
    gateway = StallingGateway(tmp_path, library)
    gateway.configure(f"[timeouts]\ndrain-seconds = {FOREVER}\n")
    with gateway.run() as clients:
        writer = wait_for_disk(clients)
        gateway.stall()
        writer.send_publish(b"kept/a", b"held", 1)
        gateway.peer.send_signal(signal.SIGTERM)
        gateway.peer.wait_for_log("event=stopping signal=SIGTERM")
        gateway.peer.send_signal(signal.SIGTERM)
        assert gateway.peer.wait_exit() == 1
        assert "event=stopped-without-disk" in gateway.peer.log()
        assert "Traceback" not in gateway.peer.log()


def test_will_is_there_after_an_end_while_the_disk_hung_for_a_while(tmp_path: Path, library: Path) -> None:
    gateway = StallingGateway(tmp_path, library)
    with gateway.run() as clients:
        writer = wait_for_disk(clients)
        will = Will(b"tele/t1/LWT", b"Offline", 1, True)
        sensor = clients.connect(5, b"t1", will=will)
        sensor.publish(b"tele/t1/LWT", b"Online", 1, retain=True)
        gateway.stall()
        writer.send_publish(b"kept/a", b"held", 1)
        gateway.peer.send_signal(signal.SIGTERM)
        gateway.peer.wait_for_log("event=stopping signal=SIGTERM")
        sensor.rest()
        gateway.go_on()
        assert gateway.peer.wait_exit() == 0
    with gateway.run() as clients:
        reader = clients.connect(5, b"reader")
        reader.subscribe(b"tele/#", 1)
        assert reader.take().payload == b"Offline"
