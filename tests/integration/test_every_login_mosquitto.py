"""mosquitto_pub comes in by every login that there is, inside TLS, and by nothing else.

Shared keys instead of certificates are in test_tls_shared_keys.py.
"""

import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.locked_doors import MQTT_LOGINS, LockedDoors, Login, locked_doors
from tests.integration.mqtt_peers import unique_topic
from tests.integration.peers import require_peer


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedDoors]:
    with locked_doors(tmp_path_factory.mktemp("doors")) as made:
        yield made


def publish(doors: LockedDoors, login: Login, version: str) -> "subprocess.CompletedProcess[str]":
    port = str(doors.door(login).ports["mqtt"])
    command = [require_peer("mosquitto_pub"), "-V", version, "-p", port, "--cafile", doors.authority(login)]
    command += ["-t", unique_topic("login"), "-m", "there", "-q", "1"]
    if login.user is not None:
        command += ["-u", login.user, "-P", login.password or login.bearer]
    certificate = doors.certificate(login)
    if certificate is not None:
        command += ["--cert", certificate[0], "--key", certificate[1]]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize("version", ["311", "5"])
@pytest.mark.parametrize("name", MQTT_LOGINS)
def test_login(doors: LockedDoors, name: str, version: str) -> None:
    login = doors.login(name)
    done = publish(doors, login, version)
    assert (done.returncode == 0) is (login.who is not None), done.stderr
    if login.who is None:
        doors.check_secrets(login, done.stdout + done.stderr)
