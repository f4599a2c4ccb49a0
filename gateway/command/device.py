"""The commands `leafgate device …`: the tools of `firmware/` for what is on a cable, NATS for what is on the air.

The one place where `gateway` and `firmware` meet.
"""

import argparse
import getpass
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware.console import COMPLAINT, REPORT, Console
from firmware.device_files import (
    APPLICATION,
    DeviceSettings,
    check_name,
    first_files,
    is_ours,
    name_from_mac,
    read_application,
    release_files,
)
from firmware.device_identity import make_identity
from firmware.errors import DeviceError
from firmware.esptool_program import Esptool
from firmware.filesystem_image import has_room_for_update
from firmware.firmware_file import FirmwareFile, read_firmware
from firmware.flashing import FlashPlan, plan_flash, write_flash
from firmware.release import Release, ReleaseKey, load_release_key, read_manifest
from firmware.serial_ports import find_port
from firmware.serial_push import push_files
from gateway.command.client_commands import target_of
from gateway.command.clients.link import Target
from gateway.command.clients.opening import open_link
from gateway.command.device_updates import fetch_manifest, print_logs, query_devices, update_device, wait_for_device
from gateway.command.device_users import add_user, check_is_new, run_add, run_revoke, run_users, users_directory
from gateway.command.message_text import tell
from gateway.command.progress_bar import ProgressBar
from gateway.errors import ClientError, ConfigError, GatewayError
from gateway.settings.addresses import ServerUrl, is_loopback, parse_server_url

SERVER_PORTS = {"nats": 4222}
WIFI_VARIABLE = "LEAFGATE_WIFI_PASSWORD"
PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class DeviceCommandError(GatewayError):
    """A board or a file for it cannot be used as asked."""


def run_device_command(options: argparse.Namespace) -> int:
    """Run what `options.action` names; returns the exit status. Raises GatewayError."""
    actions: dict[str, Callable[[argparse.Namespace], None]] = {
        "flash": _flash,
        "list": _list,
        "logs": _logs,
        "push": _push,
        "update": _update,
        "console": _console,
        "add": run_add,
        "users": run_users,
        "revoke": run_revoke,
    }
    try:
        actions[options.action](options)
    except DeviceError as error:
        raise DeviceCommandError(str(error)) from None
    return 0


def _flash(options: argparse.Namespace) -> None:
    url = _server_url("--gateway", options.gateway)
    prefix, wifi_password = _prefix(options.prefix), _wifi_password(options)
    if options.name is not None:
        check_name(options.name)
    users = users_directory(options)
    if users is not None and options.name is not None:
        check_is_new(users, options.name)
    firmware = _firmware(options)
    contents = release_files(options.app)
    if is_loopback(url.host):
        tell(f"note: for the board {url.host} is the board itself; give this machine's own address")
    if options.wifi_ssid is None:
        tell("note: without --wifi-ssid the board joins no network")
    port = find_port(options.port)
    if not options.no_wait:
        _check_gateway(url)
    key = _release_key(options, create=True)
    tool = Esptool(port, options.baud, tell if options.verbose else _quiet)
    with tempfile.TemporaryDirectory(prefix="leafgate-flash-") as folder:
        plan = plan_flash(tool, firmware, Path(folder))
        name = options.name or name_from_mac(plan.board.mac)
        if users is not None:
            check_is_new(users, name)
        identity = make_identity(options.identity, name)
        settings = DeviceSettings(
            name=name,
            servers=(str(url),),
            prefix=prefix,
            wifi_ssid=options.wifi_ssid,
            wifi_password=wifi_password,
            release_key=key.public,
            identity=identity.settings,
            settle_seconds=options.settle,
            restart_seconds=options.restart_after,
        )
        release = Release(name, int(time.time()), contents, key)
        files = first_files(settings, release)
        _write(tool, plan, files, Path(folder), port, erase=options.erase)
    tell(f"{name} is written and verified")
    if users is not None and identity.settings:
        tell(f"{add_user(users, name, identity, options)}: it may come in")
    if not options.no_wait:
        told = _watch(url, settings, release.number, port, options)
        tell(f"{name} is there: release {release.number}, {told.get('system')}")
    print(f"subject: {settings.subject}")
    if identity.snippet and users is None:
        print(f"# for the server that this device logs in to:\n{identity.snippet}")


