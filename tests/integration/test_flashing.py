"""From a blank board to one that publishes, with the real esptool, MicroPython and gateway; only the chip is a fake.

The board is `tests/firmware`: a ROM loader on a pseudo terminal; what was written to its flash is then mounted and run
by MicroPython's Unix port. The firmware file is a stand-in, since no registry has a real one.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware.release import Release, ReleaseKey, load_release_key
from tests.firmware.fake_esp32 import ESP32, ESP32_C3, ESP32_S3, MEGABYTE, FakeEsp32, Faults
from tests.firmware.micropython_board import NETWORK, PASSWORD, MicroPythonBoard, board, require_esptool
from tests.firmware.synthetic_firmware import write_firmware
from tests.integration.peers import Peer, free_port, gateway, nats_server, python_path, wait_until
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

NAME = "esp-deadbe"  # from the MAC of the fake
COMMAND_SECONDS = PATIENCE_SECONDS
APPLICATION = """
import asyncio
async def run(device):
    await device.connected.wait()
    while True:
        await device.log("version {version}")
        await asyncio.sleep_ms(100)
"""


@pytest.fixture(autouse=True)
def _flash_extra_is_there(monkeypatch):
    require_esptool(monkeypatch)


@dataclass
class Bench:
    """A gateway, a board on a port, and the command line."""

    directory: Path
    edge: Peer
    loader: FakeEsp32
    machine: MicroPythonBoard

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return device_command(*arguments)

    def flash(self, *more: str, firmware: str | None = "ESP32", password: str = PASSWORD):
        file = () if firmware is None else ("--firmware", str(write_firmware(self.directory, firmware)))
        wifi = ("--wifi-ssid", NETWORK, "--wifi-password", password)
        line = ("--port", self.loader.port, "--gateway", self.edge.url(), "--settle", "0.3", *file, *wifi, *more)
        return self.run("flash", *line, *self.key)

    @property
    def key(self) -> tuple[str, str]:
        return ("--release-key", str(self.directory / "release.key"))

    @property
    def server(self) -> tuple[str, str]:
        return ("--server", self.edge.url())

    def application(self, text: str) -> tuple[str, str]:
        path = self.directory / "application.py"
        path.write_text(text)
        return ("--app", str(path))

    def release(self) -> str:
        """The number of the release that the device says it runs."""
        return self.listed(f"devices.{NAME}  online  release").split()[3]

    def listed(self, expected: str, *more: str) -> str:
        """What the devices are, once that begins as expected."""
        told = ""

        def found() -> bool:
            nonlocal told
            told = succeeded(self.run("list", *self.server, "--wait", "0.3", *more))
            return told.startswith(expected)

        wait_until(found, f"{expected!r} in the list of devices")
        return told


def device_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "gateway", "device", *arguments]
    environment = os.environ | {"PYTHONPATH": python_path()}
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@contextmanager
def bench(directory: Path, chip=ESP32, megabytes: int = 4, faults: Faults | None = None) -> Iterator[Bench]:
    with (
        gateway(directory / "gateway") as edge,
        board(directory, chip, megabytes * MEGABYTE, faults) as (loader, machine),
    ):
        yield Bench(directory, edge, loader, machine)


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def failed(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failure ends with."""
    assert done.returncode != 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("chip", "megabytes"), [(ESP32, 4), (ESP32_C3, 8), (ESP32_S3, 16)], ids=lambda x: str(x)[:40])
