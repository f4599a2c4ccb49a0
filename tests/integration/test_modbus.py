"""Registers of a device of pymodbus, over TCP and over a serial line: polled, written, away and back."""

import importlib.util
import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers import Peer, free_port, gateway, missing_peer, running, wait_until
from tests.integration.raw_peer import RawPeer
from tests.integration.serial_line import serial_line
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

REGISTERS = """
poll-seconds = 0.1
answer-timeout-seconds = 5
retry-max-seconds = 0.5
subject = "plant.pump"
[[modbus.registers]]
name = "speed"
address = 3
scale = 0.1
writable = true
[[modbus.registers]]
name = "temperature"
address = 10
type = "f32"
[[modbus.registers]]
name = "on"
address = 2
table = "coil"
writable = true
[[modbus.registers]]
name = "far"
address = 200
"""


@contextmanager
def device(directory: Path, kind: str, place: object) -> Iterator[Peer]:
    if importlib.util.find_spec("pymodbus") is None:
        missing_peer("pymodbus (PyPI: pymodbus)")
    ports = {"modbus": place} if isinstance(place, int) else {}
    directory.mkdir()
    program = Path(__file__).with_name("modbus_device.py")
    peer = Peer("pymodbus", directory, [sys.executable, str(program), kind, str(place)], ports)
    peer.start()
    with running(peer):
        yield peer


@contextmanager
def site(directory: Path, url: str, more: str = "") -> Iterator[tuple[Peer, RawPeer]]:
    config = f'[[modbus]]\nname = "pump"\nurl = "{url}"\n{more}{REGISTERS}'
    with gateway(directory, config=config, monitoring=True) as edge, RawPeer(edge.address("nats")) as client:
        client.send(b'CONNECT {"verbose":false}\r\nSUB plant.pump.* 1\r\nSUB answers.> 2\r\nPING\r\n')
        client.read_through(b"PONG\r\n")
        yield edge, client


def wait_for(client: RawPeer, subject: str, payload: str) -> None:
    client.read_through(f"MSG plant.pump.{subject} 1 {len(payload)}\r\n{payload}\r\n".encode())


def ask(client: RawPeer, register: str, payload: str) -> Any:
    client.send(f"PUB plant.pump.{register}.set answers.1 {len(payload)}\r\n{payload}\r\n".encode())
    client.read_through(b"MSG answers.1 2 ")
    size = int(client.read_through(b"\r\n"))
    return json.loads(client.read(size))


def told(edge: Peer, page: str) -> Any:
    with urllib.request.urlopen(edge.url("monitoring", "http") + page, timeout=PATIENCE_SECONDS) as response:
        return json.load(response)


def check_reading_and_writing(client: RawPeer) -> None:
    client.read_through(b'"state":"online"')
    wait_for(client, "speed", "3.0")
    wait_for(client, "temperature", "21.5")
    wait_for(client, "on", "false")
    assert ask(client, "speed", "12.5") == {"ok": True}
    wait_for(client, "speed", "12.5")
    assert ask(client, "on", "true") == {"ok": True}
    wait_for(client, "on", "true")
    for register, payload, said in (
        ("speed", "fast", "the payload is a number"),
        ("speed", "7000", "does not fit into u16"),
        ("on", "5", "a coil is written true or false"),
    ):
        assert said in ask(client, register, payload)["error"]["description"]


def test_device_over_tcp_is_polled_written_lost_and_found(tmp_path: Path) -> None:
    port = free_port()
    with device(tmp_path / "device", "tcp", port) as pump, site(tmp_path / "edge", f"tcp://127.0.0.1:{port}") as there:
        edge, client = there
        check_reading_and_writing(client)
        (status,) = told(edge, "/varz")["integrations"]
        assert (status["kind"], status["name"], status["up"]) == ("modbus", "pump", True)
        # One register that the device does not have costs the others nothing.
        wait_until(lambda: "refuses to be read: it does not have the address" in edge.log(), "a line about it")
        pump.kill()
        client.read_through(b'"state":"offline"')
        assert ask(client, "speed", "1")["error"]["code"] == 503
        wait_until(lambda: "modbus/pump" in str(told(edge, "/healthz")), "health")
        edge.wait_for_log("integration=modbus/pump event=down")
        pump.start()
        client.read_through(b'"state":"online"')
        wait_for(client, "speed", "3.0")


def test_device_on_a_serial_line_is_polled_and_written(tmp_path: Path) -> None:
    with (
        serial_line(tmp_path) as line,
        device(tmp_path / "device", "rtu", line.device.path),
        site(tmp_path / "edge", f"rtu://{line.name}", 'parity = "N"\n') as (_, client),
    ):
        check_reading_and_writing(client)


def test_only_changes_are_published_where_that_is_wanted(tmp_path: Path) -> None:
    port = free_port()
    more = 'publish = "changes"\nretain = true\n'
    with (
        device(tmp_path / "device", "tcp", port),
        site(tmp_path / "edge", f"tcp://127.0.0.1:{port}", more) as (_, client),
    ):
        client.read_through(b"plant.pump.on 1 ")
        assert ask(client, "speed", "1.5") == {"ok": True}
        said = client.read_through(b"1.5\r\n")
        assert b"plant.pump.temperature" not in said
        client.send(b"PUB $LEAFGATE.retained.get answers.2 16\r\nplant.pump.speed\r\n")
        client.read_through(b"MSG answers.2 ")
        assert b"1.5" in client.read_through(b"1.5\r\n")
