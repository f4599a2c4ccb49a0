"""What clients hear and what goes on while the disk takes nothing, and what a damaged data directory comes to.

The disk is made to refuse by the limit of the process on the size of files: to the gateway that is an I/O error.
"""

import json
import resource
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Puback, Suback, Subscription
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import Clients, RawClient
from tests.integration.peers import Peer, free_port, python_path, running, wait_until
from tests.patience import PATIENCE_SECONDS

UNLIMITED = resource.RLIM_INFINITY
LARGE = 500_000
PERSISTENT = Properties(session_expiry_interval=1000)


class Gateway:
    """A gateway with a data directory whose disk can be made to refuse."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.ports = {"nats": free_port(), "mqtt": free_port(), "monitoring": free_port()}
        self.file = directory / "leafgate.toml"
        listeners = [
            f'[[listeners]]\nprotocol = "{protocol}"\naddress = "127.0.0.1:{self.ports[protocol]}"'
            for protocol in ("nats", "mqtt")
        ]
        monitoring = f'[monitoring]\naddress = "127.0.0.1:{self.ports["monitoring"]}"'
        self.file.write_text("\n".join([f'data-directory = "{self.data}"', *listeners, monitoring]) + "\n")
        self.peer = Peer("gateway", directory, self.command(), self.ports)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "gateway", "run", "-c", str(self.file)]

    def refuse(self) -> None:
        """From now on files can be written in their first part alone: what the gateway prints has its place there. The
        log of the database, made large before, cannot grow, nor be copied into the database and begun anew.
        """
        resource.prlimit(self.peer.pid, resource.RLIMIT_FSIZE, (LARGE // 4, UNLIMITED))

    def accept(self) -> None:
        resource.prlimit(self.peer.pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['monitoring']}{path}") as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def wait_health(self, status: int) -> None:
        wait_until(lambda: self.get("/healthz")[0] == status, f"health {status}")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    gateway.peer.start()
    with running(gateway.peer):
        gateway.peer.wait_ports()
        yield gateway


@pytest.fixture
def clients(gateway: Gateway) -> Iterator[Clients]:
    with Clients(gateway.peer.address("mqtt")) as clients:
        yield clients


def break_disk(gateway: Gateway, clients: Clients) -> tuple[RawClient, int]:
    """The disk begins to refuse; returns who published what is not acknowledged because of that, and its packet id."""
    holder = clients.connect(5, b"holder")
    assert holder.publish(b"large", bytes(LARGE), 1, retain=True) in (0, ReasonCode.NO_MATCHING_SUBSCRIBERS)
    gateway.refuse()
    packet_id = holder.send_publish(b"kept/a", b"held", 1)
    gateway.wait_health(503)
    return holder, packet_id


def test_nothing_is_promised_while_the_disk_refuses_and_nothing_is_lost(gateway: Gateway, clients: Clients) -> None:
    reader = clients.connect(5, b"reader", clean_start=False, properties=PERSISTENT)
    reader.subscribe(b"kept/#", 1)
    reader.cut()
    writer = clients.connect(5, b"writer")
    assert writer.publish(b"kept/a", b"before", 1) == 0
    holder, held = break_disk(gateway, clients)
    status, health = gateway.get("/healthz")
    assert (status, health["status"]) == (503, "unavailable")
    assert "storage: " in str(health["error"])

    assert writer.publish(b"kept/a", b"refused", 1) == ReasonCode.QUOTA_EXCEEDED
    assert writer.publish(b"elsewhere", b"", 1, retain=True) == ReasonCode.QUOTA_EXCEEDED
    late = clients.open(5).connect(b"late", clean_start=False, properties=PERSISTENT)
    assert late.reason_code == ReasonCode.QUOTA_EXCEEDED

    gateway.accept()
    assert holder.answer(Puback) == Puback(held)
    gateway.wait_health(200)
    assert writer.publish(b"kept/a", b"after", 1) == 0
    again = clients.connect(5, b"reader", clean_start=False, properties=PERSISTENT)
    assert again.take_payloads(3) == [b"before", b"held", b"after"]
    assert gateway.get("/varz")[1]["storage"]["faults"] == 1  # type: ignore[index]
    gateway.peer.wait_for_log("event=storage-fault")
    gateway.peer.wait_for_log("event=storage-recovered")


def test_what_concerns_no_disk_goes_on(gateway: Gateway, clients: Clients) -> None:
    kept = clients.connect(5, b"kept", clean_start=False, properties=PERSISTENT)
    kept.subscribe(b"kept/#", 1)
    reader, writer = clients.connect(5, b"reader"), clients.connect(4, b"writer")
    break_disk(gateway, clients)
    reader.subscribe(b"live", 1)
    for qos in (0, 1, 2):
        writer.publish(b"live", b"%d" % qos, qos)
        assert reader.take().payload == b"%d" % qos
    kept.send(encoder.encode_subscribe(5, 9, [Subscription(b"more", 1)]))
    assert kept.answer(Suback) == Suback(9, (ReasonCode.QUOTA_EXCEEDED,))


def test_old_client_is_closed_instead_of_acknowledged(gateway: Gateway, clients: Clients) -> None:
    kept = clients.connect(5, b"kept", clean_start=False, properties=PERSISTENT)
    kept.subscribe(b"kept/#", 1)
    kept.cut()
    writer = clients.connect(4, b"writer")
    break_disk(gateway, clients)
    writer.send_publish(b"kept/a", b"refused", 1, packet_id=78)
    assert writer.rest() == []
    gateway.peer.wait_for_log("reason='Storage Failure'")
    late = clients.open(4).connect(b"late", clean_start=False)
    assert late.reason_code == ReasonCode.SERVER_UNAVAILABLE


def test_retained_messages_can_be_deleted_on_a_full_disk(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", gateway.data]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        gateway.peer.start()
        with running(gateway.peer), Clients(gateway.peer.address("mqtt")) as clients:
            gateway.peer.wait_ports()
            writer, old = clients.connect(5, b"writer"), clients.connect(4, b"old")
            away = clients.connect(5, b"away", clean_start=False, properties=PERSISTENT)
            away.subscribe(b"kept/#", 1)
            away.cut()
            count = 0
            while writer.publish(b"kept/%d" % count, bytes(10_000), 1, retain=True) == 0:
                count += 1
            assert count > 10
            assert writer.publish(b"kept/0", b"refused", 1, retain=True) == ReasonCode.QUOTA_EXCEEDED
            assert writer.publish(b"kept/0", b"", 1, retain=True) == 0
            old.publish(b"kept/1", b"", 1, retain=True)
            old.publish(b"kept/2", b"", 2, retain=True)
            old.send_publish(b"kept/3", b"", 0, retain=True)
            for number in range(4, count):
                assert writer.publish(b"kept/%d" % number, b"", 1, retain=True) == 0
            fresh = clients.connect(5, b"fresh")
            fresh.subscribe(b"kept/#", 0)
            writer.publish(b"kept/0", b"the only one")
            assert fresh.take().payload == b"the only one"
    finally:
        subprocess.run(["umount", "-l", gateway.data], check=True)


def test_damaged_database_is_set_aside_and_shown(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.data.mkdir()
    (gateway.data / "leafgate.db").write_bytes(b"This was a database. " * 1000)
    gateway.peer.start()
    with running(gateway.peer):
        gateway.peer.wait_ports()
        gateway.peer.wait_for_log("event=database-set-aside")
        aside = gateway.get("/varz")[1]["storage"]["set_aside"]  # type: ignore[index]
        assert Path(str(aside)).read_bytes().startswith(b"This was a database.")
        assert gateway.get("/healthz")[0] == 200


def test_second_gateway_is_told_who_has_the_directory(gateway: Gateway, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    listener = '[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:0"\n'
    other.write_text(f'data-directory = "{gateway.data}"\n{listener}[timeouts]\nstart-seconds = 0\n')
    command = [sys.executable, "-m", "gateway", "run", "-c", str(other)]
    environment = {"PYTHONPATH": python_path(), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert result.returncode == 1
    assert result.stdout == ""
    complaint = f"data-directory: {gateway.data} is in use by another gateway (process {gateway.peer.pid})"
    assert result.stderr.splitlines()[-1] == f"leafgate: {other}: {complaint}"