def test_one_command_takes_a_blank_board_to_publishing(tmp_path, chip, megabytes):
    with bench(tmp_path, chip, megabytes) as table, RawPeer(table.edge.address("nats")) as subscriber:
        subscriber.send(b'CONNECT {"verbose":false}\r\nSUB devices.> 1\r\nPING\r\n')
        subscriber.read_through(b"PONG\r\n")
        done = table.flash(firmware=chip.name)
        printed = succeeded(done)
        assert f"subject: devices.{NAME}\n" in printed
        assert "{ nkey: U" in printed
        assert "writing 100 %" in done.stderr
        assert f"{chip.name}, {megabytes} MB of flash, MAC 24:0a:c4:de:ad:be" in done.stderr
        subscriber.read_through(b"MSG devices.%b.presence 1" % NAME.encode())
        subscriber.read_through(b"MSG devices.%b.uptime 1" % NAME.encode())
        # The gateway and the device tell of it in turns, and do not contradict each other.
        table.machine.cut_power()
        subscriber.read_through(b'{"state":"offline","name":"%b"}' % NAME.encode())
        subscriber.read_through(b'{"state":"online","name":"%b"}' % NAME.encode())
        subscriber.read_through(b'"release"')
        # Secrets go into the flash and nowhere else.
        assert PASSWORD not in done.stdout + done.stderr
        assert "nkey_seed" not in done.stdout + done.stderr


def test_board_with_firmware_is_given_another_name_and_keeps_its_firmware(tmp_path):
    with bench(tmp_path) as table:
        succeeded(table.flash())
        before = bytes(table.loader.flash[0x1000:0x30000])
        printed = succeeded(table.flash("--name", "pump", "--prefix", "site.hall", "--identity", "none", firmware=None))
        assert printed == "subject: site.hall.pump\n"
        assert table.loader.flash[0x1000:0x30000] == before
        table.listed("site.hall.pump  online  release", "--prefix", "site.hall")
        # The gateway remembers whom it has seen.
        assert table.listed(f"devices.{NAME}  offline\n").count("\n") == 1


def test_update_over_the_air_sends_what_changed_and_keeps_the_rest(tmp_path):
    with bench(tmp_path) as table:
        succeeded(table.flash())
        first = table.release()
        update = table.run("update", NAME, *table.server, *table.key, *table.application(APPLICATION.format(version=2)))
        assert succeeded(update).endswith("(application.py)\n")
        second = table.release()
        assert int(second) > int(first)

        extra = tmp_path / "extra.py"
        extra.write_text("x = 1\n")
        push = table.run("push", str(extra), "--name", NAME, *table.server, *table.key)
        assert succeeded(push).endswith("(extra.py)\n")
        again = table.run("update", NAME, *table.server, *table.key)
        assert succeeded(again).endswith("(nothing had changed)\n")
        assert table.machine.console.count("version 2") > 0
        # Four releases, four starts: the slots take turns.
        assert [line for line in table.machine.console.splitlines() if "starting slot" in line] == [
            "leafgate: starting slot a",
            "leafgate: starting slot b on trial",
            "leafgate: starting slot a on trial",
            "leafgate: starting slot b on trial",
        ]


def test_device_goes_back_to_the_old_release_when_the_new_one_fails(tmp_path):
    with bench(tmp_path) as table:
        succeeded(table.flash())
        before = table.release()
        for application in ("raise ValueError('bad')", "async def run(device):\n    raise OSError(1)\n", "no Python"):
            update = table.run("update", NAME, *table.server, *table.key, *table.application(application))
            assert f"{NAME} went back to release {before}" in failed(update)
        assert table.release() == before


def test_power_cut_in_the_middle_of_trials_leads_back_to_a_release_that_runs(tmp_path):
    with bench(tmp_path) as table:
        succeeded(table.flash())
        before = table.release()
        # Never connects, never ends: what a watchdog is for. The test pulls the plug in its place.
        hangs = "import time\nwhile True:\n    time.sleep(1)\n"
        line = ["update", NAME, *table.server, *table.key, *table.application(hangs), "--timeout", "120"]
        environment = os.environ | {"PYTHONPATH": python_path()}
        with subprocess.Popen(
            [sys.executable, "-m", "gateway", "device", *line], env=environment, stderr=subprocess.PIPE, text=True
        ) as update:
            for starts in (2, 3):
                wait_until(lambda starts=starts: table.machine.starts == starts, f"start number {starts}")
                wait_until(
                    lambda starts=starts: table.machine.console.count("slot b on trial") == starts - 1, "the trial"
                )
                table.machine.cut_power()
            assert f"{NAME} went back to release {before}" in update.stderr.read()
            assert update.wait(PATIENCE_SECONDS) == 1
        assert table.release() == before


