"""What an account's durability is told of its streams: an MQTT acknowledgement waits for them as a PubAck does."""

from collections.abc import Callable

from gateway.storage.identities import Identities
from gateway.storage.joint_durability import Companion
from gateway.storage.streams.store import StreamStore
from protocols.message import Message


class StreamDurability(Companion):
    """Of the streams on the disk; `keeps` tells whether one of them takes a subject."""

    def __init__(self, store: StreamStore, keeps: Callable[[bytes], bool]) -> None:
        self._store = store
        self._keeps = keeps

    def mark(self) -> int:
        return self._store.commits.mark()

    def awaited(self) -> object | None:
        return self._store.commits.awaited()

    def identities(self, subject: bytes) -> Identities | None:
        """Ids have their place where the message is, so that one commit has both."""
        return self._store.identities if self._keeps(subject) else None

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        self._store.commits.when_durable(action)

    def refuses(self, message: Message, before: int) -> bool:
        """A stream says so itself when it is handed the message."""
        return False
