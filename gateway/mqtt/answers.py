"""Answers: acknowledgements that an MQTT client waits for, each sent when what it promises is true."""

from collections import deque
from collections.abc import Callable

from gateway.storage.durability import Durability
from gateway.transport.connection import Connection

# A mark from before everything: the answer waits for all that is on its way to the disk, whoever changed it.
EVER = -1
# Bytes of answers that may wait for the disk: twice as many PUBACKs as there are identifiers.
MOST_HELD = 1 << 19


class Promise:
    """Answers that wait for one commit; `publishes` of them are PUBACKs."""

    __slots__ = ("packets", "publishes")

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.publishes = 0


class Answers:
    """Sends answers in the order in which they are given [MQTT-4.6.0-2].

    Take a `mark`, act, then `give` the answer: when acting changed something that must survive, it waits for the commit
    that holds the change.
    """

    __slots__ = ("_awaited", "_durability", "_obstacle", "_part", "_waiting", "_write", "held", "owed")

    def __init__(
        self, durability: Durability, write: Callable[[bytes], None], refuse: Callable[[], None] | None = None
    ) -> None:
        """`refuse` parts with the client because what it waits for cannot be promised."""
        self._durability = durability
        self._write = write
        self._part = refuse
        self._waiting: deque[Promise] | None = None
        # What stands for the commit that the last promise waits for.
        self._awaited: object | None = None
        self._obstacle: str | None = None
        # Bytes of answers that wait, and how many are PUBACKs of messages: the client may not have too many of either.
        self.held = 0
        self.owed = 0

    @property
    def fault(self) -> str | None:
        """Why nothing more can be promised at the moment."""
        return self._durability.fault or self._obstacle

    @property
    def broken(self) -> str | None:
        """Why nothing can be promised at all, not even that something is removed."""
        return self._durability.fault

    def look(self) -> None:
        """See whether the disk has room for more; once a batch will do."""
        self._obstacle = self._durability.obstacle()

    def mark(self) -> int:
        return self._durability.mark()

    def give(self, packet: bytes, mark: int, publishes: int = 0) -> None:
        """Send an answer once what was changed since `mark` is durable. It answers so many `publishes` of QoS 1."""
        durability = self._durability
        changed = durability.mark() != mark
        if not changed and not self._waiting:
            self._write(packet)
            return
        if self._waiting is None:
            self._waiting = deque()
        awaited = durability.awaited() if changed else self._awaited
        new = not self._waiting or awaited is not self._awaited
        if new:
            self._waiting.append(Promise())
        promise = self._waiting[-1]
        promise.packets.append(packet)
        self.held += len(packet)
        promise.publishes += publishes
        self.owed += publishes
        if new:
            self._awaited = awaited
            durability.when_durable(self._send, self._refuse)

    def withhold(self, connection: Connection, mark: int) -> None:
        """Let nothing reach the client before what was changed since `mark` is durable.

        For the CONNACK: all else has to come behind it, and after a crash a session that was to end must not be there,
        one that was to stay must. While the disk takes nothing only clients without such a session come this far.
        """
        durability = self._durability
        if durability.mark() != mark and not durability.fault:
            connection.withhold()
            durability.when_durable(connection.release)

    def close(self) -> None:
        """The client has gone: it will ask again."""
        self._waiting = None

    def _refuse(self) -> None:
        if self._waiting and self._part is not None:
            self._waiting = None
            self._part()

    def _send(self) -> None:
        if self._waiting:
            promise = self._waiting.popleft()
            self.owed -= promise.publishes
            if not self._waiting:
                self._awaited = None
            packets = b"".join(promise.packets)
            self.held -= len(packets)
            self._write(packets)
