"""TLS with a shared key instead of certificates (TLS-PSK), as mosquitto's programs and boards speak it."""

import asyncio
import json
import ssl
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.integration.peers import free_port, gateway, require_peer
from tests.micropython.device_peer import ask
from tests.micropython.unix_port import Board, board

pytestmark = pytest.mark.skipif(
    not hasattr(ssl.SSLContext, "set_psk_server_callback"), reason="needs Python 3.13 or newer"
)
USERS = """
[[users]]
name = "sensor1"
[users.permissions]
publish = { allow = ["a"] }
[[users]]
name = "reader"
password = "in-the-clear-here"
"""
BOARD = """
[[users]]
name = "sensor1"
[[users]]
name = "reader"
password = "in-the-clear-here"
"""
KEY = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_mosquitto_pub(tmp_path: Path, version: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# who: key\nsensor1:{KEY}\n")
    keys.chmod(0o600)
    config = f'[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:0"\ntls = {{ psk-file = "{keys}" }}\n'
    with gateway(tmp_path / "edge", protocols=(), config=config) as edge:
        command = [require_peer("mosquitto_pub"), "-p", str(edge.ports["mqtt"]), "-t", "a", "-m", "x", "-q", "1"]
        command += ["--tls-version", version]

        def publishes(identity: str, key: str) -> bool:
            ended = subprocess.run(
                [*command, "--psk-identity", identity, "--psk", key], capture_output=True, check=False
            )
            return ended.returncode == 0

        assert publishes("sensor1", KEY)
        assert not publishes("sensor1", KEY[::-1])
        assert not publishes("sensor2", KEY)
        assert edge.log().count("event=tls-failed") >= 1
        assert KEY not in edge.log()
        assert KEY[::-1] not in edge.log()


def test_board_comes_in_by_its_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"sensor1:{KEY}\nstranger:{KEY}\n")
    keys.chmod(0o600)
    port = free_port()
    plain = f'[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:{port}"\n'
    tls = f'tls = {{ psk-file = "{keys}", verify = "map" }}'
    door = f'[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:0"\n{tls}\n'
    with gateway(tmp_path / "edge", protocols=(), config=plain + door + BOARD) as edge:
        url = edge.url("nats", "tls").replace("127.0.0.1", "localhost")

        def arriving(identity: str, key: str) -> AbstractContextManager[Board]:
            return board("node.py", url, json.dumps({"psk": [identity, key]}))

        with arriving("sensor1", KEY) as device:
            device.until("connected")
            asyncio.run(ask(f"nats://127.0.0.1:{port}", [b"1"], user="reader", password="in-the-clear-here"))
            device.finished()
        for identity, key in (("sensor1", KEY[::-1]), ("stranger", KEY), ("sensor2", KEY)):
            with arriving(identity, key) as device:
                device.until("error")
                assert "connected" not in "".join(device.printed)
        assert KEY not in edge.log()


def test_identity_names_the_user(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"sensor1:{KEY}\nstranger:{KEY}\n")
    keys.chmod(0o600)
    tls = f'tls = {{ psk-file = "{keys}", verify = "map" }}'
    config = f'[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:0"\n{tls}\n{USERS}'
    with gateway(tmp_path / "edge", protocols=(), config=config) as edge:
        command = [require_peer("mosquitto_pub"), "-p", str(edge.ports["mqtt"]), "-V", "5", "-q", "1", "--psk", KEY]

        def told(identity: str, topic: str) -> str:
            asked = [*command, "--psk-identity", identity, "-t", topic, "-m", "x"]
            return subprocess.run(asked, capture_output=True, text=True, check=False).stderr

        assert told("sensor1", "a") == ""
        assert "Not authorized" in told("sensor1", "b")
        assert "not authorized" in told("stranger", "a").lower()
        edge.wait_for_log("reason='a shared key of no user'")
