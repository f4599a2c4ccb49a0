"""Requests to JetStream's API, over one connection."""

import argparse
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.command.client_commands import target_of
from gateway.command.clients.link import ANSWER_SECONDS, Interest, Outgoing, Received, Target
from gateway.command.clients.opening import new_inbox, open_link
from gateway.errors import ClientError, ConfigError

Document = dict[str, Any]
# Publications that may wait for their acknowledgements.
WINDOW = 256
NO_RESPONDERS, NOT_FOUND = 503, 404


class ApiError(ClientError):
    """The API has said no; `code` is its own number for why."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Api:
    """As a context it has a connection. Everything raises ClientError."""

    def __init__(self, target: Target, domain: str = "", timeout: float = ANSWER_SECONDS) -> None:
        self._timeout = timeout
        self._api = f"$JS.{domain}.API." if domain else "$JS.API."
        # In front of what is published into buckets of a domain.
        self.lead = self._api if domain else ""
        inbox = new_inbox(target)
        self._inbox = inbox
        self._link = open_link(target, [Interest(inbox + b".*")])
        self._count = 0
        # Acknowledgements that are waited for, and those that came while something else was.
        self._awaited: set[bytes] = set()
        self._kept: dict[bytes, Received] = {}
        self._url = str(target.url)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def ask(self, path: str, **fields: object) -> Document:
        """A request to the API. Raises ApiError for one that is refused."""
        return checked(self._answer_to(f"{self._api}{path}", json.dumps(fields).encode() if fields else b""))

    def find(self, path: str, **fields: object) -> Document | None:
        """The same; None where there is no such thing."""
        try:
            return self.ask(path, **fields)
        except ApiError as error:
            if error.code in (10037, 10059, 10014):  # No message; no stream; no consumer.
                return None
            raise

    def pages(self, path: str, key: str) -> Iterator[Document]:
        """All elements of a listing that comes in pages."""
        offset, total = 0, 1
        while offset < total:
            told = self.ask(path, offset=offset)
            found = told.get(key) or []
            yield from found
            offset, total = offset + len(found), told.get("total", 0) if found else 0

    def publish(self, subject: str, payload: bytes, fields: Iterable[tuple[str, str]] = ()) -> Document:
        """Into a stream; its acknowledgement. Raises ApiError for one that is refused."""
        return checked(self._answer_to(subject, payload, tuple(fields)))

    def publish_all(self, messages: Iterable[Outgoing]) -> Iterator[tuple[Outgoing, Document]]:
        """Many, each with its acknowledgement, in their order; the next ones go out meanwhile."""
        waiting: deque[tuple[bytes, Outgoing]] = deque()
        for message in messages:
            inbox = self._next_inbox()
            self._link.publish([message._replace(reply=inbox)])
            waiting.append((inbox, message))
            self._awaited.add(inbox)
            if len(waiting) >= WINDOW:
                yield self._acknowledged(*waiting.popleft())
        while waiting:
            yield self._acknowledged(*waiting.popleft())

    def several(self, path: str, **fields: object) -> Iterator[Received]:
        """A request to the API that is answered with many messages; the caller says when it has the last."""
        inbox = self._next_inbox()
        payload = json.dumps(fields).encode()
        self._link.publish([Outgoing(f"{self._api}{path}".encode(), payload, inbox)])
        while True:
            yield self._next_for(inbox, path)

    def _acknowledged(self, inbox: bytes, message: Outgoing) -> tuple[Outgoing, Document]:
        name = message.name.decode("utf-8", "replace")
        answer = self._next_for(inbox, name)
        self._awaited.discard(inbox)
        return message, self._document(answer, name)

    def _answer_to(self, subject: str, payload: bytes, fields: tuple[tuple[str, str], ...] = ()) -> Document:
        inbox = self._next_inbox()
        self._link.publish([Outgoing(subject.encode(), payload, inbox, fields)])
        return self._document(self._next_for(inbox, subject), subject)

    def _next_for(self, inbox: bytes, what: str) -> Received:
        """The next answer to an inbox. What comes late for one that is not waited for any more is passed over."""
        answer = self._kept.pop(inbox, None)
        deadline = time.monotonic() + self._timeout
        while answer is None:
            came = self._link.next_message(deadline)
            if came is None:
                raise self._silence(what)
            if came.name == inbox:
                answer = came
            elif came.name in self._awaited:
                self._kept[came.name] = came
        if answer.status[0] == NO_RESPONDERS:
            raise ClientError(f"{self._url} has no streams, or none that take {what}")
        return answer

    def _document(self, answer: Received, what: str) -> Document:
        try:
            told = json.loads(answer.payload)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise ClientError(f"{self._url} answered to {what} with something that is no JSON object")
        return told

    def _silence(self, what: str) -> ClientError:
        return ClientError(f"no answer to {what} within {self._timeout:g} s")

    def _next_inbox(self) -> bytes:
        self._count += 1
        return b"%b.%d" % (self._inbox, self._count)


def api_of(options: argparse.Namespace) -> Api:
    """That of the server that the options name."""
    target = target_of(options)
    if target.speaks_mqtt:
        raise ConfigError("--server: streams are reached by NATS: nats, tls, ws or wss")
    return Api(target, options.domain, options.timeout)


def checked(told: Document) -> Document:
    """An answer that is none of an error. Raises ApiError."""
    error = told.get("error")
    if isinstance(error, dict):
        raise ApiError(str(error.get("description") or error), int(error.get("err_code", 0)))
    return told
