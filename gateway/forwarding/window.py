"""Window: the messages that are on their way to a hub and not acknowledged yet."""

from collections.abc import Iterator

from gateway.forwarding.hub_streams import HubStream

# What may be under way: enough for a fast link over a continent, and little beside what the gateway may keep.
MOST_MESSAGES = 4096
MOST_BYTES = 8 << 20


class Sent:
    """A message under way. Everything from `first` to `sequence` is done with once it is acknowledged: in front of it
    there is nothing that is still to be sent. `is_alone`: nothing else is under way until it is answered.
    """

    __slots__ = ("first", "is_alone", "sent_at", "sequence", "size", "stream", "subject")

    def __init__(
        self,
        first: int,
        sequence: int,
        subject: bytes,
        size: int,
        stream: HubStream,
        sent_at: float,
        is_alone: bool = False,
    ) -> None:
        self.first = first
        self.sequence = sequence
        self.subject = subject
        self.size = size
        self.stream = stream
        self.sent_at = sent_at
        self.is_alone = is_alone


class Window:
    """Bounded in messages and bytes; one message always has room."""

    def __init__(self) -> None:
        self.bytes = 0
        self._sent: dict[int, Sent] = {}

    def __len__(self) -> int:
        return len(self._sent)

    def __iter__(self) -> Iterator[Sent]:
        return iter(self._sent.values())

    @property
    def has_room(self) -> bool:
        return len(self._sent) < MOST_MESSAGES and self.bytes < MOST_BYTES

    def room(self) -> tuple[int, int]:
        """How many messages, and how many bytes."""
        return MOST_MESSAGES - len(self._sent), MOST_BYTES - self.bytes

    def add(self, sent: Sent) -> None:
        self._sent[sent.sequence] = sent
        self.bytes += sent.size

    def get(self, sequence: int) -> Sent | None:
        return self._sent.get(sequence)

    def take(self, sequence: int) -> Sent | None:
        sent = self._sent.pop(sequence, None)
        if sent is not None:
            self.bytes -= sent.size
        return sent

    def oldest_at(self) -> float | None:
        """When the oldest was sent."""
        for sent in self._sent.values():
            return sent.sent_at
        return None

    def clear(self) -> None:
        self._sent.clear()
        self.bytes = 0
