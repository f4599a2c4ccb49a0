"""Devices that are let in and locked out by `leafgate device`, with the client of the boards under MicroPython."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.peers import Peer, gateway
from tests.micropython.device_peer import meet, refused
from tests.micropython.unix_port import find
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

HOST = '[[users]]\nname = "host"\npassword = "hosts-words"\n'


@pytest.fixture(autouse=True)
def _micropython_is_there() -> None:
    find("micropython")


@contextmanager
def guarded(tmp_path: Path) -> Iterator[Peer]:
    (tmp_path / "users").mkdir(exist_ok=True)
    config = f'[authentication]\nusers-directory = "{tmp_path / "users"}"\ntimeout-seconds = 5\n{HOST}'
    with gateway(tmp_path / "edge", config=config) as edge:
        yield edge


def device(tmp_path: Path, *arguments: str) -> str:
    line = [sys.executable, "-m", "gateway", "device", *arguments, "-c", str(tmp_path / "edge" / "leafgate.toml")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout if done.returncode == 0 else done.stderr


def told(printed: str, label: str) -> str:
    found = re.search(f"^{label}: (.*)$", printed, re.MULTILINE)
    assert found is not None, printed
    return found[1]


ANYTHING = ("--publish", ">", "--subscribe", ">")


def test_device_is_in_from_when_it_is_added_until_it_is_revoked(tmp_path: Path):
    with guarded(tmp_path):
        pass
    by_key = {"nkey": told(device(tmp_path, "add", "shed", *ANYTHING), "seed")}
    password = told(device(tmp_path, "add", "barn", "--identity", "password", *ANYTHING), "password")
    by_password = {"user": "barn", "password": password}
    for path in (tmp_path / "users").iterdir():
        assert password not in path.read_text()
        assert by_key["nkey"] not in path.read_text()
    assert device(tmp_path, "users") == "barn  account $G  by password\nshed  account $G  by nkey\n"
    assert "there is such a user" in device(tmp_path, "add", "shed")
    with guarded(tmp_path) as edge:
        host = edge.url().replace("//", "//host:hosts-words@")
        for login in (by_key, by_password):
            meet(edge.url(), host, **login)
        assert "Authorization Violation" in refused(edge.url(), user="barn", password="another")
        assert password not in edge.log()
    for name in ("shed", "barn"):
        assert device(tmp_path, "revoke", name) == f"{name} may not come in any more\n"
    assert device(tmp_path, "users") == ""
    assert "there is no such user" in device(tmp_path, "revoke", "shed")
    with guarded(tmp_path) as edge:
        for login in (by_key, by_password):
            assert "Authorization Violation" in refused(edge.url(), **login)


def test_device_with_a_key_of_its_own_has_its_own_subjects(tmp_path: Path):
    with guarded(tmp_path):
        pass
    key = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
    assert device(tmp_path, "add", "shed", "--key", key, "--prefix", "site", "--account", "$G") == "user: shed\n"
    text = (tmp_path / "users" / "shed.toml").read_text()
    assert text.splitlines()[:3] == [f'nkey = "{key}"', 'account = "$G"', 'client-id-prefix = "shed"']
    assert json.dumps(["site.shed", "site.shed.>", "$LEAFGATE.publish.site.shed.>", "$LEAFGATE.time"]) in text
    assert "public key" in device(tmp_path, "add", "barn", "--key", "SU")
    with guarded(tmp_path):
        pass


def test_configuration_without_users_of_files_is_told(tmp_path: Path):
    with gateway(tmp_path / "edge"):
        pass
    assert "authentication.users-directory: missing" in device(tmp_path, "users")
