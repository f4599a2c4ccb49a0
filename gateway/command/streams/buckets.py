"""`leafgate kv …`: key-value buckets, as all NATS clients have them: a stream KV_<bucket>, a subject for each key."""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator

from gateway.command.message_text import escape, write_line
from gateway.command.status import size_text
from gateway.command.streams.api import Api, ApiError, Document, api_of
from gateway.command.streams.commands import DEFAULTS, confirm, print_json, print_lines
from gateway.command.streams.reading import Selection, Stored, get, of_api, read
from gateway.command.streams.tables import span, table
from gateway.errors import ClientError, ConfigError

EXIT_OK = 0
PREFIX = "KV_"
BUCKET = re.compile(r"[A-Za-z0-9_-]+")
KEY = re.compile(r"[-/_=.A-Za-z0-9]+")
MOST_HISTORY = 64
TWO_MINUTES = 120_000_000_000
OPERATION, ROLLUP, EXPECTED = "KV-Operation", "Nats-Rollup", "Nats-Expected-Last-Subject-Sequence"
MARKER = "Nats-Marker-Reason"
WRONG_REVISION = 10071
POLL_SECONDS = 0.5


def run_kv_command(options: argparse.Namespace) -> int:
    """Raises GatewayError."""
    with api_of(options) as api:
        ACTIONS[options.action](api, options)
    return EXIT_OK


def bucket_config(options: argparse.Namespace) -> Document:
    """Of a new bucket."""
    if options.history > MOST_HISTORY:
        raise ConfigError(f"--history: {options.history} is above {MOST_HISTORY}")
    window = min(options.ttl, TWO_MINUTES) if options.ttl else TWO_MINUTES
    return DEFAULTS | {
        "name": PREFIX + checked_bucket(options.bucket),
        "subjects": [f"$KV.{options.bucket}.>"],
        "max_msgs_per_subject": options.history,
        "max_bytes": options.max_bytes,
        "max_age": options.ttl,
        "storage": options.storage,
        "discard": "new",
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "duplicate_window": window,
    }


def _ls(api: Api, options: argparse.Namespace) -> None:
    found = [one for one in api.pages("STREAM.LIST", "streams") if str(one["config"]["name"]).startswith(PREFIX)]
    if options.json:
        print_json([_told(one) for one in found])
        return
    rows = [(*list(_told(one).values())[:2], size_text(one["state"]["bytes"]), _told(one)["history"]) for one in found]
    print_lines(table(("BUCKET", "VALUES", "BYTES", "HISTORY"), sorted(rows)))


def _add(api: Api, options: argparse.Namespace) -> None:
    _show(api.ask(f"STREAM.CREATE.{PREFIX}{options.bucket}", **bucket_config(options)), options)


def _info(api: Api, options: argparse.Namespace) -> None:
    _show(_stream(api, options), options)


def _rm(api: Api, options: argparse.Namespace) -> None:
    state = _stream(api, options)["state"]
    confirm(options, f"delete the bucket {options.bucket} with {state['messages']:,} values")
    api.ask(f"STREAM.DELETE.{PREFIX}{options.bucket}")


def _put(api: Api, options: argparse.Namespace) -> None:
    print(_publish(api, options)["seq"])


def _create(api: Api, options: argparse.Namespace) -> None:
    try:
        told = _publish(api, options, (EXPECTED, "0"))
    except ApiError as error:
        last = _last(api, options) if error.code == WRONG_REVISION else None
        if last is None or operation(last) == "PUT":
            raise
        told = _publish(api, options, (EXPECTED, str(last.sequence)))  # It was deleted.
    print(told["seq"])


def _update(api: Api, options: argparse.Namespace) -> None:
    print(_publish(api, options, (EXPECTED, str(options.revision)))["seq"])


def _get(api: Api, options: argparse.Namespace) -> None:
    found = _last(api, options) if not options.revision else get(api, _name(options), seq=options.revision)
    if found is None or operation(found) != "PUT" or found.subject != _subject(options):
        raise ClientError(f"{options.bucket} has no value of {options.key}")
    if options.json:
        print_json(entry(found, options.bucket))
    else:
        write_line(found.payload)


def _del(api: Api, options: argparse.Namespace) -> None:
    api.publish(api.lead + _subject(options), b"", [(OPERATION, "DEL")])


def _purge(api: Api, options: argparse.Namespace) -> None:
    api.publish(api.lead + _subject(options), b"", [(OPERATION, "PURGE"), (ROLLUP, "sub")])


