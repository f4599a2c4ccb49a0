"""configs/leafgate.service, as systemd and the command line read it."""

import shlex
import subprocess
from pathlib import Path

import pytest

from gateway.command.command_line import build_parser
from tests.integration.peers import require_peer
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

UNIT = Path(__file__).parents[2] / "configs" / "leafgate.service"
SERIAL = UNIT.with_name("leafgate-serial.conf")
PROGRAM = "/opt/leafgate/bin/leafgate"
# What `systemd-analyze security` may find at most, of 100: the network is what the service is for.
MOST_EXPOSURE = 20


def settings(key: str) -> list[str]:
    """The values of a key, those that are commented out included."""
    lines = [line.removeprefix("#") for line in UNIT.read_text().splitlines()]
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.mark.parametrize(("key", "name"), [("ExecStart", "_run"), ("ExecReload", "_reload")])
def test_unit_runs_commands_that_there_are(key: str, name: str):
    ((program, *arguments),) = map(shlex.split, settings(key))
    assert program == PROGRAM
    options = build_parser().parse_args(arguments)
    assert options.command.__name__ == name
    assert options.config == Path("/etc/leafgate/leafgate.toml")


@pytest.mark.parametrize("with_serial", [False, True])
def test_systemd_finds_no_fault_in_the_unit_nor_in_what_is_commented_out(tmp_path: Path, with_serial: bool):
    program = require_peer("systemd-analyze")
    unit = tmp_path / "leafgate.service"
    lines = UNIT.read_text().replace(PROGRAM, "/bin/true").splitlines()
    unit.write_text("\n".join(line.removeprefix("#") if "=" in line and " " not in line else line for line in lines))
    if with_serial:
        drop_in = tmp_path / "leafgate.service.d" / "serial.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(SERIAL.read_text())
    done = subprocess.run(
        [program, "verify", str(unit)], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "leafgate.service" in line]
    assert (complaints, done.returncode) == ([], 0)


def test_sandbox_leaves_little_open(tmp_path: Path):
    program = require_peer("systemd-analyze")
    (tmp_path / "leafgate.service").write_text(UNIT.read_text())
    command = [
        program,
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSURE}",
        str(tmp_path / "leafgate.service"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
