"""Inlet: what comes from another system, published into an account; it tells when that may be acknowledged there."""

import trio

from gateway.accounts.account import Account
from gateway.accounts.permissions import make_permissions
from gateway.dataplane.port import Port
from gateway.dataplane.verdicts import Denied, Verdicts
from gateway.integrations.site import IntegrationError
from gateway.runtime.drops import Drops
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
            return permissions.may_publish(subject)

        self.port.may_publish = Verdicts(judge)

    async def publish(self, messages: list[Message]) -> None:
        """Hand messages to whoever is interested, in order. Waits while the disk takes nothing; a message that is tried
        again may reach a second time those who keep nothing.
        """
        most = self._runtime.settings.limits.max_payload_bytes
        events: list[object] = [message for message in messages if self._is_fit(message, most)]
        router, switch = self.account.router, self._runtime.switch
        index, pause = 0, FIRST_PAUSE
        while index < len(events):
            before = index
            index = router.forward(events, index, self.port, True)
            self.received += index - before
            switch.flush()
            left = events[index] if index < len(events) else None
            if isinstance(left, Denied):
                self._drops.count(NOT_PERMITTED, example=example(left.event))
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

    async def durable(self) -> None:
        """Wait until everything published so far that must survive is on the disk. Raises IntegrationError where it
        never will be: then nothing of it may be acknowledged.
        """
        event, good = trio.Event(), [True]

        def refused() -> None:
            good[0] = False
            event.set()

        self.account.durability.when_durable(event.set, refused)
        if not event.is_set():
            self._runtime.switch.flush()
        await event.wait()
        if not good[0]:
            raise IntegrationError("what came cannot be stored", lasting=True)

    def _is_fit(self, message: Message, most: int) -> bool:
        if message.size > most:
            self._drops.count(TOO_LARGE, example=example(message))
            return False
        if not is_legal_literal(message.subject):
            self._drops.count(ILLEGAL, example=example(message))
            return False
        return True


def example(event: object) -> str:
    """The subject of a message, as a line of the log shows it."""
    return event.subject[:256].decode("utf-8", "replace") if isinstance(event, Message) else ""
