"""A WebSocket, server role: to the session a stream of bytes like any other, behind an HTTP upgrade and in frames.

h11 reads the upgrade, wsproto the frames. Data frames to the peer are written here, in a fraction of the time that
wsproto takes.
"""

import struct
from dataclasses import dataclass

from wsproto.frame_protocol import (
    LOCAL_ONLY_CLOSE_REASONS,
    MAX_CLOSE_REASON,
    MIN_CLOSE_REASON,
    FrameProtocol,
    Opcode,
    ParseFailed,
)
from wsproto.frame_protocol import CloseReason as CloseCode

from protocols.close_reason import CloseReason
from protocols.errors import MisuseError, PeerViolation
from protocols.websocket.compression import MessageDeflate
from protocols.websocket.upgrade import Acceptance, InnerProtocol, UpgradePolicy, UpgradeReader

MAX_REQUEST_BYTES = 8192
# Smaller payloads hardly shrink.
COMPRESS_ABOVE = 64
LARGEST_CONTROL_PAYLOAD = 125

_BINARY = 0x82  # FIN and the opcode [RFC 6455 5.2]
_BINARY_COMPRESSED = 0xC2  # and RSV1 [RFC 7692 6]
_MEDIUM_HEAD = struct.Struct("!BBH")
_LARGE_HEAD = struct.Struct("!BBQ")

# Where wsproto's words are not the ones to send: nats-server has a wording that peers know, or they say nothing.
_WORDINGS = {
    ("server received unexpected unmasked frame", CloseCode.PROTOCOL_ERROR): "mask bit missing",
    ("error in extension", CloseCode.MESSAGE_TOO_BIG): "message too big",
    ("error in extension", CloseCode.INVALID_FRAME_PAYLOAD_DATA): "compressed data is corrupt",
}


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer has closed the WebSocket; 1005 stands for a close frame without a code."""

    code: int
    reason: str


class WebSocketServerCodec:
    """One peer's WebSocket, from its HTTP request to its close frame.

    Events: one Upgraded; then at most one `bytes` per call, what the data frames of the batch held, joined; at the end
    Closed or PeerViolation, whose farewell is an HTTP response before the upgrade and a close frame after it. Pings are
    answered and the peer's close is echoed through `bytes_to_send`, and so is the upgrade: send those bytes before
    anything of the session's own.

    `protocols` are the inner protocols that may be asked for. `max_message_size` bounds a compressed message, on the
    wire and inflated; what is not compressed is never held back and needs no bound. One batch may hold many compressed
    messages: give it to `receive` in slices where memory is short.
    """

    __slots__ = ("_binary_only", "_close_sent", "_deflate", "_ended", "_frames", "_outgoing", "_upgrade")

    def __init__(
        self,
        policy: UpgradePolicy,
        protocols: frozenset[InnerProtocol],
        max_message_size: int,
        max_request_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        self._upgrade: UpgradeReader | None = UpgradeReader(policy, protocols, max_message_size, max_request_bytes)
        self._frames: FrameProtocol | None = None
        self._deflate: MessageDeflate | None = None
        self._binary_only = False
        self._outgoing: list[bytes | bytearray] = []
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

    def receive(self, data: bytes) -> list[object]:
        if self._ended or not data:
            return []
        if self._frames is not None:
            return self._receive_frames(self._frames, data)
        assert self._upgrade is not None
        decision = self._upgrade.receive(data)
        if decision is None:
            return []
        self._upgrade = None
        if isinstance(decision, PeerViolation):
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
        if code not in range(MIN_CLOSE_REASON, MAX_CLOSE_REASON + 1) or code in LOCAL_ONLY_CLOSE_REASONS:
            raise MisuseError(f"{code} is no close code to send")
        if self._frames is None or self._close_sent:
            return b""
        self._close_sent = True
        return bytes(self._frames.close(code, reason))

    def encode_ping(self, payload: bytes) -> bytes:
        """A ping frame. The pong is no event: like all that arrives, it shows that the peer lives."""
        if self._frames is None or len(payload) > LARGEST_CONTROL_PAYLOAD:
            raise MisuseError(f"a ping takes an upgraded peer and at most {LARGEST_CONTROL_PAYLOAD} bytes")
        return bytes(self._frames.ping(payload))

    def _begin_frames(self, acceptance: Acceptance) -> list[object]:
        self._outgoing.append(acceptance.response)
        self._deflate = acceptance.deflate
        self._binary_only = acceptance.event.protocol == "mqtt"
        self._frames = FrameProtocol(client=False, extensions=[self._deflate] if self._deflate else [])
        events: list[object] = [acceptance.event]
        if acceptance.rest:
            events += self._receive_frames(self._frames, acceptance.rest)
        return events

    def _receive_frames(self, frames: FrameProtocol, data: bytes) -> list[object]:
        chunks: list[bytes] = []
        ending: Closed | PeerViolation | None = None
        frames.receive_bytes(data)
        try:
            for frame in frames.received_frames():
                payload = frame.payload
                if isinstance(payload, str):
                    if self._binary_only:
                        raise ParseFailed("MQTT takes binary frames", CloseCode.UNSUPPORTED_DATA)  # [MQTT-6.0.0-1]
                    chunks.append(payload.encode())
                elif isinstance(payload, tuple):
                    ending = self._closed_by_peer(frames, *payload)
                elif frame.opcode is Opcode.BINARY:
                    chunks.append(payload)
                elif frame.opcode is Opcode.PING:
                    self._outgoing.append(frames.pong(payload))
        except ParseFailed as error:
            ending = self._violation(frames, error)
        application = b"".join(chunks)
        events: list[object] = [application] if application else []
        if ending is not None:
            self._ended = True
            events.append(ending)
        return events

    def _closed_by_peer(self, frames: FrameProtocol, code: int, reason: str) -> Closed:
        if not self._close_sent:
            self._close_sent = True
            self._outgoing.append(frames.close(code))  # the echo [RFC 6455 5.5.1]
        return Closed(int(code), reason)

    def _violation(self, frames: FrameProtocol, error: ParseFailed) -> PeerViolation:
        detail = _WORDINGS.get((str(error), error.code), str(error))
        too_big = error.code is CloseCode.MESSAGE_TOO_BIG
        reason = CloseReason.MAXIMUM_PAYLOAD_EXCEEDED if too_big else CloseReason.PROTOCOL_VIOLATION
        farewell = b"" if self._close_sent else bytes(frames.close(error.code, detail))
        self._close_sent = True
        return PeerViolation(reason, detail, farewell)
