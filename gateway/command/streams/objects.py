"""`leafgate object …`: object stores, as all NATS clients have them: a stream OBJ_<bucket>, chunks of an object on the
subject of its nuid, and what is known of it on that of its name.
"""

import argparse
import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.command.clients.link import Outgoing
from gateway.command.message_text import escape, tell
from gateway.command.progress_bar import ProgressBar
from gateway.command.status import size_text
from gateway.command.streams.api import Api, Document, api_of, checked
from gateway.command.streams.buckets import ROLLUP, checked_bucket
from gateway.command.streams.commands import DEFAULTS, confirm, print_json, print_lines
from gateway.command.streams.export import STANDARD, opened, writing
from gateway.command.streams.reading import Selection, of_api, read
from gateway.command.streams.tables import table
from gateway.errors import ClientError

EXIT_OK = 0
PREFIX = "OBJ_"
CHUNK_BYTES = 128 << 10
NUID_BYTES = 11
DIGEST = "SHA-256="


def run_object_command(options: argparse.Namespace) -> int:
    """Raises GatewayError."""
    with api_of(options) as api:
        ACTIONS[options.action](api, options)
    return EXIT_OK


def _ls(api: Api, options: argparse.Namespace) -> None:
    if options.bucket:
        _objects(api, options)
        return
    found = [one for one in api.pages("STREAM.LIST", "streams") if str(one["config"]["name"]).startswith(PREFIX)]
    told = [{"bucket": one["config"]["name"].removeprefix(PREFIX), "bytes": one["state"]["bytes"]} for one in found]
    if options.json:
        print_json(told)
    else:
        print_lines(table(("BUCKET", "BYTES"), [(one["bucket"], size_text(one["bytes"])) for one in told]))


def _objects(api: Api, options: argparse.Namespace) -> None:
    info = _stream(api, options)
    every = read(api, info, Selection(subject=f"$O.{options.bucket}.M.>"))
    found = [told for told in (json.loads(one.payload) for one in every) if not told.get("deleted")]
    if options.json:
        print_json(found)
        return
    rows = [(one["name"], size_text(one.get("size", 0)), one.get("chunks", 0), one.get("digest", "")) for one in found]
    print_lines(table(("OBJECT", "SIZE", "CHUNKS", "DIGEST"), rows))


