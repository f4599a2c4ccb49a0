"""The archive that a snapshot of nats-server 2.15 is, inside S2: entries with name, time, sequence, header and payload.

First comes the state of the stream (`state.json`), then its consumers (`consumers/NAME`), then the messages by their
subjects; an entry of nothing says that it is whole.
"""

from typing import NamedTuple

from gateway.storage.streams.stored_message import StoredMessage
from protocols.s2.block import CorruptError, uvarint

MAGIC = b"NATSARC1"
STATE, CONSUMERS = b"state.json", b"consumers/"
# A name, and what an entry holds, may be so long.
LONGEST_NAME = 1 << 20
LARGEST_ENTRY = 64 << 20


class Entry(NamedTuple):
    """One of an archive; `sequence` is 0 where it is no message."""

    name: bytes
    time_ns: int
    sequence: int
    header: bytes
    payload: bytes

    @property
    def is_end(self) -> bool:
        return self == END


END = Entry(b"", 0, 0, b"", b"")


def number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def signed(value: int) -> bytes:
    return number(value << 1 if value >= 0 else ~(value << 1))


def encode(entry: Entry) -> bytes:
    name, time_ns, sequence, header, payload = entry
    sizes = number(len(name)), signed(time_ns), number(sequence), number(len(header)), number(len(payload))
    return b"".join((*sizes, name, header, payload))


def encode_message(message: StoredMessage) -> bytes:
    return encode(Entry(message.subject, message.time_ns, message.sequence, message.header, message.payload))


class ArchiveReader:
    """Reads an archive piece by piece. What is not read yet is at most an entry."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._has_begun = False

    def feed(self, data: bytes) -> list[Entry]:
        """The entries that are whole with this. Raises CorruptError."""
        rest = self._rest
        rest += data
        if not self._has_begun:
            if len(rest) < len(MAGIC):
                return []
            if not rest.startswith(MAGIC):
                raise CorruptError("this is no snapshot of nats-server 2.15 or newer")
            self._has_begun = True
            del rest[: len(MAGIC)]
        entries: list[Entry] = []
        view, at = bytes(rest), 0
        while (found := _entry(view, at)) is not None:
            entry, at = found
            entries.append(entry)
        del rest[:at]
        return entries

    def finish(self) -> None:
        """There is no more. Raises CorruptError where an entry is cut short."""
        if self._rest or not self._has_begun:
            raise CorruptError("the snapshot is cut short")


def _entry(data: bytes, at: int) -> tuple[Entry, int] | None:
    """An entry, and where it ends; None where it is not whole. Raises CorruptError."""
    values: list[int] = []
    for _ in range(5):
        if not _is_whole(data, at):
            return None
        value, at = uvarint(data, at)
        values.append(value)
    name_size, time_ns, sequence, header_size, payload_size = values
    if name_size > LONGEST_NAME or header_size + payload_size > LARGEST_ENTRY:
        raise CorruptError("an entry is too large")
    end = at + name_size + header_size + payload_size
    if end > len(data):
        return None
    header_at = at + name_size
    payload_at = header_at + header_size
    time_ns = (time_ns >> 1) ^ -(time_ns & 1)
    return Entry(data[at:header_at], time_ns, sequence, data[header_at:payload_at], data[payload_at:end]), end


def _is_whole(data: bytes, at: int) -> bool:
    """Whether a number that begins there ends there, too, or is none."""
    end = min(at + 10, len(data))
    return any(byte < 0x80 for byte in data[at:end]) or end - at == 10
