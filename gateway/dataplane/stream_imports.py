"""Receivers of streams that other accounts import: each takes what is published in its account to the importer's (hot).

They stand in the exporter's subject tree, in the place of those who are interested in the importing account.
"""

from collections.abc import Callable

from gateway.dataplane.deliveries import BorderRoute, Carrying
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import Router
from gateway.dataplane.routes import LOOKED_AT_AS_DELIVERED
from gateway.dataplane.subject_tree import Interest
from protocols.message import Burst, Message, readdressed

# What the gateway answers in each account, and answers on their way: nothing from another account comes to them.
PRIVATE = (b"$LEAFGATE.", b"$SYS.", b"_R_.", b"_MQTT5.")


class SharingPort(Port):
    """The place of receivers that lead to another account: they are no interest of anybody's here."""

    __slots__ = ()


class ImportPort(SharingPort):
    """Where messages come from that are imported. Who gets them does not pass them on to a third account.

    `router` is the importer's. Messages from beyond a link have a port of their own, `from_link`, so that they go over
    no other one.
    """

    __slots__ = ("_local_of", "from_link", "router")

    def __init__(self, router: Router, local_of: Callable[[bytes], bytes], from_link: "ImportPort | None") -> None:
        """`local_of` says what a subject of the exporter's is called by the importer."""
        super().__init__(None)
        self.router = router
        self._local_of = local_of
        self.from_link = from_link
        self.leaf = from_link is None

    def local_of(self, subject: bytes) -> bytes:
        """What a subject is called by the importer; b"" for one that it does not get."""
        local = b"" if subject.startswith(PRIVATE) else self._local_of(subject)
        # Tokens of the exporter's may come first here.
        return b"" if local.startswith(PRIVATE) else local

    def combine(self, subject: bytes, receivers: list[Receiver]) -> Receiver | None:
        local = self.local_of(subject)
        return ImportRoute(self, subject, local) if local else None

    def source_of(self, source: Port) -> "ImportPort | None":
        """The port that messages of a source come from; None where they have been imported already."""
        if isinstance(source, ImportPort):
            return None
        return self.from_link if source.leaf else self


def import_port(router: Router, local_of: Callable[[bytes], bytes]) -> ImportPort:
    return ImportPort(router, local_of, ImportPort(router, local_of, None))


class ImportedInterest(Receiver):
    """Interest in the importing account in what matches `subject` here; several of one import get a message once."""

    __slots__ = ("imported",)

    def __init__(self, port: ImportPort, subject: bytes) -> None:
        super().__init__(port, subject, b"")
        self.imported = port
        self.combines = True

    def deliver(self, message: Message, source: Port) -> bool:
        return False

    def alone(self) -> Receiver:
        return ImportRoute(self.imported, b"", b"")


class ImportedGroup(Receiver):
    """A queue group in the importing account: a member of the group of that name here, that hands on to one of its own.

    `interest` is where the members stand.
    """

    __slots__ = ("_interest", "imported")

    def __init__(self, port: ImportPort, subject: bytes, queue: bytes, interest: Interest, shared: bool) -> None:
        super().__init__(port, subject, queue)
        self.shared = shared
        self.imported = port
        self._interest = interest

    def is_durable(self) -> bool:
        for member in self._members():  # noqa: SIM110 - compiled, a generator cannot stand here
            if member.is_durable():
                return True
        return False

    def deliver(self, message: Message, source: Port) -> bool:
        imported = self.imported.source_of(source)
        local = self.imported.local_of(message.subject)
        members = self._members()
        if imported is None or not local or not members:
            return False
        source.effort += len(members) // LOOKED_AT_AS_DELIVERED
        copy = readdressed(message, local)
        copy.queues = None
        taken = self.imported.router.carry_to_one(copy, members, imported)
        message.refused = message.refused or copy.refused
        return taken

    def _members(self) -> list[Receiver]:
        return (self._interest.groups or {}).get(self.queue, [])


class ImportRoute(BorderRoute):
    """Takes messages on one literal subject to those in the importing account that are interested in the `local` one.

    Without a subject it takes messages on any: those in a row that are equal share the local subject.
    """

    __slots__ = ("_follows", "_imported", "_lead", "_local", "_of")

    def __init__(self, port: ImportPort, subject: bytes, local: bytes) -> None:
        super().__init__(port, subject, b"")
        self._imported = port
        self._of = subject
        self._local = local
        # Of every message to those who speak NATS.
        self._lead = b"MSG " + local
        self._follows = not subject

    def deliver(self, message: Message, source: Port) -> bool:
        imported = self._imported.source_of(source)
        if imported is None or (self._follows and not self._leads_to(message.subject)):
            return False
        copy = readdressed(message, self._local)
        copy.queues = None
        copy.lead = self._lead
        taken = self._imported.router.carry(copy, imported)
        message.refused = message.refused or copy.refused
        return taken > 0

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        imported = self._imported.source_of(source)
        if imported is None or (self._follows and not self._leads_to(burst.subject)):
            return
        self._imported.router.carry_burst(burst.readdressed(self._local), imported)

    def reach(self, subject: bytes) -> int:
        if self._follows and not self._leads_to(subject):
            return 0
        return self._imported.router.reach(self._local)

    def begin(self, event: Message | Burst, source: Port) -> Carrying | None:
        imported = self._imported.source_of(source)
        if imported is None or (self._follows and not self._leads_to(event.subject)):
            return None
        if isinstance(event, Burst):
            return self._imported.router.begin_carrying(event.readdressed(self._local), imported)
        copy = readdressed(event, self._local)
        copy.queues = None
        copy.lead = self._lead
        return self._imported.router.begin_carrying(copy, imported)

    def _leads_to(self, subject: bytes) -> bool:
        if subject != self._of:
            self._of = subject
            self._local = self._imported.local_of(subject)
            self._lead = b"MSG " + self._local
        return bool(self._local)
