"""What a running gateway has imported: the parts that its configuration names, and no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.peers import Peer, python_path, read_ports_file, running
from tests.integration.raw_peer import RawPeer

# The program of the command, which tells at its end what has been imported since its beginning.
PROGRAM = """
import sys
from gateway.command.command_line import main
status = main(["run", "-c", "leafgate.toml"])
open("modules", "w").write("\\n".join(sys.modules))
sys.exit(status)
"""
NATS_ONLY = """
ports-file = "ports.json"
{settings}
[[listeners]]
protocol = "nats"
address = "127.0.0.1:0"
[monitoring]
address = "{monitoring}"
"""
LISTENER = '[[listeners]]\nprotocol = "{}"\naddress = "127.0.0.1:0"\n'
SERIAL = '[[serial]]\nport = "/dev/leafgate-is-not-there"\n'
# Nobody listens on the discard port of the loopback interface.
UPLINK = '[[uplinks]]\nurls = ["nats-leaf://127.0.0.1:9"]\n'

# The first modules of each part, ours and others'.
MQTT = {"gateway.mqtt.directory", "protocols.mqtt.packets"}
MQTT_LISTENER = {"gateway.mqtt.client", "protocols.mqtt.decoder"}
WEBSOCKET = {"gateway.websocket.session", "protocols.websocket.codec", "h11"}
STORAGE = {"gateway.storage.journal", "gateway.storage.storage", "sqlite3"}
MONITORING = {"gateway.monitoring.service", "gateway.monitoring.http_server", "h11"}
UPLINKS = {"gateway.uplink.leafnode_uplink", "gateway.nats.leafnode_spoke", "protocols.leafnode.spoke"}
DEVICES = {"gateway.devices.service", "protocols.serial_link.link"}
OPTIONAL = MQTT | MQTT_LISTENER | WEBSOCKET | STORAGE | MONITORING | UPLINKS | DEVICES
# What needs no configuration, but an occasion: a mistake to explain, a log in JSON, a board to write, another loop.
OCCASIONAL = {
    "asyncio",
    "difflib",
    "encodings.idna",
    "firmware",
    "json",
    "multiprocessing",
    "prometheus_client",
    "serial",
    "trio.testing",
}


def modules_of_a_run(directory: Path, more: str = "", settings: str = "", monitoring: str = "") -> set[str]:
    """Run a gateway for NATS, and what else is said, until a client has been answered; what it has imported."""
    (directory / "leafgate.toml").write_text(NATS_ONLY.format(settings=settings, monitoring=monitoring) + more)
    peer = Peer("leafgate", directory, [sys.executable, "-c", PROGRAM], {})
    with running(peer):
        peer.start()
        peer.wait_ready(lambda: read_ports_file(directory / "ports.json") is not None)
        peer.ports = read_ports_file(directory / "ports.json") or {}
        with RawPeer(peer.address("nats")) as client:
            client.send(b'CONNECT {"verbose":false}\r\nPING\r\n')
            client.read_through(b"PONG\r\n")
        assert peer.stop() == 0
    return set((directory / "modules").read_text().split())


def test_gateway_for_nats_imports_no_part_that_it_has_not(tmp_path):
    assert modules_of_a_run(tmp_path) & (OPTIONAL | OCCASIONAL) == set()


@pytest.mark.parametrize(
    ("configuration", "parts"),
    [
        ({"more": LISTENER.format("mqtt")}, MQTT | MQTT_LISTENER),
        ({"more": LISTENER.format("websocket")}, MQTT | MQTT_LISTENER | WEBSOCKET),
        ({"settings": 'data-directory = "data"'}, MQTT | STORAGE),
        ({"monitoring": "127.0.0.1:0"}, MONITORING),
        ({"more": UPLINK}, UPLINKS),
        ({"more": SERIAL}, DEVICES),
    ],
    ids=["mqtt", "websocket", "storage", "monitoring", "uplink", "serial"],
)
def test_gateway_imports_a_part_that_is_configured_and_no_other(tmp_path, configuration, parts):
    assert modules_of_a_run(tmp_path, **configuration) & OPTIONAL == parts


# Nobody listens on the discard port: what a command imports until it knows that is what it costs.
NOWHERE = "--server={}://127.0.0.1:9"
COMMANDS = (
    ["check", "-c", "leafgate.toml"],
    ["reload", "-c", "leafgate.toml"],
    ["drain", "-c", "leafgate.toml"],
    ["status", "--monitoring=http://127.0.0.1:9"],
    *(["pub", NOWHERE.format(scheme), "a", "b"] for scheme in ("nats", "mqtt", "ws")),
    ["request", NOWHERE.format("nats"), "a"],
    ["nkey"],
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_command_of_a_moment_needs_no_event_loop(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "leafgate.toml").write_text('data-directory = "data"\n')
    program = f"""
import sys
from gateway.command.command_line import main
status = main({words!r})
print(status, *sorted({{"asyncio", "trio"}} & set(sys.modules)))
"""
    environment = os.environ | {"PYTHONPATH": python_path()}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] in ("0", "1"), done.stdout + done.stderr
