"""A WebSocket, server role: to the session a stream of bytes like any other, behind an HTTP upgrade and in frames.

upgrade.py reads the request, frames.py the frames; what goes to the peer is written here.
"""

import struct

from protocols.close_reason import CloseReason
from protocols.errors import MisuseError, PeerViolation
from protocols.websocket.close_codes import CloseCode, may_be_sent
from protocols.websocket.compression import MessageDeflate
from protocols.websocket.control_frames import (
    LARGEST_CONTROL_PAYLOAD,
    Closed,
    Pings,
    encode_close,
    encode_ping,
    encode_pong,
)
from protocols.websocket.errors import FrameError
from protocols.websocket.frames import SLICE_BYTES, FrameDecoder
from protocols.websocket.upgrade import Acceptance, InnerProtocol, PageAsked, UpgradePolicy, UpgradeReader

# Browsers send the cookies of all that was ever served from a host.
MAX_REQUEST_BYTES = 32_768
# Smaller payloads hardly shrink.
COMPRESS_ABOVE = 64

_BINARY = 0x82  # FIN and the opcode [RFC 6455 5.2]
_BINARY_COMPRESSED = 0xC2  # and RSV1 [RFC 7692 6]
_MEDIUM_HEAD = struct.Struct("!BBH")
_LARGE_HEAD = struct.Struct("!BBQ")


class WebSocketServerCodec:
    """One peer's WebSocket, from its HTTP request to its close frame.

    Events: one PageAsked and nothing else, or one Upgraded; then at most one `bytes` per call, what the data frames
    of the batch held, joined; at the end Closed or PeerViolation, whose farewell is an HTTP response before the
    upgrade and a close frame after it. Pings are answered (of many at once the last ones) and the peer's close is
    echoed through `bytes_to_send`, and so is the upgrade: send those bytes before anything of the session's own.

    `protocols` are the inner protocols that may be asked for, `peer` is the address of who asks. `max_message_size`
    bounds a compressed message, on the wire and inflated; what is not compressed is never held back and needs no
    bound. About `slice_size` bytes are inflated per call: while `has_more`, `receive(b"")` goes on with what is there,
    after others have had their turn and before more is read.
    """

    __slots__ = ("_close_sent", "_deflate", "_ended", "_frames", "_outgoing", "_slice_size", "_upgrade")

    def __init__(
        self,
        policy: UpgradePolicy,
        protocols: frozenset[InnerProtocol],
        max_message_size: int,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        peer: str = "",
        slice_size: int = SLICE_BYTES,
    ) -> None:
        self._upgrade: UpgradeReader | None = UpgradeReader(
            policy, protocols, max_message_size, max_request_bytes, peer
        )
        self._frames: FrameDecoder | None = None
        self._deflate: MessageDeflate | None = None
        self._outgoing: list[bytes] = []
        self._slice_size = slice_size
        self._close_sent = False
        self._ended = False

    @property
    def upgraded(self) -> bool:
        """Whether frames may be sent."""
        return self._frames is not None

    @property
    def compresses(self) -> bool:
        """Whether permessage-deflate is agreed on."""
        return self._deflate is not None

    @property
    def has_more(self) -> bool:
        """Whether something is there to go on with."""
        return self._frames is not None and self._frames.has_more

    def limit(self, max_message_size: int) -> None:
        """Change the limit for what comes."""
        if self._upgrade is not None:
            self._upgrade.max_message_size = max_message_size
        if self._deflate is not None:
            self._deflate.limit(max_message_size)

    def unfinished_bytes(self) -> int:
        """About how many bytes are kept because a request, a frame or a message is not complete."""
        if self._upgrade is not None:
            return self._upgrade.unfinished_bytes()
        return self._frames.unfinished_bytes() if self._frames is not None else 0

    def receive(self, data: bytes) -> list[object]:
        if self._ended or not (data or self.has_more):
            return []
        if self._frames is not None:
            return self._receive_frames(self._frames, data)
        assert self._upgrade is not None
        decision = self._upgrade.receive(data)
        if decision is None:
            return []
        self._upgrade = None
        if isinstance(decision, PageAsked | PeerViolation):
            self._ended = True
            return [decision]
        return self._begin_frames(decision)

    def bytes_to_send(self) -> bytes:
        """What the codec itself has to say to the peer; each byte is handed out once."""
        if not self._outgoing:
            return b""
        outgoing, self._outgoing = self._outgoing, []
        return b"".join(outgoing)

    def encode(self, data: bytes) -> bytes:
        """One binary frame that holds `data`, compressed where that is agreed on and makes it smaller."""
        first, size = _BINARY, len(data)
        if self._deflate is not None and size > COMPRESS_ABOVE:
            deflated = self._deflate.deflate(data)
            if len(deflated) < size:
                first, data, size = _BINARY_COMPRESSED, deflated, len(deflated)
        if size <= LARGEST_CONTROL_PAYLOAD:
            return b"%c%c%b" % (first, size, data)
        if size <= 0xFFFF:
            return _MEDIUM_HEAD.pack(first, 126, size) + data
        return _LARGE_HEAD.pack(first, 127, size) + data

    def encode_close(self, code: int, reason: str) -> bytes:
        """A close frame; b"" before the upgrade, and when a close frame has been handed out already.

        The reason is cut to what a control frame holds. Raises MisuseError for a code that must not be sent.
        """
        if not may_be_sent(code):
            raise MisuseError(f"{code} is no close code to send")
        if self._frames is None or self._close_sent:
            return b""
        self._close_sent = True
        return encode_close(code, reason)

    def encode_ping(self, payload: bytes) -> bytes:
        """A ping frame. The pong is no event: like all that arrives, it shows that the peer lives."""
        if self._frames is None or len(payload) > LARGEST_CONTROL_PAYLOAD:
            raise MisuseError(f"a ping takes an upgraded peer and at most {LARGEST_CONTROL_PAYLOAD} bytes")
        return encode_ping(payload)

    def _begin_frames(self, acceptance: Acceptance) -> list[object]:
        self._outgoing.append(acceptance.response)
        self._deflate = acceptance.deflate
        takes_text = acceptance.event.protocol != "mqtt"  # [MQTT-6.0.0-1]
        self._frames = FrameDecoder(takes_text, self._deflate, self._slice_size)
        events: list[object] = [acceptance.event]
        if acceptance.rest:
            events += self._receive_frames(self._frames, acceptance.rest)
        return events

    def _receive_frames(self, frames: FrameDecoder, data: bytes) -> list[object]:
        events: list[object] = []
        for event in frames.receive(data):
            if isinstance(event, Pings):
                self._outgoing.extend([encode_pong(payload) for payload in event.payloads])
                continue
            if isinstance(event, Closed):
                self._echo(event.code)
            elif isinstance(event, FrameError):
                event = self._violation(event)
            events.append(event)
        self._ended = frames.stopped
        return events

    def _echo(self, code: int) -> None:
        if not self._close_sent:
            self._close_sent = True
            self._outgoing.append(encode_close(code, ""))  # RFC 6455 5.5.1

    def _violation(self, fault: FrameError) -> PeerViolation:
        too_big = fault.code is CloseCode.MESSAGE_TOO_BIG
        reason = CloseReason.MAXIMUM_PAYLOAD_EXCEEDED if too_big else CloseReason.PROTOCOL_VIOLATION
        farewell = b"" if self._close_sent else encode_close(fault.code, fault.detail)
        self._close_sent = True
        return PeerViolation(reason, fault.detail, farewell)
