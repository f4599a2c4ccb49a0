"""The files of a board: its start, its first release in slot /a, its configuration."""

import json
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firmware.errors import DeviceError
from firmware.release import Release

# Beside this room in the checkout; among the data of an installation.
CHECKOUT = Path(__file__).resolve().parents[1] / "micropython"
INSTALLED = Path(sysconfig.get_path("data")) / "share" / "leafgate" / "micropython"
BOARD_FILES = CHECKOUT if (CHECKOUT / "ota").is_dir() else INSTALLED
START_FILES = BOARD_FILES / "ota" / "root"
AGENT_FILES = BOARD_FILES / "ota" / "slot"
CLIENT_PACKAGE = BOARD_FILES / "leafgate"

CONFIGURATION = "/device.json"
CHOICE = "/slot"
FIRST_SLOT = "a"
MANIFEST = "manifest.signed"
DEFAULT_PREFIX = "devices"
DEVICE_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")
APPLICATION = "application.py"
# What of a slot is ours, not the application's.
OUR_PACKAGES = ("leafgate/", "update/")
OUR_MODULES = frozenset(("agent.py", "agent.mpy"))
SUFFIXES = frozenset((".py", ".mpy", ".json", ".der"))


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What a device must know; `servers` as NATS URLs, `release_key` the public half of the key that signs updates.

    `restart_seconds`: how long it may be without a server before it restarts; 0: for ever.
    """

    name: str
    servers: tuple[str, ...]
    prefix: str = DEFAULT_PREFIX
    wifi_ssid: str | None = None
    wifi_password: str | None = field(default=None, repr=False)
    release_key: bytes = b""
    identity: Mapping[str, str] = field(default_factory=dict, repr=False)
    settle_seconds: float = 10
    restart_seconds: float = 3600

    @property
    def subject(self) -> str:
        return f"{self.prefix}.{self.name}"

    def encode(self) -> bytes:
        """The content of /device.json."""
        fields: dict[str, object] = {"name": self.name, "prefix": self.prefix, "servers": list(self.servers)}
        if self.wifi_ssid is not None:
            fields["wifi"] = {"ssid": self.wifi_ssid, "password": self.wifi_password or ""}
        fields |= self.identity
        fields |= {"release_key": self.release_key.hex()}
        fields |= {"settle_seconds": self.settle_seconds, "restart_seconds": self.restart_seconds}
        return json.dumps(fields).encode()


def check_name(name: str) -> str:
    """The name itself. Raises DeviceError unless it can be one part of a subject."""
    if not DEVICE_NAME.fullmatch(name):
        raise DeviceError(f"{name!r} cannot be a device's name: letters, digits, - and _, at most 48")
    return name


def name_from_mac(mac: str) -> str:
    """A name that no other board has."""
    return "esp-" + mac.replace(":", "")[-6:]


def release_files(application: Path | None = None) -> dict[str, bytes]:
    """The files of a release by path inside its slot: ours, then those of `application`, a file or a directory."""
    files = _tree(AGENT_FILES) | client_files()
    if application is not None:
        files |= read_application(application)
    return files


def client_files(board_files: Path = BOARD_FILES) -> dict[str, bytes]:
    """The client by path inside a slot: as bytecode where an installation has that, which is a third of the source and
    takes no memory to compile on the board.
    """
    bytecode = board_files / "mpy" / "leafgate"
    found = _tree(bytecode if bytecode.is_dir() else board_files / "leafgate")
    return {f"leafgate/{path}": data for path, data in found.items()}


def is_ours(path: str) -> bool:
    """Whether a path inside a slot is of our making: replaced by a release of ours, gone with one that lacks it."""
    return path.startswith(OUR_PACKAGES) or path in OUR_MODULES


def read_application(path: Path) -> dict[str, bytes]:
    """A directory as it is, or one file as `application.py`. Raises DeviceError."""
    if path.is_dir():
        return _tree(path)
    try:
        return {APPLICATION: path.read_bytes()}
    except OSError as error:
        raise DeviceError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def first_files(settings: DeviceSettings, first: Release) -> dict[str, bytes]:
    """Every file of a board that starts for the first time, by absolute path."""
    files = {f"/{path}": data for path, data in _tree(START_FILES).items()}
    files |= {f"/{FIRST_SLOT}/{path}": data for path, data in first.files.items()}
    files[f"/{FIRST_SLOT}/{MANIFEST}"] = first.offer
    files[CHOICE] = f"{FIRST_SLOT}\n".encode()
    files[CONFIGURATION] = settings.encode()
    return files


def _tree(root: Path) -> dict[str, bytes]:
    if not root.is_dir():
        raise DeviceError(f"{root} is not there: this installation came without the files for boards")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
    }
