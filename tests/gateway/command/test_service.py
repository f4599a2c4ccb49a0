"""`leafgate install-service`, in the root directory of a system that is not running."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from gateway.command.command_line import main
from tests.integration.peers import require_peer
from tests.patience import PATIENCE_SECONDS

PRIVATE = 0o700

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users of another system")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This checkout may be at a place that services do not see."""
    monkeypatch.setattr("gateway.command.service.HIDDEN", ())
    require_peer("systemd-sysusers")
    directory = tmp_path / "image"
    directory.mkdir()
    return directory


def install(root: Path, *options: str) -> None:
    assert main(["install-service", "--root", str(root), *options]) == 0


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_everything_is_in_its_place_and_the_service_alone_reads_secrets(root, capsys):
    install(root, "--network", "--serial")
    told = capsys.readouterr().out
    for path in ("etc/leafgate", "var/lib/leafgate"):
        assert stat.S_IMODE((root / path).stat().st_mode) == PRIVATE
    user = next(line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("leafgate:"))
    assert (root / "etc/leafgate/leafgate.toml").stat().st_uid == int(user.split(":")[2]) != 0
    password = (root / "etc/leafgate/admin.password").read_text().strip()
    assert password not in told
    assert password not in (root / "etc/leafgate/leafgate.toml").read_text()
    assert 'data-directory = "/var/lib/leafgate"' in (root / "etc/leafgate/leafgate.toml").read_text()
    unit = (root / "etc/systemd/system/leafgate.service").read_text()
    assert f"ExecStart={os.readlink(root / 'usr/local/bin/leafgate')} run -c /etc/leafgate/leafgate.toml" in unit
    assert (root / "etc/systemd/system/multi-user.target.wants/leafgate.service").is_symlink()
    assert "char-ttyACM" in (root / "etc/systemd/system/leafgate.service.d/serial.conf").read_text()


def test_second_time_brings_the_unit_up_to_date_and_leaves_the_rest(root):
    install(root)
    kept = (root / "etc/leafgate/leafgate.toml").read_bytes(), (root / "etc/leafgate/admin.password").read_bytes()
    unit = root / "etc/systemd/system/leafgate.service"
    wanted = unit.read_text()
    unit.write_text("[Service]\nExecStart=/bin/false\n")
    install(root)
    assert unit.read_text() == wanted
    assert kept == (
        (root / "etc/leafgate/leafgate.toml").read_bytes(),
        (root / "etc/leafgate/admin.password").read_bytes(),
    )


def test_taken_away_it_leaves_configuration_and_data_and_purged_nothing_of_ours(root):
    install(root, "--serial")
    (root / "var/lib/leafgate/leafgate.db").touch()
    assert main(["uninstall-service", "--root", str(root)]) == 0
    left = {path for path in files(root) if "leafgate" in path}
    assert left == {
        "etc/leafgate/leafgate.toml",
        "etc/leafgate/admin.password",
        "etc/sysusers.d/leafgate.conf",
        "var/lib/leafgate/leafgate.db",
    }
    install(root)
    assert main(["uninstall-service", "--root", str(root), "--purge"]) == 0
    assert {path for path in files(root) if "leafgate" in path} == set()
    assert "leafgate" not in (root / "etc/passwd").read_text()
    assert main(["uninstall-service", "--root", str(root)]) == 0


def test_explaining_changes_nothing(root, capsys):
    assert main(["install-service", "--root", str(root), "--explain"]) == 0
    assert "systemd-sysusers" in capsys.readouterr().out
    assert files(root) == set()


def test_something_else_under_the_command_s_name_stays(root):
    other = root / "usr/local/bin/leafgate"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\n")
    install(root)
    assert main(["uninstall-service", "--root", str(root)]) == 0
    assert other.read_text() == "#!/bin/sh\n"


def test_unit_of_the_image_is_right(root, tmp_path):
    install(root, "--serial")
    program = require_peer("systemd-analyze")
    for path in (root / "etc/systemd/system").rglob("*.*"):
        if path.is_file() and not path.is_symlink():
            copy = tmp_path / path.relative_to(root / "etc/systemd/system")
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(path.read_text())
    command = [program, "verify", str(tmp_path / "leafgate.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert [line for line in done.stderr.splitlines() if "leafgate.service" in line] == []
    assert done.returncode == 0


def test_root_that_is_none_is_told(tmp_path, capsys):
    assert main(["install-service", "--root", str(tmp_path / "nowhere")]) == 1
    assert "is no directory" in capsys.readouterr().err


@pytest.mark.parametrize("hidden", ["home/pi", "root", "tmp"])
def test_program_that_the_service_would_not_see_is_refused(tmp_path, hidden, monkeypatch, capsys):
    program = tmp_path / hidden / "leafgate"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program)])
    assert main(["install-service", "--root", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert f"the service does not see /{hidden.partition('/')[0]}, where /{hidden}/leafgate is" in told
    assert files(tmp_path) == {f"{hidden}/leafgate"}
