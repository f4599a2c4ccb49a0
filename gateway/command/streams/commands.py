"""`leafgate stream …`: from options to what is done."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from gateway.command.message_text import tell, write_line
from gateway.command.status import size_text
from gateway.command.streams.api import Api, Document, api_of
from gateway.command.streams.reading import Selection, Stored, get, read
from gateway.command.streams.tables import described, table
from gateway.errors import ClientError, ConfigError

EXIT_OK = 0
# Options of `add` and `edit` that are fields of a configuration under the same name.
FIELDS = (
    "subjects",
    "description",
    "storage",
    "retention",
    "discard",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msgs_per_subject",
    "max_msg_size",
    "duplicate_window",
)
# What a stream has where nothing else is said: it is read directly, and one copy of it is enough.
DEFAULTS: Document = {
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "max_consumers": -1,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "num_replicas": 1,
    "allow_direct": True,
}


def run_stream_command(options: argparse.Namespace) -> int:
    """Raises GatewayError."""
    with api_of(options) as api:
        ACTIONS[options.action](api, options)
    return EXIT_OK


def _ls(api: Api, options: argparse.Namespace) -> None:
    if options.names and not options.json:
        for name in sorted(str(one) for one in api.pages("STREAM.NAMES", "streams")):
            print(name)
        return
    found = _all(api)
    if options.json:
        print_json([one["config"]["name"] for one in found] if options.names else found)
        return
    rows = [
        (
            one["config"]["name"],
            one["state"]["messages"],
            size_text(one["state"]["bytes"]),
            one["state"]["last_seq"],
            one["state"].get("consumer_count", 0),
            " ".join(one["config"].get("subjects") or ()),
        )
        for one in found
    ]
    print_lines(table(("STREAM", "MESSAGES", "BYTES", "LAST", "CONSUMERS", "SUBJECTS"), rows))


def _info(api: Api, options: argparse.Namespace) -> None:
    _show(api.ask(f"STREAM.INFO.{options.stream}"), options)


def _report(api: Api, options: argparse.Namespace) -> None:
    """Streams by what they take, each with its consumers."""
    found = sorted(_all(api), key=lambda one: -int(one["state"]["bytes"]))
    for one in found:
        one["consumers"] = list(api.pages(f"CONSUMER.LIST.{one['config']['name']}", "consumers"))
    if options.json:
        print_json(found)
        return
    rows = [
        (
            one["config"]["name"],
            one["config"]["storage"],
            one["state"]["messages"],
            size_text(one["state"]["bytes"]),
            one["state"].get("num_subjects", 0),
            one["state"].get("num_deleted", 0),
            one["state"]["first_seq"],
            one["state"]["last_seq"],
        )
        for one in found
    ]
    print_lines(table(("STREAM", "STORAGE", "MESSAGES", "BYTES", "SUBJECTS", "DELETED", "FIRST", "LAST"), rows))
    consumers = [
        (
            consumer["stream_name"],
            consumer["name"],
            "push" if consumer["config"].get("deliver_subject") else "pull",
            consumer["num_pending"],
            consumer["num_ack_pending"],
            consumer.get("num_redelivered", 0),
            consumer["ack_floor"]["stream_seq"],
        )
        for one in found
        for consumer in one["consumers"]
    ]
    if consumers:
        print()
        head = ("STREAM", "CONSUMER", "KIND", "TO COME", "UNACKNOWLEDGED", "AGAIN", "ACKNOWLEDGED TO")
        print_lines(table(head, consumers))


def _add(api: Api, options: argparse.Namespace) -> None:
    config = DEFAULTS | _given(options)
    if not config.get("subjects") and not (config.get("mirror") or config.get("sources")):
        raise ConfigError("--subjects: a stream takes messages on subjects: give at least one")
    _show(api.ask(f"STREAM.CREATE.{options.stream}", **config | {"name": options.stream}), options)


def _edit(api: Api, options: argparse.Namespace) -> None:
    given = _given(options)
    if not given:
        raise ConfigError("there is nothing to change: give the options that are to be others")
    config = api.ask(f"STREAM.INFO.{options.stream}")["config"]
    _show(api.ask(f"STREAM.UPDATE.{options.stream}", **config | given), options)


def _given(options: argparse.Namespace) -> Document:
    """The fields of a configuration that the options name."""
    config: Document = {}
    if options.config is not None:
        try:
            config = json.loads(options.config.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{options.config}: {error}") from None
        if not isinstance(config, dict):
            raise ConfigError(f"{options.config}: expected a JSON object")
    named = {name: getattr(options, name, None) for name in FIELDS}
    return config | {name: value for name, value in named.items() if value is not None}


def _rm(api: Api, options: argparse.Namespace) -> None:
    state = api.ask(f"STREAM.INFO.{options.stream}")["state"]
    confirm(options, f"delete {options.stream} with {state['messages']:,} messages")
    api.ask(f"STREAM.DELETE.{options.stream}")


def _purge(api: Api, options: argparse.Namespace) -> None:
    asked = {"filter": options.subject, "seq": options.seq, "keep": options.keep}
    confirm(options, f"delete {'messages' if any(asked.values()) else 'all messages'} of {options.stream}")
    told = api.ask(f"STREAM.PURGE.{options.stream}", **{name: value for name, value in asked.items() if value})
    print(f"{told['purged']:,} messages deleted")


def _get(api: Api, options: argparse.Namespace) -> None:
    which = {"last_by_subj": options.last} if options.last else {"seq": options.sequence}
    shower(options)(get(api, options.stream, **which))


def _view(api: Api, options: argparse.Namespace) -> None:
    show = shower(options)
    selection = Selection(options.first, options.since, options.subject)
    for number, message in enumerate(read(api, api.ask(f"STREAM.INFO.{options.stream}"), selection), 1):
        show(message)
        if number == options.count:
            break


def _export(api: Api, options: argparse.Namespace) -> None:
    from gateway.command.streams.export import export_stream

    export_stream(api, options)


def _import(api: Api, options: argparse.Namespace) -> None:
    from gateway.command.streams.export import import_stream

    import_stream(api, options)


ACTIONS: dict[str, Callable[[Api, argparse.Namespace], None]] = {
    "ls": _ls,
    "info": _info,
    "report": _report,
    "add": _add,
    "edit": _edit,
    "rm": _rm,
    "purge": _purge,
    "get": _get,
    "view": _view,
    "export": _export,
    "import": _import,
}


def _all(api: Api) -> list[Document]:
    """What every stream says about itself, in the order of names."""
    return sorted(api.pages("STREAM.LIST", "streams"), key=lambda one: str(one["config"]["name"]))


def _show(info: Document, options: argparse.Namespace) -> None:
    if options.json:
        print_json(info)
    else:
        print_lines(described(info))


def shower(options: argparse.Namespace) -> Callable[[Stored], None]:
    if options.json:
        return lambda message: print(json.dumps(message.json(), ensure_ascii=False))
    if options.raw:
        return lambda message: write_line(message.payload)
    return lambda message: print(message.line())


def confirm(options: argparse.Namespace, what: str) -> None:
    """Return where somebody wants that. Raises ClientError."""
    if options.force:
        return
    if not sys.stdin.isatty():
        raise ClientError(f"to {what}, say --force: there is nobody to ask")
    tell(f"{what}? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ClientError("left as it is")


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def print_json(told: Any) -> None:
    print(json.dumps(told, ensure_ascii=False))
