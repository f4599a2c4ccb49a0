"""nats.js over TCP comes in by every login that there is, inside TLS, and by nothing else."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.locked_doors import NATS_LOGINS, LockedDoors, Login, locked_doors
from tests.integration.node_peers import HERE, require_node


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedDoors]:
    with locked_doors(tmp_path_factory.mktemp("doors")) as made:
        yield made


def come_in(doors: LockedDoors, login: Login) -> dict[str, Any]:
    """As whom the client came in, as `result`, or why it did not, as `error`."""
    node = require_node("@nats-io/transport-node")
    said = {"ca": doors.authority(login)}
    if login.user is not None:
        said |= {"user": login.user, "pass": login.password}
    said |= {"token": login.token, "seed": login.seed, "creds": login.credentials}
    certificate = doors.certificate(login)
    if certificate is not None:
        said |= dict(zip(("cert", "key"), certificate, strict=True))
    url = doors.door(login).url("nats", "tls").replace("127.0.0.1", "localhost")
    command = [node, str(HERE / "node" / "tcp_login.mjs"), url, json.dumps(said)]
    done = subprocess.run(command, capture_output=True, timeout=90, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", NATS_LOGINS)
def test_login(doors: LockedDoors, name: str) -> None:
    login = doors.login(name)
    answer = come_in(doors, login)
    if login.who is not None:
        assert answer == {"result": login.who}
    else:
        assert "error" in answer
        doors.check_secrets(login, answer["error"])