def _firmware(options: argparse.Namespace) -> FirmwareFile | None:
    if options.firmware is None:
        if options.sha256 is not None:
            raise ConfigError("--sha256 is that of a firmware file; name the file with --firmware")
        return None
    firmware = read_firmware(options.firmware, options.sha256)
    tell(f"firmware {firmware.path.name} for {firmware.chip.name}, SHA-256 {firmware.sha256}")
    return firmware


def _write(tool: Esptool, plan: FlashPlan, files: dict[str, bytes], folder: Path, port: str, *, erase: bool) -> None:
    board, region = plan.board, plan.filesystem
    tell(f"{port}: {board.chip}, {board.flash_size >> 20} MB of flash, MAC {board.mac}")
    size = sum(len(data) for data in files.values())
    tell(f"{len(files)} files of {size} bytes, file system at {region.offset:#x}, {region.size // 1024} KiB")
    if not has_room_for_update(files, region.size):
        tell("note: the files take more than half of that: an update over the air that changes many will be refused")
    if erase:
        tell("erasing the whole flash")
        tool.erase()
    bar = ProgressBar("writing")
    write_flash(tool, plan, files, folder, bar)
    bar(1.0)


def _check_gateway(url: ServerUrl) -> None:
    """Before minutes go into writing: is there a server at all?"""
    try:
        with open_link(Target(url)):
            pass
    except ClientError as error:
        raise ClientError(f"{error}; start the gateway first, or use --no-wait") from None


