"""Bad input on every port: the offender is told in its own protocol and closed, the log tells why, nobody else minds.

What is checked of the offender is every byte that it gets; of the log, the lines of its connection.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.mqtt_peers import PahoClient, paho_client
from tests.integration.offences import (
    CASES,
    MQTT_CONNECT,
    NATS_CONNECT,
    SETTINGS,
    UPGRADE,
    Case,
    error,
    frame,
)
from tests.integration.peers import Peer, gateway, python_path, wait_until
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

PROTOCOLS = ("nats", "mqtt", "websocket")


@contextmanager
def offender(edge: Peer, door: str) -> Iterator[RawPeer]:
    """A connection that has been greeted as the protocol of its door demands."""
    listener = "websocket" if door.endswith("websocket") else door.partition("-")[0]
    with RawPeer(edge.address(listener)) as peer:
        if door == "nats":
            peer.read_line()
        elif door == "mqtt-connected":
            peer.send(MQTT_CONNECT)
        elif door == "nats-websocket":
            peer.send(UPGRADE % b"/")
            peer.read_through(b"\r\n\r\n")
            peer.read_through(b"} \r\n")
        elif door == "mqtt-websocket":
            peer.send(UPGRADE % b"/mqtt")
            peer.read_through(b"\r\n\r\n")
        yield peer


class Bystanders:
    """Healthy clients of each protocol, which must hear each other at any time."""

    def __init__(self, nats: RawPeer, browser: RawPeer, sensor: PahoClient) -> None:
        self.nats = nats
        self.browser = browser
        self.sensor = sensor
        self._rounds = 0
        nats.send(NATS_CONNECT + b"SUB health 1\r\nPING\r\n")
        nats.read_through(b"PONG\r\n")
        browser.send(frame(0x82, NATS_CONNECT + b"SUB health 1\r\nPING\r\n"))
        browser.read_through(b"PONG\r\n")
        sensor.subscribe("health", 1)

    def exchange(self) -> None:
        """One message from each to all."""
        self._rounds += 1
        said = [b"%b %d" % (name, self._rounds) for name in (b"nats", b"browser", b"sensor")]
        sends = (
            lambda payload: self.nats.send(b"PUB health %d\r\n%b\r\n" % (len(payload), payload)),
            lambda payload: self.browser.send(frame(0x82, b"PUB health %d\r\n%b\r\n" % (len(payload), payload))),
            lambda payload: self.sensor.publish("health", payload, 1),
        )
        for payload, send in zip(said, sends, strict=True):
            send(payload)
            assert self.sensor.next_pair() == ("health", payload)
            for peer in (self.nats, self.browser):
                peer.read_through(b"MSG health 1 %d\r\n%b\r\n" % (len(payload), payload))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    with gateway(directory, protocols=PROTOCOLS, monitoring=True, config=SETTINGS) as peer:
        yield peer
        assert "Traceback" not in peer.log()


@pytest.fixture(scope="module")
def bystanders(edge: Peer) -> Iterator[Bystanders]:
    with offender(edge, "nats") as nats, offender(edge, "nats-websocket") as browser, paho_client(edge) as sensor:
        yield Bystanders(nats, browser, sensor)


def log_of(edge: Peer, port: int) -> list[str]:
    """The lines about the connection that came from a port, once it has ended."""
    opened = re.compile(rf"cid=(\d+) event=open .*:{port}\n")
    wait_until(lambda: opened.search(edge.log()) is not None, "an open event")
    # An earlier peer may have had the same port.
    mark = f" cid={opened.findall(edge.log())[-1]} "

    def lines() -> list[str]:
        return [line for line in edge.log().splitlines() if mark in line]

    wait_until(lambda: any("event=closed" in line for line in lines()), "a closed event")
    return lines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.door}: {case.name}")
def test_offender_is_told_and_closed_and_nobody_else_minds(edge: Peer, bystanders: Bystanders, case: Case) -> None:
    with offender(edge, case.door) as peer:
        peer.send(case.sent)
        bystanders.exchange()
        answer = peer.read_to_end()
        if case.starts_with:
            assert answer.startswith(case.answer)
        else:
            assert answer == case.answer
    opened, closed = log_of(edge, peer.port)
    bystanders.exchange()
    assert "event=open" in opened
    assert f"event=closed kind={case.door.removesuffix('-connected')} reason={case.reason!r}" in closed
    assert case.detail in closed


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"\x16\x03\x01\x02\x00\xff\r\n\r\n", b"400"), (b"POST /varz HTTP/1.1\r\nHost: a\r\n\r\n", b"405")],
    ids=["garbage", "post"],
)
def test_monitoring_refuses(edge: Peer, bystanders: Bystanders, sent: bytes, status: bytes) -> None:
    with RawPeer(edge.address("monitoring")) as peer:
        peer.send(sent)
        assert peer.read_to_end().startswith(b"HTTP/1.1 " + status)
    bystanders.exchange()


def test_storm_of_garbage_harms_nobody(edge: Peer, bystanders: Bystanders) -> None:
    doors = ("nats", "mqtt", "mqtt-connected", "websocket", "nats-websocket", "mqtt-websocket")
    noise = random.Random(2)
    for _ in range(10):
        for door in doors:
            with offender(edge, door) as peer:
                try:
                    peer.send(noise.randbytes(noise.choice((1, 20, 5000))))
                except ConnectionError:
                    pass  # Closed before it had said everything.
        bystanders.exchange()


def test_client_that_stops_in_the_middle_of_a_message_is_closed(tmp_path_factory: pytest.TempPathFactory) -> None:
    config = "[timeouts]\nping-interval-seconds = 1.0\nping-max = 1\n"
    with gateway(tmp_path_factory.mktemp("impatient"), config=config) as edge, offender(edge, "nats") as peer:
        peer.send(NATS_CONNECT + b"PING\r\nPUB a 10\r\nhal")
        assert peer.read_to_end() == b"PONG\r\nPING\r\n" + error("Stale Connection")
        peer.close()
        _, closed = log_of(edge, peer.port)
        assert "reason='Stale Connection'" in closed


def complaint(arguments: list[str], directory: Path) -> tuple[int, str]:
    """Exit status and standard error of the command line."""
    command = [sys.executable, "-m", "gateway", *arguments]
    environment = os.environ | {"PYTHONPATH": python_path()}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("[limits]\nmax-paylod-bytes = 1\n", "limits.max-paylod-bytes: unknown key; did you mean max-payload-bytes?"),
        ('[limits]\nmax-payload-bytes = "1"\n', "limits.max-payload-bytes: expected an integer, got a string"),
        ('[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:70000"\n', "listeners[0].address: "),
        ('[[listeners]]\nprotocol = "nats"\naddress = "0.0.0.0:0"\n', "listeners[0].address: 0.0.0.0 can be reached"),
        ('[[listeners]]\nprotocol = "smtp"\naddress = "127.0.0.1:0"\n', "listeners[0].protocol: expected "),
        ('[[uplinks]]\nurls = ["nats-leaf://a:b:c"]\n', "uplinks[0].urls[0]: "),
        ("[limits\n", "line 1"),
    ],
    ids=["unknown key", "wrong type", "no port", "open to all", "unknown protocol", "no url", "no toml"],
)
def test_wrong_configuration_is_one_line_that_names_file_key_and_cause(
    tmp_path: Path, config: str, sentence: str
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(config)
    for command in ("check", "run"):
        status, text = complaint([command, "-c", str(file)], tmp_path)
        assert (status, text.count("\n")) == (2, 1)
        assert text.startswith(f"leafgate: {file}: {sentence}")


def test_missing_configuration_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    expected = (2, f"leafgate: {file}: cannot be read: No such file or directory\n")
    assert complaint(["run", "-c", str(file)], tmp_path) == expected


def test_port_in_use_is_one_line_that_names_file_key_and_cause(edge: Peer, tmp_path: Path) -> None:
    taken = f"127.0.0.1:{edge.ports['nats']}"
    free = '[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:0"\n'
    for config, key in (
        (f'{free}[[listeners]]\nprotocol = "nats"\naddress = "{taken}"\n', "listeners[1].address"),
        (f'{free}[monitoring]\naddress = "{taken}"\n', "monitoring.address"),
    ):
        file = tmp_path / "edge.toml"
        file.write_text(f"{config}[timeouts]\nstart-seconds = 0\n")
        status, text = complaint(["run", "-c", str(file)], tmp_path)
        assert status == 1
        assert text.endswith(f"leafgate: {file}: {key}: cannot listen on {taken}: address already in use\n")
        assert "Traceback" not in text


def test_ports_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    wanted = tmp_path / "missing" / "ports.json"
    listener = '[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:0"\n'
    file.write_text(f'ports-file = "{wanted}"\n{listener}[monitoring]\naddress = ""\n')
    expected = f"leafgate: {file}: ports-file: cannot write {wanted}: no such file or directory\n"
    status, text = complaint(["run", "-c", str(file)], tmp_path)
    assert status == 1
    assert text.endswith(expected)
    assert "Traceback" not in text
