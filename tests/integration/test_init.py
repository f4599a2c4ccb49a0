"""`leafgate init`, and that the commands it prints are all that somebody needs."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.settings.schema import load_config
from tests.integration.peers import free_port, python_path, wait_until
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form


def environment(directory: Path) -> dict[str, str]:
    """One in which `leafgate` is a command, as after an installation."""
    program = directory / "bin" / "leafgate"
    if not program.exists():
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
        program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"}


def init(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["leafgate", "init", *arguments],
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def ports() -> dict[str, int]:
    return {name: free_port() for name in ("nats", "mqtt", "websocket", "monitoring")}


def port_arguments(numbers: dict[str, int]) -> list[str]:
    return [argument for name, port in numbers.items() for argument in ("--port", f"{name}={port}")]


@pytest.mark.parametrize("options", [[], ["--nkey"]], ids=["password", "nkey"])
def test_commands_that_are_printed_lead_to_a_gateway_that_knows_its_user(tmp_path: Path, options: list[str]):
    numbers = ports()
    done = init(tmp_path, "--directory", "site", *options, *port_arguments(numbers))
    assert (done.returncode, done.stderr) == (0, "")
    run, *client = [line[2:] for line in done.stdout.splitlines() if line.startswith("  ")]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            ["sh", "-c", f"exec {run}"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: "event=started" in (tmp_path / "log").read_text(), "start of the gateway")
        answer = subprocess.run(
            ["sh", "-e", "-c", "\n".join(client)],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert (answer.returncode, answer.stderr) == (0, "")
        assert re.fullmatch(r"\d+ \d+\n", answer.stdout)
        with RawPeer(("127.0.0.1", numbers["nats"])) as stranger:
            stranger.read_line()
            stranger.send(b'CONNECT {"verbose":false}\r\nPING\r\n')
            assert stranger.read_line() == b"-ERR 'Authorization Violation'\r\n"
    finally:
        server.terminate()
        assert server.wait(PATIENCE_SECONDS) == 0
    secrets = re.findall(r"(?m)(?:once: |nats://admin:)([\w-]{20,})", done.stdout)
    assert not any(secret in (tmp_path / "log").read_text() for secret in secrets)


def test_configuration_is_its_owners_alone_and_right(tmp_path: Path):
    done = init(tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "leafgate.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = load_config(file)
    assert [listener.host for listener in config.listeners] == ["127.0.0.1"] * 3
    assert config.data_directory == str(tmp_path / "data")
    (user,) = config.users
    assert user.password is not None
    assert user.password.value.startswith("$2b$")
    assert re.search(r"once: ([\w-]+)\n", done.stdout)[1] not in file.read_text()  # type: ignore[index]


def test_for_the_network_it_listens_everywhere(tmp_path: Path):
    done = init(tmp_path, "--network", "--directory", "site", "--data", "elsewhere")
    assert done.returncode == 0, done.stderr
    config = load_config(tmp_path / "site" / "leafgate.toml")
    assert [listener.host for listener in config.listeners] == ["0.0.0.0"] * 3
    assert config.monitoring.host == "127.0.0.1"
    assert config.data_directory == str(tmp_path / "elsewhere")
    assert "From other machines: nats://" in done.stdout


@pytest.mark.parametrize(("there", "options"), [("leafgate.toml", []), ("admin.nk", ["--nkey"])])
def test_nothing_is_overwritten(tmp_path: Path, there: str, options: list[str]):
    (tmp_path / there).write_text("mine")
    done = init(tmp_path, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"leafgate: {there} is there already; nothing was written\n"
    assert (tmp_path / there).read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {there, "bin"}


def test_seed_is_its_owners_alone(tmp_path: Path):
    assert init(tmp_path, "--nkey").returncode == 0
    seed = tmp_path / "admin.nk"
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600
    assert seed.read_text().startswith("SU")
    assert load_config(tmp_path / "leafgate.toml").users[0].nkey.startswith("U")


def test_port_that_is_none_is_told(tmp_path: Path):
    done = init(tmp_path, "--port", "nats=70000")
    assert done.returncode == 2
    assert "'nats=70000' is not nats, mqtt, websocket or monitoring, = and a port" in done.stderr
    assert not (tmp_path / "leafgate.toml").exists()
