"""LookUp: single messages of a stream, found where they are in memory (hot)."""

from gateway.storage.streams.appending import Appending
from gateway.storage.streams.chunk import SEQUENCE_BITS, ChunkRow, StoredChunk
from gateway.storage.streams.contents import Contents
from gateway.storage.streams.frames import Frames
from gateway.storage.streams.lately_read import LatelyRead
from gateway.storage.streams.tail import Tail


class LookUp:
    """In the stream with that number: in its tail, or in what was read lately.

    `missing` is the key of the chunk that the last look-up would have had to read; 0 where that would not help.
    """

    __slots__ = ("_contents", "_key", "_lately", "_recent", "_stored", "missing")

    def __init__(self, identifier: int, stored: Appending, contents: Contents, tail: Tail, lately: LatelyRead) -> None:
        self.missing = 0
        self._key = identifier << SEQUENCE_BITS
        self._stored = stored
        self._contents = contents
        self._recent = tail.by_first
        self._lately = lately

    def last_of(self, subject: bytes) -> Frames | None:
        """The last message of a subject, cut out; None where there is none, or it is not on the disk yet, or that is
        not known without a closer look.
        """
        states = self._stored.subjects
        contents = self._contents
        self.missing = 0
        if states is None or not (states.exact or contents.gapless):
            return None
        state = states.prune(subject, contents.first)
        if state is None:
            return None
        return self.find(state.last)

    def find(self, sequence: int) -> Frames | None:
        """The message with a sequence, cut out; None where it is not in memory, or not there, or not on the disk."""
        contents = self._contents
        directory = contents.directory
        self.missing = 0
        number = directory.find_known(sequence)
        if sequence < contents.first or not directory.holds(number, sequence):
            return None
        first = directory.first(number)
        if contents.holes.is_gone(first, sequence - first):
            return None
        chunk: StoredChunk | ChunkRow | None = self._recent.get(first)
        if chunk is None or chunk.last < sequence:  # In the tail there is what was folded since, too.
            chunk = self._lately.find(self._key | first, directory.last(number))
            if chunk is None:
                self.missing = self._key | first
                return None
        frames = Frames(chunk, sequence)
        if not frames.go_on() or frames.sequence != sequence:
            return None
        frames.cut()
        return frames
