"""What `leafgate install-service` and `leafgate uninstall-service` understand."""

import argparse
from pathlib import Path

from gateway.command.argument_types import named_port


def add_service_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What they do is gateway.command.service's."""
    install = commands.add_parser(
        "install-service",
        help="make the gateway a service of systemd: user, configuration, data directory, unit",
        epilog="What is there already stays: a configuration is never overwritten, the unit is brought up to date.",
    )
    _add_root(install)
    install.add_argument("--network", action="store_true", help="for other machines too, not for this one alone")
    install.add_argument(
        "--port",
        metavar="NAME=PORT",
        type=named_port,
        action="append",
        default=[],
        help="another port for nats, mqtt, websocket or monitoring, in a first configuration",
    )
    install.add_argument("--serial", action="store_true", help="the service may open serial ports")
    install.add_argument(
        "--configuration-only",
        action="store_true",
        help="user, directories and configuration alone: the unit came with a package",
    )
    install.add_argument("--no-start", action="store_true", help="do not start it now")
    install.add_argument("--explain", action="store_true", help="say what would be done, and do nothing")

    uninstall = commands.add_parser(
        "uninstall-service", help="take the service away again; configuration and data stay"
    )
    _add_root(uninstall)
    uninstall.add_argument("--purge", action="store_true", help="configuration, data and the user go as well")
    uninstall.add_argument("--explain", action="store_true", help="say what would be done, and do nothing")


def _add_root(command: argparse.ArgumentParser) -> None:
    text = "of another system, which is not running (an image): nothing is started; default: /"
    command.add_argument("--root", metavar="DIR", type=Path, default=Path("/"), help=text)
