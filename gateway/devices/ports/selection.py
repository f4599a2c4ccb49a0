"""Selection: which ports of this machine a configured `port` means: a path, a glob, or the ids of a USB adapter."""

import glob
import os
import re

from serial.tools import list_ports

NETWORK_SCHEMES = ("socket://", "rfc2217://")
USB_IDS = re.compile(r"(?P<vid>[0-9A-Fa-f]{4}):(?P<pid>[0-9A-Fa-f]{4})(?::(?P<serial>.+))?")


def is_network(port: str) -> bool:
    return port.startswith(NETWORK_SCHEMES)


def adapter_identity(path: str) -> str | None:
    """Ids, serial number and interface of the USB adapter behind a port; None for what cannot be told from its like."""
    device = os.path.realpath(path)
    for one in list_ports.comports():
        if one.device == device and one.serial_number:
            interface = (one.location or "").partition(":")[2]
            return f"{one.vid:04x}:{one.pid:04x}:{one.serial_number}:{interface}"
    return None


def matching_ports(port: str) -> list[str]:
    """Paths that are there now, in order. What `/dev/ttyUSB0` is may change with every plug; the ids and
    `/dev/serial/by-id/…` do not.
    """
    ids = USB_IDS.fullmatch(port)
    if ids is not None:
        vid, pid = int(ids["vid"], 16), int(ids["pid"], 16)
        return sorted(
            one.device
            for one in list_ports.comports()
            if (one.vid, one.pid) == (vid, pid) and ids["serial"] in (None, one.serial_number)
        )
    if glob.has_magic(port):
        return sorted(glob.glob(port))
    return [port] if os.path.exists(port) else []
