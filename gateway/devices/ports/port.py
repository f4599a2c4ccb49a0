"""A serial port of this machine: pyserial opens and configures it, trio waits on its descriptor."""

import errno
import fcntl
import os
import sys
import termios
from typing import Protocol

import serial
import trio

from gateway.devices.ports.selection import adapter_identity

READ_SIZE = 4096
# What waits in the system holds up what is urgent: acknowledgements, and what is sent again.
AHEAD_SECONDS = 0.020
AHEAD_BYTES = 512


class PortError(Exception):
    """The port cannot be opened, or is gone. The text says why, in a few words."""


class SerialPort(Protocol):
    """A byte stream to a device. Every method raises PortError once the port is gone."""

    @property
    def name(self) -> str:
        """The path or URL."""

    @property
    def line(self) -> object:
        """Equal for two ports only where the same board is behind them, as far as can be told."""

    async def read(self) -> bytes:
        """At least one byte."""

    async def write(self, data: bytes) -> None:
        """Hand all bytes to the system."""

    async def set_baud(self, rate: int) -> None:
        """Change the rate once everything written is on the line."""

    def close(self) -> None:
        """Let the port go."""


class LocalPort:
    """A tty, held by us alone; DTR and RTS stay low, so that boards which wire them to reset keep running."""

    def __init__(self, path: str, baud: int) -> None:
        """Raises PortError."""
        self.name = path
        # Without a number of its own what is plugged in is known for as long as it stays in.
        self.line: object = adapter_identity(path) or object()
        port = serial.Serial(port=None, timeout=0, write_timeout=0, exclusive=True)
        try:
            port.baudrate = baud
            port.dtr = port.rts = False
            port.port = path
            port.open()
        except (OSError, ValueError) as error:
            raise PortError(describe(error)) from None
        self._port = port
        assert port.fd is not None
        self._descriptor = port.fd
        try:
            self._configure()
        except (OSError, termios.error) as error:
            port.close()
            raise PortError(describe(error)) from None

    def _configure(self) -> None:
        # flock holds off only those who ask for it; this holds off everybody but root.
        try:
            fcntl.ioctl(self._descriptor, termios.TIOCEXCL)
        except OSError:
            pass  # Not every driver has it.
        # pyserial leaves VMIN at 0, where an idle line reads like the end of the stream.
        self._set_vmin()
        try:
            self._port.set_low_latency_mode(True)
        except (OSError, ValueError, AttributeError):
            pass  # ptys and some drivers have no such mode.
        os.set_blocking(self._descriptor, False)

    def _set_vmin(self) -> None:
        settings = termios.tcgetattr(self._descriptor)
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, settings)

    async def read(self) -> bytes:
        while True:
            try:
                await trio.lowlevel.wait_readable(self._descriptor)
                data = os.read(self._descriptor, READ_SIZE)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError) as error:
                raise PortError(describe(error)) from None
            if not data:
                raise PortError("hung up")
            return data

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                try:
                    await trio.lowlevel.wait_writable(self._descriptor)
                except trio.ClosedResourceError:
                    raise PortError("closed") from None
            except OSError as error:
                raise PortError(describe(error)) from None
        most = max(int(self._port.baudrate / 10 * AHEAD_SECONDS), AHEAD_BYTES)
        while (ahead := self._unsent()) > most:  # noqa: ASYNC110 - the driver tells nobody
            await trio.sleep(min((ahead - most / 2) * 10 / self._port.baudrate, AHEAD_SECONDS))
        await trio.lowlevel.checkpoint()

    def _unsent(self) -> int:
        """Bytes that the driver still has; ptys and some drivers say 0."""
        try:
            return int.from_bytes(fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return 0

    async def set_baud(self, rate: int) -> None:
        try:
            await trio.to_thread.run_sync(termios.tcdrain, self._descriptor, abandon_on_cancel=True)
            self._port.baudrate = rate
            self._set_vmin()
        except (OSError, ValueError, termios.error) as error:
            raise PortError(describe(error)) from None

    def close(self) -> None:
        if self._port.is_open:
            trio.lowlevel.notify_closing(self._descriptor)
            self._port.close()


def describe(error: BaseException) -> str:
    """A few words about why a port fails."""
    number = getattr(error, "errno", None) or (error.args[0] if error.args else None)
    if number in (errno.EAGAIN, errno.EBUSY):
        return "in use by another program"
    if number in (errno.EIO, errno.ENXIO, errno.ENODEV):
        return "unplugged"
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return str(error)
