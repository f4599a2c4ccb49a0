"""A cluster for tests: an API, the operator as a process of its own, and kubelets for what it makes."""

import base64
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from gateway.operator.kinds import Kind
from tests.integration.peers import Peer, free_port, running
from tests.kubernetes.api import Api
from tests.kubernetes.kubelet import Kubelet

SECONDS = 120.0
# Every look is a request.
POLL_SECONDS = 0.1
NAMESPACE = "plant"
EMULATOR = Path(__file__).with_name("emulator.py")


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Poll until `ready()`; fails the test when that takes too long."""
    give_up = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > give_up:
            pytest.fail(f"{what} did not happen within {SECONDS:g} s")
        time.sleep(POLL_SECONDS)


class Cluster:
    """`api` may do anything; `operator` is the process."""

    def __init__(self, api: Api, operator: Peer, folder: Path) -> None:
        self.api = api
        self.operator = operator
        self._folder = folder

    @contextmanager
    def kubelet(self, name: str) -> Iterator[Kubelet]:
        """Runs the pod of a Gateway."""
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with Kubelet(self.api, NAMESPACE, name, folder) as kubelet:
            try:
                yield kubelet
            except BaseException as error:
                error.add_note(f"--- gateway {name}, {kubelet.starts} starts, {kubelet.faults[-3:]}\n{kubelet.log()}")
                raise

    def wait_for(self, kind: Kind, name: str, status: str, words: str = "") -> str:
        """Until the condition Ready of an object has a status, and words in its message; returns the message."""
        found: tuple[str, str, str] = ("", "", "")

        def is_so() -> bool:
            nonlocal found
            found = self.api.condition(kind, NAMESPACE, name)
            return found[0] == status and words in found[2]

        try:
            wait_until(is_so, f"{kind.name} {name}: {status} {words!r}")
        except BaseException as error:
            error.add_note(f"last was {found}")
            raise
        return found[2]

    def wait_for_event(self, name: str, reason: str, words: str = "") -> None:
        def is_there() -> bool:
            return any(one == reason and words in text for one, text in self.api.events(NAMESPACE, name))

        wait_until(is_there, f"event {reason} of {name}")

    def wait_gone(self, kind: Kind, name: str) -> None:
        wait_until(lambda: self.api.get(kind, NAMESPACE, name) is None, f"end of {kind.name} {name}")


def write_kubeconfig(file: Path, api: Api) -> None:
    """By which the operator finds the API."""
    cluster: dict[str, str] = {"server": api.url}
    if api.authority:
        cluster["certificate-authority-data"] = base64.b64encode(Path(api.authority).read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "here", "user": {"token": api.token or "none"}}],
    }
    file.write_text(yaml.safe_dump(document))


@contextmanager
def operator(folder: Path, api: Api, *options: str) -> Iterator[Peer]:
    """The operator, as whoever `api` is."""
    kubeconfig = folder / "kubeconfig"
    write_kubeconfig(kubeconfig, api)
    port = free_port()
    program = [sys.executable, "-m", "gateway", "operator", "--resync-seconds", "1"]
    command = ["env", f"KUBECONFIG={kubeconfig}", *program, "--healthz", f"127.0.0.1:{port}", *options]
    peer = Peer("operator", folder, command, {"healthz": port})
    peer.start()
    with running(peer):
        yield peer


@contextmanager
def emulator(folder: Path) -> Iterator[Api]:
    """The API in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "url"
    peer = Peer("emulator", folder, [sys.executable, str(EMULATOR), str(file)], {})
    peer.start()
    with running(peer):
        wait_until(lambda: file.exists() or peer.is_dead(), "start of the emulator")
        peer.wait_ready(file.exists)
        yield Api(file.read_text())


@contextmanager
def emulated_cluster(folder: Path) -> Iterator[Cluster]:
    with emulator(folder / "api") as api:
        (folder / "operator").mkdir()
        with operator(folder / "operator", api) as process:
            yield Cluster(api, process, folder / "nodes")