def _keys(api: Api, options: argparse.Namespace) -> None:
    last: dict[str, Stored] = {}
    for one in _values(api, options, options.filter):
        last[one.subject] = one
    keys = sorted(key_of(one, options.bucket) for one in last.values() if operation(one) == "PUT")
    if options.json:
        print_json(keys)
    else:
        print_lines(map(escape, keys))


def _history(api: Api, options: argparse.Namespace) -> None:
    for one in _values(api, options, options.key):
        _tell(one, options)


def _watch(api: Api, options: argparse.Namespace) -> None:
    """What is there is read anew again and again from where it ended: a connection that is lost ends it."""
    told, following = 0, 1
    while True:
        info = _stream(api, options)
        selection = Selection(following, subject=f"$KV.{options.bucket}.{options.filter}")
        for one in read(api, info, selection):
            _tell(one, options)
            told += 1
            if told == options.count:
                return
        following = info["state"]["last_seq"] + 1
        sys.stdout.flush()
        time.sleep(POLL_SECONDS)


ACTIONS: dict[str, Callable[[Api, argparse.Namespace], None]] = {
    "ls": _ls,
    "add": _add,
    "info": _info,
    "rm": _rm,
    "put": _put,
    "create": _create,
    "update": _update,
    "get": _get,
    "del": _del,
    "purge": _purge,
    "keys": _keys,
    "history": _history,
    "watch": _watch,
}


def checked_bucket(name: str) -> str:
    if not BUCKET.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a bucket: letters, digits, _ and - make one")
    return name


def _name(options: argparse.Namespace) -> str:
    return PREFIX + checked_bucket(options.bucket)


def _subject(options: argparse.Namespace) -> str:
    key: str = options.key
    if not KEY.fullmatch(key) or key.startswith(".") or key.endswith("."):
        raise ConfigError(f"{key!r} is no key: letters, digits, - / _ = and dots inside make one")
    return f"$KV.{checked_bucket(options.bucket)}.{key}"


def _stream(api: Api, options: argparse.Namespace) -> Document:
    found = api.find(f"STREAM.INFO.{_name(options)}")
    if found is None:
        raise ClientError(f"there is no bucket {options.bucket}")
    return found


def _last(api: Api, options: argparse.Namespace) -> Stored | None:
    _stream(api, options)
    found = api.find(f"STREAM.MSG.GET.{_name(options)}", last_by_subj=_subject(options))
    return of_api(found) if found is not None else None


def _values(api: Api, options: argparse.Namespace, keys: str) -> Iterator[Stored]:
    return read(api, _stream(api, options), Selection(subject=f"$KV.{options.bucket}.{keys}"))


def _publish(api: Api, options: argparse.Namespace, *fields: tuple[str, str]) -> Document:
    _stream(api, options)  # Else whoever subscribes to everything would swallow it.
    payload = sys.stdin.buffer.read() if options.payload == "-" else options.payload.encode(errors="surrogateescape")
    return api.publish(api.lead + _subject(options), payload, fields)


def operation(one: Stored) -> str:
    """PUT, DEL or PURGE."""
    fields = dict(one.fields)
    if MARKER in fields:
        return "DEL" if fields[MARKER] == "Remove" else "PURGE"
    return fields.get(OPERATION, "PUT")


def key_of(one: Stored, bucket: str) -> str:
    return one.subject.removeprefix(f"$KV.{bucket}.")


def entry(one: Stored, bucket: str) -> Document:
    told = one.json()
    found = {"bucket": bucket, "key": key_of(one, bucket), "revision": one.sequence, "created": one.time}
    return found | {"operation": operation(one)} | {name: told[name] for name in told if name.startswith("payload")}


def _tell(one: Stored, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(entry(one, options.bucket), ensure_ascii=False))
        return
    value = one.payload.decode("utf-8", "backslashreplace") if operation(one) == "PUT" else operation(one)
    print(escape(f"{one.sequence} {one.time} {key_of(one, options.bucket)}: {value}"))


def _told(info: Document) -> Document:
    config, state = info["config"], info["state"]
    return {
        "bucket": config["name"].removeprefix(PREFIX),
        "values": state["messages"],
        "bytes": state["bytes"],
        "history": config["max_msgs_per_subject"],
        "ttl": config.get("max_age", 0),
        "storage": config["storage"],
    }


def _show(info: Document, options: argparse.Namespace) -> None:
    told = _told(info)
    if options.json:
        print_json(told)
        return
    shown = told | {"bytes": size_text(told["bytes"]), "ttl": span(told["ttl"]) if told["ttl"] else "for ever"}
    print_lines(f"{name:<10}{value}" for name, value in shown.items())
