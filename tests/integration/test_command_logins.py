"""`leafgate pub`, `sub` and `request` come in by files and by the environment, and no secret is in the process list."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.jwt_peers import House, Key, jwt_maker
from tests.integration.peers import Peer, gateway, nats_server, python_path
from tests.patience import PATIENCE_SECONDS

PASSWORD = "correct-horse-battery"
TOKEN = "stapled-token-of-ours"
USERS = f"""
[authentication]
token = "{TOKEN}"
[[users]]
name = "ann"
password = "{PASSWORD}"
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), config=USERS) as peer:
        yield peer


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    for name, text in (("password", PASSWORD), ("token", TOKEN), ("wrong", "wrong")):
        (directory / name).write_text(f"{text}\n")
        (directory / name).chmod(0o600)
    return directory


def leafgate(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LEAFGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment | {"PYTHONPATH": python_path()} | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (["--user", "ann", "--password-file", "password"], {}),
        (["--password-file", "token"], {}),
        (["--user", "ann"], {"LEAFGATE_PASSWORD": PASSWORD}),
        ([], {"LEAFGATE_USER": "ann", "LEAFGATE_PASSWORD": PASSWORD}),
        ([], {"LEAFGATE_PASSWORD": TOKEN}),
    ],
)
def test_password_is_in_a_file_or_in_the_environment(
    guarded: Peer, files: Path, options: list[str], variables: dict[str, str]
) -> None:
    options = [str(files / one) if (files / one).exists() else one for one in options]
    done = leafgate("pub", "--server", guarded.url(), *options, "a", "b", **variables)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--user", "ann", "--password-file", "wrong"], "says: Authorization Violation"),
        (["--user", "ann"], "--user: give the password in --password-file or in $LEAFGATE_PASSWORD"),
        (["--password-file", "open"], "--password-file: "),
        (["--credentials", "password"], "--credentials: "),
    ],
)
def test_wrong_file_is_refused_and_repeated_nowhere(guarded: Peer, files: Path, options: list[str], told: str) -> None:
    (files / "open").write_text(PASSWORD)
    (files / "open").chmod(0o644)
    options = [str(files / one) if (files / one).exists() else one for one in options]
    done = leafgate("pub", "--server", guarded.url(), *options, "a", "b")
    assert done.returncode != 0
    assert told in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_credentials_file_is_for_both_servers(tmp_path: Path) -> None:
    with jwt_maker() as make:
        house = House(make)
        account, ann = house.account("home"), Key("U")
        file = tmp_path / "ann.creds"
        file.write_text(make.credentials(make("user", "ann", seed=ann, issuer=account), ann))
        file.chmod(0o600)
        with (
            nats_server(tmp_path / "nats", house.nats_config()) as theirs,
            gateway(tmp_path / "edge", config=house.gateway_config()) as ours,
        ):
            for peer in (theirs, ours):
                done = leafgate("pub", "--server", peer.url(), "--credentials", str(file), "a", "b")
                assert done.returncode == 0, done.stderr
                assert leafgate("pub", "--server", peer.url(), "a", "b").returncode == 1


def test_secret_of_a_url_is_not_in_the_process_list(guarded: Peer) -> None:
    url = guarded.url().replace("nats://", f"nats://ann:{PASSWORD}@")
    command = [sys.executable, "-m", "gateway", "sub", "--server", url, "x"]
    environment = os.environ | {"PYTHONPATH": python_path()}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("subscribed to x")
            shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert PASSWORD.encode() not in shown
            assert b"ann" not in shown
            assert b"sub\0--server\0nats://*" in shown
        finally:
            process.kill()
