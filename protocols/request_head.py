"""The head of an HTTP request before h11 reads it: collected, bounded, and without what h11 takes long to refuse.

Where a control character follows a run of blanks, h11's patterns go through the run once for each blank in it.
"""

# Among the characters that h11 takes for neither text nor white space within a line.
_CONTROLS = b"\0\x0b\x0c"
# It handles them one by one.
MOST_FIELDS = 128


def holds_controls(head: bytes) -> bool:
    """Whether there is a control character that no field may hold; a CR at the end may still get its LF."""
    if head.translate(None, _CONTROLS) != head:
        return True
    crs = head.count(b"\r") - (1 if head.endswith(b"\r") else 0)
    return head.count(b"\r\n") != crs


def complaint_of(error: Exception) -> str:
    """What h11 says is wrong, without the line that it quotes: there may be a password, a cookie or a token in it."""
    return str(error).partition(": ")[0]


class RequestHead:
    """Collects one head of at most `limit` bytes; see `receive`."""

    __slots__ = ("_held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = bytearray()

    def unfinished_bytes(self) -> int:
        return len(self._held)

    def receive(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The head with its blank line, and what came behind it; None while it is incomplete.

        What is too long or no HTTP at all is given back as it is, for the parser to refuse.
        """
        held = self._held
        known = len(held)
        held += data[: self.limit - known]
        stop = _find_end(held, max(known - 3, 0))
        if stop < 0:
            if len(held) < self.limit and held[0] > 0x20:
                return None
            stop = len(held)
        return bytes(held[:stop]), bytes(held[stop:]) + data[len(held) - known :]


def _find_end(head: bytearray, start: int) -> int:
    """Behind the first blank line that ends at `start` or later, or -1."""
    ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := head.find(mark, start)) >= 0]
    return min(ends, default=-1)
