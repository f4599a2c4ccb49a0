"""What `leafgate status`, `health` and `top` understand: which gateway is looked at, by its monitoring."""

import argparse
import os
from pathlib import Path

from gateway.command.argument_types import count, seconds
from gateway.command.client_login import PASSWORD_VARIABLE
from gateway.command.quick_parser import QuickParser

DEFAULT_MONITORING = "http://127.0.0.1:8222"
# As /connz has it, by name: what is on top is the largest.
SORTS = ("msgs_from", "msgs_to", "bytes_from", "bytes_to", "pending", "subs", "idle", "last", "rtt", "cid")


def add_watch_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What they do is in gateway.command.status and gateway.command.top."""
    monitoring = _monitoring_options()
    status = commands.add_parser(
        "status", parents=[monitoring], help="how the gateway is: links, clients, rates, what is wrong and what to do"
    )
    status.add_argument(
        "--seconds", metavar="SECONDS", type=seconds, default=1.0, help="over which rates are taken; default: 1"
    )
    status.add_argument("--json", action="store_true", help="print a JSON object")

    health = commands.add_parser(
        "health", parents=[monitoring], help="whether the gateway is there for clients, in a word: for health checks"
    )
    health.add_argument(
        "--live",
        dest="ready",
        action="store_false",
        help="only what a restart can mend: whether its loop turns",
    )
    health.add_argument("--json", action="store_true", help="print a JSON object")

    top = commands.add_parser("top", parents=[monitoring], help="the busiest connections, live; Ctrl-C ends it")
    top.add_argument("--seconds", metavar="SECONDS", type=seconds, default=1.0, help="between two looks; default: 1")
    top.add_argument("--sort", choices=SORTS, default="msgs_from", help="what comes first; default: msgs_from")
    top.add_argument("--limit", metavar="N", type=count, default=0, help="connections; default: what the screen holds")
    top.add_argument("--count", metavar="N", type=count, default=0, help="end after so many looks")
    top.add_argument("--json", action="store_true", help="print a JSON object for each look")


def _monitoring_options() -> argparse.ArgumentParser:
    options = QuickParser(add_help=False)
    options.add_argument(
        "--monitoring",
        metavar="URL",
        default=os.environ.get("LEAFGATE_MONITORING") or None,
        help=f"http://host:port or https://…; default: $LEAFGATE_MONITORING, else what --config names, else "
        f"{DEFAULT_MONITORING}",
    )
    options.add_argument("-c", "--config", metavar="FILE", type=Path, help="of the gateway, which names the address")
    options.add_argument(
        "--user",
        metavar="NAME",
        default=os.environ.get("LEAFGATE_USER") or None,
        help=f"who looks, with the password in --password-file or ${PASSWORD_VARIABLE}; default: $LEAFGATE_USER",
    )
    options.add_argument("--password-file", metavar="FILE", type=Path, help="the password of --user")
    options.add_argument("--ca", metavar="FILE", default="", help="the authority of https://; default: the system's")
    return options
