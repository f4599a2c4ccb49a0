"""The configuration changes while the gateway runs: by SIGHUP, by `leafgate reload`, and because a file has changed."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import serial as pyserial

from gateway.command.certificates import renew
from tests.integration.certificates import Site as CertificateSite
from tests.integration.certificates import listener as tls_listener
from tests.integration.leafnode_pair import LINK_UP, leaf_url
from tests.integration.peers import (
    Peer,
    free_port,
    gateway,
    nats_server,
    python_path,
    read_ports_file,
    running,
    uplink,
    wait_until,
)
from tests.integration.raw_peer import RawPeer, without_pings
from tests.integration.serial_line import micropython, serial_line, serial_table
from tests.integration.test_serial_lines import say
from tests.integration.test_serial_link import BAUD
from tests.patience import PATIENCE_SECONDS

QUIET = b'CONNECT {"verbose":false,"protocol":%d}\r\n'


class Site:
    """A gateway and its file. `write` writes the file anew: `tables` stand behind the listeners."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "leafgate.toml"
        self._ports_file = directory / "ports.json"
        self._data = directory / "data"
        self.port = free_port()
        self.peer: Peer

    def text(self, tables: str = "", listeners: str | None = None, top: str = "watch = false") -> str:
        own = f'[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:{self.port}"\n'
        return (
            f'name = "edge"\nports-file = "{self._ports_file}"\ndata-directory = "{self._data}"\n{top}\n'
            f'{own if listeners is None else listeners}\n[monitoring]\naddress = "127.0.0.1:0"\n{tables}\n'
        )

    def write(self, tables: str = "", listeners: str | None = None, top: str = "watch = false") -> None:
        self.file.write_text(self.text(tables, listeners, top))

    @contextmanager
    def running(self) -> Iterator["Site"]:
        self._ports_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "gateway", "run", "-c", str(self.file)]
        self.peer = Peer("gateway", self.file.parent, command, {"nats": self.port})
        self.peer.start()
        with running(self.peer):
            self.peer.wait_ready(lambda: "event=started" in self.peer.fresh_log())
            yield self

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, "-c", str(self.file)],
            env=os.environ | {"PYTHONPATH": python_path()},
            cwd=self.file.parent,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def reload(self) -> None:
        """It must be taken."""
        done = self.command("reload")
        assert done.returncode == 0, done.stderr

    def ports(self) -> dict[str, int]:
        return read_ports_file(self._ports_file) or {}

    def health(self) -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports()['monitoring']}/healthz") as answer:
            return json.load(answer)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    found.write()
    with found.running():
        yield found


def client(port: int, protocol: int = 0) -> RawPeer:
    """One that understands an INFO in between speaks protocol 1."""
    peer = RawPeer(("127.0.0.1", port))
    peer.read_line()
    peer.send(QUIET % protocol + b"PING\r\n")
    peer.read_through(b"PONG\r\n")
    return peer


def sees(peer: RawPeer, text: bytes) -> None:
    """What a client publishes to itself comes back."""
    peer.send(b"SUB self 9\r\nPUB self %d\r\n%b\r\nUNSUB 9\r\n" % (len(text), text))
    assert without_pings(peer.read_through(b"%b\r\n" % text)) == b"MSG self 9 %d\r\n%b\r\n" % (len(text), text)


def test_file_is_read_again_at_sighup_and_old_and_new_clients_have_what_it_says(site: Site):
    with client(site.port, protocol=1) as old:
        assert old.read_line().startswith(b"INFO ")
        site.write("[limits]\nmax-payload-bytes = 100")
        site.peer.send_signal(signal.SIGHUP)
        site.peer.wait_for_log("event=reloaded changed='limits'")
        assert b'"max_payload":100,' in old.read_line()
        sees(old, b"still here")
        with RawPeer(("127.0.0.1", site.port)) as new:
            assert b'"max_payload":100,' in new.read_line()


