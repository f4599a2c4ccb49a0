"""The form in which a server tells of itself: answers (`server`, and `data` or `error`) and events (`type`, `id`)."""

from datetime import UTC, datetime

import msgspec

from gateway.monitoring.report import Fields
from gateway.monitoring.time_text import timestamp
from gateway.runtime.identity import Names, new_token
from gateway.services.server_facts import server_facts

ADVISORY = "io.nats.server.advisory.v1."


class Envelope:
    """Counts what is told in it, so that a hearer knows what it missed."""

    __slots__ = ("_names", "_number")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._number = 0

    def server(self) -> Fields:
        """Who tells."""
        self._number += 1
        return server_facts(self._names, self._number)

    def answer(self, name: str, told: object) -> bytes:
        return msgspec.json.encode({"server": self.server(), name: told})

    def failure(self, code: int, description: str) -> bytes:
        return self.answer("error", {"code": code, "description": description})

    def event(self, kind: str, fields: Fields) -> bytes:
        """Something that has happened, of a kind that has a name of nats-server's."""
        head = {"type": ADVISORY + kind, "id": new_token(), "timestamp": timestamp(datetime.now(UTC))}
        return msgspec.json.encode(head | {"server": self.server()} | fields)
