"""Aside: what two gateways of a pair say to each other over their link, which is no message of the account's.

It stands between the messages of the link, on a subject of its own, and is taken out before anything is routed: nobody
who listens to everything hears it, and no client can say it.
"""

from collections.abc import Callable

from protocols.message import Burst, Message

SUBJECT = b"$LEAFGATE.pair"
# Of one message; the decoder at the other end bounds it, too.
MOST_BYTES = 16 << 10


def encode(data: bytes) -> bytes:
    """`data` in pieces, each with a byte in front that says whether it is the last."""
    pieces = []
    for start in range(0, len(data) or 1, MOST_BYTES):
        piece = data[start : start + MOST_BYTES]
        mark = b"." if start + MOST_BYTES >= len(data) else b"+"
        pieces.append(b"LMSG %b %d\r\n%b%b\r\n" % (SUBJECT, len(piece) + 1, mark, piece))
    return b"".join(pieces)


def take_out(events: list[object], take: Callable[[bytes], None]) -> list[object]:
    """What is left of the events of a link without what was said aside, which is taken."""
    if not any(isinstance(one, Message | Burst) and one.subject == SUBJECT for one in events):
        return events
    rest: list[object] = []
    for event in events:
        if isinstance(event, Message | Burst) and event.subject == SUBJECT:
            for message in [event] if isinstance(event, Message) else event.messages():
                take(message.payload())
        else:
            rest.append(event)
    return rest


class Pieces:
    """Puts together what was sent in pieces, of `limit` bytes at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> bytes | None:
        """The whole, with its last piece. Raises ValueError where it is more than may be."""
        self._size += len(piece)
        if self._size > self._limit:
            raise ValueError(f"more than {self._limit} bytes in one piece")
        self._pieces.append(piece[1:])
        if piece[:1] != b".":
            return None
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return whole
