"""Inlet: what comes from another system, published into an account; it tells when that may be acknowledged there."""

from collections.abc import Callable

import trio

from gateway.accounts.account import Account
from gateway.accounts.permissions import make_permissions
from gateway.dataplane.port import Port
from gateway.dataplane.verdicts import Denied, Verdicts
from gateway.runtime.drops import Drops, example_of
from gateway.runtime.runtime import Runtime
from gateway.settings.security import PermissionRules, SubjectRule
from gateway.storage.durability import TOO_SLOW
from protocols.foreign_text import is_legal_literal
from protocols.message import Message
from protocols.subjects import RESERVED_SUBJECTS

# How soon what the disk did not take is tried again: twice as long each time, up to the second.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
TOO_LARGE = "a message is larger than limits.max-payload-bytes"
ILLEGAL = "what its subject would be is none"
NOT_PERMITTED = "its subject may not be published to"


class Inlet:
    """`publish` are subjects that messages may come to; without rules all but those that begin with `$`. `received`
    counts what was published since the start, `fault` says why the disk takes nothing, or is "". What can never be
    published is dropped and counted: the other side would bring it for ever.
    """

    def __init__(self, runtime: Runtime, account: Account, publish: SubjectRule | None, drops: Drops) -> None:
        self.account = account
        self.received = 0
        self.fault = ""
        self.port = Port(None)
        self._runtime = runtime
        self._drops = drops
        rules = publish or SubjectRule()
        permissions = make_permissions(PermissionRules(publish=rules))
        names_all = rules.allow is not None

        def judge(subject: bytes) -> bool:
            if subject.startswith(RESERVED_SUBJECTS) or (subject.startswith(b"$") and not names_all):
                return False
            return is_legal_literal(subject) and permissions.may_publish(subject)

        self.port.may_publish = Verdicts(judge)

    async def publish(self, messages: list[Message]) -> None:
        """Hand messages to whoever is interested, in order. Waits while the disk takes nothing; a message that is tried
        again may reach a second time those who keep nothing.
        """
        most = self._runtime.settings.limits.max_payload_bytes
        events: list[object] = [message for message in messages if message.size <= most]
        if len(events) < len(messages):
            large = next(message for message in messages if message.size > most)
            self._drops.count(TOO_LARGE, len(messages) - len(events), example=example(large))
        router, switch = self.account.router, self._runtime.switch
        index, pause = 0, FIRST_PAUSE
        while index < len(events):
            before = index
            index = router.forward(events, index, self.port, True)
            self.received += index - before
            switch.flush()
            left = events[index] if index < len(events) else None
            if isinstance(left, Denied):
                self._drops.count(reason_of(left.event), example=example(left.event))
                index += 1
            elif isinstance(left, Message) and left.refused:
                self.fault = self.account.obstacle() or TOO_SLOW
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                left.refused = False
                left.delivered = 0
                continue
            pause = FIRST_PAUSE
            self.fault = ""
            await trio.lowlevel.checkpoint()

    def when_durable(self, stored: Callable[[], None], refused: Callable[[], None]) -> None:
        """Call `stored` once everything published so far that must survive is on the disk, maybe at once; or `refused`
        where it never will be: then nothing of it may be acknowledged. Who asked first is called first.
        """
        self.account.durability.when_durable(stored, refused)
        self._runtime.switch.flush()


def reason_of(event: object) -> str:
    """Why a message is not published."""
    return NOT_PERMITTED if isinstance(event, Message) and is_legal_literal(event.subject) else ILLEGAL


def example(event: object) -> str:
    """The subject of a message, as a line of the log shows it."""
    return example_of(event.subject) if isinstance(event, Message) else ""
