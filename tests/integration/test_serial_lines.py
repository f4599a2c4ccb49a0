"""Serial ports without MicroPython: devices that only print, and ports of other machines."""

import asyncio
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import serial
import serial.rfc2217

from tests.integration.peers import free_port, gateway
from tests.integration.serial_line import SerialLine, micropython, serial_line, serial_table
from tests.integration.test_serial_link import BAUD, Listener, ask, listening, numbers, play
from tests.patience import PATIENCE_SECONDS


def say(line: SerialLine, text: bytes) -> None:
    """What a device prints: straight onto its tty."""
    with open(line.device.path, "wb", buffering=0) as tty:
        tty.write(text)


def hear(line: SerialLine, size: int) -> bytes:
    with open(line.device.path, "rb", buffering=0) as tty:
        heard = b""
        while len(heard) < size:
            heard += tty.read(size - len(heard))
        return heard


async def heard(listener: Listener, subject: str, *payloads: bytes) -> None:
    await listener.until(lambda all_heard: all_heard.get(subject) == list(payloads))


def test_printed_lines_become_messages_and_messages_become_lines(tmp_path: Path):
    table = serial_table("NAME", protocol="lines", name="thermometer", subject="house.{{name}}")
    with (
        serial_line(tmp_path / "line") as line,
        gateway(tmp_path / "edge", config=table.replace("NAME", str(line.name))) as edge,
    ):

        async def story() -> None:
            async with listening(edge, "house.>") as listener:
                edge.wait_for_log("event=open")
                say(line, b"booting...\r\ntemp=21.5\r\nhumidity.inside=40\nte")
                say(line, b"mp=22\n")
                await heard(listener, "house.thermometer.temp", b"21.5", b"22")
                await heard(listener, "house.thermometer.humidity.inside", b"40")
                await heard(listener, "house.thermometer.log", b"booting...")
                await listener.client.publish("house.thermometer.write", b"led on")
                assert await asyncio.to_thread(hear, line, 7) == b"led on\n"

        play(story)


def test_pattern_is_the_user_s(tmp_path: Path):
    pattern = r"\$(?P<subject>[A-Z]+),(?P<payload>[^*]*)\*[0-9A-F]{2}"
    with serial_line(tmp_path / "line") as line:
        table = serial_table(line.name, protocol="lines", name="gps", pattern=pattern)
        with gateway(tmp_path / "edge", config=table) as edge:

            async def story() -> None:
                async with listening(edge) as listener:
                    edge.wait_for_log("event=open")
                    say(line, b"$GPGGA,1,2,3*4F\r\nno sentence\r\n")
                    await heard(listener, "devices.gps.GPGGA", b"1,2,3")
                    await heard(listener, "devices.gps.log", b"no sentence")

            play(story)


def test_port_that_another_program_holds_is_taken_when_it_is_free(tmp_path: Path):
    with serial_line(tmp_path / "line") as line:
        table = serial_table(line.name, protocol="lines", name="node")
        with serial.Serial(str(line.name), exclusive=True), gateway(tmp_path / "edge", config=table) as edge:
            edge.wait_for_log("reason='in use by another program'")
            assert "event=open" not in edge.log().replace("event=open-", "").replace("kind=nats", "")
        with gateway(tmp_path / "edge", config=table) as edge:
            edge.wait_for_log("event=open")
            with pytest.raises(serial.SerialException):
                serial.Serial(str(line.name), exclusive=True)


def test_glob_takes_every_port_that_fits(tmp_path: Path):
    with serial_line(tmp_path / "line" / "1") as one, serial_line(tmp_path / "line" / "2") as two:
        table = serial_table(f"{tmp_path}/line/*/usb-*", protocol="lines", subject="devices.any")
        with gateway(tmp_path / "edge", config=table) as edge:

            async def story() -> None:
                async with listening(edge) as listener:
                    edge.wait_for_log("event=open", count=2)
                    say(one, b"a=1\n")
                    say(two, b"b=2\n")
                    await heard(listener, "devices.any.a", b"1")
                    await heard(listener, "devices.any.b", b"2")

            play(story)


class PtyPort(serial.Serial):
    """ptys have no modem lines."""

    cts = dsr = ri = cd = False  # type: ignore[assignment]

    def _update_dtr_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass


class PortServer:
    """Serves a tty on TCP, bare or with RFC 2217 as pyserial's own server speaks it."""

    def __init__(self, path: str, telnet: bool) -> None:
        self.port = PtyPort(path, baudrate=9600, timeout=0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'rfc2217' if telnet else 'socket'}://127.0.0.1:{self.listener.getsockname()[1]}"
        self._telnet = telnet
        self._client: socket.socket | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """What RFC 2217's server says by itself."""
        assert self._client is not None
        self._client.sendall(data)

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self.listener.close()
        self.port.close()

    def _serve(self) -> None:
        self.listener.settimeout(0.1)
        while not self._ending.is_set():
            try:
                self._client, _ = self.listener.accept()
            except TimeoutError:
                continue
            # The gateway may be gone with bytes of ours unread.
            with self._client, suppress(ConnectionError):
                self._carry(self._client)

    def _carry(self, client: socket.socket) -> None:
        manager = serial.rfc2217.PortManager(self.port, self) if self._telnet else None
        while not self._ending.is_set():
            readable, _, _ = select.select([client, self.port.fd], [], [], 0.05)
            if client in readable:
                data = client.recv(1024)
                if not data:
                    return
                self.port.write(b"".join(manager.filter(data)) if manager else data)
            if self.port.fd in readable:
                data = os.read(self.port.fd, 1024)
                client.sendall(b"".join(manager.escape(data)) if manager else data)


@contextmanager
def port_server(path: str, telnet: bool) -> Iterator[PortServer]:
    server = PortServer(path, telnet)
    try:
        yield server
    finally:
        server.close()


@pytest.mark.parametrize("telnet", [False, True], ids=["socket", "rfc2217"])
def test_port_of_another_machine_carries_the_link(tmp_path: Path, telnet: bool):
    with (
        serial_line(tmp_path / "line") as line,
        port_server(str(line.name), telnet) as server,
        gateway(tmp_path / "edge", config=serial_table(server.url, baud=BAUD)) as edge,
        micropython("serial_node.py", line.device.path, BAUD),
    ):

        async def story() -> None:
            async with listening(edge, "count") as listener:
                assert await ask(listener, b"far away?") == b"answer to far away?"
                await listener.until(lambda all_heard: len(all_heard.get("count", ())) >= 200)
            counted = numbers(listener.heard["count"])
            assert counted == list(range(counted[0], counted[0] + len(counted)))

        play(story)
        assert server.port.baudrate == (BAUD if telnet else 9600)


def test_network_port_that_is_not_there_is_told_and_tried_again(tmp_path: Path):
    address = ("127.0.0.1", free_port())
    url = f"socket://127.0.0.1:{address[1]}"
    with gateway(tmp_path / "edge", config=serial_table(url, protocol="lines", name="far")) as edge:
        edge.wait_for_log("event=fault")
        with socket.create_server(address) as listener:
            listener.settimeout(PATIENCE_SECONDS)
            client, _ = listener.accept()
            edge.wait_for_log("event=open")
            client.close()
            client, _ = listener.accept()
            client.close()
