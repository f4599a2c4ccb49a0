"""What MQTT users may do, seen with mosquitto's programs against a gateway of its own process."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.peers import Peer, gateway, missing_peer
from tests.patience import PATIENCE_SECONDS

CONFIG = """
[[users]]
name = "all"
password = "secret"

[[users]]
name = "guest"
password = "secret"
permissions = { publish = { deny = ["door.>"] }, subscribe = { deny = ["secret.>"] } }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    if shutil.which("mosquitto_pub") is None:
        missing_peer("mosquitto_pub is not installed (Debian: mosquitto-clients)")
    with gateway(tmp_path_factory.mktemp("gateway"), protocols=["mqtt"], config=CONFIG) as peer:
        yield peer


def run(server: Peer, program: str, user: str, *words: str) -> subprocess.CompletedProcess[str]:
    host, port = server.address("mqtt")
    command = [program, "-h", host, "-p", str(port), "-u", user, "-P", "secret", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.mark.parametrize("version", ["311", "5"])
def test_denied_messages_are_not_retained_and_others_are(server: Peer, version: str):
    for user, topic in (("guest", f"door/{version}"), ("guest", f"garden/{version}"), ("all", f"secret/{version}")):
        run(server, "mosquitto_pub", user, "-V", version, "-q", "1", "-r", "-t", topic, "-m", "on")
    for user, expected in (("all", [f"garden/{version}", f"secret/{version}"]), ("guest", [f"garden/{version}"])):
        words = (user, "-V", version, "-t", f"+/{version}", "-W", "1", "-F", "%t")
        # A second may be too short to get all, and never makes more of them.
        found: list[str] = []
        while len(found) < len(expected):
            found = sorted(run(server, "mosquitto_sub", *words).stdout.split())
        assert found == expected


@pytest.mark.parametrize("version", ["311", "5"])
def test_denied_subscription_is_told(server: Peer, version: str):
    told = run(server, "mosquitto_sub", "guest", "-V", version, "-t", "secret/#", "-W", f"{PATIENCE_SECONDS:g}")
    assert "denied" in (told.stdout + told.stderr).lower() or "rejected" in (told.stdout + told.stderr).lower()


def test_denied_message_is_told_in_5_0(server: Peer):
    told = run(server, "mosquitto_pub", "guest", "-V", "5", "-q", "1", "-t", "door/x", "-m", "on")
    assert "Not authorized" in told.stdout + told.stderr
