"""Rules at work: each in the subject space of its account, begun and ended as the configuration says."""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from gateway.rules.receivers import RuleReceiver
from gateway.rules.rule import Rule
from gateway.runtime.deadlines import Deadline
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.rule import Rule as RuleConfig

if TYPE_CHECKING:
    from gateway.accounts.account import Account
    from gateway.runtime.runtime import Runtime

log = logging.getLogger("leafgate.rules")

# Windows that are ended in one go, before others have their turn.
ENDED_AT_ONCE = 128
# A rule whose last error is no older than this has a fault to tell of.
FAULT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """What there is to tell of a rule at one moment; `fault` is what went wrong within the last minute."""

    name: str
    account: str
    source: str
    target: str
    taken_msgs: int
    made_msgs: int
    filtered_msgs: int
    held_msgs: int
    error_msgs: int
    errors: dict[str, int] = field(default_factory=dict)
    last_error: str = ""
    fault: str = ""
    subjects: int = 0
    bytes: int = 0
    forgotten_subjects: int = 0


class RuleAtWork:
    """One rule in its account."""

    def __init__(self, runtime: "Runtime", account: "Account", config: RuleConfig) -> None:
        self.account = account
        self.rule = Rule(config)
        self.rule.report = self._report
        self._runtime = runtime
        self._deadline: Deadline | None = None
        self._failed_at = -math.inf
        in_order = account.in_order
        self._receiver = RuleReceiver(self.rule, account.router, trio.current_time, self._due_at, in_order)

    @property
    def config(self) -> RuleConfig:
        return self.rule.config

    def begin(self) -> None:
        self.account.router.subscribe(self._receiver)

    def end(self) -> None:
        """Take no more, and hand on what is collected."""
        self.account.router.unsubscribe(self._receiver)
        self._runtime.deadlines.cancel(self._deadline)
        for outcome in self.rule.end(trio.current_time()):
            self._receiver.send(outcome.subject, outcome.payload)
        self._runtime.switch.flush()

    def status(self) -> RuleStatus:
        rule = self.rule
        is_recent = trio.current_time() - self._failed_at < FAULT_SECONDS
        return RuleStatus(
            name=rule.name,
            account=self.account.name,
            source=rule.config.source,
            target=rule.config.target,
            taken_msgs=rule.taken,
            made_msgs=rule.made,
            filtered_msgs=rule.filtered,
            held_msgs=rule.held,
            error_msgs=rule.errors.total(),
            errors=dict(rule.errors),
            last_error=rule.last_error,
            fault=rule.last_error if is_recent else "",
            subjects=len(rule.memory),
            bytes=rule.memory.size,
            forgotten_subjects=rule.memory.forgotten,
        )

    def _report(self, kind: str, sentence: str) -> None:
        self._failed_at = trio.current_time()
        text = "rule=%s event=no-result kind=%s total=%d reason=%r"
        key = ("rule", self.rule.name, kind)
        total = self.rule.errors[kind]
        self._runtime.repeats.log(log, logging.WARNING, key, text, self.rule.name, kind, total, sentence)

    def _due_at(self, when: float) -> None:
        deadline = self._deadline
        if deadline is not None and deadline.action is not None:
            if deadline.when <= when:
                return
            self._runtime.deadlines.cancel(deadline)
        self._deadline = self._runtime.deadlines.call_at(when, self._end_windows)

    def _end_windows(self, now: float) -> None:
        for outcome in self.rule.due(now, ENDED_AT_ONCE):
            self._receiver.send(outcome.subject, outcome.payload)
        due = self.rule.next_due
        if due is not None:
            self._due_at(due)


class Rules:
    """`at_work` is kept to those that there are, in the order of the configuration; the list stays the same one."""

    def __init__(self, runtime: "Runtime", accounts: "Mapping[str, Account]", at_work: list[RuleAtWork]) -> None:
        self.at_work = at_work
        self._runtime = runtime
        self._accounts = accounts

    def replace(self, configured: Iterable[RuleConfig]) -> None:
        """Begin what is new and end what is not there any more. One that is the same goes on with what it remembers."""
        before = {one.rule.name: one for one in self.at_work}
        rules: list[RuleAtWork] = []
        for config in configured:
            rule = before.pop(config.name, None)
            account = self._accounts.get(config.account or DEFAULT_ACCOUNT)
            if account is None:  # One of an operator's whose JWT is not here.
                log.warning("rule=%s event=no-account account=%s", config.name, config.account)
                continue
            if rule is None or rule.config != config or rule.account is not account:
                if rule is not None:
                    rule.end()
                rule = RuleAtWork(self._runtime, account, config)
                rule.begin()
            rules.append(rule)
        for rule in before.values():
            rule.end()
        self.at_work[:] = rules

    def end(self) -> None:
        """Hand on what is collected: the gateway stops."""
        for rule in self.at_work:
            rule.end()