@pytest.mark.parametrize("identity", ["nkey", "password"])
def test_identity_that_was_made_here_logs_in_to_a_real_nats_server(tmp_path, identity):
    port = free_port()
    with board(tmp_path) as (loader, _):
        firmware = write_firmware(tmp_path)
        wifi = ("--wifi-ssid", NETWORK, "--wifi-password", PASSWORD)
        line = ("--port", loader.port, "--firmware", str(firmware), "--gateway", f"nats://127.0.0.1:{port}", *wifi)
        key = ("--release-key", str(tmp_path / "key"))
        printed = succeeded(device_command("flash", *line, *key, "--identity", identity, "--no-wait"))
        snippet = printed[printed.index("authorization") :]
        # The server gets the snippet as it was printed, and one user more, who asks for the device.
        users = snippet.replace("users: [", "users: [ { user: host, password: host },")
        with nats_server(tmp_path / "hub", users, ports={"nats": port}) as hub:
            listed = ("list", "--server", hub.url().replace("//", "//host:host@"), "--wait", "0.5")
            wait_until(lambda: NAME in device_command(*listed).stdout, "the device")


@pytest.mark.parametrize("identity", ["nkey", "password"])
def test_board_that_was_flashed_is_a_user_of_the_gateway_until_it_is_revoked(tmp_path, identity):
    port, users = free_port(), tmp_path / "users"
    users.mkdir()
    address = f"127.0.0.1:{port}"
    config = f"""
[authentication]
users-directory = "{users}"
[[users]]
name = "host"
password = "hosts-words"
[[listeners]]
protocol = "nats"
address = "{address}"
"""
    url = f"nats://host:hosts-words@{address}"
    with board(tmp_path) as (loader, machine):
        wifi = ("--wifi-ssid", NETWORK, "--wifi-password", PASSWORD)
        firmware = ("--port", loader.port, "--firmware", str(write_firmware(tmp_path)), "--gateway", url, *wifi)
        key = ("--release-key", str(tmp_path / "key"), "--users", str(users))
        done = device_command("flash", *firmware, *key, "--identity", identity, "--no-wait")
        assert succeeded(done) == f"subject: devices.{NAME}\n"
        assert f"{users / NAME}.toml: it may come in" in done.stderr
        listed = ("list", "--server", url, "--wait", "0.5")
        with gateway(tmp_path / "edge", protocols=(), config=config):
            wait_until(lambda: f"{NAME}  online" in device_command(*listed).stdout, "the device")
        assert "there is such a user" in failed(device_command("flash", *firmware, *key, "--name", NAME, "--no-wait"))
        succeeded(device_command("revoke", NAME, "--users", str(users)))
        with gateway(tmp_path / "edge", protocols=(), config=config) as edge:
            edge.wait_for_log("event=refused kind=nats")
            assert "online" not in device_command(*listed).stdout
        assert "hosts-words" not in machine.console


def test_board_restarts_when_it_is_without_a_server_for_as_long_as_was_asked_for(tmp_path):
    with board(tmp_path) as (loader, machine):
        wifi = ("--wifi-ssid", NETWORK, "--wifi-password", PASSWORD)
        firmware = ("--port", loader.port, "--firmware", str(write_firmware(tmp_path)))
        nobody = ("--gateway", f"nats://127.0.0.1:{free_port()}", "--restart-after", "0.5", "--no-wait")
        succeeded(device_command("flash", *firmware, *nobody, *wifi, "--release-key", str(tmp_path / "key")))
        wait_until(lambda: machine.starts > 1, "a restart")
        assert "no server for 0.5 s, restarting" in machine.console


