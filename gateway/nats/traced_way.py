"""The way of a traced message: where it came in, what its subject became, and who gets it.

Of what becomes of it in another account only this is told, that it went there: so does nats-server, if not told to do
otherwise.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

from gateway.accounts.account import Account
from gateway.accounts.client_facts import facts_of, shown, time_text
from gateway.accounts.service_import import ServiceImport
from gateway.dataplane.nats_receivers import LeafPort, NatsSubscription
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.stream_imports import ImportedGroup, ImportedInterest
from gateway.dataplane.subject_tree import Interest
from protocols.message import Message

CLIENT, LEAF = 0, 4
NO_ECHO = "Not delivered because of no echo"
SUBSCRIPTION_DENIED = "Not delivered because subscription denies this subject"
# A link passes on what it is given, but tells nothing of it.
LINK_TRACES_NOT = (
    "Message delivered but remote does not support message tracing so no trace event generated from there",
    "Not delivered because remote does not support message tracing",
)
# Steps that are told of one message, and members of queue groups that are looked at for it: who gets one of larger
# groups, or what comes behind so many filters, is not told.
MOST_STEPS = 512
MOST_MEMBERS = 1024
MOST_LOOKS = 4

Step = dict[str, object]


class TracedWay:
    """Of a message from `source` in `account`. `only`: it is not delivered."""

    def __init__(self, account: Account, source: Port, only: bool) -> None:
        self._account = account
        self._source = source
        self._only = only
        self._chosen: list[tuple[Step, list[NatsSubscription], list[int]]] = []
        self._room = MOST_MEMBERS
        self.steps: list[Step] = []

    def came_in(self, message: Message, cid: int, name: str) -> Step:
        """The first step."""
        about = {"kind": CLIENT, "cid": cid, "acc": self._account.name, "subj": text(message.subject)}
        return self._add("in", about | ({"name": name} if name else {}))

    def mapped(self, subject: bytes) -> None:
        """The subject became another one."""
        self._add("sm", {"to": text(subject)})

    def follow(self, subject: bytes) -> None:
        """Note who gets a message on a subject; before it is handed on."""
        groups: dict[bytes, list[Receiver]] = {}
        told: set[Port] = set()
        links: set[Port] = set()
        for interest in self._interests(subject):
            for receiver in interest.plain:
                if len(self.steps) >= MOST_STEPS:
                    return
                if not (receiver.combines and receiver.port in told):
                    told.add(receiver.port)
                    self._receive(receiver, subject)
            for name, members in islice((interest.groups or {}).items(), MOST_STEPS):
                groups.setdefault(name, []).extend(self._some(members))
            links.update(one.port for receivers in (interest.beyond or {}).values() for one in receivers)
        for members in islice(groups.values(), MOST_STEPS - len(self.steps)):
            self._choose(members, subject)
        for link in links:
            self._cross(link)

    def _interests(self, subject: bytes) -> list[Interest]:
        """Those that a subject matches, as far as they are found soon."""
        found: list[Interest] = []
        walk = self._account.router.tree.find(subject, found)
        for _ in range(MOST_LOOKS):
            if walk is None or not walk.go_on():
                break
        return found[:MOST_STEPS]

    def _some(self, members: list[Receiver]) -> list[Receiver]:
        """Those of a group, as long as there is room."""
        some = members[: self._room]
        self._room -= len(some)
        return some

    def delivered(self) -> None:
        """The message has been handed on: note which member of each queue group got it."""
        for step, members, before in self._chosen:
            for member, count in zip(members, before, strict=True):
                if member.delivered > count:
                    step |= self._client(member) or {}
                    break
            else:
                if not self._room:  # It is one that was not looked at.
                    step.pop("cid", None)
                    step.pop("name", None)

    def _receive(self, receiver: Receiver, subject: bytes) -> None:
        if isinstance(receiver, ServiceImport):
            exporter, remote = receiver.calls(subject)
            if remote:
                self._add("si", {"acc": exporter.name, "from": text(subject), "to": text(remote)})
        elif isinstance(receiver, ImportedInterest | ImportedGroup):
            port = receiver.imported
            local, importer = port.local_of(subject), port.router.owner()
            if port.source_of(self._source) is not None and local and isinstance(importer, Account):
                self._add("se", {"acc": importer.name, "to": text(local)})
        else:
            about = self._client(receiver)
            if about is not None:
                self._add("eg", about | self._obstacle(receiver, subject))

    def _choose(self, members: list[Receiver], subject: bytes) -> None:
        """One member of a queue group; which one that was is known behind its delivery."""
        able = [one for one in members if one.leads(subject)]
        if not able:
            return
        count = len(self.steps)
        self._receive(random.choice(able), subject)
        if len(self.steps) > count and not self._only:
            clients = [one for one in able if isinstance(one, NatsSubscription)]
            self._chosen.append((self.steps[-1], clients, [one.delivered for one in clients]))

    def _cross(self, link: Port) -> None:
        if self._source.leaf or not isinstance(link, LeafPort):
            return
        facts = facts_of(link)
        about: Step = {"kind": LEAF, "cid": facts.cid if facts is not None else 0}
        if facts is not None and facts.name:
            about["name"] = facts.name
        self._add("eg", about | {"error": LINK_TRACES_NOT[self._only]})

    def _client(self, receiver: Receiver) -> Step | None:
        """A client that gets the message; None for what is none."""
        facts = facts_of(receiver.port)
        if facts is None or not facts.cid:
            return None
        about: Step = {"kind": CLIENT, "cid": facts.cid}
        return about | shown({"name": facts.name, "sub": text(receiver.subject), "queue": text(receiver.queue)})

    def _obstacle(self, receiver: Receiver, subject: bytes) -> Step:
        if receiver.port is self._source and not self._source.echo:
            return {"error": NO_ECHO}
        return {} if receiver.leads(subject) else {"error": SUBSCRIPTION_DENIED}

    def _add(self, kind: str, about: Step) -> Step:
        step: Step = {"type": kind, "ts": time_text(datetime.now(UTC).timestamp())} | about
        self.steps.append(step)
        return step


def request_of(message: Message, fields: Iterable[tuple[str, str]]) -> dict[str, object]:
    """The message, as a trace tells of it."""
    header: dict[str, list[str]] = {}
    for name, value in fields:
        header.setdefault(name, []).append(value)
    return {"header": header, "msgsize": message.size}


def text(subject: bytes) -> str:
    return subject.decode("utf-8", "replace")
