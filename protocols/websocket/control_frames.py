"""Control frames [RFC 6455 5.5]: what those of a client say, and how ours are written."""

from typing import NamedTuple

from protocols.websocket.close_codes import CloseCode, may_be_sent
from protocols.websocket.errors import FrameError

LARGEST_CONTROL_PAYLOAD = 125
LONGEST_REASON = LARGEST_CONTROL_PAYLOAD - 2

_CLOSE = 0x88  # FIN and the opcode
_PING = 0x89
_PONG = 0x8A


class Pings(NamedTuple):
    """The peer has sent a ping so many `times`, and wants the payloads of these, the last ones, back in pongs.

    Only that of the very last is owed [RFC 6455 5.5.3]; peers that count their pongs send fewer than these at once.
    """

    payloads: tuple[bytes, ...]
    times: int


class Closed(NamedTuple):
    """The peer has closed the WebSocket; 1005 stands for a close frame without a code."""

    code: int
    reason: str


def read_close(payload: bytes) -> Closed:
    """What a close frame says; raises FrameError."""
    if not payload:
        return Closed(int(CloseCode.NO_STATUS_RCVD), "")
    if len(payload) == 1:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    if not may_be_sent(code):
        raise FrameError(CloseCode.PROTOCOL_ERROR, f"{code} is no close code to send")
    try:
        return Closed(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise FrameError(CloseCode.INVALID_FRAME_PAYLOAD_DATA, "close reason is not UTF-8") from None


def encode_close(code: int, reason: str) -> bytes:
    """A close frame; 1005 makes one without code and reason, and a reason that is too long is cut."""
    if code == CloseCode.NO_STATUS_RCVD:
        return _encode(_CLOSE, b"")
    text = reason.encode()[:LONGEST_REASON].decode(errors="ignore").encode()  # not inside a character
    return _encode(_CLOSE, code.to_bytes(2, "big") + text)


def encode_ping(payload: bytes) -> bytes:
    return _encode(_PING, payload)


def encode_pong(payload: bytes) -> bytes:
    return _encode(_PONG, payload)


def _encode(first: int, payload: bytes) -> bytes:
    assert len(payload) <= LARGEST_CONTROL_PAYLOAD
    return b"%c%c%b" % (first, len(payload), payload)