def test_update_with_another_key_is_not_even_sent(tmp_path):
    with bench(tmp_path) as table:
        succeeded(table.flash())
        other = ("--release-key", str(tmp_path / "other.key"))
        (tmp_path / "other.key").write_text("11" * 32)
        assert "signed with another key" in failed(table.run("update", NAME, *table.server, *other))


def test_device_refuses_what_is_not_signed_not_newer_or_not_for_it(tmp_path):
    with bench(tmp_path) as table, RawPeer(table.edge.address("nats")) as sender:
        succeeded(table.flash())
        key = load_release_key(tmp_path / "release.key", create=False)
        subject = b"devices.%b.update" % NAME.encode()
        sender.send(b'CONNECT {"verbose":false}\r\nSUB %b.status 1\r\nSUB answers 2\r\n' % subject)
        offers = (
            (Release(NAME, 1 << 31, {"x": b""}, ReleaseKey(bytes(32))).offer, b"not signed by the release key"),
            (Release("other", 1 << 31, {"x": b""}, key).offer, b"for another device"),
            (Release(NAME, 1, {"x": b""}, key).offer, b"release 1 is not newer than"),
            (Release(NAME, 1 << 31, {"../main.py": b""}, key).offer, b"outside of the slot"),
            (Release(NAME, 1 << 31, {}, key).offer, b"not understood"),
            (b"", b"not signed by the release key"),
        )
        for offer, reason in offers:
            sender.send(b"PUB %b answers %d\r\n%b\r\n" % (subject, len(offer), offer))
            assert b'"failed"' in sender.read_through(reason)
        # A file that is to be kept is not the one that the manifest has: it is asked for, and we do not have it.
        offer = Release(NAME, 1 << 31, {"x": b""}, key, {"application.py": (5, "00" * 32)}).offer
        sender.send(b"SUB %b.chunk 3\r\nPUB %b answers %d\r\n%b\r\n" % (subject, subject, len(offer), offer))
        words = sender.read_through(b" 0 5\r\n").split()
        sender.send(b"PUB %b 0\r\n\r\n" % words[words.index(b"3") + 1])
        sender.read_through(b"does not have all of /b/application.py; was it changed over the cable?")
        assert table.machine.starts == 1


def test_logs_of_a_device_are_printed_as_they_come(tmp_path):
    with bench(tmp_path) as table:
        succeeded(table.flash(*table.application(APPLICATION.format(version="1\x1b[2J"))))
        line = [sys.executable, "-m", "gateway", "device", "logs", NAME, *table.server]
        environment = os.environ | {"PYTHONPATH": python_path()}
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as logs:
            assert logs.stdout.readline() == f"{NAME}: version 1�[2J\n"
            logs.send_signal(signal.SIGINT)
            assert logs.wait(PATIENCE_SECONDS) == 0


def test_board_that_gets_no_network_is_told_in_its_own_words(tmp_path):
    with bench(tmp_path) as table:
        told = failed(table.flash("--wait", "10", password="not the one"))
        assert told.endswith("its last words: cannot connect: the network shed refuses the password")


def test_gateway_that_the_board_cannot_reach_is_told(tmp_path):
    with bench(tmp_path) as table:
        absent = f"nats://127.0.0.1:{free_port()}"
        done = table.run("flash", "--port", table.loader.port, "--gateway", absent, *table.key)
        assert "connection refused; start the gateway first, or use --no-wait" in failed(done)
        assert table.loader.blocks == 0


