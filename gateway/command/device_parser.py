"""What `leafgate device …` understands. Light: it is read for every command, what the commands do is not."""

import argparse
from pathlib import Path

from gateway.command.argument_types import seconds
from gateway.command.client_parser import server_options
from gateway.command.quick_parser import QuickParser

DEFAULT_PREFIX = "devices"
DEFAULT_BAUD = 460_800
APPLICATION = "application.py, or a directory with it and more"
DESCRIPTION = (
    "Boards with MicroPython: over the cable (flash, push, console) and over the air (list, logs, push, update)."
)
FLASH_EXAMPLE = (
    "Example: leafgate device flash --firmware ESP32_GENERIC.bin --wifi-ssid shed --gateway nats://192.168.1.10"
)
LEAST_BAUD, MOST_BAUD = 1200, 4_000_000


def add_device_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `device` with its own commands; `options.action` names the one that was chosen."""
    device = commands.add_parser(
        "device", help="put MicroPython and our client on an ESP32, update it, watch it", description=DESCRIPTION
    )
    actions = device.add_subparsers(prog=device.prog, title="commands", required=True, metavar="COMMAND", dest="action")
    server, port, key, users = _board_server_options(), _port_options(), _key_options(), _users_options()
    rights = _rights_options()
    _add_flash(actions, [port, key, users, rights])

    listed = _command(actions, "list", [server], "which devices are there, which are away, and what they run")
    listed.add_argument("--wait", metavar="SECONDS", type=seconds, default=1.0, help="for answers; default: 1")

    logs = _command(actions, "logs", [server], "print what devices log, as it comes; Ctrl-C ends it")
    logs.add_argument("name", metavar="NAME", nargs="?", default="*", help="of a device; default: every device")

    push = _command(actions, "push", [server, port, key], "put files of an application on a device, and restart it")
    push.add_argument("files", metavar="FILE", nargs="+", type=Path, help="files, or directories with all they hold")
    push.add_argument("--name", metavar="NAME", help="over the air, to this device; without it: over the cable")
    _add_timeout(push)

    update = _command(
        actions,
        "update",
        [server, key],
        "put a new release on a device over the air: our client and, with --app, the application",
    )
    update.add_argument("name", metavar="NAME", help="of the device, as `leafgate device list` shows it")
    update.add_argument("--app", metavar="PATH", type=Path, help=f"{APPLICATION}; default: keep the device's own")
    _add_timeout(update)

    _command(actions, "console", [port], "the board's terminal; Ctrl-] ends it")

    add = _command(actions, "add", [users, rights], "let a device in: a user of its own, whose secret is printed once")
    add.add_argument("name", metavar="NAME", help="of the device, and of its user")
    add.add_argument("--identity", choices=("nkey", "password"), default="nkey", help="how it logs in; default: nkey")
    add.add_argument("--key", metavar="KEY", help="the public NKey that it has; default: one is made")
    _add_prefix(add)

    _command(actions, "users", [users], "which devices may come in")

    revoke = _command(actions, "revoke", [users], "do not let a device in any more")
    revoke.add_argument("name", metavar="NAME", help="of the device, as `leafgate device users` shows it")


def _command(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    parents: list[argparse.ArgumentParser],
    text: str,
) -> argparse.ArgumentParser:
    return actions.add_parser(name, parents=parents, help=text, description=text[0].upper() + text[1:] + ".")


def _add_flash(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", parents: list[argparse.ArgumentParser]
) -> None:
    flash = _command(actions, "flash", parents, "from a blank ESP32 to one that publishes")
    flash.epilog = FLASH_EXAMPLE
    flash.add_argument(
        "--firmware", metavar="FILE", type=Path, help="MicroPython's .bin for the board; default: keep what it has"
    )
    flash.add_argument("--sha256", metavar="HEX", help="what the firmware file must have")
    flash.add_argument(
        "--gateway", metavar="URL", required=True, help="nats://host[:port], as board and this machine reach it"
    )
    flash.add_argument("--wifi-ssid", metavar="NAME", help="the network to join; default: none")
    flash.add_argument("--wifi-password", metavar="TEXT", help="default: $LEAFGATE_WIFI_PASSWORD, else asked for")
    flash.add_argument("--name", metavar="NAME", help="of the device; default: esp- and the end of its MAC address")
    _add_prefix(flash)
    flash.add_argument(
        "--identity",
        choices=("nkey", "password", "none"),
        default="nkey",
        help="how the device logs in to a server that asks; it is made anew; default: nkey",
    )
    flash.add_argument("--app", metavar="PATH", type=Path, help=f"{APPLICATION}; default: one that tells its uptime")
    flash.add_argument("--erase", action="store_true", help="erase the whole flash first")
    flash.add_argument("--baud", metavar="N", type=_baud, default=DEFAULT_BAUD, help=f"default: {DEFAULT_BAUD}")
    flash.add_argument("--wait", metavar="SECONDS", type=seconds, default=60.0, help="for the device; default: 60")
    flash.add_argument("--no-wait", action="store_true", help="do not wait until the device appears")
    flash.add_argument(
        "--restart-after",
        metavar="SECONDS",
        type=_restart_after,
        default=3600.0,
        help="restart the board when it has been without a server for so long; 0: never; default: 3600",
    )
    flash.add_argument("--settle", metavar="SECONDS", type=seconds, default=10.0, help=argparse.SUPPRESS)
    flash.add_argument("--verbose", action="store_true", help="show what esptool and the board say")


def _restart_after(text: str) -> float:
    return 0.0 if text == "0" else seconds(text)


def _add_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=180.0, help="for an update over the air; default: 180"
    )


def _board_server_options() -> argparse.ArgumentParser:
    options = server_options("nats, tls, ws or wss")
    options.add_argument(
        "--prefix", metavar="SUBJECT", default=DEFAULT_PREFIX, help=f"of the devices; default: {DEFAULT_PREFIX}"
    )
    return options


def _add_prefix(command: argparse.ArgumentParser) -> None:
    text = f"its subject is SUBJECT.NAME; default: {DEFAULT_PREFIX}"
    command.add_argument("--prefix", metavar="SUBJECT", default=DEFAULT_PREFIX, help=text)


def _users_options() -> argparse.ArgumentParser:
    options = QuickParser(add_help=False)
    options.add_argument("--users", metavar="DIRECTORY", type=Path, help="of the gateway's users (users-directory)")
    options.add_argument("-c", "--config", metavar="FILE", type=Path, help="of the gateway, which names that directory")
    return options


def _rights_options() -> argparse.ArgumentParser:
    options = QuickParser(add_help=False)
    options.add_argument("--account", metavar="NAME", default="", help="of the device's user; default: $G")
    for verb in ("publish", "subscribe"):
        options.add_argument(
            f"--{verb}",
            metavar="SUBJECT",
            action="append",
            default=[],
            help=f"what it may {verb}, may be repeated; default: its own subjects",
        )
    return options


def _port_options() -> argparse.ArgumentParser:
    options = QuickParser(add_help=False)
    options.add_argument("--port", metavar="PATH", help="of the board; default: the only one that is plugged in")
    return options


def _key_options() -> argparse.ArgumentParser:
    options = QuickParser(add_help=False)
    options.add_argument(
        "--release-key", metavar="FILE", type=Path, help="signs updates; default: ~/.config/leafgate/release.key"
    )
    return options


def _baud(text: str) -> int:
    if not (text.isascii() and text.isdigit() and LEAST_BAUD <= int(text[:9]) <= MOST_BAUD):
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate between {LEAST_BAUD} and {MOST_BAUD} baud")
    return int(text)