def _add(api: Api, options: argparse.Namespace) -> None:
    bucket = checked_bucket(options.bucket)
    config = DEFAULTS | {
        "name": PREFIX + bucket,
        "subjects": [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
        "max_bytes": options.max_bytes,
        "max_age": options.ttl,
        "storage": options.storage,
        "discard": "new",
        "allow_rollup_hdrs": True,
    }
    info = api.ask(f"STREAM.CREATE.{PREFIX}{bucket}", **config)
    if options.json:
        print_json(info)


def _rm(api: Api, options: argparse.Namespace) -> None:
    state = _stream(api, options)["state"]
    confirm(options, f"delete the bucket {options.bucket} with {size_text(state['bytes'])}")
    api.ask(f"STREAM.DELETE.{_name(options)}")


def _put(api: Api, options: argparse.Namespace) -> None:
    _stream(api, options)
    name = options.name or options.file.name
    before = find(api, options.bucket, name)
    nuid = base64.b32encode(os.urandom(NUID_BYTES)).decode().rstrip("=")
    subject = f"$O.{options.bucket}.C.{nuid}"
    upload = Upload(options.file, api.lead + subject, f"uploading {name}")
    for _, told in api.publish_all(upload.chunks()):
        checked(told)
    told = {
        "name": name,
        "options": {"max_chunk_size": CHUNK_BYTES},
        "bucket": options.bucket,
        "nuid": nuid,
        "size": upload.size,
        "mtime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "chunks": upload.count,
        "digest": DIGEST + base64.urlsafe_b64encode(upload.digest.digest()).decode(),
    }
    api.publish(api.lead + meta_subject(options.bucket, name), json.dumps(told).encode(), [(ROLLUP, "sub")])
    if before is not None and before.get("nuid"):
        _forget_chunks(api, options, before["nuid"])
    if options.json:
        print_json(told)
    else:
        tell(f"{name}: {size_text(upload.size)} in {upload.count} chunks")


class Upload:
    """The chunks of a file. Afterwards `size`, `count` and `digest` are known."""

    def __init__(self, path: Path, subject: str, what: str) -> None:
        self.size = self.count = 0
        self.digest = hashlib.sha256()
        self._path = path
        self._subject = subject.encode()
        self._bar = ProgressBar(what)

    def chunks(self) -> Iterator[Outgoing]:
        try:
            total = self._path.stat().st_size if self._path != STANDARD else 0
            with opened(self._path) as file:
                while piece := file.read(CHUNK_BYTES):
                    self.size += len(piece)
                    self.count += 1
                    self.digest.update(piece)
                    yield Outgoing(self._subject, piece)
                    self._bar(min(self.size / max(total, 1), 1.0) if total else 0.0)
        except OSError as error:
            raise ClientError(f"{self._path}: {error.strerror}") from None


def _get(api: Api, options: argparse.Namespace) -> None:
    told = _known(api, options)
    name = Path(options.name).name
    output: Path = options.output or Path(name)
    digest, size, bar = hashlib.sha256(), 0, ProgressBar(f"downloading {name}")
    with writing(output) as file:
        for piece in _pieces(api, options, told):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
            bar(size / max(told.get("size", 0), 1))
        found = DIGEST + base64.urlsafe_b64encode(digest.digest()).decode()
        if size != told.get("size", 0) or told.get("digest", found).rstrip("=") != found.rstrip("="):
            raise ClientError(f"{options.name} is not as it was put there: {size} bytes, {found}")
    tell(f"{size_text(size)} in {output}")


def _pieces(api: Api, options: argparse.Namespace, told: Document) -> Iterator[bytes]:
    if told.get("chunks"):
        info = _stream(api, options)
        for one in read(api, info, Selection(subject=f"$O.{options.bucket}.C.{told['nuid']}")):
            yield one.payload


def _info(api: Api, options: argparse.Namespace) -> None:
    told = _known(api, options)
    if options.json:
        print_json(told)
        return
    shown = told | {"size": size_text(told.get("size", 0))}
    print_lines(escape(f"{name:<10}{value}") for name, value in shown.items() if name != "options")


def _del(api: Api, options: argparse.Namespace) -> None:
    told = _known(api, options)
    gone = told | {"deleted": True, "size": 0, "chunks": 0, "digest": ""}
    subject = api.lead + meta_subject(options.bucket, options.name)
    api.publish(subject, json.dumps(gone).encode(), [(ROLLUP, "sub")])
    _forget_chunks(api, options, told["nuid"])


ACTIONS: dict[str, Callable[[Api, argparse.Namespace], None]] = {
    "ls": _ls,
    "add": _add,
    "rm": _rm,
    "put": _put,
    "get": _get,
    "info": _info,
    "del": _del,
}


def _name(options: argparse.Namespace) -> str:
    return PREFIX + checked_bucket(options.bucket)


def _stream(api: Api, options: argparse.Namespace) -> Document:
    found = api.find(f"STREAM.INFO.{_name(options)}")
    if found is None:
        raise ClientError(f"there is no bucket {options.bucket}")
    return found


def meta_subject(bucket: str, name: str) -> str:
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def find(api: Api, bucket: str, name: str) -> Document | None:
    """What is known of an object that is there."""
    found = api.find(f"STREAM.MSG.GET.{PREFIX}{bucket}", last_by_subj=meta_subject(bucket, name))
    told: Document = json.loads(of_api(found).payload) if found is not None else {}
    return told if told and not told.get("deleted") else None


def _known(api: Api, options: argparse.Namespace) -> Document:
    _stream(api, options)
    found = find(api, options.bucket, options.name)
    if found is None:
        raise ClientError(f"{options.bucket} has no object {options.name}")
    return found


def _forget_chunks(api: Api, options: argparse.Namespace, nuid: str) -> None:
    api.ask(f"STREAM.PURGE.{_name(options)}", filter=f"$O.{options.bucket}.C.{nuid}")
