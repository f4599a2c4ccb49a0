"""Frames: whole values out of a stream that is cut anywhere, and what a client reads of a server's answers."""

from collections.abc import Mapping

import msgspec

from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.fluent.scanning import NotMessagePackError, Scanner
from protocols.fluent.values import UNREADABLE

# What a server answers is no longer than this.
LARGEST_ANSWER = 1 << 16


class FrameReader:
    """Cuts a stream into values of `most` bytes at most, each as it came."""

    __slots__ = ("_at", "_is_waiting", "_rest", "_scanner")

    def __init__(self, most: int) -> None:
        self._scanner = Scanner(most)
        self._rest = bytearray()
        self._at = 0
        # There is no whole one.
        self._is_waiting = True

    def limit(self, most: int) -> None:
        """Hold another limit from the next value on."""
        self._scanner = Scanner(most)

    @property
    def has_more(self) -> bool:
        """Whether there may be a whole value."""
        return not self._is_waiting

    def unfinished_bytes(self) -> int:
        return len(self._rest) - self._at

    def feed(self, data: bytes) -> None:
        self._rest += data
        self._is_waiting = False

    def next(self) -> bytes | PeerViolation | None:
        """The next value; None where none is whole. What is no MessagePack, or too large, is the last thing that is
        told.
        """
        rest, at = self._rest, self._at
        if at < len(rest):
            try:
                end = self._scanner.end(rest, at)
            except NotMessagePackError as error:
                self._rest, self._at, self._is_waiting = bytearray(), 0, True
                return PeerViolation(CloseReason.PARSE_ERROR, str(error))
            if end >= 0:
                self._at = end
                return bytes(rest[at:end])
        del rest[:at]
        self._at = 0
        self._is_waiting = True
        return None


def read_acknowledgement(data: bytes) -> bytes | None:
    """The id that a server acknowledges; None where it says something else."""
    try:
        value = msgspec.msgpack.decode(data)
    except UNREADABLE:
        return None
    found = value.get("ack") if isinstance(value, Mapping) else None
    if isinstance(found, str):
        return found.encode()
    return found if isinstance(found, bytes) else None
