"""permessage-deflate (RFC 7692), server role, without context takeover: between two messages nothing is kept."""

import zlib

from protocols.websocket.close_codes import CloseCode
from protocols.websocket.errors import FrameError

NAME = "permessage-deflate"
LARGEST_WINDOW_BITS = 15
# The protocol allows 8 too, but zlib has no raw stream with it.
SMALLEST_WINDOW_BITS = 9
# Nobody makes more offers; each is looked at.
MOST_OFFERS = 16
# About what zlib keeps for a message that is arriving: its window and its tables.
INFLATER_BYTES = 42_000
# What ends every flushed block, and is therefore left out on the wire [RFC 7692 7.2.1].
FLUSH_MARK = b"\x00\x00\xff\xff"


class MessageDeflate:
    """Inflates the peer's messages, each up to `max_message_size` bytes on the wire and inflated; deflates ours.

    `has_more` says that `inflate` did not get to the end of what it was given.
    """

    __slots__ = ("_inflater", "_limit", "_rest", "_size_inflated", "_size_on_wire", "_window_bits", "has_more")

    def __init__(self, max_message_size: int, window_bits: int) -> None:
        self._limit = max_message_size
        self._window_bits = window_bits
        # Of the compressed message that is arriving.
        self._inflater: zlib._Decompress | None = None
        self._rest = b""
        self._size_on_wire = 0
        self._size_inflated = 0
        self.has_more = False

    def limit(self, max_message_size: int) -> None:
        """Change the limit, for the message that is arriving too."""
        self._limit = max_message_size

    def deflate(self, data: bytes) -> bytes:
        """The payload of a message that holds `data`. Fast rather than small: the gateway's processor is slow."""
        deflater = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -self._window_bits)
        return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(FLUSH_MARK)]

    def begin(self) -> None:
        """A compressed message begins."""
        self._inflater = zlib.decompressobj(-LARGEST_WINDOW_BITS)
        self._rest = b""
        self._size_on_wire = self._size_inflated = 0

    def end(self) -> None:
        """It has ended: nothing is kept of it."""
        self._inflater = None
        self._rest = b""

    def announce(self, size: int) -> None:
        """So many bytes more of the message are about to arrive; raises FrameError when they are too many."""
        self._size_on_wire += size
        if self._size_on_wire > self._limit:
            raise _too_big()

    def inflate(self, payload: bytes, ends: bool, most: int) -> bytes:
        """At most `most` bytes of what a piece of the message holds; with `ends` it is the last one.

        While `has_more`, go on with an empty piece before the next one. Raises FrameError.
        """
        inflater = self._inflater
        assert inflater is not None
        if inflater.eof:
            return b""  # Behind a block marked as the last one there is only padding [RFC 7692 7.2.3.4].
        data = self._rest + payload if self._rest else payload
        if ends:
            data += FLUSH_MARK
        try:
            inflated = inflater.decompress(data, most)
        except zlib.error:
            raise FrameError(CloseCode.INVALID_FRAME_PAYLOAD_DATA, "compressed data is corrupt") from None
        self._size_inflated += len(inflated)
        if self._size_inflated > self._limit:
            raise _too_big()
        self._rest = inflater.unconsumed_tail
        # What is full may have more to give although it has eaten up all.
        self.has_more = len(inflated) == most and not inflater.eof
        return inflated


def _too_big() -> FrameError:
    return FrameError(CloseCode.MESSAGE_TOO_BIG, "message too big")


def accept_offer(offers: list[str], max_message_size: int) -> tuple[MessageDeflate, str] | None:
    """The first offer that can be met, with the answer to it; None when there is none.

    `offers` are the elements of Sec-WebSocket-Extensions in the client's order of preference.
    """
    for offer in offers[:MOST_OFFERS]:
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == NAME and (window_bits := _window_bits(parameters)) is not None:
            answer = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
            if window_bits != LARGEST_WINDOW_BITS:
                answer += f"; server_max_window_bits={window_bits}"
            return MessageDeflate(max_message_size, window_bits), answer
    return None


def _window_bits(parameters: list[str]) -> int | None:
    """The size of our window under an offer; None for an offer that must be declined [RFC 7692 7.1]."""
    window_bits = LARGEST_WINDOW_BITS
    seen: set[str] = set()
    for parameter in parameters:
        name, equals, value = (part.strip() for part in parameter.lower().partition("="))
        bits = _bits(value.strip('"'))
        if name in seen:
            return None
        seen.add(name)
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if equals:
                return None
        elif name == "server_max_window_bits":
            if bits is None or bits < SMALLEST_WINDOW_BITS:
                return None
            window_bits = bits
        elif name != "client_max_window_bits" or (equals and bits is None):
            return None
    return window_bits


def _bits(value: str) -> int | None:
    return int(value) if value in ("8", "9", "10", "11", "12", "13", "14", "15") else None
