"""What `leafgate operator` understands. What it does is a program of its own: gateway.operator."""

import argparse
from pathlib import Path

from gateway.version import VERSION

DEFAULT_IMAGE = f"leafgate:{VERSION}"
RESYNC_SECONDS = 30.0
DESCRIPTION = "keep gateways in a Kubernetes cluster as its custom resources describe them (leafgate[operator])"


def add_operator_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add_operator_options(commands.add_parser("operator", help=DESCRIPTION))


def add_operator_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="say what would become of the resources in a file, and end; asks no cluster",
    )
    parser.add_argument(
        "--namespace", metavar="NAME", action="append", default=[], help="look after this one; default: all of them"
    )
    parser.add_argument(
        "--image",
        default=DEFAULT_IMAGE,
        help=f"of gateways whose resource names none; default: {DEFAULT_IMAGE}",
    )
    parser.add_argument(
        "--resync-seconds",
        metavar="N",
        type=float,
        default=RESYNC_SECONDS,
        help=f"look after everything anew this often, also after what Secrets hold; default: {RESYNC_SECONDS:g}",
    )
    parser.add_argument(
        "--healthz", metavar="ADDRESS", default="", help="say at http://ADDRESS/healthz that the operator lives"
    )


def arguments_of(options: argparse.Namespace) -> list[str]:
    """The options as somebody would type them."""
    words = [word for file in options.check for word in ("--check", str(file))]
    words += [word for name in options.namespace for word in ("--namespace", name)]
    words += ["--image", options.image, "--resync-seconds", f"{options.resync_seconds:g}"]
    return [*words, "--healthz", options.healthz] if options.healthz else words
