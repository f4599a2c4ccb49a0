"""Supply: the messages of a stream that a consumer has in its hands, looked at one by one (hot)."""

from collections.abc import Callable, Sequence

from gateway.storage.streams.chunk import ChunkRow, StoredChunk
from gateway.storage.streams.frames import Frames
from gateway.streams.consumer_state import ConsumerState
from gateway.streams.selection import Selection


class Supply:
    """What `look` has found next is told by `sequence`, `time_ns`, `subject`, `header` and `payload`, and stays until
    `drop`. Messages in front of `first`, older than `start_ns` or not in the selection are passed over, and where there
    are gaps those of which `is_there` says so.
    """

    __slots__ = (
        "_chunks",
        "_first",
        "_frames",
        "_has_one",
        "first",
        "has_gaps",
        "header",
        "is_there",
        "payload",
        "selection",
        "sequence",
        "start_ns",
        "state",
        "subject",
        "time_ns",
    )

    def __init__(
        self, state: ConsumerState, selection: Selection, start_ns: int, is_there: Callable[[int], bool]
    ) -> None:
        self.state = state
        self.selection = selection
        self.start_ns = start_ns
        self.is_there = is_there
        self.first = 0
        self.has_gaps = False
        self.sequence = self.time_ns = 0
        self.subject = self.header = self.payload = b""
        self._has_one = False
        self._frames: Frames | None = None
        self._chunks: list[StoredChunk | ChunkRow] = []
        self._first = 0

    def clear(self) -> None:
        self._has_one = False
        self._frames = None
        self._chunks = []

    def add_chunks(self, chunks: Sequence[StoredChunk | ChunkRow], first: int) -> None:
        """Take the messages of chunks from a sequence on; nothing else may be left."""
        self._chunks = [*reversed(chunks)]
        self._first = first

    def look(self) -> bool:
        """Have the next message told; False where there is none."""
        while not self._has_one:
            frames = self._frames
            if frames is not None:
                if not frames.go_on():
                    self._frames = None
                elif self._passes(frames.sequence, frames.time_ns, frames.subject):
                    frames.cut()
                    self.sequence = frames.sequence
                    self.time_ns = frames.time_ns
                    self.subject = frames.subject
                    self.header = frames.header
                    self.payload = frames.payload
                    self._has_one = True
            elif self._chunks:
                self._frames = Frames(self._chunks.pop(), self._first)
            else:
                return False
        return True

    def drop(self) -> None:
        """Be through with what was told."""
        self._has_one = False

    def _passes(self, sequence: int, time_ns: int, subject: bytes) -> bool:
        state = self.state
        if sequence < self.first or time_ns < self.start_ns or sequence < state.next:
            return False
        if sequence <= state.only_until and sequence not in state.only:
            return False
        if self.selection.filters and not self.selection.wants(subject):
            return False
        return not self.has_gaps or bool(self.is_there(sequence))


def count_in(chunks: Sequence[StoredChunk | ChunkRow], selection: Selection, first: int, last: int) -> int:
    """How many messages of some chunks, with sequences from one to another, are wanted."""
    count = 0
    for chunk in chunks:
        frames = Frames(chunk, first)
        while frames.go_on() and frames.sequence <= last:
            if selection.wants(frames.subject):
                count += 1
    return count
