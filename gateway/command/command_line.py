"""The command `leafgate`: what it understands, and what it says when something is wrong. One line each, no tracebacks.

Every command imports what it needs when it runs, so that `pub` does not wait for the daemon's modules.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.command.argument_types import count, seconds
from gateway.command.device_parser import add_device_commands
from gateway.errors import ConfigError, DirectoryError, GatewayError, ListenError, StorageError
from gateway.settings.addresses import ServerUrl, parse_server_url
from gateway.version import VERSION, form_name
from protocols.errors import MisuseError

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_CONFIGURATION = 2
# What a shell reports for a program that SIGINT ended.
EXIT_INTERRUPTED = 130

DEFAULT_SERVER = "nats://127.0.0.1:4222"
SERVER_PORTS = {"nats": 4222}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for a failure, 2 for a fault in configuration or usage."""
    options = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        return _complain(error, EXIT_CONFIGURATION)
    except (ListenError, StorageError) as error:
        # What may be there at the next try is no fault of the file: a service manager shall try again.
        transient = isinstance(error, ListenError | DirectoryError)
        status = EXIT_FAILURE if transient else EXIT_CONFIGURATION
        return _complain(f"{options.config or 'built-in configuration'}: {error}", status)
    except (GatewayError, MisuseError) as error:
        return _complain(error, EXIT_FAILURE)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _complain(message: object, status: int) -> int:
    print(f"leafgate: {message}", file=sys.stderr)
    return status


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leafgate", description="A gateway that joins NATS, MQTT and WebSocket clients in one subject space."
    )
    parser.add_argument("--version", action="version", version=f"leafgate {VERSION} ({form_name()})")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_gateway_commands(commands)
    _add_client_commands(commands)
    add_device_commands(commands)
    commands.choices["device"].set_defaults(command=_device)
    return parser


def _add_gateway_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser("run", help="start the gateway")
    run.add_argument("-c", "--config", metavar="FILE", type=Path, help="without it: loopback, the usual ports")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="tell whether a configuration file is right")
    check.add_argument("-c", "--config", metavar="FILE", type=Path, required=True)
    check.set_defaults(command=_check)


def _add_client_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument(
        "--server",
        metavar="URL",
        default=DEFAULT_SERVER,
        help=f"nats://[user:password@|token@]host[:port], default {DEFAULT_SERVER}",
    )
    payload_help = "- reads standard input; default: empty"

    pub = commands.add_parser("pub", parents=[server], help="publish one message")
    pub.add_argument("subject", metavar="SUBJECT", type=os.fsencode)
    pub.add_argument("payload", metavar="PAYLOAD", nargs="?", default="", help=payload_help)
    pub.add_argument("--header", metavar="KEY:VALUE", type=_header_field, action="append", default=[])
    pub.add_argument("--reply", metavar="SUBJECT", type=os.fsencode, default=b"", help="where an answer should go")
    pub.set_defaults(command=_pub)

    sub = commands.add_parser("sub", parents=[server], help="print messages as they come")
    sub.add_argument("subject", metavar="FILTER", type=os.fsencode, help="a subject; * and > are wildcards")
    sub.add_argument("--queue", metavar="GROUP", type=os.fsencode, default=b"", help="share the messages with a group")
    sub.add_argument("--count", metavar="N", type=count, default=0, help="end after so many messages")
    sub.add_argument("--raw", action="store_true", help="print payloads only, as they are")
    sub.set_defaults(command=_sub)

    request = commands.add_parser("request", parents=[server], help="publish one message and print the answer")
    request.add_argument("subject", metavar="SUBJECT", type=os.fsencode)
    request.add_argument("payload", metavar="PAYLOAD", nargs="?", default="", help=payload_help)
    request.add_argument("--timeout", metavar="SECONDS", type=seconds, default=2.0, help="default: 2")
    request.set_defaults(command=_request)


def _run(options: argparse.Namespace) -> int:
    from gateway.settings.schema import load_config

    config = load_config(options.config)
    # Only now: a fault in the file is told at once.
    from gateway.daemon import run

    return run(config, options.config)


def _check(options: argparse.Namespace) -> int:
    from gateway.settings.schema import load_config

    load_config(options.config)
    print(f"{options.config}: is right")
    return EXIT_OK


def _pub(options: argparse.Namespace) -> int:
    import trio

    from gateway.command import messages
    from protocols.nats.client import encode_header

    header = encode_header(options.header)
    url, payload = _server_url(options.server), _payload(options.payload)
    trio.run(messages.publish, url, options.subject, payload, options.reply, header)
    return EXIT_OK


def _sub(options: argparse.Namespace) -> int:
    from functools import partial

    import trio

    from gateway.command import messages

    subscription = partial(messages.subscribe, raw=options.raw)
    try:
        trio.run(subscription, _server_url(options.server), options.subject, options.queue, options.count)
    except KeyboardInterrupt:
        # The way to end a subscription without a count: no failure.
        return EXIT_OK
    return EXIT_OK


def _request(options: argparse.Namespace) -> int:
    import trio

    from gateway.command import messages

    url, payload = _server_url(options.server), _payload(options.payload)
    trio.run(messages.request, url, options.subject, payload, options.timeout)
    return EXIT_OK


def _device(options: argparse.Namespace) -> int:
    from gateway.command.device import run_device_command

    return run_device_command(options)


def _server_url(text: str) -> ServerUrl:
    try:
        return parse_server_url(text, SERVER_PORTS)
    except ValueError as error:
        raise ConfigError(f"--server: {error}") from None


def _payload(text: str) -> bytes:
    return sys.stdin.buffer.read() if text == "-" else os.fsencode(text)


def _header_field(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} has no colon")
    return key, value.strip()
