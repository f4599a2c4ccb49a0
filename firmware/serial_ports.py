"""Which serial port a board is on, and whether it can be used: found before a long write begins, told in a sentence."""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from firmware.errors import DeviceError

# USB vendors of the boards' serial chips: Espressif, Silicon Labs (CP210x), WCH (CH340), FTDI, Prolific.
BOARD_VENDORS = frozenset((0x303A, 0x10C4, 0x1A86, 0x0403, 0x067B))
NETWORK_SCHEMES = ("rfc2217://", "socket://")


def find_port(wanted: str | None) -> str:
    """The port to use: `wanted` once checked, or the only board that is plugged in. Raises DeviceError."""
    port = wanted if wanted is not None else only_port(list(board_ports()))
    check_port(port)
    return port


def only_port(found: Sequence[tuple[str, str]]) -> str:
    """The path of the only board, of paths and descriptions. Raises DeviceError when there is none, or a choice."""
    if not found:
        raise DeviceError(
            "no board found on any USB port; plug it in with a cable that carries data, or name its port with --port"
        )
    if len(found) > 1:
        listed = ", ".join(f"{port} ({name})" for port, name in found)
        raise DeviceError(f"more than one board is plugged in: {listed}; choose one with --port")
    return found[0][0]


def board_ports() -> Iterator[tuple[str, str]]:
    """Path and description of every USB serial port that may be a board."""
    try:
        from serial.tools import list_ports
    except ImportError:
        raise DeviceError(
            "finding the port needs pyserial; run pip install '.[flash]' in a checkout of leafgate"
        ) from None
    for port in sorted(list_ports.comports()):
        if port.vid in BOARD_VENDORS:
            yield port.device, port.description


def check_port(port: str) -> None:
    """Raises DeviceError when the port is not there, is no serial port, may not be used, or is in use."""
    if port.startswith(NETWORK_SCHEMES):
        return
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise DeviceError(refusal(port, error)) from None
    try:
        if not os.isatty(descriptor):
            raise DeviceError(f"{port} is not a serial port; a board is at /dev/ttyUSB0, /dev/ttyACM0 or the like")
        # The lock that pyserial, esptool and mpremote take too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise DeviceError(refusal(port, error)) from None
    finally:
        os.close(descriptor)


def refusal(port: str, error: OSError) -> str:
    """Why a port could not be opened, and what to do, by the number of the error."""
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        present = ", ".join(port for port, _ in _listed_ports()) or "none"
        return f"{port} is not there; plug the board in or name its port with --port (boards found: {present})"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"no permission for {port}; join the group that owns it (sudo usermod -a -G {_group(port)} $USER), "
            "then log out and in again"
        )
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{port} is in use{_holder(port)}; close that program, or take the port out of the gateway's [[serial]]"
    return f"{port} cannot be opened: {(error.strerror or str(error)).lower()}"


def _listed_ports() -> list[tuple[str, str]]:
    try:
        return list(board_ports())
    except DeviceError:
        return []


def _group(port: str) -> str:
    try:
        return Path(port).group()
    except (OSError, KeyError, NotImplementedError):
        return "dialout"


def _holder(port: str) -> str:
    """ " by NAME (process N)" where /proc tells; only root sees the files of others."""
    device = os.path.realpath(port)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == device and (process := int(link.parts[2])) != os.getpid():
                return f" by {(link.parents[1] / 'comm').read_text().strip()} (process {process})"
        except OSError:
            continue
    return ""
