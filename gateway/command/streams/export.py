"""A stream as a file: lines of JSON, the configuration first, then every message in its order, then how many there
were. What is cut off so is seen, and what there is anybody can read.
"""

import argparse
import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gateway.command.clients.link import Outgoing
from gateway.command.message_text import tell
from gateway.command.progress_bar import ProgressBar
from gateway.command.streams.api import Api, Document, checked
from gateway.command.streams.reading import Selection, Stored, read
from gateway.errors import ClientError, ConfigError

FORMAT, VERSION = "leafgate-stream", 1
STANDARD = Path("-")
# Of a message that was published long ago: what it expected of the stream then, and what would keep it from coming in.
EXPECTATIONS = "nats-expected-"
MESSAGE_ID = "nats-msg-id"


def export_stream(api: Api, options: argparse.Namespace) -> None:
    """Raises ClientError; a file of that name is only there once it is whole."""
    info = api.ask(f"STREAM.INFO.{options.stream}")
    output: Path = options.output or Path(f"{options.stream}.jsonl")
    selection = Selection(options.first, options.since, options.subject)
    first, last = info["state"]["first_seq"], info["state"]["last_seq"]
    bar, count = ProgressBar(f"exporting {options.stream}"), 0
    with writing(output) as file:
        write(file, {"format": FORMAT, "version": VERSION, "config": info["config"], "state": info["state"]})
        for message in read(api, info, selection):
            write(file, as_line(message))
            count += 1
            bar((message.sequence - first + 1) / max(last - first + 1, 1))
        write(file, {"messages": count})
    bar(1.0)
    tell(f"{count:,} messages in {output}")


@contextmanager
def writing(output: Path) -> Iterator[BinaryIO]:
    if output == STANDARD:
        yield sys.stdout.buffer
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as error:
        raise ClientError(f"{output}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def write(file: BinaryIO, told: Document) -> None:
    file.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")


def as_line(message: Stored) -> Document:
    told: Document = {"seq": message.sequence, "time": message.time, "subject": message.subject}
    if message.fields:
        told["headers"] = [list(field) for field in message.fields]
    return told | {"data": base64.b64encode(message.payload).decode()}


def import_stream(api: Api, options: argparse.Namespace) -> None:
    """Raises ClientError, and ConfigError for a file that is none of these or not whole."""
    total = count_lines(options.file)
    imported = Import(api, options)
    bar = ProgressBar(f"importing {imported.name}")
    for done, (message, told) in enumerate(api.publish_all(imported.messages()), 1):
        imported.check(message, told)
        bar(done / max(total, 1))
    bar(1.0)
    tell(f"{imported.count:,} messages in {imported.name}")
    if imported.moved:
        tell("messages are missing in between: from there on sequences are others than they were")


class Import:
    """Of one file into one stream, which is made here unless it is there. `moved`: sequences are others."""

    def __init__(self, api: Api, options: argparse.Namespace) -> None:
        self._api = api
        self._path: Path = options.file
        self.count = 0
        self.moved = False
        self._following = 0
        self._lines = self._read()
        head = next(self._lines, {})
        if head.get("format") != FORMAT or head.get("version") != VERSION:
            raise ConfigError(f"{self._path}: is no stream that `leafgate stream export` wrote")
        config = head["config"]
        self.name: str = options.name or config["name"]
        self._first = next(self._lines, {})
        if options.append:
            api.ask(f"STREAM.INFO.{self.name}")
            return
        if api.find(f"STREAM.INFO.{self.name}") is not None:
            raise ClientError(f"there is a stream {self.name}: with --append its messages come behind those it has")
        begin = self._first.get("seq", 1)
        api.ask(f"STREAM.CREATE.{self.name}", **config | {"name": self.name, "first_seq": begin})
        self._following = begin

    def messages(self) -> Iterator[Outgoing]:
        line = self._first
        while "messages" not in line:
            if not line:
                raise ConfigError(f"{self._path}: ends in the middle, after {self.count:,} messages")
            if self._following:
                self.moved = self.moved or line["seq"] != self._following
                self._following += 1
            fields = [(name, value) for name, value in line.get("headers", ()) if not is_expectation(name)]
            self.count += 1
            yield Outgoing(line["subject"].encode(), base64.b64decode(line["data"]), fields=tuple(fields))
            line = next(self._lines, {})
        if line["messages"] != self.count:
            raise ConfigError(f"{self._path}: tells of {line['messages']:,} messages, and has {self.count:,}")

    def check(self, message: Outgoing, told: Document) -> None:
        """An id that was used again after its window is no duplicate here either."""
        checked(told)
        if told.get("stream") != self.name:
            raise ClientError(f"{message.name.decode()} goes to the stream {told.get('stream')}, not to {self.name}")
        if told.get("duplicate"):
            self.moved = True
            fields = [field for field in message.fields if field[0].lower() != MESSAGE_ID]
            self._api.publish(message.name.decode(), message.payload, fields)

    def _read(self) -> Iterator[Document]:
        try:
            with opened(self._path) as file:
                for line in file:
                    yield json.loads(line)
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"{self._path}: has a line that is no JSON") from None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD:
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


def count_lines(path: Path) -> int:
    """How many messages a file has; 0 where that cannot be known before it is read."""
    if path == STANDARD or not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file) - 2


def is_expectation(name: str) -> bool:
    return name.lower().startswith(EXPECTATIONS)
