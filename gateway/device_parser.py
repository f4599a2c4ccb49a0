"""What `leafgate device …` understands. Light: it is read for every command, what the commands do is not."""

import argparse
from pathlib import Path

DEFAULT_PREFIX = "devices"
DEFAULT_SERVER = "nats://127.0.0.1:4222"
DEFAULT_BAUD = 460_800
LEAST_BAUD, MOST_BAUD = 1200, 4_000_000


def add_device_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `device` with its own commands; `options.action` names the one that was chosen."""
    device = commands.add_parser("device", help="put MicroPython and our client on an ESP32, update it, watch it")
    actions = device.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="action")
    server, port, key = _server_options(), _port_options(), _key_options()
    _add_flash(actions, [port, key])

    listed = actions.add_parser("list", parents=[server], help="which devices are there, and what they run")
    listed.add_argument("--wait", metavar="SECONDS", type=_seconds, default=1.0, help="for answers; default: 1")

    logs = actions.add_parser("logs", parents=[server], help="print what a device logs")
    logs.add_argument("name", metavar="NAME", nargs="?", default="*", help="default: every device")

    push = actions.add_parser("push", parents=[server, port, key], help="put files of an application on a device")
    push.add_argument("files", metavar="FILE", nargs="+", type=Path, help="files, or directories with all they hold")
    push.add_argument("--name", metavar="NAME", help="over the air, to this device; without it: over the cable")
    push.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=180.0, help="default: 180")

    update = actions.add_parser("update", parents=[server, key], help="put a whole release on a device over the air")
    update.add_argument("name", metavar="NAME")
    update.add_argument("--app", metavar="PATH", type=Path, help="application.py, or a directory with it and more")
    update.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=180.0, help="default: 180")

    actions.add_parser("console", parents=[port], help="the board's terminal; Ctrl-] ends it")


def _add_flash(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", parents: list[argparse.ArgumentParser]
) -> None:
    flash = actions.add_parser("flash", parents=parents, help="from a blank ESP32 to one that publishes")
    flash.add_argument("--firmware", metavar="FILE", type=Path, help="a .bin; without it: keep what the board has")
    flash.add_argument("--sha256", metavar="HEX", help="what the firmware file must have")
    flash.add_argument("--gateway", metavar="URL", required=True, help="nats://host[:port], as the board reaches it")
    flash.add_argument("--wifi-ssid", metavar="NAME", help="without it the board stays off the air")
    flash.add_argument("--wifi-password", metavar="TEXT", help="default: $LEAFGATE_WIFI_PASSWORD, else asked for")
    flash.add_argument("--name", metavar="NAME", help="default: esp- and the end of its MAC address")
    flash.add_argument("--prefix", metavar="SUBJECT", default=DEFAULT_PREFIX, help=f"default: {DEFAULT_PREFIX}")
    flash.add_argument("--identity", choices=("nkey", "password", "none"), default="nkey", help="default: nkey")
    flash.add_argument("--app", metavar="PATH", type=Path, help="application.py, or a directory with it and more")
    flash.add_argument("--erase", action="store_true", help="erase the whole flash first")
    flash.add_argument("--baud", metavar="N", type=_baud, default=DEFAULT_BAUD, help=f"default: {DEFAULT_BAUD}")
    flash.add_argument("--wait", metavar="SECONDS", type=_seconds, default=60.0, help="for the device; default: 60")
    flash.add_argument("--no-wait", action="store_true", help="do not wait until the device appears")
    flash.add_argument("--settle", metavar="SECONDS", type=_seconds, default=10.0, help=argparse.SUPPRESS)
    flash.add_argument("--verbose", action="store_true", help="show what esptool and the board say")


def _server_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--server", metavar="URL", default=DEFAULT_SERVER, help=f"default: {DEFAULT_SERVER}")
    options.add_argument("--prefix", metavar="SUBJECT", default=DEFAULT_PREFIX, help=f"default: {DEFAULT_PREFIX}")
    return options


def _port_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--port", metavar="PATH", help="default: the only board that is plugged in")
    return options


def _key_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--release-key", metavar="FILE", type=Path, help="signs updates; default: leafgate/release.key in ~/.config"
    )
    return options


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds between 0 and 86400")
    return seconds


def _baud(text: str) -> int:
    if not (text.isascii() and text.isdigit() and LEAST_BAUD <= int(text[:9]) <= MOST_BAUD):
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate between {LEAST_BAUD} and {MOST_BAUD} baud")
    return int(text)
