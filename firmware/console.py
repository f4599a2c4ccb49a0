"""The console of a board: what it prints, line by line, and a terminal to type into."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

from firmware.errors import DeviceError
from firmware.serial_ports import check_port

CONSOLE_BAUD = 115_200
READ_SECONDS = 0.25
MAX_LINE = 2000
EXIT_KEY = b"\x1d"  # Ctrl-]
# What our own start files print; see micropython/ota.
REPORT = "leafgate: "
COMPLAINT = "cannot "


class Console:
    """An open console. Opening it does not reset the board, as far as its wiring allows that."""

    def __init__(self, port: str, baud: int = CONSOLE_BAUD) -> None:
        """Raises DeviceError when the port cannot be used."""
        try:
            import serial
        except ImportError:
            raise DeviceError(
                "the console needs pyserial; run pip install '.[flash]' in a checkout of leafgate"
            ) from None
        check_port(port)
        self._port = port
        self._serial: Any = serial.serial_for_url(port, baudrate=baud, timeout=READ_SECONDS, do_not_open=True)
        # Low before it opens: on most boards these lines are wired to RESET and BOOT.
        self._serial.dtr = self._serial.rts = False
        self._serial.exclusive = True
        try:
            self._serial.open()
        except (OSError, ValueError) as error:
            raise DeviceError(f"{port} cannot be opened: {error}") from None
        self._rest = b""

    def close(self) -> None:
        self._serial.close()

    def read_lines(self) -> list[str]:
        """The whole lines that came within a quarter of a second. Raises DeviceError when the board has gone."""
        try:
            self._rest += self._serial.read(1)
            self._rest += self._serial.read(self._serial.in_waiting)
        except OSError:
            raise DeviceError(f"{self._port}: the board went away; check its cable") from None
        *lines, self._rest = self._rest.split(b"\n")
        self._rest = self._rest[-MAX_LINE:]
        return [printable(line) for line in lines]

    def interact(self) -> None:
        """Join this terminal and the board until Ctrl-]. Without a terminal: print what the board says."""
        output = sys.stdout.fileno()
        keys = sys.stdin.fileno()
        watched = [self._serial.fileno(), keys]
        with _raw_terminal(keys):
            while True:
                readable, _, _ = select.select(watched, [], [])
                if keys in readable:
                    typed = os.read(keys, 1024)
                    if EXIT_KEY in typed:
                        return
                    if not typed:  # end of a pipe: go on listening
                        watched.remove(keys)
                    self._serial.write(typed)
                if self._serial.fileno() in readable:
                    os.write(output, self._take())

    def _take(self) -> bytes:
        try:
            data: bytes = self._serial.read(max(1, self._serial.in_waiting))
        except OSError:
            data = b""
        if not data:
            raise DeviceError(f"{self._port}: the board went away; check its cable")
        return data


def printable(line: bytes) -> str:
    """A line without what a terminal would act on."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in text)


@contextlib.contextmanager
def _raw_terminal(descriptor: int) -> Iterator[None]:
    if not os.isatty(descriptor):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
