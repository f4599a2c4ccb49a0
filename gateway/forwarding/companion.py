"""What an account's durability is told of its buffers."""

from collections.abc import Callable, Sequence
from functools import partial

from gateway.dataplane.verdicts import Verdicts
from gateway.forwarding.buffer import Buffer
from gateway.storage.identities import Identities
from gateway.storage.joint_durability import Companion
from gateway.storage.streams.commits import Commits
from gateway.storage.streams.stored_message import MESSAGE_BYTES
from protocols.message import Message
from protocols.subjects import is_meant, matches


class BufferDurability(Companion):
    """The buffers of one account; in one store, or in that of the disk and that of the memory."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._commits: list[Commits] = list(dict.fromkeys(buffer.store.commits for buffer in buffers))
        filters = [subject.encode() for buffer in buffers for subject in buffer.config.subjects]
        on_disk = [buffer for buffer in buffers if not buffer.config.memory]
        kept = [subject.encode() for buffer in on_disk for subject in buffer.config.subjects]
        self._stores = Verdicts(partial(is_among, filters))
        self._keeps = Verdicts(partial(is_among, kept))
        self._identities = on_disk[0].store.identities if on_disk else None

    def identities(self, subject: bytes) -> Identities | None:
        """Ids are kept where the message is, of one that is on the disk."""
        return self._identities if self._identities is not None and self._keeps.allow(subject) else None

    def mark(self) -> int:
        if len(self._commits) == 1:
            return self._commits[0].backlog.changes
        return sum([commits.mark() for commits in self._commits])

    def awaited(self) -> object | None:
        if len(self._commits) == 1:
            return self._commits[0].awaited()
        found = [one for one in (commits.awaited() for commits in self._commits) if one is not None]
        return found[0] if len(found) < 2 and found else tuple(found) or None

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        if len(self._commits) == 1:
            self._commits[0].when_durable(action)
            return
        left = len(self._commits)

        def durable() -> None:
            nonlocal left
            left -= 1
            if not left:
                action()

        for commits in self._commits:
            commits.when_durable(durable)

    def refuses(self, message: Message, before: int) -> bool:
        size = (MESSAGE_BYTES + len(message.subject) + message.size) * (1 + before)
        for commits in self._commits:
            if commits.refusal(size) is not None:
                return self._stores.allow(message.subject)
        return False


def is_among(filters: Sequence[bytes], subject: bytes) -> bool:
    return any(matches(one, subject) and is_meant(one, subject) for one in filters)
