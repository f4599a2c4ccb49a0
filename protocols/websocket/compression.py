"""permessage-deflate (RFC 7692), server role, without context takeover: between two messages nothing is kept.

wsproto's own extension inflates whatever arrives; this one stops at a limit.
"""

import zlib

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

NAME = "permessage-deflate"
LARGEST_WINDOW_BITS = 15
# The protocol allows 8 too, but zlib has no raw stream with it.
SMALLEST_WINDOW_BITS = 9
# What ends every flushed block, and is therefore left out on the wire [RFC 7692 7.2.1].
FLUSH_MARK = b"\x00\x00\xff\xff"

_NO_BITS = RsvBits(False, False, False)
_COMPRESSED_BIT = RsvBits(True, False, False)


class MessageDeflate(Extension):
    """Inflates the peer's messages, each up to `max_message_size` bytes on the wire and inflated; deflates ours."""

    name = NAME

    def __init__(self, max_message_size: int, window_bits: int) -> None:
        self._limit = max_message_size
        self._window_bits = window_bits
        # Of the message that is arriving, when it is compressed.
        self._inflater: zlib._Decompress | None = None
        self._in_control_frame = False
        self._size_on_wire = 0
        self._size_inflated = 0

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        """Nothing: only the client role offers."""
        return False

    def deflate(self, data: bytes) -> bytes:
        """The payload of a message that holds `data`. Fast rather than small: the gateway's processor is slow."""
        deflater = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -self._window_bits)
        return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(FLUSH_MARK)]

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._in_control_frame = opcode.iscontrol()
        if self._in_control_frame:
            return _NO_BITS
        starts_message = opcode is not Opcode.CONTINUATION
        if starts_message:
            self._inflater = zlib.decompressobj(-LARGEST_WINDOW_BITS) if rsv.rsv1 else None
            self._size_on_wire = self._size_inflated = 0
        if self._inflater is not None:
            self._size_on_wire += payload_length
            if self._size_on_wire > self._limit:
                return CloseReason.MESSAGE_TOO_BIG
        # Only the first frame of a message tells whether it is compressed [RFC 7692 6.1].
        return _COMPRESSED_BIT if starts_message else _NO_BITS

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if self._inflater is None or self._in_control_frame:
            return data
        return self._inflate(self._inflater, data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if self._inflater is None or self._in_control_frame or not fin:
            return None
        rest = self._inflate(self._inflater, FLUSH_MARK)
        self._inflater = None
        return rest

    def _inflate(self, inflater: "zlib._Decompress", data: bytes) -> bytes | CloseReason:
        if inflater.eof:
            return b""  # Behind a block marked as the last one there is only padding [RFC 7692 7.2.3.4].
        room = self._limit - self._size_inflated
        try:
            inflated = inflater.decompress(data, room + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if len(inflated) > room:
            return CloseReason.MESSAGE_TOO_BIG
        self._size_inflated += len(inflated)
        return inflated


def accept_offer(offers: list[str], max_message_size: int) -> tuple[MessageDeflate, str] | None:
    """The first offer that can be met, with the answer to it; None when there is none.

    `offers` are the elements of Sec-WebSocket-Extensions in the client's order of preference.
    """
    for offer in offers:
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
