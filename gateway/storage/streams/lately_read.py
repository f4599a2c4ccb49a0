"""LatelyRead: chunks that were read for single messages, and the newest of streams in which those are looked for, in
memory for those who ask for others of theirs (hot).
"""

from collections import OrderedDict

from gateway.storage.streams.chunk import SEQUENCE_BITS, ChunkRow, StoredChunk
from gateway.storage.streams.frames import Frames
from gateway.storage.streams.stored_message import StoredMessage

# What those of all streams take at most, where nothing else is said, and one besides its bytes.
MOST_BYTES = 32 << 20
OBJECT_BYTES = 400


class LatelyRead:
    """By their keys, those that were asked for last at the end; the others go where all take more than `most_bytes`."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.bytes = 0
        self._most_bytes = most_bytes
        self._chunks: OrderedDict[int, StoredChunk] = OrderedDict()

    def find(self, key: int, last: int) -> StoredChunk | None:
        """The chunk with a key that ends with a sequence: one that was folded since is another."""
        chunk = self._chunks.get(key)
        if chunk is None or chunk.last != last:
            return None
        self._chunks.move_to_end(key)
        return chunk

    def add(self, chunk: StoredChunk) -> None:
        """One whose checksum fits."""
        self._drop(chunk.key)
        self._chunks[chunk.key] = chunk
        self.bytes += size_of(chunk)
        while self.bytes > self._most_bytes and len(self._chunks) > 1:
            self._drop(next(iter(self._chunks)))

    def forget(self, stream: int) -> None:
        """A stream is removed, and another may have its number."""
        for key in [key for key in self._chunks if key >> SEQUENCE_BITS == stream]:
            self._drop(key)

    def _drop(self, key: int) -> None:
        chunk = self._chunks.pop(key, None)
        if chunk is not None:
            self.bytes -= size_of(chunk)


def size_of(chunk: StoredChunk) -> int:
    return len(chunk.body) + len(chunk.offsets) + OBJECT_BYTES


def message_in(chunk: StoredChunk | ChunkRow, sequence: int) -> StoredMessage | None:
    """The message with a sequence, if the chunk has it."""
    frames = Frames(chunk, sequence)
    if not frames.go_on() or frames.sequence != sequence:
        return None
    frames.cut()
    return StoredMessage(sequence, frames.time_ns, frames.subject, frames.header, frames.payload)