def test_reload_tells_what_has_changed(site: Site):
    site.write("[limits]\nmax-payload-bytes = 100")
    check = site.command("check")
    assert (check.returncode, check.stderr) == (0, "")
    change = "  limits.max-payload-bytes: 1048576 → 100"
    assert check.stdout.splitlines() == [f"{site.file}: is right", "a reload would change", change]
    done = site.command("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{site.file}: reloaded", change]
    assert site.command("reload").stdout == f"{site.file}: reloaded; nothing has changed\n"
    assert site.command("check").stdout.splitlines()[1] == "a reload would change nothing"


@pytest.mark.parametrize(
    ("tables", "top", "reason"),
    [
        ("[limits]\nmax-payload-bytes = 0", "", "limits.max-payload-bytes: expected an integer >= 1, got 0"),
        ("[limits", "", "Expected ']' at the end of a table declaration"),
        ("", "trust-clock = true", "trust-clock: cannot be changed while the gateway runs (false → true); restart it"),
        ("[authentication]\ntoken = {file = '/nowhere'}", "", "authentication.token: /nowhere cannot be read"),
    ],
)
def test_file_that_is_wrong_is_refused_and_changes_nothing(site: Site, tables: str, top: str, reason: str):
    with client(site.port) as peer:
        site.write(f"[timeouts]\nping-max = 3\n{tables}", top=f"watch = false\n{top}")
        done = site.command("reload")
        assert (done.returncode, done.stdout) == (2, "")
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1
        sees(peer, b"undisturbed")
    if tables != "[limits":
        assert reason in site.peer.fresh_log()
        assert site.peer.fresh_log().count("event=reload-refused") == 1
        health = site.health()
        assert health["status"] == "degraded"
        assert reason in str(health["configuration"])
    site.write()
    site.reload()
    assert site.health()["status"] == "ok"


def test_listener_that_cannot_be_opened_refuses_the_whole_file(site: Site):
    with nats_listener() as taken:
        other = f'[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:{taken}"'
        before = site.file.read_text()
        site.write("[limits]\nmax-payload-bytes = 100", listeners=own_listener(site) + other)
        done = site.command("reload")
        assert done.returncode == 1
        assert f"listeners[1].address: cannot listen on 127.0.0.1:{taken}: address already in use" in done.stderr
        with RawPeer(("127.0.0.1", site.port)) as peer:
            assert b'"max_payload":1048576,' in peer.read_line()
        site.file.write_text(before)


@contextmanager
def nats_listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def own_listener(site: Site, host: str = "127.0.0.1") -> str:
    return f'[[listeners]]\nprotocol = "nats"\naddress = "{host}:{site.port}"\n'


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_listeners_come_and_go_and_those_who_are_there_stay(site: Site):
    with client(site.port) as first:
        site.write(listeners=own_listener(site) + '[[listeners]]\nprotocol = "websocket"\naddress = "127.0.0.1:0"')
        site.reload()
        ports = site.ports()
        assert "event=reloaded changed='listeners +1'" in site.peer.fresh_log()
        with RawPeer(("127.0.0.1", ports["websocket"])) as web:
            web.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert web.read_line().startswith(b"HTTP/1.1 ")
        site.write(listeners='[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:0"')
        site.reload()
        assert refused(site.port)
        assert refused(ports["websocket"])
        assert set(site.ports()) == {"mqtt", "monitoring"}
        sees(first, b"through no door")
        site.write()
        site.reload()
        client(site.port).close()


def test_listener_moves_to_another_address_on_its_port(site: Site):
    with client(site.port) as first:
        site.write(listeners=own_listener(site, "localhost"))
        site.reload()
        sees(first, b"old")
        with client(site.port) as second:
            sees(second, b"new")
        site.write()
        site.reload()
        sees(first, b"old")
        client(site.port).close()


