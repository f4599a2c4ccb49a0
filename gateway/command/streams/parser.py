"""What `leafgate stream`, `kv` and `object` understand. Light: it is read for every command, what they do is not."""

import argparse
from pathlib import Path
from typing import TypeAlias

from gateway.command.argument_types import count, seconds
from gateway.command.client_parser import PAYLOAD_HELP, server_options
from gateway.command.quick_parser import QuickParser

UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SECONDS_IN = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
NANOSECONDS = 1_000_000_000
MOST_NUMBER = (1 << 63) - 1

SubCommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_stream_commands(commands: SubCommands) -> None:
    """`options.action` names the command within its group."""
    server = _api_options()
    _add_stream(commands, server)
    _add_kv(commands, server)
    _add_object(commands, server)


def _api_options() -> argparse.ArgumentParser:
    options = QuickParser(add_help=False, parents=[server_options("nats, tls, ws or wss")])
    options.add_argument("--domain", metavar="NAME", default="", help="whose streams; default: the server's own")
    options.add_argument("--timeout", metavar="SECONDS", type=seconds, default=5.0, help="for an answer; default: 5")
    return options


class Commands:
    """The commands of one group."""

    def __init__(self, group: argparse.ArgumentParser, server: argparse.ArgumentParser) -> None:
        self._server = server
        self._actions = group.add_subparsers(
            prog=group.prog, title="commands", required=True, metavar="COMMAND", dest="action"
        )

    def add(self, name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        """A command with these positional arguments, each a word of its own."""
        description = text[0].upper() + text[1:] + "."
        command = self._actions.add_parser(name, parents=[self._server], help=text, description=description)
        for argument in arguments:
            command.add_argument(argument.lower(), metavar=argument)
        return command


def _add_stream(commands: SubCommands, server: argparse.ArgumentParser) -> None:
    group = commands.add_parser("stream", help="streams: what there is, make and change them, read, export, import")
    stream = Commands(group, server)
    listed = stream.add("ls", "the streams there are")
    listed.add_argument("--names", action="store_true", help="their names only")
    _add_json(listed)
    _add_json(stream.add("info", "how a stream is configured, and what it has", "STREAM"))
    _add_json(stream.add("report", "all streams by what they take, and their consumers"))

    add = stream.add("add", "make a stream", "STREAM")
    _add_configuration(add, new=True)
    _add_json(add)
    edit = stream.add("edit", "change what is given of a stream", "STREAM")
    _add_configuration(edit, new=False)
    _add_json(edit)

    _add_force(stream.add("rm", "delete a stream with all that it has", "STREAM"))
    purge = stream.add("purge", "delete messages of a stream: all, or those that are named", "STREAM")
    purge.add_argument("--subject", metavar="FILTER", default="", help="those of these subjects")
    left = purge.add_mutually_exclusive_group()
    left.add_argument("--seq", metavar="N", type=number, default=0, help="those in front of this sequence")
    left.add_argument("--keep", metavar="N", type=number, default=0, help="all but so many of the newest")
    _add_force(purge)

    get = stream.add("get", "one message", "STREAM")
    which = get.add_mutually_exclusive_group(required=True)
    which.add_argument("sequence", metavar="SEQUENCE", type=number, nargs="?", default=0)
    which.add_argument("--last", metavar="SUBJECT", default="", help="the newest of a subject, or of a filter")
    _add_output(get)

    view = stream.add("view", "the messages of a stream, from one on", "STREAM")
    _add_begin(view)
    view.add_argument("--count", metavar="N", type=count, default=0, help="end after so many messages")
    _add_output(view)

    export = stream.add("export", "write a stream to a file: its configuration, and its messages in order", "STREAM")
    export.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: STREAM.jsonl; - is standard output")
    _add_begin(export)
    bring = stream.add(
        "import", "make a stream of a file that export wrote; times and, where messages are missing, sequences are new"
    )
    bring.add_argument("file", metavar="FILE", type=Path, help="- is standard input")
    bring.add_argument("--name", metavar="STREAM", default="", help="of the new stream; default: its old name")
    bring.add_argument("--append", action="store_true", help="into the stream that is there")


def _add_begin(command: argparse.ArgumentParser) -> None:
    begin = command.add_mutually_exclusive_group()
    begin.add_argument("--from", dest="first", metavar="N", type=number, default=0, help="from this sequence on")
    begin.add_argument(
        "--since", metavar="DURATION", type=duration, default=0, help="what came lately: 30s, 15m, 2h, 7d"
    )
    command.add_argument("--subject", metavar="FILTER", default="", help="of these subjects")


def _add_configuration(command: argparse.ArgumentParser, *, new: bool) -> None:
    """Options are named as the fields of a stream's configuration, in words of the command line; those that are not
    given are None.
    """
    command.add_argument("--subjects", metavar="FILTER", action="append", help="may be repeated")
    command.add_argument("--description", metavar="TEXT")
    if new:
        command.add_argument("--storage", choices=("file", "memory"), help="default: file")
        command.add_argument("--retention", choices=("limits", "interest", "workqueue"), help="default: limits")
    command.add_argument("--discard", choices=("old", "new"), help="what gives way where a limit is reached")
    command.add_argument("--max-msgs", metavar="N", type=number)
    command.add_argument("--max-bytes", metavar="SIZE", type=size, help="such as 512M")
    command.add_argument("--max-age", metavar="DURATION", type=duration, help="such as 30s, 15m, 2h, 7d")
    command.add_argument("--max-msgs-per-subject", metavar="N", type=number)
    command.add_argument("--max-msg-size", metavar="SIZE", type=size)
    command.add_argument("--duplicate-window", metavar="DURATION", type=duration)
    command.add_argument("--config", metavar="FILE", type=Path, help="JSON with any fields of a configuration")


def _add_kv(commands: SubCommands, server: argparse.ArgumentParser) -> None:
    group = commands.add_parser("kv", help="key-value buckets: make them, put and get values, watch them")
    kv = Commands(group, server)
    _add_json(kv.add("ls", "the buckets there are"))
    add = kv.add("add", "make a bucket", "BUCKET")
    add.add_argument("--history", metavar="N", type=number, default=1, help="values that are kept of a key; default: 1")
    add.add_argument("--ttl", metavar="DURATION", type=duration, default=0, help="for how long a value lives")
    add.add_argument("--max-bytes", metavar="SIZE", type=size, default=-1)
    add.add_argument("--storage", choices=("file", "memory"), default="file", help="default: file")
    _add_json(add)
    _add_json(kv.add("info", "how a bucket is configured, and what it has", "BUCKET"))
    _add_force(kv.add("rm", "delete a bucket with all its values", "BUCKET"))
    for name, text in (("put", "set a key"), ("create", "set a key that has no value"), ("update", "set a key")):
        put = kv.add(name, text if name != "update" else "set a key whose value has not changed", "BUCKET", "KEY")
        put.add_argument("payload", metavar="VALUE", nargs="?", default="-", help=PAYLOAD_HELP.replace("empty", "-"))
        if name == "update":
            put.add_argument("--revision", metavar="N", type=number, required=True, help="of the value that it has")
    get = kv.add("get", "the value of a key", "BUCKET", "KEY")
    get.add_argument("--revision", metavar="N", type=number, default=0, help="an older value")
    _add_json(get)
    kv.add("del", "delete the value of a key; its history stays", "BUCKET", "KEY")
    kv.add("purge", "delete a key with its history", "BUCKET", "KEY")
    keys = kv.add("keys", "the keys that have a value", "BUCKET")
    keys.add_argument("filter", metavar="FILTER", nargs="?", default=">", help="default: all")
    _add_json(keys)
    _add_json(kv.add("history", "all values that are kept of a key", "BUCKET", "KEY"))
    watch = kv.add("watch", "values as they are set, those that are there first; Ctrl-C ends it", "BUCKET")
    watch.add_argument("filter", metavar="FILTER", nargs="?", default=">", help="default: all")
    watch.add_argument("--count", metavar="N", type=count, default=0, help="end after so many")
    _add_json(watch)


def _add_object(commands: SubCommands, server: argparse.ArgumentParser) -> None:
    group = commands.add_parser("object", help="object stores: files of any size in buckets")
    store = Commands(group, server)
    listed = store.add("ls", "the buckets there are, or the objects in one")
    listed.add_argument("bucket", metavar="BUCKET", nargs="?", default="")
    _add_json(listed)
    add = store.add("add", "make a bucket", "BUCKET")
    add.add_argument("--ttl", metavar="DURATION", type=duration, default=0, help="for how long an object lives")
    add.add_argument("--max-bytes", metavar="SIZE", type=size, default=-1)
    add.add_argument("--storage", choices=("file", "memory"), default="file", help="default: file")
    _add_json(add)
    _add_force(store.add("rm", "delete a bucket with all its objects", "BUCKET"))
    put = store.add("put", "put a file into a bucket", "BUCKET")
    put.add_argument("file", metavar="FILE", type=Path, help="- is standard input")
    put.add_argument("--name", metavar="NAME", default="", help="of the object; default: the file's")
    _add_json(put)
    get = store.add("get", "take an object out of a bucket", "BUCKET", "NAME")
    get.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: its name, here; - is standard output")
    _add_json(store.add("info", "how large an object is, and since when it is there", "BUCKET", "NAME"))
    store.add("del", "delete an object", "BUCKET", "NAME")


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print a JSON object")


def _add_output(command: argparse.ArgumentParser) -> None:
    output = command.add_mutually_exclusive_group()
    output.add_argument("--raw", action="store_true", help="print payloads only, as they are")
    output.add_argument("--json", action="store_true", help="print a JSON object for each message")


def _add_force(command: argparse.ArgumentParser) -> None:
    command.add_argument("--force", action="store_true", help="without asking")


def number(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    if not 0 < value <= MOST_NUMBER:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return value


def size(text: str) -> int:
    """Bytes, also as 64K, 512M, 2G."""
    digits = text.rstrip("BKMGTbkmgt")
    factor = UNITS.get(text[len(digits) :].upper())
    if factor is None or not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4096, 64K, 512M or 2G")
    return int(digits) * factor


def duration(text: str) -> int:
    """Nanoseconds."""
    digits, unit = text[:-1], SECONDS_IN.get(text[-1:])
    if unit is None or not (digits.isascii() and digits.isdigit() and 0 < len(digits) <= 9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 30s, 15m, 2h or 7d")
    return int(digits) * unit * NANOSECONDS
