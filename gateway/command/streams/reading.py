"""Messages of a stream, read one by one or in a row, without a consumer: nothing is left behind on the server."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gateway.command.clients.link import Received
from gateway.command.message_text import as_json, describe
from gateway.command.streams.api import NOT_FOUND, Api, Document
from gateway.errors import ClientError
from protocols.nats.client import read_header

AT_ONCE = 512
# What a direct get puts in front of a message's own headers, and what belongs to each of its answers alone.
SUBJECT, SEQUENCE, TIME = "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"
OF_THE_ANSWER = frozenset(("Nats-Stream", SUBJECT, SEQUENCE, TIME, "Nats-Num-Pending", "Nats-Last-Sequence"))
END = 204


class Stored(NamedTuple):
    """A message of a stream; `time` is RFC 3339."""

    sequence: int
    time: str
    subject: str
    fields: tuple[tuple[str, str], ...]
    payload: bytes

    def line(self) -> str:
        shown = describe(Received(self.subject.encode(), self.payload, fields=self.fields))
        return f"{self.sequence} {self.time} {shown}"

    def json(self) -> Document:
        told: Document = json.loads(as_json(Received(self.subject.encode(), self.payload, fields=self.fields)))
        return {"seq": self.sequence, "time": self.time} | told


class Selection(NamedTuple):
    """From `first` on, 0 for the begin, or what came in the last `since` nanoseconds; of subjects, "" for all."""

    first: int = 0
    since: int = 0
    subject: str = ""


def get(api: Api, stream: str, **which: object) -> Stored:
    """One message, by `seq` or `last_by_subj`. Raises ClientError."""
    return of_api(api.ask(f"STREAM.MSG.GET.{stream}", **which))


def read(api: Api, info: Document, selection: Selection) -> Iterator[Stored]:
    """What a stream has now. `info` is what it says about itself."""
    last = info["state"]["last_seq"]
    stream = info["config"]["name"]
    read_some = _direct if info["config"].get("allow_direct") else _by_api
    asked: Document = {"seq": max(selection.first, info["state"]["first_seq"], 1)}
    if selection.since:
        begin = datetime.now(UTC) - timedelta(microseconds=selection.since / 1000)
        asked = {"start_time": begin.isoformat().replace("+00:00", "Z")}
    while asked.get("seq", 0) <= last:
        asked["next_by_subj"] = selection.subject or ">"
        sequence = 0
        for message in read_some(api, stream, asked):
            if message.sequence > last:
                return
            yield message
            sequence = message.sequence
        if not sequence:
            return
        asked = {"seq": sequence + 1}


def _direct(api: Api, stream: str, asked: Document) -> Iterator[Stored]:
    answers = api.several(f"DIRECT.GET.{stream}", **asked, batch=AT_ONCE)
    for answer in answers:
        code, words = answer.status
        if code in (END, NOT_FOUND):
            return
        if code:
            raise ClientError(f"{stream}: {code} {words}")
        yield of_answer(answer)


def _by_api(api: Api, stream: str, asked: Document) -> Iterator[Stored]:
    found = api.find(f"STREAM.MSG.GET.{stream}", **asked)
    if found is not None:
        yield of_api(found)


def of_answer(answer: Received) -> Stored:
    """A direct get's."""
    facts = dict(answer.fields)
    fields = tuple(field for field in answer.fields if field[0] not in OF_THE_ANSWER)
    return Stored(int(facts[SEQUENCE]), facts[TIME], facts[SUBJECT], fields, answer.payload)


def of_api(told: Document) -> Stored:
    message = told["message"]
    header = base64.b64decode(message.get("hdrs") or "")
    payload = base64.b64decode(message.get("data") or "")
    return Stored(message["seq"], message["time"], message["subject"], tuple(read_header(header)), payload)
