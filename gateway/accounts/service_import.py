"""Service imports: requests of one account that another one answers.

A request goes on under the service's own subject, with a reply subject (`_R_.…`) that only the exporter knows; what is
published there comes back to the requester. Of who asks the service hears in `Nats-Request-Info`.
"""

import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.accounts.client_facts import (
    ClientFacts,
    client_info,
    facts_of,
    shown,
    time_text,
    told_from,
    with_info,
)
from gateway.accounts.passing_on import Passage, PassingRoute
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.stream_imports import PRIVATE, ImportPort, SharingPort
from gateway.runtime.deadlines import Deadline
from gateway.runtime.identity import new_token
from gateway.runtime.runtime import Runtime
from gateway.settings.security import Export, Import, Latency
from gateway.settings.sharing_rules import import_transform
from protocols import foreign_json
from protocols.message import Message, make_message, readdressed

T = TypeVar("T")

REPLY_PREFIX = b"_R_."
# Bytes of chance in a name. Whoever may publish in the account could answer in another's place if he guessed one, or if
# those that he was asked with told him the next ones.
NAME_BYTES = 12
# Answers that one import waits for; the oldest is given up for a further one.
MOST_AWAITED = 16_384
# Those of one account in all, and of those that answers to one request ask for in return.
MOST_OPEN = 65_536
MOST_ASKED_BACK = 128
LATENCY_TYPE = "io.nats.server.metric.v1.service_latency"
BAD_REQUEST = 400, "Bad Request"
UNAVAILABLE = 503, "Service Unavailable"
TIMED_OUT = 504, "Service Timeout"


def new_name() -> bytes:
    return os.urandom(NAME_BYTES).hex().encode()


class AwaitedAnswer:
    """What is published on `name` in one account is an answer to `reply` in another one, until it is `over`.

    `track` hears of the first answer, from whom it came; or, with a status, that there is none.
    """

    __slots__ = ("account", "asked_back", "deadline", "name", "over", "reply", "seconds", "singleton", "track")

    def __init__(
        self,
        name: bytes,
        account: Account,
        reply: bytes,
        export: Export,
        over: Callable[[bytes], None],
    ) -> None:
        self.name = name
        self.account = account
        self.reply = reply
        self.seconds = export.response_seconds
        self.singleton = export.response == "singleton"
        self.over = over
        self.asked_back = 0
        self.deadline: Deadline | None = None
        self.track: Callable[[Port | None, tuple[int, str]], None] | None = None


class ServicePort(SharingPort):
    """The place of one service import."""

    __slots__ = ()

    def combine(self, subject: bytes, receivers: list[Receiver]) -> Receiver | None:
        return receivers[0]