def test_address_may_begin_to_speak_another_protocol(site: Site):
    site.write(listeners=f'[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:{site.port}"')
    site.reload()
    with RawPeer(("127.0.0.1", site.port)) as peer:
        peer.send(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")
        assert peer.read(4) == b"\x20\x02\x00\x00"


def test_monitoring_moves_and_ends(site: Site):
    before = site.ports()["monitoring"]
    other = free_port()
    table = '[monitoring]\naddress = "127.0.0.1:%s"'
    site.file.write_text(site.text().replace(table % 0, table % other))
    site.reload()
    assert site.ports()["monitoring"] == other
    assert site.health()["status"] == "ok"
    assert refused(before)
    site.file.write_text(site.text().replace(table % 0, '[monitoring]\naddress = ""'))
    site.reload()
    assert refused(other)
    site.write()
    site.reload()
    assert site.health()["status"] == "ok"


def test_links_to_hubs_come_and_go(site: Site, tmp_path: Path):
    with (
        nats_server(tmp_path / "hub", leafnodes="") as hub,
        client(site.port) as peer,
        client(hub.ports["nats"]) as there,
    ):
        there.send(b"SUB up.> 1\r\nPING\r\n")
        there.read_through(b"PONG\r\n")
        site.write(uplink(leaf_url(hub)))
        site.reload()
        site.peer.wait_for_log(LINK_UP)
        hub.wait_for_log("Leafnode connection created")
        publish_until(peer, b"up.1", there)
        site.write(uplink(leaf_url(hub)) + "[limits]\nmax-connections = 100")
        site.reload()
        assert site.peer.fresh_log().count(LINK_UP) == 1
        site.write()
        site.reload()
        site.peer.wait_for_log("event=removed")
        hub.wait_for_log("Leafnode connection closed")
        sees(peer, b"alone again")


def publish_until(peer: RawPeer, subject: bytes, there: RawPeer) -> None:
    """Interest takes a moment to come over the link."""
    there.socket.settimeout(0.1)
    for _ in range(round(PATIENCE_SECONDS / 0.1)):
        peer.send(b"PUB %b 2\r\nhi\r\n" % subject)
        try:
            assert there.read_through(b"\r\nhi\r\n")
        except TimeoutError:
            continue
        there.socket.settimeout(PATIENCE_SECONDS)
        return
    pytest.fail("nothing came over the link")


def test_files_are_watched_links_and_secrets_included(tmp_path: Path):
    site = Site(tmp_path)
    for name, content in (("1", "psecret-1"), ("2", "psecret-2")):
        (tmp_path / name).mkdir()
        secret = tmp_path / name / "token"
        secret.write_text(content)
        secret.chmod(0o600)
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "token").symlink_to("..data/token")
    token = f'[authentication]\ntoken = {{ file = "{tmp_path / "token"}" }}'
    site.write(token, top="watch = true")
    with site.running():
        # The first is found by what it says, the second by its files.
        for count, target in enumerate(("2", "1"), 1):
            turned = tmp_path / "..data_tmp"
            turned.symlink_to(target)
            os.replace(turned, tmp_path / "..data")
            site.peer.wait_for_log("event=reloaded changed='authentication'", count=count)
        site.peer.wait_for_log(f"files='{tmp_path}/token'")
        site.write(token + "\n[limits]\nmax-payload-bytes = 0", top="watch = true")
        site.peer.wait_for_log("event=reload-refused")
        other = tmp_path / "new.toml"
        other.write_text(site.text("[limits]\nmax-payload-bytes = 5", top="watch = false"))
        os.replace(other, site.file)
        site.peer.wait_for_log("event=reloaded changed='watch, limits, authentication'")
        assert "psecret" not in site.peer.fresh_log()


