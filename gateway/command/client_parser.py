"""What the commands that speak with a server understand: `pub`, `sub`, `request`, `reply` and `bench`.

Light: it is read for every command, what the commands do is not.
"""

import argparse
import os

from gateway.command.argument_types import count, seconds, size
from gateway.command.client_login import add_login_options
from gateway.command.quick_parser import QuickParser

DEFAULT_SERVER = "nats://127.0.0.1:4222"
SERVER_PORTS = {"nats": 4222, "tls": 4222, "mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
PAYLOAD_HELP = "- reads all of standard input; default: empty"
NAME_HELP = "a subject, or a topic where the server is an MQTT broker"


def server_options(
    schemes: str = "nats, tls, mqtt, mqtts, ws or wss (MQTT at the path /mqtt)",
) -> argparse.ArgumentParser:
    """The options of every command that goes to a server: where it is, and how we come in."""
    server = QuickParser(add_help=False)
    group = server.add_argument_group("the server, and how we come in")
    group.add_argument(
        "--server",
        metavar="URL",
        default=os.environ.get("LEAFGATE_SERVER") or DEFAULT_SERVER,
        help=f"scheme://host[:port], of {schemes}; default: $LEAFGATE_SERVER, else {DEFAULT_SERVER}. Others can read "
        "what stands here (user:password@ or token@): better in $LEAFGATE_SERVER, or by the options below",
    )
    add_login_options(group)
    group.add_argument(
        "--ca", metavar="FILE", default="", help="the authority of a server with TLS; default: the system's"
    )
    group.add_argument("--cert", metavar="FILE", default="", help="our own certificate, PEM, with its chain")
    group.add_argument("--key", metavar="FILE", default="", help="the key of --cert; default: in the same file")
    return server


def add_client_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`options.action` names the function of gateway.command.client_commands."""
    server = server_options()

    pub = commands.add_parser("pub", parents=[server], help="publish a message, or every line of standard input")
    pub.add_argument("subject", metavar="SUBJECT", type=os.fsencode, help=NAME_HELP)
    pub.add_argument("payload", metavar="PAYLOAD", nargs="?", default="", help=PAYLOAD_HELP)
    _add_header(pub)
    pub.add_argument("--reply", metavar="SUBJECT", type=os.fsencode, default=b"", help="where an answer should go")
    pub.add_argument("--lines", action="store_true", help="publish each line of standard input as it comes")
    pub.add_argument("--retain", action="store_true", help="have an MQTT broker keep the message for its topic")
    pub.set_defaults(action="run_pub")

    sub = commands.add_parser("sub", parents=[server], help="print messages as they come; Ctrl-C ends it")
    sub.add_argument("subject", metavar="FILTER", type=os.fsencode, help=f"{NAME_HELP}; with wildcards, too")
    sub.add_argument("--queue", metavar="GROUP", type=os.fsencode, default=b"", help="share the messages with a group")
    sub.add_argument("--count", metavar="N", type=count, default=0, help="end after so many messages")
    _add_output(sub)
    sub.set_defaults(action="run_sub")

    request = commands.add_parser("request", parents=[server], help="publish one message and print the answers")
    request.add_argument("subject", metavar="SUBJECT", type=os.fsencode, help=NAME_HELP)
    request.add_argument("payload", metavar="PAYLOAD", nargs="?", default="", help=PAYLOAD_HELP)
    _add_header(request)
    request.add_argument("--timeout", metavar="SECONDS", type=seconds, default=2.0, help="default: 2")
    answers = request.add_mutually_exclusive_group()
    answers.add_argument("--replies", metavar="N", type=count, default=1, help="how many to wait for; default: 1")
    answers.add_argument("--wait", metavar="SECONDS", type=seconds, help="print all that come in this time")
    _add_output(request)
    request.set_defaults(action="run_request")

    reply = commands.add_parser("reply", parents=[server], help="answer requests; Ctrl-C ends it")
    reply.add_argument("subject", metavar="FILTER", type=os.fsencode, help=f"{NAME_HELP}; with wildcards, too")
    reply.add_argument("payload", metavar="PAYLOAD", nargs="?", default="", help=PAYLOAD_HELP)
    reply.add_argument("--echo", action="store_true", help="answer with the payload of the request")
    reply.add_argument(
        "--queue", metavar="GROUP", type=os.fsencode, default=b"", help="share the requests with a group"
    )
    reply.add_argument("--count", metavar="N", type=count, default=0, help="end after so many requests")
    _add_output(reply)
    reply.set_defaults(action="run_reply")

    bench = commands.add_parser(
        "bench", parents=[server], help="measure a server: messages a second, or how long requests take"
    )
    bench.add_argument(
        "subject", metavar="SUBJECT", nargs="?", type=os.fsencode, default=b"bench", help="default: bench"
    )
    bench.add_argument("--messages", metavar="N", type=count, default=100_000, help="default: 100000")
    bench.add_argument("--size", metavar="BYTES", type=size, default=128, help="of a payload; default: 128")
    bench.add_argument("--subscribers", metavar="N", type=subscribers, default=1, help="0 to 64; default: 1")
    bench.add_argument("--requests", action="store_true", help="one request after the other instead, each answered")
    bench.add_argument("--json", action="store_true", help="print a JSON object")
    bench.set_defaults(action="run_bench")


def _add_header(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--header", metavar="KEY:VALUE", type=header_field, action="append", default=[], help="may be repeated"
    )


def _add_output(command: argparse.ArgumentParser) -> None:
    output = command.add_mutually_exclusive_group()
    output.add_argument("--raw", action="store_true", help="print payloads only, as they are")
    output.add_argument("--json", action="store_true", help="print a JSON object for each message")


def header_field(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} has no colon")
    return key, value.strip()


def subscribers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= 64):
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 64")
    return int(text)