class Answers(PassingRoute):
    """Takes what is published on the reply subjects of requests from other accounts, in the account that answers.

    Hubs are told of it, so that services behind them can answer.
    """

    __slots__ = ("_account", "_awaited", "_prefix", "_runtime")

    def __init__(self, runtime: Runtime, account: Account) -> None:
        self._prefix = REPLY_PREFIX + new_name() + b"."
        super().__init__(ServicePort(None), self._prefix + b">", b"")
        self.combines = True
        self._runtime = runtime
        self._account = account
        self._awaited: dict[bytes, AwaitedAnswer] = {}

    def expect(self, account: Account, reply: bytes, export: Export, over: Callable[[bytes], None]) -> AwaitedAnswer:
        """Expect an answer to `reply` in the account; returns what knows the subject that stands for it here."""
        if self.slot < 0:
            self._account.router.subscribe(self)
        if len(self._awaited) >= MOST_OPEN:
            self.forget(next(iter(self._awaited)), TIMED_OUT)
        name = self._prefix + new_name()
        while name in self._awaited:
            name = self._prefix + new_name()
        awaited = self._awaited[name] = AwaitedAnswer(name, account, reply, export, over)
        self._keep_time(awaited)
        return awaited

    def forget(self, name: bytes, outcome: tuple[int, str] | None = None) -> None:
        """The answer is not waited for any more, for that reason."""
        awaited = self._awaited.pop(name, None)
        if awaited is None:
            return
        self._runtime.deadlines.cancel(awaited.deadline)
        track, awaited.track = awaited.track, None
        if track is not None and outcome is not None:
            track(None, outcome)
        awaited.over(name)

    def reach(self, subject: bytes) -> int:
        awaited = self._awaited.get(subject)
        return 0 if awaited is None else awaited.account.router.reach(awaited.reply)

    def passage(self, message: Message, source: Port) -> Passage | None:
        awaited = self._awaited.get(message.subject)
        if awaited is None:
            return None
        track, awaited.track = awaited.track, None
        if track is not None:
            track(source, (200, ""))
        answer = readdressed(message, awaited.reply)
        answer.queues = None
        if message.reply:
            awaited.asked_back += 1
            more = awaited.asked_back <= MOST_ASKED_BACK
            answer = with_reply(answer, self._reply_to(message.reply, awaited) if more else b"")
        return AnswerPassage(self, awaited, answer)

    def passed(self, awaited: AwaitedAnswer, is_last: bool) -> None:
        """An answer has gone to whoever asked."""
        if is_last:
            self.forget(awaited.name)
        elif awaited.name in self._awaited:
            self._runtime.deadlines.cancel(awaited.deadline)
            self._keep_time(awaited)

    def _reply_to(self, reply: bytes, awaited: AwaitedAnswer) -> bytes:
        """What an answer is to be answered on, in the account of whoever asked."""
        answers = awaited.account.answers
        assert isinstance(answers, Answers)
        rules = Export(service=">", response_seconds=awaited.seconds)
        return answers.expect(self._account, reply, rules, ignored).name

    def _keep_time(self, awaited: AwaitedAnswer) -> None:
        def give_up(now: float) -> None:
            self.forget(awaited.name, TIMED_OUT)

        awaited.deadline = self._runtime.deadlines.call_at(trio.current_time() + awaited.seconds, give_up)


class AnswerPassage(Passage):
    """An answer on its way to whoever asked."""

    __slots__ = ("_answers", "_awaited")

    def __init__(self, answers: Answers, awaited: AwaitedAnswer, answer: Message) -> None:
        super().__init__(awaited.account.router, answer)
        self._answers = answers
        self._awaited = awaited

    def over(self, taken: int) -> None:
        self._answers.passed(self._awaited, not taken or self._awaited.singleton or not self.message.size)


