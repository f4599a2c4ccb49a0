"""What an account's durability is told of its streams: an MQTT acknowledgement waits for them as a PubAck does."""

from collections.abc import Callable
from functools import partial

from gateway.storage.identities import Identities
from gateway.storage.joint_durability import Companion, LateIdentities
from gateway.storage.streams.store import StreamStore
from gateway.streams.unopened import HeldDurability
from protocols.message import Message


class StreamDurability(Companion):
    """Of the streams on the disk; `keeps` tells whether one of them takes a subject. What is `held` for one that is not
    open yet is waited for as well.
    """

    def __init__(self, store: StreamStore, keeps: Callable[[bytes], bool], held: HeldDurability) -> None:
        self._store = store
        self._keeps = keeps
        self._held = held

    def mark(self) -> int:
        return self._store.commits.mark() + self._held.marks

    def awaited(self) -> object | None:
        return self._store.commits.awaited() if self._held.is_empty else self._held

    def identities(self, subject: bytes) -> Identities | None:
        """Ids have their place where the message is, so that one commit has both."""
        if not self._keeps(subject):
            return None
        return self._store.identities if self._held.is_empty else LateIdentities(self._store.identities, self)

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        when_durable = self._store.commits.when_durable
        if self._held.is_empty:
            when_durable(action)
        else:
            self._held.wait(partial(when_durable, action), refused)

    def refuses(self, message: Message, before: int) -> bool:
        """A stream says so itself when it is handed the message."""
        return False