def _watch(
    url: ServerUrl, settings: DeviceSettings, release: int, port: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Watch the console until the device, with this release, appears on the subject space; what it says about itself.

    Raises ClientError, with the board's own last words, when it does not.
    """
    tell(f"waiting for {settings.subject}")
    words, enough = _LastWords(), threading.Event()
    reader = threading.Thread(target=_read_console, args=(port, words, options.verbose, enough))
    reader.start()
    try:
        told = wait_for_device(Target(url), settings.prefix, settings.name, release, options.wait)
    finally:
        enough.set()
        reader.join()
    if told is not None:
        return told
    raise ClientError(f"{settings.name} has not appeared at {url} within {options.wait:g} s; {words}")


class _LastWords:
    """What a board said last that tells most: a complaint of our agent, else its report, else anything."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def note(self, line: str) -> None:
        if line.startswith(REPORT):
            report = line.removeprefix(REPORT)
            self._words["complaint" if report.startswith(COMPLAINT) else "report"] = report
        elif line.strip():
            self._words["line"] = line.strip()

    def __str__(self) -> str:
        for kind in ("complaint", "report", "line"):
            if kind in self._words:
                return f"its last words: {self._words[kind]}"
        return "its console is silent; press RESET on the board"


def _read_console(port: str, words: _LastWords, verbose: bool, enough: threading.Event) -> None:
    """In a thread of its own: show what our agent reports until it is `enough`. A board without a console may still
    appear.
    """
    try:
        console = Console(port)
    except DeviceError as error:
        tell(f"note: the console is not watched: {error}")
        return
    try:
        while not enough.is_set():
            for line in console.read_lines():
                words.note(line)
                if line.startswith(REPORT) or verbose:
                    tell(f"board: {line.removeprefix(REPORT)}")
    except DeviceError as error:
        words.note(str(error))
    finally:
        console.close()


def _list(options: argparse.Namespace) -> None:
    target, prefix = _target(options), _prefix(options.prefix)
    devices = query_devices(target, prefix, options.wait)
    if not devices:
        tell(f"no device answers on {prefix}.query at {target.url}")
    for told in devices:
        line = f"{prefix}.{told['name']}  {told.get('state', 'online')}"
        if "release" in told:
            trial = " (on trial)" if told.get("trial") else ""
            line += f"  release {told['release']}{trial}  {told.get('system')}"
        print("".join(c for c in line if c.isprintable()))


def _logs(options: argparse.Namespace) -> None:
    target, prefix = _target(options), _prefix(options.prefix)
    name = options.name if options.name == "*" else check_name(options.name)
    try:
        print_logs(target, prefix, name)
    except KeyboardInterrupt:
        # The only way to end it: no failure.
        return


def _update(options: argparse.Namespace) -> None:
    files = release_files(options.app)
    if options.app is None:
        del files[APPLICATION]
    _send_release(options, files, lambda path: options.app is None and not is_ours(path))


def _push(options: argparse.Namespace) -> None:
    files: dict[str, bytes] = {}
    for path in options.files:
        files |= read_application(path) if path.is_dir() else {path.name: _content(path)}
    if options.name is not None:
        _send_release(options, files, lambda _: True)
        return
    slot = push_files(find_port(options.port), files)
    tell(f"{len(files)} files written to /{slot}, the board restarts")


def _send_release(options: argparse.Namespace, files: dict[str, bytes], keep: Callable[[str], bool]) -> None:
    """Send files; of those that the device has and that are not among them, the ones that `keep` says stay."""
    target, prefix, name = _target(options), _prefix(options.prefix), check_name(options.name)
    key = _release_key(options, create=False)
    running = read_manifest(fetch_manifest(target, prefix, name), key)
    number = max(int(time.time()), running.release + 1)
    release = Release(name, number, files, key, {path: running.files[path] for path in running.files if keep(path)})
    tell(f"release {release.number} for {name}")
    progress = tell if sys.stderr.isatty() else _quiet
    fetched = update_device(target, prefix, name, release, options.timeout, progress)
    sent = ", ".join(sorted(fetched)) if fetched else "nothing had changed"
    print(f"{prefix}.{name} runs release {release.number} ({sent})")


def _console(options: argparse.Namespace) -> None:
    console = Console(find_port(options.port))
    tell("Ctrl-] ends this")
    try:
        console.interact()
    finally:
        console.close()


def _wifi_password(options: argparse.Namespace) -> str | None:
    if options.wifi_ssid is None:
        return None
    password: str | None = options.wifi_password
    if password is None:
        password = os.environ.get(WIFI_VARIABLE)
    if password is None and sys.stdin.isatty():
        password = getpass.getpass(f"password of the network {options.wifi_ssid}: ")
    if password is None:
        raise ConfigError(f"the password of {options.wifi_ssid} is missing: --wifi-password or ${WIFI_VARIABLE}")
    if password and not 8 <= len(password.encode()) <= 63:
        raise ConfigError("a Wi-Fi password has 8 to 63 characters (none for an open network)")
    return password


def _release_key(options: argparse.Namespace, *, create: bool) -> ReleaseKey:
    path: Path | None = options.release_key
    if path is None:
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        path = Path(home) / "leafgate" / "release.key"
    new = create and not path.exists()
    key = load_release_key(path, create=create)
    if new:
        tell(f"made {path}: keep it safe, it signs the updates of your devices")
    return key


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeviceError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _target(options: argparse.Namespace) -> Target:
    target = target_of(options)
    if target.speaks_mqtt:
        raise ConfigError("--server: boards are reached by NATS: nats://, tls://, ws:// or wss://")
    return target


def _server_url(option: str, text: str) -> ServerUrl:
    try:
        return parse_server_url(text, SERVER_PORTS)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _prefix(text: str) -> str:
    if not PREFIX.fullmatch(text):
        raise ConfigError(f"--prefix: {text!r} is no subject of letters, digits, -, _ and dots")
    return text


def _quiet(_: str) -> None:
    pass
