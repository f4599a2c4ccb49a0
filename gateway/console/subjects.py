"""Subjects: those branches of the tree that a page has open, or what a filter matches, each with its last value."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.accounts.account import Account
from gateway.accounts.permissions import Permissions
from gateway.console.subject_samples import Node, SubjectSamples
from gateway.console.watching import Watching
from gateway.monitoring.report import Fields
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import OwnTurn

# What is shown of a branch, and of what a filter finds.
MOST_CHILDREN = 200
# Of what a filter finds so many are counted.
MOST_COUNTED = 1000

Prefix = Annotated[str, Meta(max_length=256)]


class SubjectsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`open` are the branches whose children are wanted, "" is the top. With a `filter`, what it matches instead, from
    `offset` on.
    """

    open: Annotated[tuple[Prefix, ...], Meta(max_length=32)] = ("",)
    filter: Prefix = ""
    offset: Annotated[int, Meta(ge=0)] = 0


class Subjects:
    """What `$LEAFGATE.console.subjects` answers."""

    def __init__(self, runtime: Runtime, watching: Watching) -> None:
        self._runtime = runtime
        self._watching = watching

    async def tell(self, account: Account, permissions: Permissions, asked: SubjectsQuery) -> Fields | None:
        """None where too many look already."""
        samples = self._watching.samples(account, permissions)
        if samples is None:
            return None
        fields: Fields = {"subjects": samples.root.below, "left_out": samples.left_out}
        if asked.filter:
            return fields | await self._matching(account, samples, asked)
        turn = OwnTurn(self._runtime.turns)
        branches: dict[str, object] = {}
        hidden: dict[str, int] = {}
        for prefix in asked.open:
            count, found = samples.children(prefix, MOST_CHILDREN)
            lines: list[Fields] = []
            for token, node in found:
                lines.append(branch(account, token, node))
                if turn.is_over():
                    await turn.next()
            branches[prefix] = lines
            if count > len(lines):
                hidden[prefix] = count - len(lines)
        return fields | {"open": branches, "hidden": hidden}

    async def _matching(self, account: Account, samples: SubjectSamples, asked: SubjectsQuery) -> Fields:
        turn = OwnTurn(self._runtime.turns)
        found: list[object] = []
        count = 0
        for sample in samples.matching(asked.filter.encode()):
            if sample is not None:
                count += 1
                if asked.offset < count <= asked.offset + MOST_CHILDREN:
                    found.append(sample.shown() | kept(account, sample.subject))
                if count == MOST_COUNTED:
                    break
            if turn.is_over():
                await turn.next()
        return {"matching": count, "found": found}


def branch(account: Account, token: str, node: Node) -> Fields:
    """One line of the tree."""
    line: Fields = {"token": token, "below": node.below}
    if node.sample is not None:
        line |= node.sample.shown() | kept(account, node.sample.subject)
    return line


def kept(account: Account, subject: bytes) -> Fields:
    """Whether a message is retained there."""
    return {"retained": True} if subject in account.retained else {}