class ServiceImport(PassingRoute):
    """Takes the requests of `importer`'s clients on the subject of a service of `exporter`'s."""

    __slots__ = (
        "_awaited",
        "_calling",
        "_exporter",
        "_importer",
        "_is_counting",
        "_remote_of",
        "_runtime",
        "export",
        "rules",
    )

    def __init__(self, runtime: Runtime, importer: Account, exporter: Account, rules: Import, export: Export) -> None:
        transform = import_transform(rules)
        super().__init__(ServicePort(None), transform.pattern, b"")
        self.combines = True
        self.rules = rules
        self.export = export
        self._runtime = runtime
        self._importer = importer
        self._exporter = exporter
        self._remote_of = transform.reverse().apply
        self._awaited: dict[bytes, None] = {}
        self._calling = self._is_counting = False

    def open(self) -> None:
        self._importer.router.subscribe(self)

    def close(self) -> None:
        self._importer.router.unsubscribe(self)
        for name in list(self._awaited):
            self._answers.forget(name)

    @property
    def _answers(self) -> Answers:
        answers = self._exporter.answers
        assert isinstance(answers, Answers)
        return answers

    def reach(self, subject: bytes) -> int:
        if self._is_counting:  # Services that are passed on in a circle.
            return 0
        self._is_counting = True
        try:
            return self._exporter.router.reach(self._remote_of(subject))
        finally:
            self._is_counting = False

    def calls(self, subject: bytes) -> tuple[Account, bytes]:
        """Whose service a request on a subject goes to, and its subject there; b"" where it does not go."""
        remote = self._remote_of(subject)
        return self._exporter, b"" if subject.startswith(PRIVATE) or remote.startswith(PRIVATE) else remote

    def passage(self, message: Message, source: Port) -> Passage | None:
        # A stream is no request; and one that comes back on its way is not passed on again.
        if isinstance(source, ImportPort) or self._calling:
            return None
        _, remote = self.calls(message.subject)
        # Of a service with wildcards: what each account is answered itself.
        if not remote:
            return None
        reply = b""
        awaited: AwaitedAnswer | None = None
        latency = self.export.latency
        sampled = latency is not None and random.randrange(100) < latency.sampling
        facts = facts_of(source)
        if message.reply:
            awaited = self._expect(message.reply)
            reply = awaited.name
            if sampled and latency is not None:
                awaited.track = self._tracker(latency, facts)
        elif sampled and latency is not None:
            self._tracker(latency, facts)(None, BAD_REQUEST)
        return RequestPassage(self, awaited, with_info(message, remote, reply, self._info(message, facts)))

    def hand_on(self, deliver: Callable[[], T]) -> T:
        """Deliver in the exporter's account. Only meanwhile is what a request says of who asks taken for true there."""
        self._exporter.serving += 1
        self._calling = True
        try:
            return deliver()
        finally:
            self._exporter.serving -= 1
            self._calling = False

    def passed(self, awaited: AwaitedAnswer | None, taken: int) -> None:
        """So many have taken a request."""
        if not taken and awaited is not None:
            self._answers.forget(awaited.name, UNAVAILABLE)

    @property
    def exporter(self) -> Account:
        return self._exporter

    def _expect(self, reply: bytes) -> AwaitedAnswer:
        if len(self._awaited) >= MOST_AWAITED:
            self._answers.forget(next(iter(self._awaited)), TIMED_OUT)
        awaited = self._answers.expect(self._importer, reply, self.export, self._over)
        self._awaited[awaited.name] = None
        return awaited

    def _over(self, name: bytes) -> None:
        self._awaited.pop(name, None)

    def _info(self, message: Message, facts: ClientFacts | None) -> dict[str, object] | None:
        """Who asks. A request that was passed on before says so itself, and by which account."""
        before = told_from(message.header()) if self._importer.serving else b""
        if before:
            try:
                told = foreign_json.decode(before, dict[str, object])
            except msgspec.DecodeError:
                told = {}
            if told:
                return told | {"svc": self._importer.name}
        if facts is None:
            return None
        return client_info(facts, self._importer.name, self._runtime.names.server_name, self.rules.share)

    def _tracker(self, latency: Latency, facts: ClientFacts | None) -> Callable[[Port | None, tuple[int, str]], None]:
        """What publishes one sample, in nats-server's form, in the exporting account."""
        asked = time.time()
        before = trio.current_time()
        requester, detailed, names = self._importer.name, self.rules.share, self._runtime.names

        def track(responder: Port | None, outcome: tuple[int, str]) -> None:
            answered = facts_of(responder) if responder is not None else None
            rtt = facts.rtt or 0.0 if facts is not None else 0.0
            responder_rtt = answered.rtt or 0.0 if answered is not None else 0.0
            passed = trio.current_time() - before if responder is not None else 0.0
            account = self._exporter.name
            sample: dict[str, object] = {
                "type": LATENCY_TYPE,
                "id": new_token(),
                "timestamp": time_text(time.time()),
                "status": outcome[0],
            }
            told: dict[str, object] = {"description": outcome[1]}
            if facts is not None:
                told["requestor"] = client_info(facts, requester, names.server_name, detailed)
            if answered is not None:
                told["responder"] = client_info(answered, account, names.server_name, True)
            spans = {
                "start": time_text(asked - rtt),
                "service": nanoseconds(passed - responder_rtt) if responder is not None else 0,
                "system": 0,
                "total": nanoseconds(rtt + passed) if responder is not None else 0,
            }
            payload = msgspec.json.encode(sample | shown(told) | spans)
            self._exporter.publish(make_message(latency.subject.encode(), payload))

        return track


class RequestPassage(Passage):
    """A request on its way to a service."""

    __slots__ = ("_awaited", "_imported")

    def __init__(self, imported: ServiceImport, awaited: AwaitedAnswer | None, request: Message) -> None:
        super().__init__(imported.exporter.router, request)
        self._imported = imported
        self._awaited = awaited

    def inside(self, deliver: Callable[[], T]) -> T:
        return self._imported.hand_on(deliver)

    def over(self, taken: int) -> None:
        self._imported.passed(self._awaited, taken)


def nanoseconds(seconds: float) -> int:
    return max(int(seconds * 1e9), 0)


def with_reply(message: Message, reply: bytes) -> Message:
    made = make_message(message.subject, message.payload(), reply, message.header())
    made.qos = message.qos
    return made


def ignored(name: bytes) -> None:
    """Nobody wants to know."""
