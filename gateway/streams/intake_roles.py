"""Roles: what streams, their intakes and the batches there ask of each other."""

from typing import NamedTuple, Protocol

from gateway.dataplane.port import Port
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams import errors
from gateway.streams.counters import Total
from gateway.streams.promises import Promises
from gateway.streams.publishing import Publication
from gateway.streams.roles import Home, PublishedTo
from gateway.streams.schedules import Schedules
from gateway.streams.staged import Staged


class Prepared(NamedTuple):
    """A message against which nothing is to be said, as it is stored; `total` is what its counter has with it."""

    subject: bytes
    header: bytes
    payload: bytes
    publication: Publication
    total: Total | None
    purges: bytes


class Intaking(PublishedTo, Protocol):
    """A stream, as its intake sees it."""

    home: Home
    promises: Promises
    schedules: Schedules | None
    is_closed: bool

    @property
    def lead(self) -> bytes:
        """What each answer to a publisher begins with."""

    async def last_message(self, subject: bytes) -> StoredMessage | None: ...

    def store(
        self, subject: bytes, header: bytes, payload: bytes, publication: Publication | None, time_ns: int = 0
    ) -> int: ...

    def refuse(self, reply: bytes, source: Port, fault: errors.Fault) -> None: ...


class Intake(Protocol):
    """An intake, as the batches see it that it takes."""

    stream: Intaking

    def subject_of(self, subject: bytes) -> bytes:
        """Under which subject a message is kept."""

    def prepare(
        self, subject: bytes, header: bytes, payload: bytes, fields: dict[bytes, bytes], staged: Staged | None = None
    ) -> Prepared:
        """See whether a message may be stored, and as what. Raises ApiError."""

    def store(self, prepared: Prepared) -> int:
        """Store it. Raises RefusedError and ApiError."""

    def answer(self, reply: bytes, source: Port, sequence: int, said: bytes = b"") -> None:
        """Promise that everything up to now will be on the disk."""
