"""What systemd is told by a gateway: the test is its notify socket."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.peers import Peer, gateway
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form


class Manager:
    """Hears what is told, line by line."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def next(self, wanted: str) -> list[str]:
        """The lines of the next datagram that has a wanted one."""
        while True:
            lines = self._socket.recv(4096).decode().split("\n")
            if wanted in lines:
                return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def told(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Manager, Peer]]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@leafgate-test-{os.getpid()}"
    manager = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with closing(manager), gateway(tmp_path / "edge", data_directory=tmp_path / "data") as peer:
        yield manager, peer


def test_manager_hears_of_start_reload_signs_of_life_and_end(told: tuple[Manager, Peer]) -> None:
    manager, peer = told
    assert any(line.startswith("STATUS=listens on nats 127.0.0.1:") for line in manager.next("READY=1"))
    manager.next("WATCHDOG=1")
    manager.next("WATCHDOG=1")
    peer.send_signal(signal.SIGHUP)
    assert any(line.startswith("MONOTONIC_USEC=") for line in manager.next("RELOADING=1"))
    manager.next("READY=1")
    (peer.directory / "leafgate.toml").write_text("wrong = 1\n")
    peer.send_signal(signal.SIGHUP)
    manager.next("RELOADING=1")
    assert any("refused" in line for line in manager.next("READY=1"))
    peer.send_signal(signal.SIGTERM)
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in manager.next("STOPPING=1"))
    assert peer.wait_exit() == 0


def test_manager_that_does_not_listen_any_more_is_borne(told: tuple[Manager, Peer]) -> None:
    manager, peer = told
    manager.next("READY=1")
    manager.close()
    peer.send_signal(signal.SIGHUP)
    peer.wait_for_log("event=reloaded")
    assert peer.stop() == 0
