"""The five commands of README that make a fresh system one with a gateway, each run on a root directory of its own."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.fresh_root import PIP_OPTIONS, lend_build_tools, lend_packages
from tests.integration.peers import free_port, require_peer
from tests.patience import LONG_SECONDS, PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]
HEADING = "### A service on one box"

pytestmark = [
    pytest.mark.one_form,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users of another system"),
]


def commands() -> list[list[str]]:
    section = (REPOSITORY / "README.md").read_text().partition(HEADING)[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    return [shlex.split(line.removeprefix("sudo ")) for line in block.splitlines()]


class Box:
    """A root directory; absolute paths of a command are those in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = {name: free_port() for name in ("nats", "mqtt", "websocket", "monitoring")}

    def inside(self, word: str) -> str:
        return f"{self.root}{word}" if word.startswith("/") else word

    def run(self, command: list[str], *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*map(self.inside, command), *more],
            cwd=REPOSITORY,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture
def box(tmp_path: Path) -> Box:
    require_peer("systemd-sysusers")
    (tmp_path / "root").mkdir()
    return Box(tmp_path / "root")


def start_as_the_unit_says(box: Box, notify: Path) -> subprocess.Popen[bytes]:
    """The gateway, once it has said that it is ready. Its data are in the root directory, too."""
    configuration = box.root / "etc/leafgate/leafgate.toml"
    text = configuration.read_text()
    assert '"/var/lib/leafgate"' in text
    configuration.write_text(text.replace('"/var/lib/leafgate"', f'"{box.root}/var/lib/leafgate"'))
    unit = (box.root / "etc/systemd/system/leafgate.service").read_text()
    (start,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(PATIENCE_SECONDS)
    manager.bind(str(notify))
    process = subprocess.Popen(
        list(map(box.inside, shlex.split(start))),
        env=os.environ | {"NOTIFY_SOCKET": str(notify)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with manager:
        while b"READY=1" not in manager.recv(4096):
            pass
    return process


def test_five_commands_make_a_running_gateway_that_asks_who_comes(box: Box, tmp_path: Path) -> None:
    packages, environment, install, service, request = commands()

    assert packages[:2] == ["apt-get", "install"]
    if shutil.which("apt-get"):
        subprocess.run(["apt-get", "--simulate", *packages[1:]], capture_output=True, check=True, timeout=LONG_SECONDS)

    assert environment[:3] == ["python3", "-m", "venv"]
    subprocess.run(
        [sys.executable, *environment[1:3], box.inside(environment[3])],
        check=True,
        timeout=LONG_SECONDS,
        capture_output=True,
    )

    box.run(install, *PIP_OPTIONS, "--quiet", **lend_build_tools(tmp_path / "tools"))
    lend_packages(box.root)

    ports = [f"--port={name}={port}" for name, port in box.ports.items()]
    told = box.run(service, "--root", str(box.root), *ports).stdout
    assert "which starts /opt/leafgate/bin/leafgate" in told

    process = start_as_the_unit_says(box, tmp_path / "notify")
    try:
        server = f"nats://127.0.0.1:{box.ports['nats']}"
        program = os.readlink(box.root / "usr/local/bin/leafgate")
        answer = box.run([program, *request[1:]], "--server", server).stdout
        assert answer.strip()
        stranger = subprocess.run(
            [box.inside(program), "pub", "--server", server, "a"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert stranger.returncode == 1
        assert "Authorization Violation" in stranger.stderr
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