@pytest.mark.parametrize(
    ("chip", "faults", "firmware", "text"),
    [
        (ESP32_C3, Faults(), "ESP32", "ESP32.bin is for ESP32, the board is ESP32-C3"),
        (ESP32, Faults(wrong_digest=True), "ESP32", "what the flash holds is not what was sent"),
    ],
    ids=["wrong chip", "digest"],
)
def test_fault_of_the_board_is_one_line_with_what_to_do(tmp_path, chip, faults, firmware, text):
    with bench(tmp_path, chip, faults=faults) as table:
        assert text in failed(table.flash(firmware=firmware))


def test_wrong_use_is_one_line(tmp_path):
    page = tmp_path / "page.bin"
    page.write_text("<html>")
    line = ("flash", "--gateway", "nats://192.0.2.1", "--no-wait", "--release-key", str(tmp_path / "key"))
    assert "begins with E9, not 3C" in failed(device_command(*line, "--firmware", str(page)))
    assert "/dev/nope is not there" in failed(device_command(*line, "--port", "/dev/nope"))
    assert "not a serial port" in failed(device_command(*line, "--port", str(page)))
    assert "--wifi-password" in failed(device_command(*line, "--wifi-ssid", "net"))
    assert "8 to 63 characters" in failed(device_command(*line, "--wifi-ssid", "net", "--wifi-password", "short"))
    assert "cannot be a device's name" in failed(device_command(*line, "--name", "a.b"))
    assert "--prefix" in failed(device_command(*line, "--port", "/dev/nope", "--prefix", "a.>"))
    assert "name the file with --firmware" in failed(device_command(*line, "--sha256", "00" * 32))
    assert "64 hexadecimal digits" in failed(device_command(*line, "--firmware", str(page), "--sha256", "00"))
    assert not (tmp_path / "key").exists()


def test_devices_that_do_not_answer_are_told(tmp_path):
    with gateway(tmp_path / "gateway") as edge:
        key = tmp_path / "key"
        key.write_text("11" * 32)
        listed = device_command("list", "--server", edge.url(), "--wait", "0.1")
        assert succeeded(listed) == ""
        assert "no device answers on devices.query" in listed.stderr
        line = ("--server", edge.url(), "--release-key", str(key))
        assert "no device pump answers" in failed(device_command("update", "pump", *line))
        assert "no device pump answers" in failed(device_command("update", "pump", *line, "--app", str(key)))


def test_console_joins_terminal_and_board_until_its_key():
    with FakeEsp32() as loader:
        line = [sys.executable, "-m", "gateway", "device", "console", "--port", loader.port]
        environment = os.environ | {"PYTHONPATH": python_path()}
        with subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        ) as console:
            assert console.stderr.readline() == b"Ctrl-] ends this\n"
            loader.say(b">>> ")
            assert console.stdout.read(4) == b">>> "
            console.stdin.write(b"print(1)\r")
            console.stdin.flush()
            wait_until(lambda: loader.received == b"print(1)\r", "what was typed")
            console.stdin.write(b"\x1d")
            console.stdin.flush()
            assert console.wait(PATIENCE_SECONDS) == 0


def test_what_a_device_says_cannot_act_on_the_terminal(tmp_path):
    with gateway(tmp_path / "gateway") as edge, RawPeer(edge.address("nats")) as impostor:
        impostor.send(b'CONNECT {"verbose":false}\r\nSUB devices.query 1\r\nPING\r\n')
        impostor.read_through(b"PONG\r\n")
        line = [sys.executable, "-m", "gateway", "device", "list", "--server", edge.url(), "--wait", "3"]
        environment = os.environ | {"PYTHONPATH": python_path()}
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as listed:
            head = impostor.read_through(b"\r\n\r\n").split()
            told = json.dumps({"name": "x\x1b[2J", "release": "\x1b]0;", "system": ["\n"]}).encode()
            impostor.send(b"PUB %b %d\r\n%b\r\n" % (head[head.index(b"devices.query") + 2], len(told), told))
            assert listed.stdout.read() == "devices.x[2J  online  release ]0;  ['\\n']\n"