def test_gateway_that_is_not_there_is_told(tmp_path: Path):
    site = Site(tmp_path)
    site.write()
    done = site.command("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"leafgate: no gateway answers at {tmp_path}/data/control.sock\n"
    assert site.command("check").stdout == f"{site.file}: is right\n"
    site.file.write_text("")
    assert "set control-socket or data-directory" in site.command("reload").stderr


def test_control_socket_is_its_owners_alone_and_goes_with_the_gateway(tmp_path: Path):
    site = Site(tmp_path)
    path = tmp_path / ("x" * 100) / "control.sock"
    path.parent.mkdir()
    site.write(top=f'watch = false\ncontrol-socket = "{path}"')
    with site.running():
        assert path.stat().st_mode & 0o777 == 0o600
        site.reload()
        site.peer.kill()
        assert path.exists()
        site.peer.start()
        site.peer.wait_ready(lambda: "event=started" in site.peer.fresh_log())
        site.reload()
    assert not path.exists()


def test_without_a_file_there_is_nothing_to_read_again(tmp_path: Path):
    with gateway(tmp_path) as peer:
        (tmp_path / "leafgate.toml").unlink()
        peer.send_signal(signal.SIGHUP)
        peer.wait_for_log("event=reload-refused")
        client(peer.ports["nats"]).close()


def is_free(port: Path) -> bool:
    with contextlib.suppress(pyserial.SerialException), pyserial.Serial(str(port), exclusive=True):
        return True
    return False


def test_serial_ports_come_and_go_and_the_others_notice_nothing(site: Site, tmp_path: Path):
    with serial_line(tmp_path / "a") as first, serial_line(tmp_path / "b") as second, client(site.port) as peer:
        peer.send(b"SUB devices.> 1\r\nPING\r\n")
        peer.read_through(b"PONG\r\n")
        ports = [
            serial_table(line.name, protocol="lines", name=name) for line, name in ((first, "one"), (second, "two"))
        ]
        site.write(ports[0])
        site.reload()
        site.peer.wait_for_log("event=open", count=2)
        say(first, b"temp=1\n")
        assert peer.read_through(b"\r\n1\r\n").endswith(b"MSG devices.one.temp 1 1\r\n1\r\n")
        site.write(ports[0] + ports[1])
        site.reload()
        site.peer.wait_for_log("event=open", count=3)
        say(second, b"temp=2\n")
        assert peer.read_through(b"\r\n2\r\n").endswith(b"MSG devices.two.temp 1 1\r\n2\r\n")
        site.write(ports[1])
        site.reload()
        wait_until(lambda: is_free(first.name), "the port that is configured no more is free")
        say(second, b"temp=3\n")
        assert peer.read_through(b"\r\n3\r\n").endswith(b"MSG devices.two.temp 1 1\r\n3\r\n")
        assert site.health()["status"] == "ok"


def test_device_whose_port_is_not_configured_any_more_is_gone_at_once(site: Site, tmp_path: Path):
    with serial_line(tmp_path / "a") as line, micropython("serial_node.py", line.device.path, BAUD):
        site.write(serial_table(line.name, baud=BAUD))
        site.reload()
        site.peer.wait_for_log("event=device-up")
        site.write()
        site.reload()
        site.peer.wait_for_log("kind=nats-serial reason='Server Shutdown'")
        site.write(serial_table(line.name, baud=BAUD))
        site.reload()
        site.peer.wait_for_log("event=device-up", count=2)


def test_listener_begins_to_speak_tls_and_takes_other_certificates(site: Site, tmp_path: Path):
    certificates = CertificateSite(tmp_path / "tls")
    with client(site.port) as plain:
        site.write(listeners=tls_listener("mqtt", certificates.tls(), f"127.0.0.1:{site.port}"))
        site.reload()
        sees(plain, b"in the clear")
        first = serial_of(certificates, site.port)
        renew(certificates.directory, timedelta(days=10_000))
        site.reload()
        second = serial_of(certificates, site.port)
        assert first != second
        Path(certificates.path("server.pem")).write_text("no certificate")
        done = site.command("reload")
        assert done.returncode == 2
        assert "listeners[0].tls: " in done.stderr
        assert serial_of(certificates, site.port) == second
        site.write()
        site.reload()
        sees(plain, b"all the time")
        client(site.port).close()


def serial_of(site: CertificateSite, port: int) -> str:
    """The number of the certificate that is shown to who comes now."""
    with RawPeer(("127.0.0.1", port)) as peer:
        return str(peer.start_tls(site.context()).getpeercert()["serialNumber"])  # type: ignore[index]
